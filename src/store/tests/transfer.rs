//! The move from SQLite to PostgreSQL: everything arrives unchanged, or nothing.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{
    super::{
        StoreSettings, audit, installation, invalidation, leases, projects, settings, statistics,
        transfer::{self, Progress, Snapshot, Step, TableSum},
    },
    Given,
    sample::{at, digest, new_id, project, record},
};
use crate::{
    clock::Timestamp,
    error::{Error, Kind, Result},
    ids::{AuditId, TenantId},
};

/// Whoever adds a table decides whether it is moved. It is, unless `LEFT` and
/// the module have it too; then they say why.
const MOVED: &[&str] = &[
    "agent_credential",
    "api_key",
    "app_user",
    "assignment",
    "audit_checkpoint",
    "audit_record",
    "cluster",
    "cluster_statistic",
    "data_format",
    "idempotency",
    "import_token",
    "installation",
    "one_time_secret",
    "password_history",
    "project",
    "refresh_token",
    "role",
    "session",
    "setting",
    "team",
    "team_member",
    "tenant",
    "tenant_key",
];
const LEFT: &[&str] = &["_sqlx_migrations", "invalidation", "leases"];

fn file(given: &Given) -> PathBuf {
    let StoreSettings::Sqlite { path } = &given.settings else { panic!("PostgreSQL") };
    path.clone()
}

/// Everything that the app does in the database.
async fn moved(source: &Given, target: &Given) -> Result<Vec<TableSum>> {
    let mut snapshot = Snapshot::of(&file(source)).await?;
    let mut tx = target.store.begin().await?;
    let sums = transfer::run(&mut snapshot, &mut tx, &mut |_| {}).await?;
    audit::insert(&mut tx, &record(TenantId::SYSTEM, transfer::RECORD, 9_000)).await?;
    tx.commit().await?;
    Ok(sums)
}

/// A standalone with something in every table, with more than a page of
/// records, a page of points exactly, and values that are easily damaged.
async fn standalone() -> Given {
    let given = Given::sqlite().await;
    let acme = given.world("acme").await;
    given.world("rival").await;
    let id = new_id!(TenantId).to_string();
    given
        .commit(async |tx| {
            installation::create(tx, &id, b"sealed", digest(), at(1)).await?;
            for number in 0..600 {
                let mut row = record(acme.tenant, "cluster.import", number);
                row.detail = "{\"text\":\"\\\\N \\t 'quoted'\"}".to_owned();
                audit::insert(tx, &row).await?;
            }
            for moment in 0..254 {
                let point = statistics::PointRow { at: at(1_000 + moment), point: String::new() };
                statistics::insert(tx, acme.tenant, acme.cluster, &point).await?;
            }
            let mut odd = project("Ärger \\ 'quoted' \"twice\"\n\t🦀 \u{feff}");
            odd.created_at = Timestamp::from_micros(i64::MIN);
            odd.version = i64::MAX;
            projects::insert(tx, acme.tenant, &odd).await?;
            let empty =
                settings::Setting { value: String::new(), sealed: Some(vec![]), version: 0 };
            settings::put(tx, acme.tenant, "empty", &empty, 0).await?;
            invalidation::insert(tx, new_id!(AuditId), "subject").await?;
            leases::acquire(tx, "work", "somebody", Duration::from_mins(1)).await
        })
        .await;
    given
}

/// Every value of the tables that are moved as hexadecimal digits, by the
/// database's own means.
async fn values(given: &Given) -> BTreeSet<String> {
    let mut tx = given.store.read().await.expect("read");
    let mut all = BTreeSet::new();
    for table in MOVED {
        let cells: Vec<String> = match &given.settings {
            StoreSettings::Sqlite { .. } => {
                let sql = "SELECT 'CASE WHEN ' || name || ' IS NULL THEN ''-'' ELSE hex(' || name || ') END' FROM pragma_table_info($1)
                           ORDER BY name";
                tx.fetch_all(sql, (*table,)).await
            }
            StoreSettings::Postgres(_) => {
                let sql = "SELECT 'COALESCE(upper(encode(' || CASE data_type
                               WHEN 'bytea' THEN CAST(column_name AS TEXT)
                               ELSE 'convert_to(CAST(' || column_name || ' AS TEXT), ''UTF8'')'
                           END || ', ''hex'')), ''-'')'
                           FROM information_schema.columns
                           WHERE table_schema = 'public' AND CAST(table_name AS TEXT) = $1
                           ORDER BY CAST(column_name AS TEXT) COLLATE \"C\"";
                tx.fetch_all(sql, (*table,)).await
            }
        }
        .expect("the columns");
        let rows = format!("SELECT {} FROM {table}", cells.join(" || ' ' || "));
        let rows: Vec<String> = tx.fetch_all(&rows, ()).await.expect("rows");
        let number = rows.len();
        all.extend(rows.into_iter().map(|row| format!("{table} {row}")));
        all.insert(format!("{table} {number} rows"));
    }
    all
}

async fn tables_with_rows(given: &Given) -> Vec<&'static str> {
    let mut tx = given.store.read().await.expect("read");
    let mut found = Vec::new();
    for table in MOVED.iter().chain(LEFT) {
        let count = format!("SELECT COUNT(*) FROM {table}");
        let count: i64 = tx.fetch_one(&count, ()).await.expect("a count");
        found.extend((count > 0).then_some(*table));
    }
    found
}

/// Only what the migration has made.
async fn assert_untouched(target: &Given) {
    assert_eq!(tables_with_rows(target).await, ["data_format", "_sqlx_migrations"]);
}

async fn execute(given: &Given, sql: &str) {
    given.commit(async |tx| tx.execute(sql, ()).await).await;
}

/// Does this with every row that comes into a table.
async fn interfere(target: &Given, table: &str, body: &str) {
    let function = format!(
        "CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS
         $f$ BEGIN {body} END $f$"
    );
    execute(target, &function).await;
    let trigger = format!(
        "CREATE TRIGGER interfere BEFORE INSERT ON {table}
         FOR EACH ROW EXECUTE FUNCTION interfere()"
    );
    execute(target, &trigger).await;
}

async fn stop_interfering(target: &Given) {
    execute(target, "DROP FUNCTION interfere CASCADE").await;
}

#[tokio::test]
async fn every_table_of_the_schema_is_moved_or_stays_on_purpose() {
    let given = Given::sqlite().await;
    let mut tx = given.store.read().await.expect("read");
    let all = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let all: Vec<String> = tx.fetch_all(all, ()).await.expect("the tables");
    let mut decided: Vec<_> = [MOVED, LEFT].concat();
    decided.sort_unstable();
    assert_eq!(all, decided, "is the new table moved, or does it stay?");
    // Whatever a database counts by itself would have to be continued.
    let counted = "SELECT COUNT(*) FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%'";
    assert_eq!(tx.fetch_one::<i64>(counted, ()).await.expect("a count"), 0);
    let given = Given::postgres().await;
    let mut tx = given.store.read().await.expect("read");
    let counted = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'public'
                   AND (is_identity = 'YES' OR is_generated <> 'NEVER' OR column_default LIKE 'nextval%')";
    assert_eq!(tx.fetch_one::<i64>(counted, ()).await.expect("a count"), 0);
}

#[tokio::test]
async fn every_value_arrives_as_it_was_and_is_told_of() {
    let (source, target) = (standalone().await, Given::postgres().await);
    let mut snapshot = Snapshot::of(&file(&source)).await.expect("a database");
    let mut tx = target.store.begin().await.expect("begin");
    let mut told = Vec::new();
    let mut listen = |progress: &Progress<'_>| {
        let Progress { table, number, of, rows, step } = *progress;
        assert_eq!(of, MOVED.len());
        told.push((step, number, table.to_owned(), rows));
    };
    let sums = transfer::run(&mut snapshot, &mut tx, &mut listen).await.expect("the move");
    tx.commit().await.expect("commit");

    let names: BTreeSet<_> = sums.iter().map(|sum| &*sum.name).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), MOVED);
    let empty: Vec<_> = sums.iter().filter(|sum| sum.rows == 0).map(|sum| &sum.name).collect();
    assert!(empty.is_empty(), "nothing is shown about {empty:?}");
    let of = |name: &str| sums.iter().find(|sum| sum.name == name).expect("a table").rows;
    assert_eq!((of("audit_record"), of("cluster_statistic")), (602, 256));
    let expected: Vec<_> = [Step::Copied, Step::Compared]
        .into_iter()
        .flat_map(|step| {
            let told =
                |(sum, number): (&TableSum, usize)| (step, number, sum.name.clone(), sum.rows);
            sums.iter().zip(1..).map(told).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(told, expected);

    assert_eq!(values(&target).await, values(&source).await);
    let there = tables_with_rows(&target).await;
    assert!(!there.contains(&"leases") && !there.contains(&"invalidation"), "{there:?}");
    // Not by chance: a second time gives the same checksums, other data do not.
    let again = moved(&source, &Given::postgres().await).await.expect("the move");
    assert_eq!(again, sums);
    execute(&source, "UPDATE project SET version = version - 1 WHERE version > 1").await;
    let other = moved(&source, &Given::postgres().await).await.expect("the move");
    let differ: Vec<_> = sums.iter().filter(|sum| !other.contains(sum)).collect();
    assert_eq!(differ.len(), 1, "{differ:?}");
    assert_eq!(differ[0].name, "project");
}

#[tokio::test]
async fn whatever_is_altered_or_lost_on_the_way_is_found_and_nothing_stays() {
    let (source, target) = (standalone().await, Given::postgres().await);
    for (table, body) in [
        ("cluster", "NEW.created_at := NEW.created_at + 1; RETURN NEW;"),
        ("setting", "IF NEW.sealed = '' THEN NEW.sealed := NULL; END IF; RETURN NEW;"),
        ("project", "NEW.name := replace(NEW.name, '🦀', '?'); RETURN NEW;"),
        ("tenant_key", "NEW.wrapped := set_byte(NEW.wrapped, 63, 0); RETURN NEW;"),
        ("audit_record", "IF NEW.at = 300000000 THEN RETURN NULL; END IF; RETURN NEW;"),
    ] {
        interfere(&target, table, body).await;
        let refused = moved(&source, &target).await.expect_err("it was altered");
        assert_eq!(refused.code(), "storage-differs", "{}", refused.chain());
        let told = refused.message();
        assert!(told.starts_with(&format!("{table} is not the same")), "{told}");
        stop_interfering(&target).await;
        assert_untouched(&target).await;
    }
    moved(&source, &target).await.expect("nobody interferes any more");
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing_and_the_move_can_be_repeated() {
    let (source, target) = (standalone().await, Given::postgres().await);
    let before = std::fs::read(file(&source)).expect("readable");
    let end = "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;";
    interfere(&target, "cluster_statistic", end).await;
    let refused = moved(&source, &target).await.expect_err("the connection is gone");
    assert_eq!(refused.kind(), Kind::Unavailable, "{}", refused.chain());
    stop_interfering(&target).await;
    assert_untouched(&target).await;

    // The same when it is this side that goes away.
    let mut snapshot = Snapshot::of(&file(&source)).await.expect("a database");
    let mut tx = target.store.begin().await.expect("begin");
    let (reached, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let mut listen = |progress: &Progress<'_>| {
        let _ = reached.send(progress.step);
    };
    let gone = tokio::select! {
        _ = transfer::run(&mut snapshot, &mut tx, &mut listen) => false,
        () = async { while waiting.recv().await == Some(Step::Copied) {} } => true,
    };
    assert!(gone, "it was over before it was ended");
    drop(tx);
    assert_untouched(&target).await;

    moved(&source, &target).await.expect("the connection stays");
    assert_eq!(std::fs::read(file(&source)).expect("readable"), before);
}

#[tokio::test]
async fn what_is_in_a_database_is_never_lost_unless_it_is_an_unused_copy() {
    let (source, target) = (standalone().await, Given::postgres().await);
    let refused = async |target: &Given| {
        let before = values(target).await;
        let refused: Error = moved(&source, target).await.expect_err("it is not empty");
        assert_eq!(refused.code(), "storage-not-empty", "{}", refused.chain());
        assert!(refused.hint().is_some_and(|hint| hint.contains("empty database")));
        assert_eq!(values(target).await, before);
    };
    let foreign = Given::postgres().await;
    foreign.world("acme").await;
    refused(&foreign).await;

    // The commit of a move may have happened without anybody knowing.
    moved(&source, &target).await.expect("it is empty");
    execute(&source, "UPDATE tenant SET name = 'Renamed'").await;
    moved(&source, &target).await.expect("nobody has used it");
    let mut tx = target.store.read().await.expect("read");
    let renamed = "SELECT COUNT(*) FROM tenant WHERE name <> 'Renamed'";
    assert_eq!(tx.fetch_one::<i64>(renamed, ()).await.expect("a count"), 0);
    drop(tx);

    // Of another standalone…
    let other = standalone().await;
    let error = moved(&other, &target).await.expect_err("it is somebody else's");
    assert_eq!(error.code(), "storage-not-empty");
    // …served from…
    let lease = target
        .commit(async |tx| leases::acquire(tx, "work", "node", Duration::from_secs(1)).await)
        .await;
    assert!(lease.is_some());
    refused(&target).await;
    execute(&target, "DELETE FROM leases").await;
    moved(&source, &target).await.expect("nobody has used it");
    // …or changed.
    let later = record(TenantId::SYSTEM, "platform.changeSeal", 9_001);
    target.commit(async |tx| audit::insert(tx, &later).await).await;
    refused(&target).await;
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment_and_writes_nothing() {
    let source = standalone().await;
    let mut snapshot = Snapshot::of(&file(&source)).await.expect("a database");
    execute(&source, "DELETE FROM project WHERE name LIKE '%twice%'").await;
    let count = "SELECT COUNT(*) FROM project";
    assert_eq!(snapshot.tx().fetch_one::<i64>(count, ()).await.expect("a count"), 3);
    snapshot.tx().execute("DELETE FROM project", ()).await.expect_err("it only reads");
    let sneaky = snapshot.tx().fetch_all::<i64>("DELETE FROM team_member RETURNING 1", ()).await;
    sneaky.expect_err("the file is open for reading");
    let missing = file(&source).with_file_name("missing.db");
    Snapshot::of(&missing).await.expect_err("there is no such file");
    assert!(!missing.exists());
}

#[tokio::test]
async fn data_that_another_version_has_expanded_is_refused() {
    let (source, target) = (standalone().await, Given::postgres().await);
    let expanded = "INSERT INTO _sqlx_migrations
            (version, description, installed_on, success, checksum, execution_time)
        SELECT 999, 'newer', installed_on, success, checksum, execution_time
        FROM _sqlx_migrations WHERE version = 1";
    execute(&source, expanded).await;
    let refused = moved(&source, &target).await.expect_err("a newer version has used it");
    assert_eq!(refused.code(), "storage-format");
    assert_untouched(&target).await;
}

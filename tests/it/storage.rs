//! From SQLite to PostgreSQL: `palisade storage move` on a standalone that was
//! used, and the same appliance served from PostgreSQL afterwards.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use palisade::{
    audit::Event,
    clock::{SystemRandom, Timestamp},
    ids::{ClusterId, ProjectId, TenantId},
    rbac::Actor,
    store::{
        PostgresSettings, Store, StoreSettings, audit,
        clusters::{self, ClusterRow},
        statistics::{self, PointRow},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    app::{PASSWORD, TestApp, eventually},
    client::Client,
    postgres,
    process::{program, say},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// An empty database on the PostgreSQL server of these tests.
async fn database() -> String {
    postgres::migrated(|_| std::future::ready(())).await.url()
}

async fn on_postgres(directory: TempDir, url: &str) -> TestApp {
    let settings = [("storage.database", "postgres"), ("storage.postgres.url", url)];
    TestApp::start_in(directory, &settings).await
}

/// The command, from the settings in `now.toml` to those in `new.toml`.
fn storage_move(directory: &TempDir, url: &str, more: &[&str]) -> Command {
    let data = directory.path().join("var");
    let storage = format!("[storage]\ndata_dir = \"{}\"\n", data.display());
    let now = format!("{storage}[bus]\nmode = \"off\"\n");
    let new = format!("{storage}database = \"postgres\"\n[storage.postgres]\nurl = \"{url}\"\n");
    fs::write(directory.path().join("now.toml"), &now).expect("written");
    fs::write(directory.path().join("new.toml"), new + "[bus]\nmode = \"off\"\n").expect("written");
    let mut command = Command::new(program());
    command.args(["storage", "move", "--config", "now.toml", "--to-config", "new.toml"]);
    command.args(more).current_dir(directory).env_clear().env("HOME", directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(directory: &TempDir, url: &str, more: &[&str]) -> (i32, String, String) {
    let ended = storage_move(directory, url, more).output().expect("the program starts");
    let Output { status, stdout, stderr } = ended;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[track_caller]
fn moved(directory: &TempDir, url: &str) -> Value {
    let (code, out, err) = run(directory, url, &["-o", "json"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("the same as in SQLite"), "{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("var/palisade.db")
}

async fn store(url: &str) -> Store {
    let settings = PostgresSettings {
        url: url.to_owned(),
        password: None,
        ca_file: None,
        client: None,
        max_connections: 2,
        statement_timeout: Duration::from_secs(8),
    };
    Store::open(&StoreSettings::Postgres(settings)).await.expect("it opens")
}

async fn statements(store: &Store, statements: &[&str]) {
    for statement in statements {
        let mut tx = store.begin().await.expect("begin");
        tx.execute(statement, ()).await.expect("a statement");
        tx.commit().await.expect("commit");
    }
}

/// How many rows; `None` while somebody has locked the table.
async fn rows(store: &Store, table: &str) -> Option<i64> {
    let mut tx = store.read().await.ok()?;
    tx.fetch_one(&format!("SELECT COUNT(*) FROM {table}"), ()).await.ok()
}

async fn assert_empty(store: &Store) {
    for table in ["installation", "tenant", "app_user", "cluster", "audit_record"] {
        assert_eq!(rows(store, table).await, Some(0), "{table}");
    }
}

/// uid and name of everything that a caller can list.
async fn everything(client: &Client) -> Vec<(String, Value, Value)> {
    let mut all = Vec::new();
    for kind in ["users", "teams", "roles", "assignments", "projects", "clusters", "api-keys"] {
        let list = client.get(&format!("/v1/{kind}?limit=200")).await;
        list.assert_status(200);
        let items = list.items().iter();
        all.extend(items.map(|item| (kind.to_owned(), item["uid"].clone(), item["name"].clone())));
    }
    all.sort_by_key(|(kind, uid, _)| (kind.clone(), uid.to_string()));
    all
}

async fn assert_whole(client: &Client) -> i64 {
    // Every record gets its place in the chain soon.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let verdict = client.get("/v1/audit/verify").await;
    verdict.assert_status(200);
    assert_eq!(verdict.json["ok"], true, "{}", verdict.body);
    verdict.number("/records")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_goes_on_from_postgres_with_everything_that_it_had() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let rival = t.tenant(&system, "rival").await;
    let project = acme.post("/v1/projects", json!({"name": "Ärger"})).await.text("/uid").to_owned();
    for name in ["plant-1", "plant-2"] {
        let body = json!({"name": name, "project": project});
        acme.post("/v1/clusters", body).await.assert_status(201);
    }
    acme.post("/v1/teams", json!({"name": "Ops"})).await.assert_status(201);
    let body = json!({"email": "eve@acme.example.com", "name": "Eve", "password": PASSWORD});
    acme.post("/v1/users", body).await.assert_status(201);
    let key = acme.post("/v1/api-keys", json!({"name": "own"})).await.text("/secret").to_owned();
    let login = t.try_log_in("admin@acme.example.com", PASSWORD, "tenant").await;
    let refresh = login.text("/tokens/refreshToken").to_owned();
    let (had, theirs) = (everything(&acme).await, everything(&rival).await);
    let records = assert_whole(&acme).await;
    let url = database().await;

    // Not while it is served.
    let (code, _, err) = run(&t.directory, &url, &[]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("is in use") && err.contains("Stop `palisade serve` first"), "{err}");

    let directory = t.stop().await;
    let before = fs::read(file(&directory)).expect("readable");
    let answer = moved(&directory, &url);
    assert_eq!(fs::read(file(&directory)).expect("readable"), before);
    let tables = answer["tables"].as_array().expect("tables");
    let of = |name: &str| tables.iter().find(|table| table["name"] == name).expect("a table");
    assert_eq!(of("cluster")["rows"], 2);
    assert_eq!(of("tenant")["rows"], 3);
    assert!(tables.iter().all(|table| table["checksum"].as_str().map(str::len) == Some(64)));
    let sum: i64 = tables.iter().filter_map(|table| table["rows"].as_i64()).sum();
    assert_eq!(answer["rows"], sum);
    assert!(answer["seconds"].as_f64() > Some(0.0), "{answer}");

    let t = on_postgres(directory, &url).await;
    assert!(t.app.ledger().store().is_shared(), "this is not PostgreSQL");
    // Sessions, keys and passwords of before.
    let acme = t.anonymous().with_token(acme.token());
    let system = t.anonymous().with_token(system.token());
    assert_eq!(everything(&acme).await, had);
    assert_eq!(everything(&t.anonymous().with_token(rival.token())).await, theirs);
    t.anonymous().with_token(&key).get("/v1/clusters").await.assert_status(200);
    let body = json!({"refreshToken": refresh, "bearer": true});
    t.anonymous().post("/v1/auth/refresh", body).await.assert_status(200);
    t.log_in("eve@acme.example.com").await;
    assert!(assert_whole(&acme).await > records);
    assert_whole(&system).await;
    let trail = system.get("/v1/audit?action=platform.moveStorage").await;
    assert_eq!(trail.items().len(), 1, "{}", trail.body);
    assert_eq!(trail.items()[0]["detail"]["rows"], sum, "{}", trail.body);
    let body = json!({"name": "plant-3", "project": project});
    acme.post("/v1/clusters", body).await.assert_status(201);

    // What is in use by now is not replaced by what SQLite had.
    let directory = t.stop().await;
    let (code, _, err) = run(&directory, &url, &[]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("is not empty"), "{err}");
    let t = on_postgres(directory, &url).await;
    let acme = t.anonymous().with_token(acme.token());
    assert_eq!(acme.get("/v1/clusters").await.items().len(), 3);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_fails_leaves_a_standalone_and_can_be_repeated() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    t.tenant(&system, "acme").await;
    let directory = t.stop().await;
    let before = fs::read(file(&directory)).expect("readable");
    let url = database().await;
    let postgres = store(&url).await;
    postgres.migrate().await.expect("migrated");
    let function = "CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS";
    let trigger = "CREATE TRIGGER interfere BEFORE INSERT ON";
    let interfere = async |table: &str, each: &str, body: &str| {
        let function = format!("{function} $f$ BEGIN {body} END $f$");
        let trigger = format!("{trigger} {table} FOR EACH {each} EXECUTE FUNCTION interfere()");
        statements(&postgres, &[&function, &trigger]).await;
    };
    let stop_interfering = "DROP FUNCTION interfere CASCADE";

    // The connection breaks…
    let end = "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;";
    interfere("app_user", "ROW", end).await;
    let (code, out, err) = run(&directory, &url, &[]);
    assert_eq!((code, &*out), (1, ""), "{err}");
    assert!(err.contains("The database does not answer: nothing was changed"), "{err}");
    statements(&postgres, &[stop_interfering]).await;
    assert_empty(&postgres).await;

    // …a value is altered…
    interfere("app_user", "ROW", "NEW.version := NEW.version + 1; RETURN NEW;").await;
    let (code, out, err) = run(&directory, &url, &[]);
    assert_eq!((code, &*out), (1, ""), "{err}");
    assert!(err.contains("app_user is not the same in PostgreSQL"), "{err}");
    statements(&postgres, &[stop_interfering]).await;
    assert_empty(&postgres).await;

    // …the command is killed.
    interfere("app_user", "STATEMENT", "PERFORM pg_sleep(2); RETURN NULL;").await;
    let mut child = storage_move(&directory, &url, &[]).spawn().expect("the program starts");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let lines = lines.map_while(Result::ok);
    let seen = lines.filter(|line| line.contains("audit_record")).take(1).count();
    assert_eq!(seen, 1, "it says nothing of audit_record");
    child.kill().expect("killable");
    let ended = child.wait().expect("gone");
    assert_eq!(ended.code(), None, "it was over before it was killed");
    let gone = async || (rows(&postgres, "audit_record").await == Some(0)).then_some(());
    eventually(PATIENCE, gone).await;
    statements(&postgres, &[stop_interfering]).await;
    assert_empty(&postgres).await;

    // It is the standalone that it was.
    assert_eq!(fs::read(file(&directory)).expect("readable"), before);
    let t = TestApp::start_in(directory, &[]).await;
    let acme = t.log_in("admin@acme.example.com").await;
    acme.post("/v1/projects", json!({"name": "Meanwhile"})).await.assert_status(201);
    let directory = t.stop().await;

    // Twice: the first may have been committed without anybody knowing.
    let first = moved(&directory, &url);
    let again = moved(&directory, &url);
    assert_eq!(first["tables"], again["tables"]);
    postgres.close().await;
    let t = on_postgres(directory, &url).await;
    let acme = t.log_in("admin@acme.example.com").await;
    assert_eq!(acme.get("/v1/projects?q=Meanwhile").await.items().len(), 1);
    assert_whole(&acme).await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_to_the_wrong_place_is_refused() {
    let url = database().await;
    let other = on_postgres(TempDir::new().expect("a directory"), &url).await;
    other.set_up().await;
    other.stop().await;
    let t = TestApp::start().await;
    t.set_up().await;
    let directory = t.stop().await;
    let (code, _, err) = run(&directory, &url, &[]);
    assert_eq!(code, 5, "{err}");
    assert!(err.contains("belongs to installation"), "{err}");

    let to_sqlite = ["--set", "storage.database=sqlite", "--to-config", "now.toml"];
    let command = |more: &[&str]| {
        let mut command = Command::new(program());
        command.args(["storage", "move"]).args(more).current_dir(&directory).env_clear();
        let ended = command.stdin(Stdio::null()).output().expect("the program starts");
        (ended.status.code(), String::from_utf8(ended.stderr).expect("UTF-8"))
    };
    let (code, err) = command(&[&to_sqlite[..], &["--config", "now.toml"]].concat());
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("must be postgres in the new settings"), "{err}");
    let (code, err) = command(&["--config", "new.toml", "--to-config", "new.toml"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("must be sqlite in the present settings"), "{err}");
    fs::create_dir(directory.path().join("empty")).expect("made");
    let elsewhere = ["--config", "now.toml", "--data-dir", "empty", "--to-config", "new.toml"];
    let (code, err) = command(&elsewhere);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("must be the same directory in both settings"), "{err}");
    assert!(!directory.path().join("empty/palisade.db").exists());
}

/// The size for which the issue wants to know the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: run it by its name"]
async fn five_hundred_clusters_and_a_hundred_thousand_records_are_moved() {
    const CLUSTERS: usize = 500;
    const POINTS: i64 = 100;
    const RECORDS: usize = 100_000;
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let tenants = system.get("/v1/tenants?q=acme").await;
    let tenant: TenantId = tenants.text("/items/0/uid").parse().expect("a uid");
    let project = acme.post("/v1/projects", json!({"name": "Web"})).await;
    let project: ProjectId = project.text("/uid").parse().expect("a uid");
    let ledger = t.app.ledger();
    let now = ledger.clock().now();
    let mut change = ledger.begin(&Actor::system(tenant)).await.expect("begin");
    for number in 0..CLUSTERS {
        let row = ClusterRow {
            tenant_id: tenant,
            id: ClusterId::random(&SystemRandom),
            project_id: project,
            name: format!("plant-{number}"),
            phase: "healthy".to_owned(),
            reasons: "[]".to_owned(),
            report: Some(json!({"nodes": vec![number; 400]}).to_string()),
            last_heartbeat_at: Some(now),
            has_kubeconfig: false,
            created_at: now,
            version: 1,
        };
        clusters::insert(change.tx(), &row).await.expect("inserted");
        clusters::set_kubeconfig(change.tx(), tenant, row.id, &[7; 3_000]).await.expect("kept");
        for minute in 0..POINTS {
            let at = Timestamp::from_micros(now.as_micros() - minute * 60_000_000);
            let point = PointRow { at, point: "{\"cpu\":0.25,\"memory\":0.5}".to_owned() };
            statistics::insert(change.tx(), tenant, row.id, &point).await.expect("inserted");
        }
    }
    for number in 0..RECORDS {
        let event = Event::new("cluster.update").on(number).with("number", number);
        change.also(tenant, event).await.expect("recorded");
    }
    change.finish().await.expect("committed");
    let sealed = async || {
        let mut tx = ledger.store().read().await.expect("read");
        let (waiting, _) = audit::backlog(&mut tx).await.expect("a count");
        (waiting == 0).then_some(())
    };
    eventually(Duration::from_mins(10), sealed).await;
    let directory = t.stop().await;
    let bytes = fs::metadata(file(&directory)).expect("there").len();
    let url = database().await;

    let began = Instant::now();
    let answer = moved(&directory, &url);
    let took = began.elapsed();
    let tables = answer["tables"].as_array().expect("tables");
    let of = |name: &str| tables.iter().find(|table| table["name"] == name).expect("a table");
    assert_eq!(of("cluster")["rows"], CLUSTERS);
    assert!(of("audit_record")["rows"].as_u64() >= Some(RECORDS as u64));
    say(&format!(
        "{} rows ({} MiB in SQLite): {} s of the move, {took:?} of the command",
        answer["rows"],
        bytes >> 20,
        answer["seconds"]
    ));
    let t = on_postgres(directory, &url).await;
    let acme = t.log_in("admin@acme.example.com").await;
    assert_eq!(acme.get("/v1/clusters?limit=1").await.number("/total"), 500);
    let began = Instant::now();
    assert!(assert_whole(&acme).await > 100_000);
    say(&format!("its trail was verified on PostgreSQL in {:?}", began.elapsed()));
    t.stop().await;
}

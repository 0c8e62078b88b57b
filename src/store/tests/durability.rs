//! What was acknowledged is there after `kill -9`.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    time::Duration,
};

use super::{
    super::{Store, StoreSettings, projects, teams, tenants},
    child, sample,
};
use crate::clock::{SystemRandom, random_bytes};

const KILLS: u32 = 20;

fn settings(folder: &Path) -> StoreSettings {
    StoreSettings::Sqlite { path: folder.join("palisade.db") }
}

/// Runs in a process of its own and writes until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer_that_never_ends() {
    let Some(folder) = child::folder() else { return };
    let store = Store::open(&settings(&folder)).await.expect("open");
    let mut tx = store.read().await.expect("read");
    let tenant = tenants::find_by_slug(&mut tx, "acme").await.expect("find").expect("acme").id;
    drop(tx);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let mut tx = store.begin().await.expect("begin");
                    let project = sample::project("");
                    let name = project.id.to_string();
                    let (project, team) =
                        (projects::Project { name: name.clone(), ..project }, sample::team(&name));
                    projects::insert(&mut tx, tenant, &project).await.expect("insert");
                    teams::insert(&mut tx, tenant, &team).await.expect("insert");
                    tx.commit().await.expect("commit");
                    writeln!(std::io::stdout(), "\nacknowledged {name}").expect("tell");
                }
            })
        })
        .collect();
    futures_util::future::join_all(writers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_transaction_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&settings(folder.path())).await.expect("open");
    store.migrate().await.expect("migrate");
    let tenant = sample::tenant("acme");
    let mut tx = store.begin().await.expect("begin");
    tenants::insert(&mut tx, &tenant).await.expect("insert");
    tx.commit().await.expect("commit");
    store.close().await;
    drop(store);

    let mut acknowledged = BTreeSet::new();
    let mut rounds_with_rows = 0;
    for _ in 0..KILLS {
        let before = acknowledged.len();
        acknowledged.extend(write_until_killed(folder.path()).await);
        rounds_with_rows += u32::from(acknowledged.len() > before);

        let store = Store::open(&settings(folder.path())).await.expect("open after the kill");
        let mut tx = store.read().await.expect("read");
        let projects = projects::names(&mut tx, tenant.id).await.expect("the projects");
        let projects: BTreeSet<_> = projects.into_iter().map(|(_, name)| name).collect();
        let teams: Vec<String> = tx.fetch_all("SELECT name FROM team", ()).await.expect("teams");
        let lost: Vec<_> = acknowledged.difference(&projects).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert_eq!(projects, teams.into_iter().collect(), "a transaction is half there");
        let sound: String = tx.fetch_one("PRAGMA integrity_check", ()).await.expect("a check");
        assert_eq!(sound, "ok");
    }
    assert!(rounds_with_rows > KILLS / 2, "most were killed before they wrote anything");
}

/// Kills the writer at a random instant; answers what it has acknowledged.
async fn write_until_killed(folder: &Path) -> Vec<String> {
    let mut writer = child::command("durability::writer_that_never_ends", folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the writer");
    let stdout = writer.stdout.take().expect("its output is a pipe");
    let reading = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines
            .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned))
            // The last line may be cut off.
            .filter(|name| name.len() == 12)
            .collect()
    });
    let [a, b] = random_bytes(&SystemRandom);
    let instant = Duration::from_micros(u64::from(u16::from_le_bytes([a, b])) * 6);
    tokio::time::sleep(Duration::from_millis(20) + instant).await;
    writer.kill().expect("kill -9");
    writer.wait().expect("it has ended");
    reading.await.expect("what it has acknowledged")
}

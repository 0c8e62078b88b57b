//! A full disk, a busy file, and a server that goes away.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::{Failure, Result, Store, StoreSettings, clusters, projects, tenants},
    Given,
    sample::{self, World},
};
use crate::small_disk;

/// Stores a kubeconfig of so many bytes in a cluster of its own.
async fn add_large(store: &Store, world: &World, name: &str, bytes: usize) -> Result<()> {
    let mut tx = store.begin().await?;
    let cluster = sample::cluster(world.tenant, world.project, name);
    clusters::insert(&mut tx, &cluster).await?;
    clusters::set_kubeconfig(&mut tx, world.tenant, cluster.id, &vec![7; bytes]).await?;
    tx.commit().await
}

async fn names(store: &Store, world: &World) -> Vec<String> {
    let mut tx = store.read().await.expect("read");
    let mut names: Vec<String> = tx
        .fetch_all("SELECT name FROM cluster WHERE tenant_id = $1", (world.tenant,))
        .await
        .expect("the names");
    names.sort();
    names
}

/// Lets the file grow by so many pages only.
async fn limit_pages(store: &Store, more: i64) {
    let mut tx = store.begin().await.expect("begin");
    let pages: i64 = tx.fetch_one("PRAGMA page_count", ()).await.expect("pages");
    let most = pages.saturating_add(more).min(4_294_967_294);
    let _: i64 = tx.fetch_one(&format!("PRAGMA max_page_count = {most}"), ()).await.expect("limit");
}

#[tokio::test]
async fn a_full_file_refuses_what_does_not_fit_and_nothing_else() {
    let given = Given::sqlite().await;
    let acme = given.world("acme").await;
    limit_pages(&given.store, 40).await;

    let holding = given.store.begin().await.expect("begin");
    let small = tokio::spawn(add_owned(given.store.clone(), acme.clone(), "small", 10));
    tokio::task::yield_now().await;
    let large = tokio::spawn(add_owned(given.store.clone(), acme.clone(), "large", 1_000_000));
    tokio::task::yield_now().await;
    let last = tokio::spawn(add_owned(given.store.clone(), acme.clone(), "last", 10));
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(holding);

    let small = small.await.expect("a task").map_err(|error| error.failure());
    let large = large.await.expect("a task").expect_err("it does not fit");
    assert_eq!(large.failure(), Failure::Full);
    let last = last.await.expect("a task").map_err(|error| error.failure());
    // SQLite undoes the statement or the group: whoever was told of success is there.
    let mut expected = vec!["edge".to_owned()];
    for (name, outcome) in [("last", last), ("small", small)] {
        match outcome {
            Ok(()) => expected.push(name.to_owned()),
            Err(failure) => assert_eq!(failure, Failure::Full, "{name}"),
        }
    }
    assert_eq!(names(&given.store, &acme).await, expected);

    limit_pages(&given.store, i64::MAX).await;
    add_large(&given.store, &acme, "large", 1_000_000).await.expect("there is space again");
    assert!(names(&given.store, &acme).await.contains(&"large".to_owned()));
}

async fn add_owned(store: Store, world: World, name: &str, bytes: usize) -> Result<()> {
    add_large(&store, &world, name, bytes).await
}

/// Runs in a process of its own, whose folder is a file system of 2 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_on_a_tiny_disk() {
    let Some(folder) = small_disk::place() else { return };
    let settings = StoreSettings::Sqlite { path: folder.join("palisade.db") };
    let store = Store::open(&settings).await.expect("open");
    store.migrate().await.expect("migrate");
    let given = Given { store, settings, _folder: None };
    let acme = given.world("acme").await;
    std::fs::write(folder.join("ballast"), vec![0; 600_000]).expect("some ballast");

    // Writers fill the disk together until nobody can.
    let mut written = vec!["edge".to_owned()];
    let mut refused = 0;
    for round in 0..40 {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let name = format!("{round}/{writer}");
                let (store, acme) = (given.store.clone(), acme.clone());
                tokio::spawn(async move {
                    let outcome = add_large(&store, &acme, &name, 9_000).await;
                    (name, outcome.map_err(|error| error.failure()))
                })
            })
            .collect();
        for writer in writers {
            match writer.await.expect("a writer") {
                (name, Ok(())) => written.push(name),
                (_, Err(failure)) => {
                    assert_eq!(failure, Failure::Full);
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 50, "only {refused} found the disk full");
    written.sort();
    assert_eq!(names(&given.store, &acme).await, written, "acknowledged is what is there");
    given.store.ping().await.expect("reading goes on");

    std::fs::remove_file(folder.join("ballast")).expect("make space");
    add_large(&given.store, &acme, "after", 9_000).await.expect("there is space again");
    written.push("after".to_owned());
    written.sort();
    let Given { store, settings, .. } = given;
    drop(store);
    let store = Store::open(&settings).await.expect("open again");
    assert_eq!(names(&store, &acme).await, written);
}

#[test]
fn a_full_disk_fails_whole_groups_and_heals() {
    let folder = tempfile::tempdir().expect("a folder");
    small_disk::passes("store::tests::failures::store_on_a_tiny_disk", folder.path(), "size=2m");
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_unavailable_in_time() {
    let given = Given::sqlite().await;
    let acme = given.world("acme").await;
    let StoreSettings::Sqlite { path } = &given.settings else { unreachable!("SQLite") };
    let options = SqliteConnectOptions::new().filename(path);
    let mut other = SqliteConnection::connect_with(&options).await.expect("another process");
    other.execute("BEGIN IMMEDIATE").await.expect("hold the file");

    let begun = Instant::now();
    let waiting: Vec<_> = (0..4)
        .map(|number| {
            let (store, acme) = (given.store.clone(), acme.clone());
            tokio::spawn(async move { add_large(&store, &acme, &number.to_string(), 10).await })
        })
        .collect();
    for waiter in waiting {
        let refused = waiter.await.expect("a task").expect_err("the file is held");
        assert_eq!(refused.failure(), Failure::Unavailable);
        assert!(begun.elapsed() < Duration::from_secs(12), "after {:?}", begun.elapsed());
    }
    assert_eq!(names(&given.store, &acme).await, ["edge"], "reading goes on");

    other.execute("ROLLBACK").await.expect("let the file go");
    add_large(&given.store, &acme, "after", 10).await.expect("the file is free");
    assert_eq!(names(&given.store, &acme).await, ["after", "edge"]);
}

#[tokio::test]
async fn a_statement_that_another_holds_up_on_postgres_is_unavailable() {
    let given = Given::postgres().await;
    let acme = given.world("acme").await;
    let mut first = given.store.begin().await.expect("begin");
    clusters::rename(&mut first, acme.tenant, acme.cluster, "first", 1).await.expect("rename");

    let mut second = given.store.begin().await.expect("begin");
    second.execute("SET LOCAL lock_timeout = '50ms'", ()).await.expect("a short limit");
    let refused = clusters::rename(&mut second, acme.tenant, acme.cluster, "second", 1).await;
    assert_eq!(refused.expect_err("the row is locked").failure(), Failure::Unavailable);
}

#[tokio::test]
async fn connections_that_postgres_ends_are_unavailable_and_replaced() {
    let given = Given::postgres().await;
    let acme = given.world("acme").await;
    let mut tx = given.store.begin().await.expect("begin");
    projects::insert(&mut tx, acme.tenant, &sample::project("lost")).await.expect("insert");

    let mut other = given.store.read().await.expect("read");
    let ended: i64 = other
        .fetch_one(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            (),
        )
        .await
        .expect("end the others");
    assert!(ended > 0);

    let refused = tx.commit().await.expect_err("its connection was ended");
    assert_eq!(refused.failure(), Failure::Unknown, "{refused:?}");
    let mut tx = given.store.begin().await.expect("a new connection");
    let counts = tenants::counts(&mut tx, acme.tenant).await.expect("a count");
    assert_eq!(counts.projects, 1, "nothing of the lost transaction is there");
}

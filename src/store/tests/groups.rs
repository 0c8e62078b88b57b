//! Commits in groups on SQLite: shared syncs, separate fates.

use std::time::Duration;

use super::{
    super::{GroupStatistics, Result, Store, StoreSettings, projects, roles, tenants},
    Given, sample,
};
use crate::ids::TenantId;

async fn add(store: &Store, tenant: TenantId, name: &str) -> Result<()> {
    let mut tx = store.begin().await?;
    projects::insert(&mut tx, tenant, &sample::project(name)).await?;
    tx.commit().await
}

fn statistics(store: &Store) -> GroupStatistics {
    store.group_statistics().expect("SQLite has groups")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_share_syncs_and_keep_what_was_acknowledged() {
    let given = Given::sqlite().await;
    let acme = given.world("acme").await;
    let before = statistics(&given.store);

    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = given.store.clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    add(&store, acme.tenant, &format!("{writer}/{round}")).await.expect("a commit");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }

    let after = statistics(&given.store);
    assert_eq!(after.transactions - before.transactions, 640);
    let groups = after.groups - before.groups;
    assert!(groups < 640 / 8, "{groups} syncs for 640 transactions");
    let copy = given.copy_of_the_files();
    let store = Store::open(&copy.settings).await.expect("open what is on disk");
    let mut tx = store.read().await.expect("read");
    assert_eq!(tenants::counts(&mut tx, acme.tenant).await.expect("a count").projects, 641);
}

#[tokio::test]
async fn a_writer_alone_does_not_wait_for_others() {
    let given = Given::sqlite().await;
    let acme = given.world("acme").await;
    let before = statistics(&given.store);
    for round in 0..5 {
        add(&given.store, acme.tenant, &format!("{round}")).await.expect("a commit");
    }
    let after = statistics(&given.store);
    assert_eq!(after.transactions - before.transactions, 5);
    assert_eq!(after.groups - before.groups, 5);
}

#[tokio::test]
async fn a_member_that_fails_or_leaves_does_not_undo_the_others() {
    let given = Given::sqlite().await;
    let acme = given.world("acme").await;
    let before = statistics(&given.store);

    // All three wait for this one and so come into one group.
    let first = given.store.begin().await.expect("begin");
    let before_it = tokio::spawn(in_one_go(given.store.clone(), acme.tenant, "before"));
    tokio::task::yield_now().await;
    let failing = tokio::spawn({
        let store = given.store.clone();
        async move {
            let mut tx = store.begin().await?;
            projects::insert(&mut tx, acme.tenant, &sample::project("lost")).await?;
            roles::insert(&mut tx, acme.tenant, &sample::role("reader")).await?;
            tx.commit().await
        }
    });
    let leaving = tokio::spawn({
        let store = given.store.clone();
        async move {
            let mut tx = store.begin().await.expect("begin");
            let row = sample::project("left");
            projects::insert(&mut tx, acme.tenant, &row).await.expect("insert");
        }
    });
    tokio::task::yield_now().await;
    let after_it = tokio::spawn(in_one_go(given.store.clone(), acme.tenant, "after"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.commit().await.expect("commit");

    before_it.await.expect("a task").expect("the one before");
    failing.await.expect("a task").expect_err("a role of this name is there already");
    leaving.await.expect("a task");
    after_it.await.expect("a task").expect("the one after");
    let mut tx = given.store.read().await.expect("read");
    let names = projects::names(&mut tx, acme.tenant).await.expect("names");
    let mut names: Vec<_> = names.iter().map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["after", "before", "default"]);
    let after = statistics(&given.store);
    assert_eq!(after.transactions - before.transactions, 3);
    assert!(after.groups - before.groups < 3, "they were not in one group");
}

async fn in_one_go(store: Store, tenant: TenantId, name: &'static str) -> Result<()> {
    add(&store, tenant, name).await
}

#[tokio::test]
async fn a_transaction_outlives_the_last_handle_of_its_store() {
    let given = Given::sqlite().await;
    let acme = given.world("acme").await;
    let Given { store, settings, _folder } = given;
    let mut tx = store.begin().await.expect("begin");
    drop(store);
    projects::insert(&mut tx, acme.tenant, &sample::project("kept")).await.expect("insert");
    tx.commit().await.expect("commit");

    let store = Store::open(&settings).await.expect("open");
    let mut tx = store.read().await.expect("read");
    assert_eq!(tenants::counts(&mut tx, acme.tenant).await.expect("a count").projects, 2);
}

#[test]
fn a_runtime_that_ends_in_the_middle_leaves_whole_transactions() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = StoreSettings::Sqlite { path: folder.path().join("palisade.db") };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let mut least = 0;
    let tenant = sample::tenant("acme");
    let first = runtime().expect("a runtime");
    first.block_on(async {
        let store = Store::open(&settings).await.expect("open");
        store.migrate().await.expect("migrate");
        let mut tx = store.begin().await.expect("begin");
        tenants::insert(&mut tx, &tenant).await.expect("insert");
        tx.commit().await.expect("commit");
    });
    for round in 0..5 {
        let runtime = runtime().expect("a runtime");
        let acknowledged = runtime.block_on(async {
            let store = Store::open(&settings).await.expect("open");
            let mut tx = store.read().await.expect("read");
            let count = tenants::counts(&mut tx, tenant.id).await.expect("a count").projects;
            assert!(count >= least, "{count} are there, {least} were acknowledged");
            drop(tx);
            let acknowledged = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(count));
            for writer in 0..8 {
                let (store, acknowledged) = (store.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    for number in 0.. {
                        let name = format!("{round}/{writer}/{number}");
                        add(&store, tenant.id, &name).await.expect("a commit");
                        acknowledged.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
            acknowledged
        });
        drop(runtime);
        least = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
    }
    assert!(least > 20, "only {least} were acknowledged in all");
}

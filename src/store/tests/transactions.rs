//! Transactions: all or nothing, whoever goes away and whenever.

use std::{cell::Cell, future::poll_fn, pin::pin, task::Poll, time::Duration};

use super::{
    super::{Failure, Store, installation, projects, roles, teams, tenants},
    Given, on_both, sample,
};
use crate::ids::TenantId;

/// A statement that takes a moment on both databases.
const SLOW: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
    SELECT COUNT(*) FROM n";

/// Polls `work` so many times and then drops it in the middle of its work.
async fn give_up_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(move |context| {
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Adds a project within a time in which nobody is blocked.
async fn add_in_time(store: &Store, tenant: TenantId, name: &str) {
    let adding = async {
        let mut tx = store.begin().await.expect("begin");
        projects::insert(&mut tx, tenant, &sample::project(name)).await.expect("insert");
        tx.commit().await.expect("commit");
    };
    tokio::time::timeout(Duration::from_secs(3), adding).await.expect("somebody is in the way");
}

async fn has(store: &Store, tenant: TenantId, name: &str) -> bool {
    let mut tx = store.read().await.expect("read");
    let names = projects::names(&mut tx, tenant).await.expect("the names");
    names.iter().any(|(_, other)| other == name)
}

on_both! {
    async fn a_statement_takes_no_longer_than_its_store_allows(given: Given) {
        let hurried = given.store.clone().with_statement_limit(Duration::from_millis(2));
        let outcome = async { hurried.read().await?.fetch_one::<i64>(SLOW, ()).await };
        let refused = outcome.await.expect_err("it takes longer");
        assert_eq!(refused.failure(), Failure::Unavailable);
        let mut tx = given.store.read().await.unwrap();
        assert_eq!(tx.fetch_one::<i64>(SLOW, ()).await.unwrap(), 200_000);
    }

    async fn what_is_not_committed_is_not_there(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.begin().await.unwrap();
        projects::insert(&mut tx, acme.tenant, &sample::project("lost")).await.unwrap();
        assert!(!has(&given.store, acme.tenant, "lost").await, "others see it already");
        drop(tx);
        add_in_time(&given.store, acme.tenant, "kept").await;
        assert!(!has(&given.store, acme.tenant, "lost").await);
        assert!(has(&given.store, acme.tenant, "kept").await);
    }

    async fn what_is_committed_is_there_for_every_reader_at_once(given: Given) {
        let acme = given.world("acme").await;
        for number in 0..20 {
            let name = format!("project {number}");
            add_in_time(&given.store, acme.tenant, &name).await;
            assert!(has(&given.store, acme.tenant, &name).await);
        }
    }

    async fn a_transaction_can_be_given_up_at_any_moment(given: Given) {
        let acme = given.world("acme").await;
        let (mut in_the_middle, mut in_the_commit) = (0, 0);
        for round in 0..8 {
            for polls in 1.. {
                let (lost, kept) = (format!("lost {round}/{polls}"), format!("kept {round}/{polls}"));
                let committing = Cell::new(false);
                let work = async {
                    let mut tx = given.store.begin().await.unwrap();
                    projects::insert(&mut tx, acme.tenant, &sample::project(&lost)).await.unwrap();
                    teams::insert(&mut tx, acme.tenant, &sample::team(&lost)).await.unwrap();
                    committing.set(true);
                    tx.commit().await.unwrap();
                };
                let done = give_up_after(polls, work).await;

                add_in_time(&given.store, acme.tenant, &kept).await;
                assert!(has(&given.store, acme.tenant, &kept).await);
                let there = has(&given.store, acme.tenant, &lost).await;
                assert!(there || done.is_none(), "a finished transaction is lost");
                assert!(!there || committing.get(), "a transaction half done is there");
                match (done, committing.get()) {
                    (Some(()), _) => break,
                    (None, true) => in_the_commit += 1,
                    (None, false) => in_the_middle += 1,
                }
            }
        }
        assert!(in_the_middle > 0 && in_the_commit > 0, "{in_the_middle}, {in_the_commit}");
    }

    async fn transactions_given_up_among_others_harm_nobody(given: Given) {
        let acme = given.world("acme").await;
        let workers: Vec<_> = (0..16_u32)
            .map(|worker| {
                let (store, tenant) = (given.store.clone(), acme.tenant);
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for round in 0..12_u32 {
                        let name = format!("{worker}/{round}");
                        let work = async {
                            let mut tx = store.begin().await?;
                            projects::insert(&mut tx, tenant, &sample::project(&name)).await?;
                            tx.commit().await
                        };
                        // Some have all the time, others are cut off anywhere.
                        let limit = match (worker + round) % 3 {
                            0 => Duration::from_mins(1),
                            _ => Duration::from_micros(u64::from((worker * 12 + round) * 37 % 4000)),
                        };
                        if let Ok(outcome) = tokio::time::timeout(limit, work).await {
                            outcome.expect("nobody fails because others go away");
                            acknowledged.push(name);
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let mut acknowledged = Vec::new();
        for worker in workers {
            acknowledged.extend(worker.await.unwrap());
        }

        assert!(acknowledged.len() >= 64, "only {} were finished", acknowledged.len());
        let mut tx = given.store.read().await.unwrap();
        let names = projects::names(&mut tx, acme.tenant).await.unwrap();
        let names: std::collections::HashSet<_> = names.into_iter().map(|(_, name)| name).collect();
        for name in acknowledged {
            assert!(names.contains(&name), "{name} was acknowledged and is not there");
        }
    }

    async fn a_failed_statement_ends_its_transaction(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.begin().await.unwrap();
        projects::insert(&mut tx, acme.tenant, &sample::project("lost")).await.unwrap();
        let refused = roles::insert(&mut tx, acme.tenant, &sample::role("reader")).await;
        assert_eq!(refused.unwrap_err().failure(), Failure::Duplicate);

        let next = projects::insert(&mut tx, acme.tenant, &sample::project("more")).await;
        assert_eq!(next.unwrap_err().failure(), Failure::Broken);
        assert_eq!(tx.commit().await.unwrap_err().failure(), Failure::Broken);

        add_in_time(&given.store, acme.tenant, "kept").await;
        assert!(!has(&given.store, acme.tenant, "lost").await);
    }

    async fn a_statement_that_was_given_up_ends_its_transaction(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.begin().await.unwrap();
        projects::insert(&mut tx, acme.tenant, &sample::project("lost")).await.unwrap();
        let slow = tx.fetch_one::<i64>(SLOW, ());
        assert!(give_up_after(1, slow).await.is_none());
        assert_eq!(tx.commit().await.unwrap_err().failure(), Failure::Broken);
        add_in_time(&given.store, acme.tenant, "kept").await;
        assert!(!has(&given.store, acme.tenant, "lost").await);
    }

    async fn a_reading_connection_changes_nothing(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.read().await.unwrap();
        let refused = tenants::delete(&mut tx, acme.tenant).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Broken);
        let project = projects::find(&mut tx, acme.tenant, acme.project).await.unwrap();
        assert!(project.is_some(), "reading goes on");
        tx.commit().await.unwrap();
    }

    async fn a_text_that_postgres_cannot_keep_is_refused_on_both(given: Given) {
        let acme = given.world("acme").await;
        let mut tx = given.store.begin().await.unwrap();
        let refused = teams::insert(&mut tx, acme.tenant, &sample::team("a\0b")).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Broken);
    }

    async fn values_at_the_edges_come_back_as_they_were(given: Given) {
        given.commit(async |tx| {
            let digest = [0_u8; 32];
            let moment = crate::clock::Timestamp::from_micros(i64::MAX);
            installation::create(tx, "日本 🐟 '\"\\ \u{1}", &[], digest, moment).await?;
            let found = installation::find(tx).await?.unwrap();
            assert_eq!(found.keystore_id, "日本 🐟 '\"\\ \u{1}");
            assert_eq!((found.created_at, found.setup_digest), (moment, Some(digest)));
            assert_eq!(installation::sealed_keystore(tx).await?, Some(vec![]));
            Ok(())
        }).await;
    }

    async fn a_closed_store_answers_that_it_is_unavailable(given: Given) {
        given.world("acme").await;
        given.store.ping().await.unwrap();
        given.store.close().await;
        assert_eq!(given.store.begin().await.unwrap_err().failure(), Failure::Unavailable);
        assert_eq!(given.store.ping().await.unwrap_err().failure(), Failure::Unavailable);
        let again = Store::open(&given.settings).await.unwrap();
        let mut tx = again.read().await.unwrap();
        assert_eq!(tenants::all_ids(&mut tx).await.unwrap().len(), 1);
    }
}

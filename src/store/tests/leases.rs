//! Leases: one holder at a time, and a former one is known by its fence.

use std::time::{Duration, Instant};

use super::{
    super::{
        Failure,
        leases::{self, Fence, Lease},
    },
    Given, on_both,
};

const WORK: &str = "work";
const LONG: Duration = Duration::from_mins(1);
const SHORT: Duration = Duration::from_millis(300);

async fn acquire(given: &Given, holder: &str, life: Duration) -> Option<Lease> {
    given.commit(async |tx| leases::acquire(tx, WORK, holder, life).await).await
}

/// Tries until it is there; answers how long that took.
async fn acquire_at_last(given: &Given, holder: &str) -> (Lease, Duration) {
    let began = Instant::now();
    loop {
        if let Some(lease) = acquire(given, holder, LONG).await {
            return (lease, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_both! {
    async fn a_lease_moves_only_after_its_end_and_the_former_fence_is_refused(given: Given) {
        let asked = Instant::now();
        let first = acquire(&given, "one", SHORT).await.expect("it is free");
        assert_eq!((first.fence, &*first.holder), (1, "one"));
        let (second, _) = acquire_at_last(&given, "two").await;
        assert!(asked.elapsed() >= SHORT, "too early: {:?}", asked.elapsed());
        assert_eq!((second.fence, &*second.holder), (2, "two"));

        let renewed = given.commit(async |tx| leases::renew(tx, WORK, "one", 1, LONG).await).await;
        assert!(!renewed, "the former holder has renewed it");
        let released = given.commit(async |tx| leases::release(tx, WORK, "one", 1).await).await;
        assert!(!released, "the former holder has released it");
        let mut tx = given.store.begin().await.unwrap();
        let refused = Fence::of(&first).confirm(&mut tx).await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Unavailable);
        drop(tx);
        given.commit(async |tx| Fence::of(&second).confirm(tx).await).await;
        given.commit(async |tx| Fence::ALONE.confirm(tx).await).await;
    }

    async fn the_holder_keeps_it_and_its_fence_as_long_as_it_renews(given: Given) {
        let first = acquire(&given, "one", LONG).await.expect("it is free");
        assert_eq!(acquire(&given, "two", LONG).await, None);
        // The answer to the first may have got lost.
        let again = acquire(&given, "one", LONG).await.expect("it is one's own");
        assert_eq!(again.fence, first.fence);
        assert!(again.until > first.until);
        let renewed =
            given.commit(async |tx| leases::renew(tx, WORK, "one", again.fence, LONG * 2).await);
        assert!(renewed.await);
        let found = given.commit(async |tx| leases::find(tx, WORK).await).await.unwrap();
        assert!(found.until > again.until);
        assert_eq!(acquire(&given, "two", LONG).await, None);
        // Another kind of work is another lease.
        let other = given.commit(async |tx| leases::acquire(tx, "other", "two", LONG).await).await;
        assert_eq!(other.map(|lease| lease.fence), Some(1));
    }

    async fn one_that_was_released_moves_at_once_and_one_that_ended_is_not_renewed(given: Given) {
        let first = acquire(&given, "one", LONG).await.expect("it is free");
        let fence = first.fence;
        assert!(given.commit(async |tx| leases::release(tx, WORK, "one", fence).await).await);
        let renewed = given.commit(async |tx| leases::renew(tx, WORK, "one", fence, LONG).await);
        assert!(!renewed.await, "it had ended");
        let second = acquire(&given, "two", LONG).await.expect("it was released");
        assert_eq!(second.fence, 2);
    }

    async fn an_end_that_only_a_wrong_clock_can_have_set_counts_for_nothing(given: Given) {
        acquire(&given, "one", LONG).await.expect("it is free");
        // As if the database's clock had been put back by an hour since.
        given.commit(async |tx| {
            tx.execute("UPDATE leases SET until = until + $1", (3_600_000_000_i64,)).await
        }).await;
        let second = acquire(&given, "two", LONG).await.expect("it is taken over");
        assert_eq!(second.fence, 2);
    }
}

#[tokio::test]
async fn on_postgres_a_lease_does_not_move_during_a_transaction_of_its_holder() {
    let given = Given::postgres().await;
    let first = acquire(&given, "one", SHORT).await.expect("it is free");
    let mut working = given.store.begin().await.expect("begin");
    Fence::of(&first).confirm(&mut working).await.expect("it is held");
    let (moved, rest) = tokio::join!(acquire_at_last(&given, "two"), async {
        // The lease has ended meanwhile, and somebody waits for it.
        let waited_for = "SELECT COUNT(*) FROM leases
            WHERE until < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
              AND EXISTS (SELECT 1 FROM pg_stat_activity
                          WHERE datname = current_database() AND wait_event_type = 'Lock')";
        let mut reading = given.store.read().await.expect("read");
        while reading.fetch_one::<i64>(waited_for, ()).await.expect("a count") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let found = leases::find(&mut reading, WORK).await.expect("find").expect("a lease");
        assert_eq!(found.holder, "one");
        working.commit().await
    });
    rest.expect("the work of the holder counts");
    assert_eq!(moved.0.fence, 2);
}

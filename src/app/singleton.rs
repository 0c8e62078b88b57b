//! Work that one node of several does at a time.
//!
//! Owns: holding the lease for it, and telling the loops whether it is held.
//! Must not know: what the loops do.
//!
//! A node that cannot renew the lease stops its work before the lease ends, by
//! a clock that nobody can set. One that was stopped itself meanwhile is refused
//! by the [`Fence`]. Where only one process works on the database there is no
//! lease and nothing to renew.

use std::{fs, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Random, random_bytes},
    store::{
        self, Store,
        leases::{self, Fence, Lease},
    },
};

/// The lease of everything that one node does.
const LEASE: &str = "housekeeping";
/// How long a node that is gone keeps the others from it.
const LIFE: Duration = Duration::from_secs(6);
/// How long giving it back may delay the end of the process.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);

/// Whether this node does the work. Clones share it.
#[derive(Clone, Debug)]
pub struct Duty(watch::Receiver<Option<Fence>>);

impl Duty {
    /// The right to do the work now, for every transaction of it.
    pub fn fence(&self) -> Option<Fence> {
        self.0.borrow().clone()
    }

    /// Whether this node does the work now.
    pub fn is_held(&self) -> bool {
        self.0.borrow().is_some()
    }
}

/// Holds the lease whenever that is possible.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Store,
    holder: String,
    life: Duration,
    told: watch::Sender<Option<Fence>>,
}

/// The lease, and until when it is surely held.
#[derive(Debug)]
struct Held {
    lease: Lease,
    until: Instant,
}

/// The duty of this process, and who sees to it, if anybody needs to.
pub(super) fn duty(store: &Store, random: &dyn Random) -> (Duty, Option<Keeper>) {
    if !store.is_shared() {
        return (Duty(watch::channel(Some(Fence::ALONE)).1), None);
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let number = u64::from_be_bytes(random_bytes(random));
    let (duty, keeper) = Keeper::new(store.clone(), format!("{}/{number:016x}", host.trim()), LIFE);
    (duty, Some(keeper))
}

impl Keeper {
    /// `holder` is another one in every process.
    fn new(store: Store, holder: String, life: Duration) -> (Duty, Self) {
        let (told, duty) = watch::channel(None);
        (Duty(duty), Self { store, holder, life, told })
    }

    /// Acquires and renews until `stopping`, then gives the lease back.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let mut every = interval(self.life / 4);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held = None;
        let mut failed = false;
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            let turned = stopping.run_until_cancelled(self.turn(held.as_ref())).await;
            let Some(turned) = turned else { break };
            let failing = turned.is_err();
            match turned {
                Ok(now) => held = now,
                Err(error) if !failed => {
                    let error = crate::error::chain(&error);
                    tracing::warn!(%error, "the lease of the work of one node cannot be renewed");
                }
                Err(_) => {}
            }
            failed = failing;
            held = held.filter(|held| Instant::now() < held.until);
            self.tell(held.as_ref());
        }
        self.tell(None);
        if let Some(held) = held {
            // If this fails, the others wait for its end.
            let _ = timeout(RELEASE_LIMIT, self.release(&held.lease)).await;
        }
    }

    /// Asks for the lease. It is not waited for beyond the end of the present one.
    async fn turn(&self, held: Option<&Held>) -> store::Result<Option<Held>> {
        let asked = Instant::now();
        let Some(held) = held else { return Ok(self.held(asked, self.acquire().await?)) };
        match timeout_at(held.until, self.renew(&held.lease)).await {
            Ok(renewed) => Ok(self.held(asked, renewed?)),
            Err(_) => Ok(None),
        }
    }

    fn held(&self, asked: Instant, lease: Option<Lease>) -> Option<Held> {
        // The lease began after this moment, so it ends after that one.
        let until = asked + self.life - self.life / 10;
        lease.map(|lease| Held { lease, until })
    }

    async fn acquire(&self) -> store::Result<Option<Lease>> {
        let mut tx = self.store.begin().await?;
        let lease = leases::acquire(&mut tx, LEASE, &self.holder, self.life).await?;
        tx.commit().await?;
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease) -> store::Result<Option<Lease>> {
        let mut tx = self.store.begin().await?;
        let renewed = leases::renew(&mut tx, LEASE, &self.holder, lease.fence, self.life).await?;
        tx.commit().await?;
        Ok(renewed.then(|| lease.clone()))
    }

    async fn release(&self, lease: &Lease) -> store::Result<()> {
        let mut tx = self.store.begin().await?;
        leases::release(&mut tx, LEASE, &self.holder, lease.fence).await?;
        tx.commit().await
    }

    fn tell(&self, held: Option<&Held>) {
        let fence = held.map(|held| Fence::of(&held.lease));
        self.told.send_if_modified(|told| {
            if *told == fence {
                return false;
            }
            let does = if held.is_some() { "does" } else { "no longer does" };
            tracing::info!(?fence, "this node {does} the work of one node");
            *told = fence;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreSettings;

    /// Long enough for a busy machine, short enough to wait for its end.
    const SHORT: Duration = Duration::from_secs(3);

    async fn store(folder: &tempfile::TempDir) -> Store {
        let path = folder.path().join("palisade.db");
        let store = Store::open(&StoreSettings::Sqlite { path }).await.expect("it opens");
        store.migrate().await.expect("a schema");
        store
    }

    /// A node whose keeper runs until the token is cancelled.
    fn node(store: &Store, name: &str) -> (Duty, CancellationToken) {
        let (duty, keeper) = Keeper::new(store.clone(), name.to_owned(), SHORT);
        let stopping = CancellationToken::new();
        tokio::spawn(keeper.run(stopping.clone()));
        (duty, stopping)
    }

    async fn until_held(duty: &Duty, wanted: bool) {
        let mut told = duty.0.clone();
        let changed = told.wait_for(|fence| fence.is_some() == wanted);
        timeout(Duration::from_secs(20), changed).await.expect("in time").expect("a keeper");
    }

    /// When the lease ends.
    async fn until(store: &Store) -> i64 {
        let mut tx = store.read().await.expect("read");
        leases::find(&mut tx, LEASE).await.expect("find").expect("a lease").until.as_micros()
    }

    #[tokio::test]
    async fn a_process_that_is_alone_always_has_the_duty_and_writes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        let (duty, keeper) = duty(&store, &crate::clock::SystemRandom);
        assert!(keeper.is_none(), "nothing to renew");
        assert_eq!(duty.fence(), Some(Fence::ALONE));
    }

    #[tokio::test]
    async fn of_two_nodes_one_has_the_duty_and_the_other_takes_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        let (first, first_stops) = node(&store, "first");
        until_held(&first, true).await;
        let (second, _running) = node(&store, "second");
        let former = first.fence().expect("it is held");
        // Beyond the end of what it had at first.
        let micros = i64::try_from(SHORT.as_micros()).expect("a number");
        let beyond = until(&store).await + micros;
        while until(&store).await < beyond {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(first.is_held() && !second.is_held());
        assert_eq!(first.fence(), Some(former.clone()), "renewed, not taken again");

        first_stops.cancel();
        until_held(&first, false).await;
        until_held(&second, true).await;
        let mut tx = store.begin().await.expect("begin");
        former.confirm(&mut tx).await.expect_err("the fence of a former holder");
        drop(tx);
        let mut tx = store.begin().await.expect("begin");
        second.fence().expect("it is held").confirm(&mut tx).await.expect("the present fence");
    }

    #[tokio::test]
    async fn a_node_that_cannot_renew_stops_before_the_lease_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder).await;
        let (first, _running) = node(&store, "first");
        until_held(&first, true).await;
        // Nothing can be written as long as this transaction is open.
        let mut tx = store.begin().await.expect("begin");
        until_held(&first, false).await;
        let ended = "SELECT CAST(until <= unixepoch('subsec') * 1000000 AS INTEGER) FROM leases";
        let ended: i64 = tx.fetch_one(ended, ()).await.expect("the lease");
        assert_eq!(ended, 0, "it worked on after the end");
    }
}

//! What agents say, on its way into memory and into the store.
//!
//! Owns: the loops that take, write, measure and compare; how often each runs.
//! Must not know: what a report means.
//!
//! Taking never waits for the store, so a store that stalls delays
//! acknowledgements and nothing else. An agent repeats what was not
//! acknowledged.

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{Cluster, Clusters, Credential, credentials, registry::Unwritten, statistics};
use crate::{
    bus::{Inbound, InboundKind, Reply, control::Room},
    error::Result,
    ids::{ClusterId, TenantId},
    observability::metrics,
    store::{self, statistics::PointRow},
};

/// How often what has changed is written.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Rows in one transaction: short enough to let others write in between.
const ROWS_AT_ONCE: usize = 500;
/// How often silence is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often store, memory and bus are compared.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// Agents that wait for an acknowledgement, with their place in the queue.
type Waiting = Mutex<Vec<(Reply, Option<Room>)>>;

impl Clusters {
    /// Takes what agents say until `stopping`, then writes what is left. Run
    /// it once. Without `inbound` (no bus) only silence is noticed.
    pub async fn run(&self, inbound: Option<mpsc::Receiver<Inbound>>, stopping: CancellationToken) {
        let waiting = Waiting::default();
        // One task, so that nothing here runs twice at once; what waits for the
        // store lets the others go on.
        // Never given up half way: what it has taken would be lost.
        let write = async {
            let mut due = ticks(WRITE_EVERY);
            while stopping.run_until_cancelled(due.tick()).await.is_some() {
                self.write(&waiting).await;
            }
        };
        let look = async {
            let mut due = ticks(LOOK_EVERY);
            loop {
                due.tick().await;
                self.registry.tick();
            }
        };
        let measure = async {
            let mut due = ticks(statistics::STEP);
            loop {
                due.tick().await;
                self.measure().await;
            }
        };
        let compare = async {
            let mut due = ticks(COMPARE_EVERY);
            loop {
                due.tick().await;
                self.compare().await;
            }
        };
        let others = async {
            tokio::join!(self.take_all(inbound, &waiting), look, measure, compare);
        };
        let others = stopping.run_until_cancelled(others);
        tokio::join!(write, others);
        self.write(&waiting).await;
    }

    async fn take_all(&self, inbound: Option<mpsc::Receiver<Inbound>>, waiting: &Waiting) {
        let Some(mut inbound) = inbound else { return };
        while let Some(message) = inbound.recv().await {
            let Inbound { tenant, cluster, kind, room } = message;
            match kind {
                InboundKind::Heartbeat(heartbeat) => {
                    metrics::heartbeat();
                    self.registry.heartbeat(tenant, cluster, &heartbeat);
                }
                InboundKind::Report(report, reply) => {
                    if self.registry.report(tenant, cluster, *report) {
                        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        waiting.push((reply, room));
                    }
                }
                InboundKind::Other { verb, .. } => {
                    tracing::debug!(cluster.id = %cluster, verb, "an agent says what nobody here knows");
                }
            }
        }
    }

    /// Writes what has changed and then acknowledges the reports in it.
    async fn write(&self, waiting: &Waiting) {
        // In this order: what waits now is in memory already, so it is either
        // among the unwritten or was written before.
        let waiting = mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let unwritten = self.registry.unwritten();
        let mut all_written = true;
        for chunk in unwritten.chunks(ROWS_AT_ONCE) {
            if let Err(error) = self.write_chunk(chunk).await {
                self.registry.not_written(chunk);
                all_written = false;
                tracing::warn!(
                    error = %error.chain(),
                    "the state of {} clusters could not be stored; trying again",
                    chunk.len()
                );
            }
        }
        if all_written {
            for (reply, _room) in waiting {
                reply.acknowledge().await;
            }
        }
    }

    async fn write_chunk(&self, chunk: &[Unwritten]) -> Result<()> {
        let mut tx = self.ledger.store().begin().await?;
        for (tenant, cluster, observation) in chunk {
            store::clusters::observe(&mut tx, *tenant, *cluster, observation).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn measure(&self) {
        let points = self.registry.points(statistics::minute(self.now()));
        for chunk in points.chunks(ROWS_AT_ONCE) {
            if let Err(error) = self.write_points(chunk).await {
                tracing::warn!(error = %error.chain(), "measurements of this minute were lost");
            }
        }
    }

    async fn write_points(&self, points: &[(TenantId, ClusterId, PointRow)]) -> Result<()> {
        let mut tx = self.ledger.store().begin().await?;
        for (tenant, cluster, point) in points {
            store::statistics::insert(&mut tx, *tenant, *cluster, point).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Makes up for whatever was missed: changes by another node or by hand,
    /// and what the bus could not be told.
    async fn compare(&self) {
        if let Err(error) = self.compare_once().await {
            tracing::warn!(
                error = %error.chain(),
                "clusters and the message bus could not be compared with the store; trying again"
            );
        }
    }

    pub(super) async fn compare_once(&self) -> Result<()> {
        let began = self.registry.uptime();
        let told = self.wire.told().await;
        let mut tx = self.ledger.store().read().await?;
        let mut credentials = credentials(&mut tx).await?;
        let rows = store::clusters::all_without_reports(&mut tx).await?;
        drop(tx);
        let known: HashSet<_> = rows.iter().map(|row| row.id).collect();
        for row in rows {
            let credential = credentials.remove(&row.id).unwrap_or(Credential::AWAITING);
            self.registry.put(Cluster::from_row(row, credential));
        }
        self.registry.retain(&known, began);
        self.wire.reconcile(told, self.accounts().await?).await;
        Ok(())
    }
}

/// Now and then every `period`; what was missed is not made up for.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

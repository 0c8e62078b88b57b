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
    time::{Instant, Interval, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    Cluster, Clusters, Credential, credentials,
    registry::{Listening, Unwritten},
    statistics,
};
use crate::{
    bus::{AgentPublicKey, Inbound, InboundKind, Reply, control::Room},
    clock::Timestamp,
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
/// How often store, memory and bus are compared when nobody tells of changes…
const COMPARE_EVERY: Duration = Duration::from_secs(30);
/// …and the least time between two comparisons when somebody does.
const COMPARE_PAUSE: Duration = Duration::from_millis(300);
/// How often reports that other nodes have stored are read too.
const REPORTS_EVERY: Duration = Duration::from_mins(5);
/// How often what another node has changed meanwhile is looked for.
const ROUNDS: usize = 4;

/// Agents that wait for an acknowledgement, with their place in the queue.
type Waiting = Mutex<Vec<(Reply, Option<Room>)>>;

impl Clusters {
    /// Takes what agents say until `stopping`, then writes what is left. Run
    /// it once. Without `inbound` (no bus) only silence is noticed. Of several
    /// nodes, which hear the same, the one that `leads` writes it.
    pub async fn run(
        &self,
        inbound: Option<mpsc::Receiver<Inbound>>,
        stopping: CancellationToken,
        leads: impl Fn() -> bool + Send + Sync,
    ) {
        let waiting = Waiting::default();
        // One task, so that nothing here runs twice at once; what waits for the
        // store lets the others go on.
        // Never given up half way: what it has taken would be lost.
        let write = async {
            let mut due = ticks(WRITE_EVERY);
            while stopping.run_until_cancelled(due.tick()).await.is_some() {
                self.write(&waiting, leads()).await;
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
                if leads() {
                    self.measure().await;
                }
            }
        };
        let compare = self.keep_compared();
        let others = async {
            tokio::join!(self.take_all(inbound, &waiting), look, measure, compare);
        };
        let others = stopping.run_until_cancelled(others);
        tokio::join!(write, others);
        self.write(&waiting, leads()).await;
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
                    if self.registry.report(tenant, cluster, *report, true) {
                        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                        waiting.push((reply, room));
                    }
                }
                InboundKind::Overheard(report) => {
                    self.registry.report(tenant, cluster, *report, false);
                }
                InboundKind::Other { verb, .. } => {
                    tracing::debug!(cluster.id = %cluster, verb, "an agent says what nobody here knows");
                }
            }
        }
    }

    /// Writes what has changed and then acknowledges the reports in it.
    async fn write(&self, waiting: &Waiting, leads: bool) {
        // In this order: what waits now is in memory already, so it is either
        // among the unwritten or was written before.
        let waiting = mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let unwritten = self.registry.unwritten(leads);
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
    /// what the bus could not be told, and reports that came while we did not hear.
    async fn keep_compared(&self) {
        let is_shared = self.ledger.store().is_shared();
        let mut due = ticks(COMPARE_EVERY);
        let mut news = self.ledger.fleet_news();
        // Since when we heard when reports were read last, and when that was.
        let mut known: Option<(Listening, Instant)> = None;
        loop {
            tokio::select! {
                _ = due.tick() => {}
                Ok(()) = news.changed() => {}
            }
            let listening = self.registry.listening();
            let is_known = |(then, at): (Listening, Instant)| {
                then == listening && at.elapsed() < REPORTS_EVERY
            };
            let reports = is_shared && !known.is_some_and(is_known);
            let began = Instant::now();
            match self.compare_once(reports).await {
                Ok(()) if reports => known = Some((listening, began)),
                Ok(()) => {}
                Err(error) => tracing::warn!(
                    error = %error.chain(),
                    "clusters and the message bus could not be compared with the store; trying again"
                ),
            }
            sleep(COMPARE_PAUSE).await;
        }
    }

    pub(super) async fn compare_once(&self, reports: bool) -> Result<()> {
        let began = self.registry.uptime();
        let mut tx = self.ledger.store().read().await?;
        let mut credentials = credentials(&mut tx).await?;
        let rows = if reports {
            store::clusters::all(&mut tx).await?
        } else {
            store::clusters::all_without_reports(&mut tx).await?
        };
        drop(tx);
        let known: HashSet<_> = rows.iter().map(|row| row.id).collect();
        for row in rows {
            let credential = credentials.remove(&row.id).unwrap_or(Credential::AWAITING);
            self.registry.put(Cluster::from_row(row, credential));
        }
        self.registry.retain(&known, began);
        self.tell_bus().await
    }

    /// Tells the bus what the store says of tenants and of agents that were cut
    /// off. An account has all of it, whoever writes it: another node may have
    /// written one meanwhile with what we had not read, or the other way round.
    /// So the store is read again until it says nothing new.
    async fn tell_bus(&self) -> Result<()> {
        for _ in 0..ROUNDS {
            let told = self.wire.told().await;
            if !self.wire.reconcile(told, self.accounts().await?).await {
                break;
            }
        }
        Ok(())
    }

    /// Cuts agents off, whose keys are revoked in the store.
    pub(super) async fn cut_off(&self, tenant: TenantId, keys: &[AgentPublicKey], at: Timestamp) {
        if keys.is_empty() {
            return;
        }
        if let Err(error) = self.tell_bus().await {
            tracing::warn!(error = %error.chain(), "the store does not say who else is cut off");
            self.wire.revoke(tenant, keys, at).await;
        }
    }
}

/// Now and then every `period`; what was missed is not made up for.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

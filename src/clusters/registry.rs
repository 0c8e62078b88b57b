//! All clusters as they are at this moment, in memory.
//!
//! Owns: the live state, when it changes, and which parts of it are not yet in
//! the store.
//! Must not know: how the store or the bus is reached, or who may see what.
//!
//! A heartbeat costs a lock and a comparison. Only a change of phase, a new
//! report, or a minute of heartbeats makes work for the store.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::broadcast;

use super::model::{Cluster, Credential, FAILING_PROBES, Known, Phase, decide};
use crate::{
    bus::message::{Heartbeat, Report},
    clock::{Clock, Timestamp},
    ids::{ClusterId, ProjectId, TenantId},
    rbac::Reach,
    store::{clusters::Observation, statistics::PointRow},
};

/// How old the stored time of the last heartbeat may get.
const STORED_HEARTBEAT_AGE: Duration = Duration::from_mins(1);
/// Changes that a slow listener may be behind before it is told to start over.
const CHANGES_KEPT: usize = 4_096;

/// A report that is older than this has been stored by whoever acknowledged it.
const STORED_WITHIN: Duration = Duration::from_secs(30);

/// How long a deleted cluster is remembered: longer than reading the store takes.
const GRAVES_KEPT: Duration = Duration::from_mins(5);

/// What happened to a cluster, for live views.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new or different.
    Changed(Arc<Cluster>),
    /// It is gone.
    Deleted {
        /// Its tenant.
        tenant: TenantId,
        /// The project that it was in.
        project: ProjectId,
        /// Which.
        cluster: ClusterId,
    },
}

/// Something for the store to write.
pub(super) type Unwritten = (TenantId, ClusterId, Observation);

/// The live state of all clusters.
#[derive(Debug)]
pub(super) struct Registry {
    clock: Arc<dyn Clock>,
    timeout: Duration,
    listening: Mutex<Listening>,
    entries: Mutex<HashMap<ClusterId, Entry>>,
    /// Clusters that were deleted, and when: what was read from the store
    /// before must not bring them back.
    graves: Mutex<HashMap<ClusterId, Duration>>,
    changes: broadcast::Sender<Change>,
}

/// Since when we hear, in uptime; `None` while the bus is down.
pub(super) type Listening = Option<Duration>;

/// Moments here are uptimes: silence must not be judged by a clock that jumps.
#[derive(Debug)]
struct Entry {
    cluster: Cluster,
    added: Duration,
    heard: Option<Duration>,
    failing_probes: u32,
    stored: Option<Duration>,
    phase_unwritten: bool,
    /// When the agent has told its report.
    reported: Option<Duration>,
    /// Whether the store is known to have the report.
    report_stored: bool,
    /// Whether the agent waits for us to store it.
    report_unwritten: bool,
}

impl Entry {
    fn new(cluster: Cluster, added: Duration) -> Self {
        Self {
            cluster,
            added,
            heard: None,
            failing_probes: 0,
            stored: None,
            phase_unwritten: false,
            reported: None,
            report_stored: true,
            report_unwritten: false,
        }
    }

    /// Takes the report that the store has instead of one that was told before
    /// it, or missed. Says whether it is another.
    fn catch_up(&mut self, stored: Cluster, uptime: Duration) -> bool {
        let is_recent = |told| uptime.saturating_sub(told) < STORED_WITHIN;
        if stored.report.is_none()
            || stored.report == self.cluster.report
            || self.reported.is_some_and(is_recent)
        {
            return false;
        }
        self.cluster.report = stored.report;
        self.cluster.agent_version = stored.agent_version;
        self.report_stored = true;
        true
    }

    fn known<'a>(&'a self, registry: &Registry, uptime: Duration) -> Known<'a> {
        let (heard, silence) = match (self.heard, registry.listening()) {
            (_, None) => (false, Duration::ZERO),
            (Some(heard), Some(since)) if heard >= since => (true, uptime.saturating_sub(heard)),
            (_, Some(since)) => (false, uptime.saturating_sub(since)),
        };
        Known {
            earlier: &self.cluster.verdict,
            last_heard: self.cluster.last_heartbeat_at,
            heard,
            silence,
            report: self.cluster.report.as_deref(),
            failing_probes: self.failing_probes,
            timeout: registry.timeout,
        }
    }

    /// Decides again and says whether that changed anything.
    fn decide(&mut self, registry: &Registry, uptime: Duration) -> bool {
        let verdict = decide(&self.known(registry, uptime));
        if verdict == self.cluster.verdict {
            return false;
        }
        self.cluster.verdict = verdict;
        self.phase_unwritten = true;
        true
    }

    fn is_unwritten(&self, uptime: Duration, leads: bool) -> bool {
        let heartbeat_is_old = match (self.heard, self.stored) {
            (Some(heard), Some(stored)) => {
                heard > stored && uptime.saturating_sub(stored) >= STORED_HEARTBEAT_AGE
            }
            (heard, _) => heard.is_some(),
        };
        self.report_unwritten || (leads && (self.phase_unwritten || heartbeat_is_old))
    }
}

impl Registry {
    /// A registry that knows `clusters` from the store and begins to listen now.
    pub(super) fn new(clock: Arc<dyn Clock>, timeout: Duration, clusters: Vec<Cluster>) -> Self {
        let uptime = clock.uptime();
        let entries = clusters.into_iter().map(|cluster| (cluster.id, Entry::new(cluster, uptime)));
        let entries = Mutex::new(entries.collect());
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let listening = Mutex::new(Some(uptime));
        Self { clock, timeout, listening, entries, graves: Mutex::default(), changes }
    }

    /// Says whether agents can be heard at all. While they cannot, and until
    /// they had the time to come back, their silence means nothing.
    pub(super) fn hearing(&self, hearing: bool) {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        *listening = hearing.then(|| listening.unwrap_or_else(|| self.clock.uptime()));
    }

    /// Since when agents can be heard.
    pub(super) fn listening(&self) -> Listening {
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For [`Registry::put`] and [`Registry::retain`]: taken before the store is read.
    pub(super) fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    /// Changes from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// An agent is alive. One that nobody knows is ignored: its cluster was
    /// deleted a moment ago, or imported through another node a moment ago.
    pub(super) fn heartbeat(&self, tenant: TenantId, cluster: ClusterId, heartbeat: &Heartbeat) {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let mut entries = self.entries();
        let Some(entry) = owned(&mut entries, tenant, cluster) else { return };
        let first = entry.heard.is_none_or(|heard| self.listening().is_none_or(|at| heard < at));
        entry.heard = Some(uptime);
        entry.cluster.last_heartbeat_at = Some(now);
        entry.cluster.api_latency_ms = heartbeat.api_latency_ms;
        let version = &heartbeat.agent_version;
        if entry.cluster.agent_version.as_ref() != Some(version) {
            entry.cluster.agent_version = Some(version.chars().take(64).collect());
        }
        let failing = entry.failing_probes >= FAILING_PROBES;
        entry.failing_probes = match heartbeat.api_latency_ms {
            Some(_) => 0,
            None => entry.failing_probes.saturating_add(1),
        };
        let phase = entry.cluster.verdict.phase;
        let may_matter = first
            || failing != (entry.failing_probes >= FAILING_PROBES)
            || matches!(phase, Phase::Pending | Phase::Unreachable);
        if may_matter && entry.decide(self, uptime) {
            self.announce(&entry.cluster);
        }
    }

    /// An agent tells the state of its cluster. Answers whether the cluster is
    /// known; if so and we are to `store` it, the report is among
    /// [`Registry::unwritten`] or was written before.
    pub(super) fn report(
        &self,
        tenant: TenantId,
        cluster: ClusterId,
        report: Report,
        store: bool,
    ) -> bool {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let mut entries = self.entries();
        let Some(entry) = owned(&mut entries, tenant, cluster) else { return false };
        entry.heard = Some(uptime);
        entry.cluster.last_heartbeat_at = Some(now);
        entry.cluster.api_latency_ms = report.api_latency_ms;
        let is_news = entry.cluster.report.as_deref() != Some(&report);
        if is_news {
            entry.cluster.agent_version = Some(report.agent_version.chars().take(64).collect());
            entry.cluster.report = Some(Arc::new(report));
            entry.report_stored = false;
        }
        entry.reported = Some(uptime);
        entry.report_unwritten |= store && !entry.report_stored;
        if entry.decide(self, uptime) || is_news {
            self.announce(&entry.cluster);
        }
        true
    }

    /// Finds the agents that have fallen silent. Run every second.
    pub(super) fn tick(&self) {
        let uptime = self.clock.uptime();
        for entry in self.entries().values_mut() {
            let silent = entry.cluster.verdict.phase != Phase::Unreachable
                && entry.known(self, uptime).is_silent();
            if silent && entry.decide(self, uptime) {
                self.announce(&entry.cluster);
            }
        }
    }

    /// Takes what the store does not have yet: the reports that we are to store,
    /// and if this node `leads`, phases and heartbeats too, which all nodes know.
    /// If writing fails, give it back to [`Registry::not_written`].
    pub(super) fn unwritten(&self, leads: bool) -> Vec<Unwritten> {
        let uptime = self.clock.uptime();
        let mut entries = self.entries();
        let due = entries.values_mut().filter(|entry| entry.is_unwritten(uptime, leads));
        let unwritten = due.map(|entry| {
            let cluster = &entry.cluster;
            let report = entry.report_unwritten.then_some(cluster.report.as_deref()).flatten();
            let observation = Observation {
                phase: cluster.verdict.phase.as_str().to_owned(),
                reasons: json(&*cluster.verdict.reasons),
                report: report.map(json),
                last_heartbeat_at: cluster.last_heartbeat_at,
            };
            let unwritten = (cluster.tenant, cluster.id, observation);
            entry.stored = entry.heard;
            entry.phase_unwritten = false;
            entry.report_stored |= entry.report_unwritten;
            entry.report_unwritten = false;
            unwritten
        });
        // In an order that all nodes share, so that none waits for one that waits for it.
        let mut unwritten: Vec<_> = unwritten.collect();
        unwritten.sort_unstable_by_key(|(_, cluster, _)| *cluster);
        unwritten
    }

    /// Says that these could not be written after all.
    pub(super) fn not_written(&self, unwritten: &[Unwritten]) {
        let mut entries = self.entries();
        for (tenant, cluster, observation) in unwritten {
            if let Some(entry) = owned(&mut entries, *tenant, *cluster) {
                entry.phase_unwritten = true;
                if observation.report.is_some() {
                    entry.report_stored = false;
                    entry.report_unwritten = true;
                }
            }
        }
    }

    /// How many clusters of all tenants are in each phase.
    pub(super) fn phases(&self) -> [(Phase, usize); Phase::ALL.len()] {
        let entries = self.entries();
        Phase::ALL.map(|phase| {
            let there = entries.values().filter(|entry| entry.cluster.verdict.phase == phase);
            (phase, there.count())
        })
    }

    /// A measurement of every cluster whose agent is there.
    pub(super) fn points(&self, at: Timestamp) -> Vec<(TenantId, ClusterId, PointRow)> {
        let entries = self.entries();
        let clusters = entries.values().map(|entry| &entry.cluster);
        clusters
            .filter(|cluster| cluster.verdict.phase != Phase::Unreachable)
            .filter_map(|cluster| {
                let point = super::statistics::Measured::of(cluster)?;
                Some((cluster.tenant, cluster.id, PointRow { at, point: json(&point) }))
            })
            .collect()
    }

    /// One cluster.
    pub(super) fn find(&self, tenant: TenantId, cluster: ClusterId) -> Option<Cluster> {
        owned(&mut self.entries(), tenant, cluster).map(|entry| entry.cluster.clone())
    }

    /// Every cluster of a tenant within reach, in no order.
    pub(super) fn within(&self, tenant: TenantId, reach: &Reach) -> Vec<Cluster> {
        let entries = self.entries();
        let mine = entries.values().map(|entry| &entry.cluster);
        mine.filter(|cluster| cluster.tenant == tenant && reach.covers(Some(cluster.project)))
            .cloned()
            .collect()
    }

    /// Takes over what the store says of a cluster: new, renamed, with a
    /// kubeconfig. What only the agent knows stays.
    pub(super) fn put(&self, cluster: Cluster) {
        if self.graves().contains_key(&cluster.id) {
            return;
        }
        let added = self.clock.uptime();
        let mut entries = self.entries();
        let changed = match owned(&mut entries, cluster.tenant, cluster.id) {
            None => {
                let entry = entries.entry(cluster.id);
                entry.or_insert_with(|| Entry::new(cluster, added)).cluster.clone()
            }
            Some(entry) => {
                let mine = &mut entry.cluster;
                // What was read a moment ago must not undo what has happened since.
                let renamed = cluster.version > mine.version;
                let kubeconfig = cluster.has_kubeconfig && !mine.has_kubeconfig;
                let credential = cluster.credential.expires_at > mine.credential.expires_at;
                if renamed {
                    mine.version = cluster.version;
                    mine.name.clone_from(&cluster.name);
                }
                if credential {
                    mine.credential = cluster.credential;
                }
                mine.has_kubeconfig |= kubeconfig;
                let report = entry.catch_up(cluster, added);
                if report {
                    entry.decide(self, added);
                }
                if !(renamed || kubeconfig || credential || report) {
                    return;
                }
                entry.cluster.clone()
            }
        };
        self.announce(&changed);
    }

    /// Notes new credentials.
    pub(super) fn put_credential(
        &self,
        tenant: TenantId,
        cluster: ClusterId,
        credential: Credential,
    ) {
        let mut entries = self.entries();
        if let Some(entry) = owned(&mut entries, tenant, cluster) {
            entry.cluster.credential = credential;
            self.announce(&entry.cluster);
        }
    }

    /// Forgets a cluster.
    pub(super) fn remove(&self, tenant: TenantId, cluster: ClusterId) {
        let uptime = self.clock.uptime();
        let mut graves = self.graves();
        graves.retain(|_, dug| uptime.saturating_sub(*dug) < GRAVES_KEPT);
        graves.insert(cluster, uptime);
        drop(graves);
        let mut entries = self.entries();
        if owned(&mut entries, tenant, cluster).is_some()
            && let Some(entry) = entries.remove(&cluster)
        {
            let _ = self.changes.send(deleted(&entry.cluster));
        }
    }

    /// Forgets every cluster that `known`, read from the store at `read_at`
    /// (an uptime) or later, does not have. One that was added meanwhile stays.
    pub(super) fn retain(&self, known: &HashSet<ClusterId>, read_at: Duration) {
        self.keep_if(|id, entry| known.contains(id) || entry.added >= read_at);
    }

    /// Forgets every cluster of a tenant.
    pub(super) fn remove_tenant(&self, tenant: TenantId) {
        self.keep_if(|_, entry| entry.cluster.tenant != tenant);
    }

    fn keep_if(&self, keep: impl Fn(&ClusterId, &Entry) -> bool) {
        self.entries().retain(|id, entry| {
            let keep = keep(id, entry);
            if !keep {
                let _ = self.changes.send(deleted(&entry.cluster));
            }
            keep
        });
    }

    /// Nobody listening is fine.
    fn announce(&self, cluster: &Cluster) {
        if self.changes.receiver_count() > 0 {
            let _ = self.changes.send(Change::Changed(Arc::new(cluster.clone())));
        }
    }

    fn graves(&self) -> MutexGuard<'_, HashMap<ClusterId, Duration>> {
        self.graves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ClusterId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deleted(cluster: &Cluster) -> Change {
    Change::Deleted { tenant: cluster.tenant, project: cluster.project, cluster: cluster.id }
}

/// The cluster, if it belongs to the tenant: an identifier alone opens nothing.
fn owned(
    entries: &mut HashMap<ClusterId, Entry>,
    tenant: TenantId,
    cluster: ClusterId,
) -> Option<&mut Entry> {
    entries.get_mut(&cluster).filter(|entry| entry.cluster.tenant == tenant)
}

/// Our own types always have a JSON form.
fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;

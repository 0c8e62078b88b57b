//! What a cluster is and how it is doing. Pure.
//!
//! Owns: phases, reasons and the decision that makes them of what is known.
//! Must not know: where that knowledge comes from or where it is kept.
//!
//! Start at [`decide`].

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    bus::message::Report,
    clock::Timestamp,
    ids::{ClusterId, ProjectId, TenantId},
    store::clusters::ClusterRow,
};

/// So many heartbeats in a row without an answer of the Kubernetes API are a
/// problem; a single one is a hiccup.
pub const FAILING_PROBES: u32 = 3;
/// More nodes or workloads than this are counted instead of named.
const MOST_NAMED: usize = 20;

/// How a cluster is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Its agent has never been heard.
    Pending,
    /// Everything that its agent reports is fine.
    Healthy,
    /// Its agent is there and something is wrong.
    Degraded,
    /// Its agent has fallen silent.
    Unreachable,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Healthy, Self::Degraded, Self::Unreachable];

    /// The word in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unreachable => "unreachable",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable name: `no-heartbeat`, `node-not-ready`, `workload-unhealthy`, `api-failing`
    /// or `cannot-read`.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
}

impl Reason {
    fn new(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message }
    }
}

/// A phase and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The phase.
    pub phase: Phase,
    /// Why; empty when nothing is wrong.
    pub reasons: Arc<[Reason]>,
}

impl Verdict {
    /// A phase that needs no reason.
    pub fn plain(phase: Phase) -> Self {
        Self { phase, reasons: Arc::new([]) }
    }
}

/// What is known of a cluster when a decision is made.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The decision before.
    pub earlier: &'a Verdict,
    /// When its agent was last heard, in whatever run of this process. To be
    /// shown only: clocks jump.
    pub last_heard: Option<Timestamp>,
    /// Whether that was since this process listens.
    pub heard: bool,
    /// How long it has been silent. Silence while nobody could listen does not count.
    pub silence: Duration,
    /// The last report.
    pub report: Option<&'a Report>,
    /// How many heartbeats in a row found the Kubernetes API failing.
    pub failing_probes: u32,
    /// How long an agent may be silent.
    pub timeout: Duration,
}

impl Known<'_> {
    /// Whether the agent has been silent for too long.
    pub fn is_silent(&self) -> bool {
        self.last_heard.is_some() && self.silence >= self.timeout
    }
}

/// How a cluster is doing.
pub fn decide(known: &Known<'_>) -> Verdict {
    let Some(heard) = known.last_heard else { return Verdict::plain(Phase::Pending) };
    if known.is_silent() {
        let second = Timestamp::from_seconds(heard.as_seconds());
        let message = format!("The agent was last heard at {second}.");
        let reasons = Arc::new([Reason::new("no-heartbeat", message)]);
        return Verdict { phase: Phase::Unreachable, reasons };
    }
    if !known.heard {
        // We have just begun to listen: until an agent had the time to speak, what was
        // decided before counts.
        return known.earlier.clone();
    }
    let mut reasons = known.report.map(problems).unwrap_or_default();
    if known.failing_probes >= FAILING_PROBES {
        let message = "The agent gets no answer from the Kubernetes API server.";
        reasons.push(Reason::new("api-failing", message.to_owned()));
    }
    if reasons.is_empty() {
        return Verdict::plain(Phase::Healthy);
    }
    Verdict { phase: Phase::Degraded, reasons: reasons.into() }
}

/// What a report says is wrong.
fn problems(report: &Report) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let down: Vec<_> = report.node_list.iter().filter(|node| !node.ready).collect();
    for node in down.iter().take(MOST_NAMED) {
        let why = node.reason.trim_end_matches('.');
        let why = if why.is_empty() { "no reason given" } else { why };
        let message = format!("Node {} is not ready: {why}.", node.name);
        reasons.push(Reason::new("node-not-ready", message));
    }
    // A report names a limited number of nodes; the counts are of all of them.
    let not_ready = report.nodes.total.saturating_sub(report.nodes.ready) as usize;
    let unnamed = not_ready.max(down.len()).saturating_sub(reasons.len());
    if unnamed > 0 {
        let message = format!("{unnamed} more nodes are not ready.");
        reasons.push(Reason::new("node-not-ready", message));
    }
    let workloads = &report.unhealthy_workloads;
    for workload in workloads.iter().take(MOST_NAMED) {
        let message = format!(
            "{} {}/{}: {}.",
            workload.kind,
            workload.namespace,
            workload.name,
            workload.reason.trim_end_matches('.')
        );
        reasons.push(Reason::new("workload-unhealthy", message));
    }
    if workloads.len() > MOST_NAMED {
        let message = format!("{} more workloads are unhealthy.", workloads.len() - MOST_NAMED);
        reasons.push(Reason::new("workload-unhealthy", message));
    }
    for unreadable in report.unreadable.iter().take(MOST_NAMED) {
        let cause = unreadable.cause.trim_end_matches('.');
        let message = format!("The agent cannot read {}: {cause}.", unreadable.what);
        reasons.push(Reason::new("cannot-read", message));
    }
    reasons
}

/// Whether a cluster's agent has credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// It has not enrolled yet.
    Awaiting,
    /// It has.
    Enrolled,
    /// It had; they were revoked.
    Revoked,
}

impl CredentialState {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Enrolled => "enrolled",
            Self::Revoked => "revoked",
        }
    }
}

/// The credentials of a cluster's agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Whether there are any.
    pub state: CredentialState,
    /// When the newest expire.
    pub expires_at: Option<Timestamp>,
}

impl Credential {
    /// Before the agent has enrolled.
    pub const AWAITING: Self = Self { state: CredentialState::Awaiting, expires_at: None };
}

/// A cluster as it is now. Cloning shares the report.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its tenant.
    pub tenant: TenantId,
    /// Identifier.
    pub id: ClusterId,
    /// Its project.
    pub project: ProjectId,
    /// Name, unique in the project.
    pub name: String,
    /// How it is doing.
    pub verdict: Verdict,
    /// The agent's last report.
    pub report: Option<Arc<Report>>,
    /// The version of the agent that was last heard.
    pub agent_version: Option<String>,
    /// How long the last request to the Kubernetes API took, in milliseconds.
    pub api_latency_ms: Option<u32>,
    /// When the agent was last heard.
    pub last_heartbeat_at: Option<Timestamp>,
    /// Whether a kubeconfig is stored.
    pub has_kubeconfig: bool,
    /// The credentials of its agent.
    pub credential: Credential,
    /// When it was imported.
    pub created_at: Timestamp,
    /// Counts changes made by people, not by the agent.
    pub version: i64,
}

impl Cluster {
    /// What the store knows. Text that cannot be read (written by a version
    /// that knew more) counts as absent; the agent's next report replaces it.
    pub fn from_row(row: ClusterRow, credential: Credential) -> Self {
        let report: Option<Report> =
            row.report.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let reasons: Vec<Reason> = serde_json::from_str(&row.reasons).unwrap_or_default();
        let phase = Phase::parse(&row.phase).unwrap_or(Phase::Pending);
        Self {
            tenant: row.tenant_id,
            id: row.id,
            project: row.project_id,
            name: row.name,
            verdict: Verdict { phase, reasons: reasons.into() },
            agent_version: report.as_ref().map(|report| report.agent_version.clone()),
            api_latency_ms: report.as_ref().and_then(|report| report.api_latency_ms),
            report: report.map(Arc::new),
            last_heartbeat_at: row.last_heartbeat_at,
            has_kubeconfig: row.has_kubeconfig,
            credential,
            created_at: row.created_at,
            version: row.version,
        }
    }
}

#[cfg(test)]
mod tests;

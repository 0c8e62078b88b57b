//! What travels on the bus between an agent and management, as JSON.
//!
//! Receivers are idempotent: a report replaces the one before it, and a
//! heartbeat only says that its sender is alive. Fields may be added; a
//! receiver ignores those that it does not know, so that N-2 agents keep working.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Seconds between two heartbeats of an agent.
pub const HEARTBEAT_SECONDS: u64 = 10;

/// Published on `up.<cluster>.heartbeat`: alive, and how fast the API server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Counts up within one run of the agent.
    pub sequence: u64,
    /// The agent's own clock.
    pub sent_at: Timestamp,
    /// The version of the agent's binary.
    pub agent_version: String,
    /// How long the last request to the Kubernetes API took; `None` when it failed.
    pub api_latency_ms: Option<u32>,
}

/// Requested on `ctl.<cluster>.report`, acknowledged by an empty reply: the
/// state of the whole cluster, sent when it changed and after each reconnect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The agent's version.
    pub agent_version: String,
    /// What the API server says of itself, e.g. `v1.33.2`.
    pub kubernetes_version: String,
    /// Latency of the last API request in milliseconds.
    pub api_latency_ms: Option<u32>,
    /// Counts of nodes.
    pub nodes: NodeCounts,
    /// Each node; at most [`MAX_NODES`].
    pub node_list: Vec<NodeState>,
    /// Counts of pods by phase.
    pub pods: PodCounts,
    /// CPU of the whole cluster in thousandths of a core.
    pub cpu: Capacity,
    /// Memory of the whole cluster in bytes.
    pub memory: Capacity,
    /// Workloads that lack replicas or whose pods fail; at most [`MAX_WORKLOADS`].
    pub unhealthy_workloads: Vec<WorkloadProblem>,
    /// What the agent cannot read, so that the rest of the report may be old; at
    /// most [`MAX_UNREADABLE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
}

/// The most nodes that one report names.
pub const MAX_NODES: usize = 1_000;
/// The most unhealthy workloads that one report names.
pub const MAX_WORKLOADS: usize = 50;
/// The most kinds of objects that one report names as unreadable.
pub const MAX_UNREADABLE: usize = 50;
/// How many characters the name of a kind has at most.
pub const LONGEST_KIND: usize = 64;
/// How many characters the cause has at most for which a kind is unreadable.
pub const LONGEST_CAUSE: usize = 300;

/// A kind of object that the Kubernetes API does not let the agent read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The kind in the plural, e.g. `pods`; at most [`LONGEST_KIND`].
    pub what: String,
    /// What the API server says; at most [`LONGEST_CAUSE`].
    pub cause: String,
}

/// How many nodes there are and how many are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCounts {
    /// All nodes.
    pub total: u32,
    /// Nodes whose `Ready` condition is true.
    pub ready: u32,
}

/// One node as the agent sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// The node's name.
    pub name: String,
    /// Whether its `Ready` condition is true.
    pub ready: bool,
    /// Whether new pods may be placed on it.
    pub schedulable: bool,
    /// Why it is not ready, as the kubelet or the control plane says; empty when ready.
    pub reason: String,
    /// The kubelet's version.
    pub version: String,
}

/// How many pods are in which phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCounts {
    /// Bound and at least one container runs.
    pub running: u32,
    /// Accepted and not running yet.
    pub pending: u32,
    /// All containers ended well.
    pub succeeded: u32,
    /// A container ended badly.
    pub failed: u32,
    /// The node does not answer.
    pub unknown: u32,
}

/// What can be used, and what is used where the cluster measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// The sum over schedulable capacity of all nodes.
    pub allocatable: u64,
    /// What is in use; `None` without a metrics API.
    pub used: Option<u64>,
}

/// One workload that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadProblem {
    /// `Deployment`, `StatefulSet`, `DaemonSet` or `Pod`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why, e.g. `1 of 3 replicas are ready: CrashLoopBackOff`.
    pub reason: String,
}

/// Sent to `POST /v1/agent/enrol`: trades the one-time token for credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrolRequest {
    /// The one-time token of the import command.
    pub token: String,
    /// The public half of the agent's own nkey (`U…`).
    pub public_key: String,
    /// The version of the agent's binary.
    pub agent_version: String,
}

/// Sent to `POST /v1/agent/renew`: new credentials for the same key, also
/// when the old ones have expired meanwhile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenewRequest {
    /// The cluster.
    pub cluster: String,
    /// The agent's public nkey.
    pub public_key: String,
    /// The agent's clock; refused when it is more than five minutes off.
    pub at: Timestamp,
    /// Signature of `palisade-renew:<cluster>:<public_key>:<at in microseconds>`, base64url without padding.
    pub signature: String,
}

impl RenewRequest {
    /// The text that the signature covers.
    pub fn signed_text(cluster: &str, public_key: &str, at: Timestamp) -> String {
        format!("palisade-renew:{cluster}:{public_key}:{}", at.as_micros())
    }
}

/// The answer to both: what the agent needs to dial in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// The cluster that the agent speaks for; part of its subjects.
    pub cluster: String,
    /// The user JWT for the bus. It is worth nothing without the agent's nkey.
    pub jwt: String,
    /// When the JWT expires; the agent renews at two thirds of the time left.
    pub expires_at: Timestamp,
    /// Management's clock when it answered.
    pub server_time: Timestamp,
}

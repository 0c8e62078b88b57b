//! How clusters look to callers.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    bus::message::Report,
    clock::Timestamp,
    clusters::{Import, Measured, Point, STEP, Shown},
    ids::{ClusterId, ProjectId},
};

/// A cluster.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway) struct ClusterView {
    uid: ClusterId,
    name: String,
    project: ClusterProject,
    /// `pending`, `healthy`, `degraded` or `unreachable`.
    phase: &'static str,
    /// Why; empty when nothing is wrong.
    reasons: Vec<ClusterReason>,
    kubernetes_version: Option<String>,
    agent_version: Option<String>,
    last_heartbeat_at: Option<Timestamp>,
    created_at: Timestamp,
    version: i64,
    /// What the agent has reported last; absent before its first report.
    summary: Option<SummaryView>,
    has_kubeconfig: bool,
    credential: CredentialView,
}

/// The project of a cluster.
#[derive(Debug, Serialize, ToSchema)]
struct ClusterProject {
    uid: ProjectId,
    name: String,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ClusterReason {
    /// `no-heartbeat`, `node-not-ready`, `workload-unhealthy`, `api-failing` or `cannot-read`.
    code: String,
    message: String,
}

/// The credentials of a cluster's agent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CredentialView {
    /// `awaiting`, `enrolled` or `revoked`.
    state: &'static str,
    expires_at: Option<Timestamp>,
}

/// What an agent has reported.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SummaryView {
    nodes: NodesView,
    pods: PodsView,
    cpu: CpuView,
    memory: MemoryView,
    api_latency_ms: Option<u32>,
    unhealthy_workloads: Vec<WorkloadView>,
    node_list: Vec<NodeView>,
}

/// How many nodes there are.
#[derive(Debug, Serialize, ToSchema)]
struct NodesView {
    total: u32,
    ready: u32,
}

/// How many pods are in which phase.
#[derive(Debug, Serialize, ToSchema)]
struct PodsView {
    running: u32,
    pending: u32,
    failed: u32,
    succeeded: u32,
    unknown: u32,
}

/// CPU in thousandths of a core.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CpuView {
    allocatable_millis: u64,
    /// Absent where the cluster does not measure it.
    used_millis: Option<u64>,
}

/// Memory.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryView {
    allocatable_bytes: u64,
    /// Absent where the cluster does not measure it.
    used_bytes: Option<u64>,
}

/// A workload that is not as it should be.
#[derive(Debug, Serialize, ToSchema)]
struct WorkloadView {
    kind: String,
    namespace: String,
    name: String,
    reason: String,
}

/// A node.
#[derive(Debug, Serialize, ToSchema)]
struct NodeView {
    name: String,
    ready: bool,
    schedulable: bool,
    /// Why it is not ready; empty when it is.
    reason: String,
    version: String,
}

impl From<Shown> for ClusterView {
    fn from(shown: Shown) -> Self {
        let Shown { cluster, project_name } = shown;
        let report = cluster.report.as_deref();
        let reasons = cluster.verdict.reasons.iter().cloned();
        Self {
            uid: cluster.id,
            project: ClusterProject { uid: cluster.project, name: project_name },
            phase: cluster.verdict.phase.as_str(),
            reasons: reasons
                .map(|reason| ClusterReason { code: reason.code, message: reason.message })
                .collect(),
            kubernetes_version: report.map(|report| report.kubernetes_version.clone()),
            agent_version: cluster.agent_version,
            last_heartbeat_at: cluster.last_heartbeat_at,
            created_at: cluster.created_at,
            version: cluster.version,
            summary: cluster.report.map(|report| SummaryView::new(report, cluster.api_latency_ms)),
            has_kubeconfig: cluster.has_kubeconfig,
            credential: CredentialView {
                state: cluster.credential.state.as_str(),
                expires_at: cluster.credential.expires_at,
            },
            name: cluster.name,
        }
    }
}

impl SummaryView {
    fn new(report: Arc<Report>, api_latency_ms: Option<u32>) -> Self {
        let report = Arc::unwrap_or_clone(report);
        let workloads = report.unhealthy_workloads.into_iter().map(|workload| WorkloadView {
            kind: workload.kind,
            namespace: workload.namespace,
            name: workload.name,
            reason: workload.reason,
        });
        let nodes = report.node_list.into_iter().map(|node| NodeView {
            name: node.name,
            ready: node.ready,
            schedulable: node.schedulable,
            reason: node.reason,
            version: node.version,
        });
        let pods = report.pods;
        Self {
            nodes: NodesView { total: report.nodes.total, ready: report.nodes.ready },
            pods: PodsView {
                running: pods.running,
                pending: pods.pending,
                failed: pods.failed,
                succeeded: pods.succeeded,
                unknown: pods.unknown,
            },
            cpu: CpuView {
                allocatable_millis: report.cpu.allocatable,
                used_millis: report.cpu.used,
            },
            memory: MemoryView {
                allocatable_bytes: report.memory.allocatable,
                used_bytes: report.memory.used,
            },
            api_latency_ms,
            unhealthy_workloads: workloads.collect(),
            node_list: nodes.collect(),
        }
    }
}

/// How to bring a cluster in. It contains a token: it is shown once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportView {
    /// For a machine that trusts the appliance's certificate.
    command: String,
    /// For one that does not: it recognises the appliance by its public key.
    pinned_command: String,
    manifest_url: String,
    /// Until when the token works.
    expires_at: Timestamp,
}

impl From<Import> for ImportView {
    fn from(import: Import) -> Self {
        Self {
            command: import.command.expose().clone(),
            pinned_command: import.pinned_command.expose().clone(),
            manifest_url: import.manifest_url.expose().clone(),
            expires_at: import.expires_at,
        }
    }
}

/// Measurements of a cluster.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatisticsView {
    /// The time between two points; a gap is longer.
    step_seconds: u64,
    points: Vec<PointView>,
}

/// One measurement.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PointView {
    at: Timestamp,
    nodes_ready: u32,
    nodes_total: u32,
    pods_running: u32,
    pods_pending: u32,
    pods_failed: u32,
    cpu_used_millis: Option<u64>,
    cpu_allocatable_millis: u64,
    memory_used_bytes: Option<u64>,
    memory_allocatable_bytes: u64,
    api_latency_ms: Option<u32>,
}

impl From<Vec<Point>> for StatisticsView {
    fn from(points: Vec<Point>) -> Self {
        let points = points.into_iter().map(PointView::from).collect();
        Self { step_seconds: STEP.as_secs(), points }
    }
}

impl From<Point> for PointView {
    fn from(point: Point) -> Self {
        let Point { at, measured } = point;
        let Measured { nodes_ready, nodes_total, pods_running, pods_pending, .. } = measured;
        Self {
            at,
            nodes_ready,
            nodes_total,
            pods_running,
            pods_pending,
            pods_failed: measured.pods_failed,
            cpu_used_millis: measured.cpu_used_millis,
            cpu_allocatable_millis: measured.cpu_allocatable_millis,
            memory_used_bytes: measured.memory_used_bytes,
            memory_allocatable_bytes: measured.memory_allocatable_bytes,
            api_latency_ms: measured.api_latency_ms,
        }
    }
}

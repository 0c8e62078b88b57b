//! All clusters in a few numbers.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::clusters::ClusterView;
use crate::{
    app::App,
    clusters::{Overview, PhaseCounts, Usage},
    gateway::{extract::Allowed, respond::Answer},
    rbac::rights::ClusterList,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_overview))
}

/// The caller's clusters in a few numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct OverviewView {
    clusters: PhasesView,
    nodes: OverviewNodes,
    pods: OverviewPods,
    cpu: OverviewCpu,
    memory: OverviewMemory,
    /// Clusters that need somebody, the silent ones first; at most 20.
    attention: Vec<ClusterView>,
}

/// Clusters by phase.
#[derive(Debug, Serialize, ToSchema)]
struct PhasesView {
    total: u32,
    pending: u32,
    healthy: u32,
    degraded: u32,
    unreachable: u32,
}

/// Nodes of all clusters.
#[derive(Debug, Serialize, ToSchema)]
struct OverviewNodes {
    total: u32,
    ready: u32,
}

/// Pods of all clusters.
#[derive(Debug, Serialize, ToSchema)]
struct OverviewPods {
    running: u32,
    pending: u32,
    failed: u32,
}

/// CPU of all clusters in thousandths of a core.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OverviewCpu {
    allocatable_millis: u64,
    /// Absent where nobody measures it.
    used_millis: Option<u64>,
}

/// Memory of all clusters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OverviewMemory {
    allocatable_bytes: u64,
    /// Absent where nobody measures it.
    used_bytes: Option<u64>,
}

impl From<Overview> for OverviewView {
    fn from(overview: Overview) -> Self {
        let PhaseCounts { total, pending, healthy, degraded, unreachable } = overview.clusters;
        let Usage { allocatable: allocatable_millis, used: used_millis } = overview.cpu;
        let Usage { allocatable: allocatable_bytes, used: used_bytes } = overview.memory;
        let (nodes, pods) = (overview.nodes, overview.pods);
        Self {
            clusters: PhasesView { total, pending, healthy, degraded, unreachable },
            nodes: OverviewNodes { total: nodes.total, ready: nodes.ready },
            pods: OverviewPods {
                running: pods.running,
                pending: pods.pending,
                failed: pods.failed,
            },
            cpu: OverviewCpu { allocatable_millis, used_millis },
            memory: OverviewMemory { allocatable_bytes, used_bytes },
            attention: overview.attention.into_iter().map(ClusterView::from).collect(),
        }
    }
}

/// Sum up the clusters that the caller may see.
#[utoipa::path(get, path = "/v1/overview", tag = "Clusters",
    extensions(("x-permission" = json!("cluster.list"))),
    responses((status = 200, description = "The overview.", body = OverviewView)))]
async fn get_overview(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterList>,
) -> Answer<Json<OverviewView>> {
    Ok(Json(app.clusters().overview(&permit).await?.into()))
}

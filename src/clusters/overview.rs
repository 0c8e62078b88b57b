//! All clusters of a caller in a few numbers.

use super::{Clusters, Phase, Shown, model::Cluster, shown};
use crate::{
    bus::message::{Capacity, NodeCounts, PodCounts},
    error::Result,
    ids::TenantId,
    rbac::{Permit, Reach, rights::ClusterList},
};

/// The most clusters that an overview names.
const MOST_NAMED: usize = 20;

/// How many clusters are in which phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseCounts {
    /// All of them.
    pub total: u32,
    /// Never heard.
    pub pending: u32,
    /// Fine.
    pub healthy: u32,
    /// With problems.
    pub degraded: u32,
    /// Silent.
    pub unreachable: u32,
}

/// What can be used and what is used, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What can be used.
    pub allocatable: u64,
    /// What is in use where it is measured; `None` when nobody measures it.
    pub used: Option<u64>,
}

impl Usage {
    fn add(&mut self, capacity: Capacity) {
        self.allocatable = self.allocatable.saturating_add(capacity.allocatable);
        if let Some(used) = capacity.used {
            self.used = Some(self.used.unwrap_or(0).saturating_add(used));
        }
    }
}

/// All clusters in a few numbers.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Clusters by phase.
    pub clusters: PhaseCounts,
    /// Nodes of all clusters, by their last reports.
    pub nodes: NodeCounts,
    /// Pods of all clusters, by their last reports.
    pub pods: PodCounts,
    /// CPU in thousandths of a core.
    pub cpu: Usage,
    /// Memory in bytes.
    pub memory: Usage,
    /// Clusters that need somebody, the silent ones first; at most 20.
    pub attention: Vec<Shown>,
}

impl Clusters {
    /// Sums up the clusters within the permit's reach, from memory.
    pub async fn overview(&self, permit: &Permit<ClusterList>) -> Result<Overview> {
        self.overview_within(permit.tenant(), permit.reach()).await
    }

    /// The same for a live view, which has checked the caller's rights itself.
    pub async fn overview_within(&self, tenant: TenantId, reach: &Reach) -> Result<Overview> {
        let clusters = self.registry.within(tenant, reach);
        let names = self.recent_names(tenant).await?;
        let mut overview = sum(&clusters);
        let rank = |cluster: &Cluster| match cluster.verdict.phase {
            Phase::Unreachable => Some(0),
            Phase::Degraded => Some(1),
            Phase::Pending | Phase::Healthy => None,
        };
        let mut unwell: Vec<_> =
            clusters.into_iter().filter(|cluster| rank(cluster).is_some()).collect();
        unwell.sort_by(|a, b| (rank(a), &a.name, a.id).cmp(&(rank(b), &b.name, b.id)));
        unwell.truncate(MOST_NAMED);
        overview.attention = unwell.into_iter().map(|cluster| shown(cluster, &names)).collect();
        Ok(overview)
    }
}

fn sum(clusters: &[Cluster]) -> Overview {
    let mut overview = Overview::default();
    for cluster in clusters {
        let counts = &mut overview.clusters;
        counts.total += 1;
        *match cluster.verdict.phase {
            Phase::Pending => &mut counts.pending,
            Phase::Healthy => &mut counts.healthy,
            Phase::Degraded => &mut counts.degraded,
            Phase::Unreachable => &mut counts.unreachable,
        } += 1;
        let Some(report) = &cluster.report else { continue };
        let (nodes, pods) = (&mut overview.nodes, &mut overview.pods);
        // An agent may claim any number.
        for (sum, reported) in [
            (&mut nodes.total, report.nodes.total),
            (&mut nodes.ready, report.nodes.ready),
            (&mut pods.running, report.pods.running),
            (&mut pods.pending, report.pods.pending),
            (&mut pods.failed, report.pods.failed),
            (&mut pods.succeeded, report.pods.succeeded),
            (&mut pods.unknown, report.pods.unknown),
        ] {
            *sum = sum.saturating_add(reported);
        }
        overview.cpu.add(report.cpu);
        overview.memory.add(report.memory);
    }
    overview
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_unknown_only_when_no_cluster_measures_it() {
        let mut usage = Usage::default();
        usage.add(Capacity { allocatable: 4, used: None });
        assert_eq!(usage, Usage { allocatable: 4, used: None });
        usage.add(Capacity { allocatable: 2, used: Some(1) });
        assert_eq!(usage, Usage { allocatable: 6, used: Some(1) });
    }
}

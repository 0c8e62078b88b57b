//! A day of measurements: one point per cluster and minute.
//!
//! Owns: what a point holds and how it is read back.
//! Must not know: how points are drawn.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::Cluster;
use crate::{clock::Timestamp, store::statistics::PointRow};

/// The time between two points.
pub const STEP: Duration = Duration::from_mins(1);
/// How long points are kept.
pub(super) const KEPT_HOURS: u32 = 24;

/// One measurement of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// What.
    pub measured: Measured,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Nodes that are ready.
    pub nodes_ready: u32,
    /// All nodes.
    pub nodes_total: u32,
    /// Pods that run.
    pub pods_running: u32,
    /// Pods that wait.
    pub pods_pending: u32,
    /// Pods that ended badly.
    pub pods_failed: u32,
    /// CPU in use, in thousandths of a core, where the cluster measures it.
    pub cpu_used_millis: Option<u64>,
    /// CPU that can be used.
    pub cpu_allocatable_millis: u64,
    /// Memory in use, in bytes, where the cluster measures it.
    pub memory_used_bytes: Option<u64>,
    /// Memory that can be used.
    pub memory_allocatable_bytes: u64,
    /// How long the Kubernetes API took to answer; absent when it did not.
    pub api_latency_ms: Option<u32>,
}

impl Measured {
    /// The measurement of a cluster now; `None` before its first report.
    pub(super) fn of(cluster: &Cluster) -> Option<Self> {
        let report = cluster.report.as_deref()?;
        Some(Self {
            nodes_ready: report.nodes.ready,
            nodes_total: report.nodes.total,
            pods_running: report.pods.running,
            pods_pending: report.pods.pending,
            pods_failed: report.pods.failed,
            cpu_used_millis: report.cpu.used,
            cpu_allocatable_millis: report.cpu.allocatable,
            memory_used_bytes: report.memory.used,
            memory_allocatable_bytes: report.memory.allocatable,
            api_latency_ms: cluster.api_latency_ms,
        })
    }
}

/// The minute that `now` is in: points of all clusters share their moments.
pub(super) fn minute(now: Timestamp) -> Timestamp {
    let step = i64::try_from(STEP.as_secs()).unwrap_or(60);
    Timestamp::from_seconds(now.as_seconds().div_euclid(step) * step)
}

/// A stored point; one that cannot be read is left out.
pub(super) fn read(row: &PointRow) -> Option<Point> {
    let measured = serde_json::from_str(&row.point).ok()?;
    Some(Point { at: row.at, measured })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_the_same_minute_share_their_moment() {
        let (early, late) = (Timestamp::from_micros(61_500_000), Timestamp::from_seconds(119));
        assert_eq!(minute(early), Timestamp::from_seconds(60));
        assert_eq!(minute(late), Timestamp::from_seconds(60));
        assert_eq!(minute(Timestamp::from_seconds(120)), Timestamp::from_seconds(120));
    }
}

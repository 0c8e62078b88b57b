//! A day of measurements of every cluster.

use super::{Result, Tx, row::from_row};
use crate::{
    clock::Timestamp,
    ids::{ClusterId, TenantId},
};

/// One measurement.
#[derive(Clone, Debug)]
pub struct PointRow {
    /// When.
    pub at: Timestamp,
    /// What, as JSON.
    pub point: String,
}

from_row!(PointRow { at, point });

/// Adds a point; a second one for the same moment is ignored.
pub async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    cluster: ClusterId,
    row: &PointRow,
) -> Result<()> {
    // The cluster may be gone by now; then there is nothing to measure.
    tx.execute(
        "INSERT INTO cluster_statistic (tenant_id, cluster_id, at, point)
         SELECT tenant_id, id, CAST($1 AS BIGINT), CAST($2 AS TEXT) FROM cluster
         WHERE tenant_id = $3 AND id = $4
         ON CONFLICT (cluster_id, at) DO NOTHING",
        (row.at, &row.point, tenant, cluster),
    )
    .await
    .map(drop)
}

/// Points of one cluster since a moment, oldest first.
pub async fn since(
    tx: &mut Tx,
    tenant: TenantId,
    cluster: ClusterId,
    since: Timestamp,
) -> Result<Vec<PointRow>> {
    tx.fetch_all(
        "SELECT at, point FROM cluster_statistic
         WHERE tenant_id = $1 AND cluster_id = $2 AND at >= $3 ORDER BY at",
        (tenant, cluster, since),
    )
    .await
}

/// Forgets what is older than `before`.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM cluster_statistic WHERE at < $1", (before,)).await
}

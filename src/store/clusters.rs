//! Clusters.

use super::{
    ListQuery, Page, Result, Tx,
    page::{Key, Select, Sort},
    row::from_row,
};
use crate::{
    clock::Timestamp,
    error::Error,
    ids::{ClusterId, ProjectId, TenantId},
    rbac::Reach,
};

/// A cluster, as stored.
#[derive(Clone, Debug)]
pub struct ClusterRow {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Identifier.
    pub id: ClusterId,
    /// Its project.
    pub project_id: ProjectId,
    /// Name, unique in the project.
    pub name: String,
    /// `pending`, `healthy`, `degraded` or `unreachable`.
    pub phase: String,
    /// Why, as JSON.
    pub reasons: String,
    /// The agent's last report, as JSON.
    pub report: Option<String>,
    /// When the agent was last heard; written with every change of phase and
    /// at intervals, so it may lag while the process runs.
    pub last_heartbeat_at: Option<Timestamp>,
    /// Whether a kubeconfig is stored.
    pub has_kubeconfig: bool,
    /// When it was imported.
    pub created_at: Timestamp,
    /// Counts changes made by people, not by the agent.
    pub version: i64,
}

from_row!(ClusterRow {
    tenant_id,
    id,
    project_id,
    name,
    phase,
    reasons,
    report,
    last_heartbeat_at,
    has_kubeconfig,
    created_at,
    version,
});

const COLUMNS: &str = "tenant_id, id, project_id, name, phase, reasons, report, \
    last_heartbeat_at, (kubeconfig_sealed IS NOT NULL) AS has_kubeconfig, created_at, version";

/// Adds a cluster. `Duplicate` when the project has one of this name.
pub async fn insert(tx: &mut Tx, cluster: &ClusterRow) -> Result<()> {
    tx.execute(
        "INSERT INTO cluster
             (tenant_id, id, project_id, name, phase, reasons, created_at, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (
            cluster.tenant_id,
            cluster.id,
            cluster.project_id,
            &cluster.name,
            &cluster.phase,
            &cluster.reasons,
            cluster.created_at,
            cluster.version,
        ),
    )
    .await
    .map(drop)
}

/// The cluster with this identifier.
pub async fn find(tx: &mut Tx, tenant: TenantId, id: ClusterId) -> Result<Option<ClusterRow>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM cluster WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// Every cluster of the installation, in no order: for start-up.
pub async fn all(tx: &mut Tx) -> Result<Vec<ClusterRow>> {
    tx.fetch_all(&format!("SELECT {COLUMNS} FROM cluster"), ()).await
}

/// The same without what agents have reported: to find what other nodes have changed.
pub async fn all_without_reports(tx: &mut Tx) -> Result<Vec<ClusterRow>> {
    let columns = COLUMNS.replace("report", "CAST(NULL AS TEXT) AS report");
    tx.fetch_all(&format!("SELECT {columns} FROM cluster"), ()).await
}

/// What to look for. Everything is optional.
#[derive(Clone, Debug, Default)]
pub struct ClusterFilter {
    /// In this phase.
    pub phase: Option<String>,
    /// In this project.
    pub project: Option<ProjectId>,
}

/// Clusters within reach, sorted by `name`, `phase`, `createdAt` or `lastHeartbeatAt`.
pub async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    reach: &Reach,
    filter: &ClusterFilter,
    list: &ListQuery,
) -> Result<Page<ClusterRow>, Error> {
    const SORTS: &[Sort] = &[
        Sort::text("name", "name"),
        Sort::text("phase", "phase"),
        Sort::number("createdAt", "created_at"),
        Sort::number("lastHeartbeatAt", "COALESCE(last_heartbeat_at, 0)"),
    ];
    let select = Select::new(COLUMNS, "cluster")
        .filter("tenant_id = ?", tenant)
        .filter_some("phase = ?", filter.phase.as_deref())
        .filter_some("project_id = ?", filter.project)
        .search("name", list.search.as_deref());
    let select = match reach {
        Reach::Tenant => select,
        Reach::Projects(projects) => select.filter_in("project_id", projects.iter().copied()),
    };
    select
        .page(tx, list, SORTS, "id", |cluster: &ClusterRow, sort| {
            let key = match sort {
                "phase" => Key::Text(cluster.phase.clone()),
                "createdAt" => Key::Int(cluster.created_at.as_micros()),
                "lastHeartbeatAt" => {
                    Key::Int(cluster.last_heartbeat_at.map_or(0, Timestamp::as_micros))
                }
                _ => Key::Text(cluster.name.clone()),
            };
            (key, cluster.id.to_string())
        })
        .await
}

/// Renames if `version` is current; answers whether it was.
pub async fn rename(
    tx: &mut Tx,
    tenant: TenantId,
    id: ClusterId,
    name: &str,
    version: i64,
) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE cluster SET name = $1, version = version + 1
             WHERE tenant_id = $2 AND id = $3 AND version = $4",
            (name, tenant, id, version),
        )
        .await?;
    Ok(changed == 1)
}

/// What the control loop knows of a cluster.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Phase.
    pub phase: String,
    /// Why, as JSON.
    pub reasons: String,
    /// A new report, as JSON; absent: keep the stored one.
    pub report: Option<String>,
    /// When the agent was last heard.
    pub last_heartbeat_at: Option<Timestamp>,
}

/// Writes what was observed. A cluster that is gone meanwhile is ignored.
pub async fn observe(
    tx: &mut Tx,
    tenant: TenantId,
    id: ClusterId,
    seen: &Observation,
) -> Result<()> {
    tx.execute(
        "UPDATE cluster SET phase = $1, reasons = $2, report = COALESCE($3, report),
             last_heartbeat_at = $4
         WHERE tenant_id = $5 AND id = $6",
        (&seen.phase, &seen.reasons, seen.report.clone(), seen.last_heartbeat_at, tenant, id),
    )
    .await
    .map(drop)
}

/// Deletes a cluster with its statistics and tokens.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: ClusterId) -> Result<bool> {
    Ok(tx.execute("DELETE FROM cluster WHERE tenant_id = $1 AND id = $2", (tenant, id)).await? == 1)
}

/// The sealed kubeconfig.
pub async fn kubeconfig(tx: &mut Tx, tenant: TenantId, id: ClusterId) -> Result<Option<Vec<u8>>> {
    let found: Option<Option<Vec<u8>>> = tx
        .fetch_optional(
            "SELECT kubeconfig_sealed FROM cluster WHERE tenant_id = $1 AND id = $2",
            (tenant, id),
        )
        .await?;
    Ok(found.flatten())
}

/// Stores a sealed kubeconfig.
pub async fn set_kubeconfig(
    tx: &mut Tx,
    tenant: TenantId,
    id: ClusterId,
    sealed: &[u8],
) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE cluster SET kubeconfig_sealed = $1 WHERE tenant_id = $2 AND id = $3",
            (sealed, tenant, id),
        )
        .await?;
    Ok(changed == 1)
}

/// Every sealed kubeconfig of a tenant: for the rotation of its key.
pub async fn sealed_of_tenant(tx: &mut Tx, tenant: TenantId) -> Result<Vec<(ClusterId, Vec<u8>)>> {
    struct Sealed {
        id: ClusterId,
        kubeconfig_sealed: Vec<u8>,
    }
    from_row!(Sealed { id, kubeconfig_sealed });
    let rows: Vec<Sealed> = tx
        .fetch_all(
            "SELECT id, kubeconfig_sealed FROM cluster
             WHERE tenant_id = $1 AND kubeconfig_sealed IS NOT NULL",
            (tenant,),
        )
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.kubeconfig_sealed)).collect())
}

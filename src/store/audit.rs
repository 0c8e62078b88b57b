//! Audit records and their chain. What makes a chain is decided in `crate::audit`.

use super::{
    Cursor, ListQuery, Page, Result, Tx,
    page::{Key, Select, Sort},
    row::from_row,
};
use crate::{
    clock::Timestamp,
    error::Error,
    ids::{AuditId, ProjectId, TenantId},
    rbac::Reach,
};

/// One record, as stored.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// Identifier.
    pub id: AuditId,
    /// The tenant (or the system scope) whose trail this belongs to.
    pub tenant_id: TenantId,
    /// When it happened.
    pub at: Timestamp,
    /// The project, when the object belongs to one.
    pub project_id: Option<ProjectId>,
    /// `user`, `apiKey`, `agent`, `system` or `anonymous`.
    pub actor_kind: String,
    /// Who.
    pub actor_id: Option<String>,
    /// What, e.g. `cluster.import`.
    pub action: String,
    /// On what kind of object.
    pub object_kind: String,
    /// On which object.
    pub object_id: Option<String>,
    /// `success`, `denied` or `failed`.
    pub outcome: String,
    /// More, as JSON; never personal data or secrets.
    pub detail: String,
    /// The request.
    pub request_id: String,
    /// Where it came from.
    pub address: Option<String>,
    /// Keyed digest of all of the above, made when it was written.
    pub mac: Vec<u8>,
    /// Its place in the chain, from 1; absent for less than a second.
    pub position: Option<i64>,
    /// The digest that links it to the record before it.
    pub link: Option<[u8; 32]>,
}

from_row!(AuditRow {
    id,
    tenant_id,
    at,
    project_id,
    actor_kind,
    actor_id,
    action,
    object_kind,
    object_id,
    outcome,
    detail,
    request_id,
    address,
    mac,
    position,
    link,
});

const COLUMNS: &str = "id, tenant_id, at, project_id, actor_kind, actor_id, action, object_kind, \
    object_id, outcome, detail, request_id, address, mac, position, link";

/// Adds a record; it joins the chain later.
pub async fn insert(tx: &mut Tx, row: &AuditRow) -> Result<()> {
    tx.execute(
        "INSERT INTO audit_record (id, tenant_id, at, project_id, actor_kind, actor_id, action,
             object_kind, object_id, outcome, detail, request_id, address, mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        (
            row.id,
            row.tenant_id,
            row.at,
            row.project_id,
            &row.actor_kind,
            row.actor_id.clone(),
            &row.action,
            &row.object_kind,
            row.object_id.clone(),
            &row.outcome,
            &row.detail,
            &row.request_id,
            row.address.clone(),
            &row.mac,
        ),
    )
    .await
    .map(drop)
}

/// What to look for in a trail. Everything is optional.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// By whom.
    pub actor: Option<String>,
    /// An action, or with a trailing dot a whole component.
    pub action: Option<String>,
    /// The object.
    pub object: Option<String>,
    /// The outcome.
    pub outcome: Option<String>,
    /// The project.
    pub project: Option<ProjectId>,
}

fn matching(tenant: TenantId, reach: &Reach, filter: &AuditFilter) -> Select {
    let select = Select::new(COLUMNS, "audit_record")
        .filter("tenant_id = ?", tenant)
        .filter_some("at >= ?", filter.from)
        .filter_some("at < ?", filter.to)
        .filter_some("actor_id = ?", filter.actor.as_deref())
        .filter_some("object_id = ?", filter.object.as_deref())
        .filter_some("outcome = ?", filter.outcome.as_deref())
        .filter_some("project_id = ?", filter.project);
    let select = match filter.action.as_deref() {
        Some(action) if action.ends_with('.') => {
            select.filter("SUBSTR(action, 1, LENGTH(?)) = ?", action)
        }
        action => select.filter_some("action = ?", action),
    };
    match reach {
        Reach::Tenant => select,
        Reach::Projects(projects) => select.filter_in("project_id", projects.iter().copied()),
    }
}

/// One page of a trail, newest first unless asked otherwise.
pub async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    reach: &Reach,
    filter: &AuditFilter,
    list: &ListQuery,
) -> Result<Page<AuditRow>, Error> {
    matching(tenant, reach, filter).page(tx, list, SORTS, "id", key).await
}

const SORTS: &[Sort] = &[Sort::number("at", "at")];

fn key(row: &AuditRow, _sort: &str) -> (Key, String) {
    (Key::Int(row.at.as_micros()), row.id.to_string())
}

/// The next records of a trail and where to go on: a page that counts nothing.
pub async fn chunk(
    tx: &mut Tx,
    tenant: TenantId,
    reach: &Reach,
    filter: &AuditFilter,
    list: &ListQuery,
) -> Result<(Vec<AuditRow>, Option<Cursor>), Error> {
    matching(tenant, reach, filter).slice(tx, list, SORTS, "id", key).await
}

/// One record.
pub async fn find(
    tx: &mut Tx,
    tenant: TenantId,
    reach: &Reach,
    id: AuditId,
) -> Result<Option<AuditRow>> {
    let found = matching(tenant, reach, &AuditFilter::default())
        .filter("id = ?", id)
        .all(tx, "id", 1)
        .await?;
    Ok(found.into_iter().next())
}

/// Records that have not joined their chain, oldest first.
pub async fn unsealed(tx: &mut Tx, limit: u32) -> Result<Vec<AuditRow>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM audit_record WHERE position IS NULL ORDER BY at, id LIMIT {limit}"
        ),
        (),
    )
    .await
}

/// Gives a record its place in the chain; never changes one that has a place.
pub async fn seal(tx: &mut Tx, id: AuditId, position: i64, link: [u8; 32]) -> Result<()> {
    tx.execute(
        "UPDATE audit_record SET position = $1, link = $2 WHERE id = $3 AND position IS NULL",
        (position, link, id),
    )
    .await
    .map(drop)
}

/// Records of a chain from `position` on, in order.
pub async fn chain_from(
    tx: &mut Tx,
    tenant: TenantId,
    position: i64,
    limit: u32,
) -> Result<Vec<AuditRow>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM audit_record WHERE tenant_id = $1 AND position >= $2
             ORDER BY position LIMIT {limit}"
        ),
        (tenant, position),
    )
    .await
}

/// A signed statement that a chain had this digest at this position.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Whose chain.
    pub tenant_id: TenantId,
    /// Up to which record.
    pub position: i64,
    /// The link of that record.
    pub link: [u8; 32],
    /// When it was signed.
    pub at: Timestamp,
    /// Ed25519 signature over all of the above.
    pub signature: Vec<u8>,
}

from_row!(Checkpoint { tenant_id, position, link, at, signature });

/// Adds a checkpoint.
pub async fn insert_checkpoint(tx: &mut Tx, checkpoint: &Checkpoint) -> Result<()> {
    tx.execute(
        "INSERT INTO audit_checkpoint (tenant_id, position, link, at, signature)
         VALUES ($1, $2, $3, $4, $5)",
        (
            checkpoint.tenant_id,
            checkpoint.position,
            checkpoint.link,
            checkpoint.at,
            &checkpoint.signature,
        ),
    )
    .await
    .map(drop)
}

/// The newest checkpoint of a chain.
pub async fn last_checkpoint(tx: &mut Tx, tenant: TenantId) -> Result<Option<Checkpoint>> {
    tx.fetch_optional(
        "SELECT tenant_id, position, link, at, signature FROM audit_checkpoint
         WHERE tenant_id = $1 ORDER BY position DESC LIMIT 1",
        (tenant,),
    )
    .await
}

/// The newest checkpoint of every chain.
pub async fn last_checkpoints(tx: &mut Tx) -> Result<Vec<Checkpoint>> {
    tx.fetch_all(
        "SELECT c.tenant_id, c.position, c.link, c.at, c.signature FROM audit_checkpoint c
         JOIN (SELECT tenant_id, MAX(position) AS position FROM audit_checkpoint GROUP BY tenant_id) m
           ON m.tenant_id = c.tenant_id AND m.position = c.position",
        (),
    )
    .await
}

/// Checkpoints of a chain from `position` on, in order.
pub async fn checkpoints_from(
    tx: &mut Tx,
    tenant: TenantId,
    position: i64,
    limit: u32,
) -> Result<Vec<Checkpoint>> {
    tx.fetch_all(
        &format!(
            "SELECT tenant_id, position, link, at, signature FROM audit_checkpoint
             WHERE tenant_id = $1 AND position >= $2 ORDER BY position LIMIT {limit}"
        ),
        (tenant, position),
    )
    .await
}

/// How many records wait for their place, and since when the oldest waits.
pub async fn backlog(tx: &mut Tx) -> Result<(u32, Option<Timestamp>)> {
    struct Backlog {
        waiting: u32,
        oldest: Option<Timestamp>,
    }
    from_row!(Backlog { waiting, oldest });
    let backlog: Backlog = tx
        .fetch_one(
            "SELECT COUNT(*) AS waiting, MIN(at) AS oldest FROM audit_record WHERE position IS NULL",
            (),
        )
        .await?;
    Ok((backlog.waiting, backlog.oldest))
}

/// The position of records that this installation did not write: they stay in
/// sight, outside every chain.
const FORGED: i64 = -1;

/// Sets a record aside that carries no valid keyed digest; never one that has
/// its place in the chain.
pub async fn quarantine(tx: &mut Tx, id: AuditId) -> Result<()> {
    // Positions are unique in a tenant; forged records count downwards.
    tx.execute(
        "UPDATE audit_record SET position = (
             SELECT COALESCE(MIN(other.position), 0) - 1 FROM audit_record other
             WHERE other.tenant_id = audit_record.tenant_id AND other.position < 0)
         WHERE id = $1 AND position IS NULL",
        (id,),
    )
    .await
    .map(drop)
}

/// Records that were set aside.
pub async fn quarantined(tx: &mut Tx, tenant: TenantId, limit: u32) -> Result<Vec<AuditRow>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM audit_record WHERE tenant_id = $1 AND position <= $2
             ORDER BY position LIMIT {limit}"
        ),
        (tenant, FORGED),
    )
    .await
}

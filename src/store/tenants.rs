//! Tenants, and the system scope, which is stored as one.

use super::{
    ListQuery, Page, Result, Tx,
    page::{Key, Select, Sort},
    row::from_row,
};
use crate::{clock::Timestamp, error::Error, ids::TenantId};

/// A tenant.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Identifier.
    pub id: TenantId,
    /// Name, as people read it.
    pub name: String,
    /// The first label of its own host name.
    pub slug: String,
    /// `active` or `suspended`.
    pub state: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
}

from_row!(Tenant { id, name, slug, state, created_at, version });

const COLUMNS: &str = "id, name, slug, state, created_at, version";

/// Adds a tenant. `Duplicate` when the slug is taken.
pub async fn insert(tx: &mut Tx, tenant: &Tenant) -> Result<()> {
    tx.execute(
        "INSERT INTO tenant (id, name, slug, state, created_at, version)
         VALUES ($1, $2, $3, $4, $5, $6)",
        (tenant.id, &tenant.name, &tenant.slug, &tenant.state, tenant.created_at, tenant.version),
    )
    .await
    .map(drop)
}

/// The tenant with this identifier.
pub async fn find(tx: &mut Tx, id: TenantId) -> Result<Option<Tenant>> {
    tx.fetch_optional(&format!("SELECT {COLUMNS} FROM tenant WHERE id = $1"), (id,)).await
}

/// The tenant with this slug.
pub async fn find_by_slug(tx: &mut Tx, slug: &str) -> Result<Option<Tenant>> {
    tx.fetch_optional(&format!("SELECT {COLUMNS} FROM tenant WHERE slug = $1"), (slug,)).await
}

/// All tenants except the system scope, sorted by `name`, `slug` or `createdAt`.
pub async fn list(tx: &mut Tx, list: &ListQuery) -> Result<Page<Tenant>, Error> {
    const SORTS: &[Sort] = &[
        Sort::text("name", "name"),
        Sort::text("slug", "slug"),
        Sort::number("createdAt", "created_at"),
    ];
    Select::new(COLUMNS, "tenant")
        .filter("id <> ?", TenantId::SYSTEM)
        .search("name", list.search.as_deref())
        .page(tx, list, SORTS, "id", |tenant: &Tenant, sort| {
            let key = match sort {
                "slug" => Key::Text(tenant.slug.clone()),
                "createdAt" => Key::Int(tenant.created_at.as_micros()),
                _ => Key::Text(tenant.name.clone()),
            };
            (key, tenant.id.to_string())
        })
        .await
}

/// Every tenant but the system scope: for start-up.
pub async fn all_ids(tx: &mut Tx) -> Result<Vec<TenantId>> {
    tx.fetch_all("SELECT id FROM tenant WHERE id <> $1 ORDER BY id", (TenantId::SYSTEM,)).await
}

/// Changes name and state if `version` is current; answers whether it was.
pub async fn update(tx: &mut Tx, tenant: &Tenant, version: i64) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE tenant SET name = $1, state = $2, version = version + 1
             WHERE id = $3 AND version = $4",
            (&tenant.name, &tenant.state, tenant.id, version),
        )
        .await?;
    Ok(changed == 1)
}

/// Keeps every other transaction that calls this for the same tenant waiting
/// until this one ends: for decisions on several rows that two callers must not
/// make at the same time, each without seeing what the other one does.
pub async fn lock(tx: &mut Tx, id: TenantId) -> Result<()> {
    tx.execute("UPDATE tenant SET version = version WHERE id = $1", (id,)).await.map(drop)
}

/// Deletes a tenant with everything in it, except its audit records.
pub async fn delete(tx: &mut Tx, id: TenantId) -> Result<bool> {
    // Clusters refer to projects without a cascade, so that a project with
    // clusters cannot be deleted; here both go.
    tx.execute("DELETE FROM cluster WHERE tenant_id = $1", (id,)).await?;
    Ok(tx.execute("DELETE FROM tenant WHERE id = $1 AND id <> $2", (id, TenantId::SYSTEM)).await?
        == 1)
}

/// How many projects, users and clusters a tenant has.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Projects.
    pub projects: u32,
    /// Users that are not deleted.
    pub users: u32,
    /// Clusters.
    pub clusters: u32,
}

from_row!(Counts { projects, users, clusters });

/// Counts what is in a tenant.
pub async fn counts(tx: &mut Tx, id: TenantId) -> Result<Counts> {
    tx.fetch_one(
        "SELECT (SELECT COUNT(*) FROM project WHERE tenant_id = $1) AS projects,
                (SELECT COUNT(*) FROM app_user WHERE tenant_id = $1 AND state <> 'deleted') AS users,
                (SELECT COUNT(*) FROM cluster WHERE tenant_id = $1) AS clusters",
        (id,),
    )
    .await
}

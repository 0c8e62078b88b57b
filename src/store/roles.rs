//! Custom roles. The built-in ones are in `rbac`, not in the database.

use super::{Result, Tx, row::from_row};
use crate::{
    clock::Timestamp,
    ids::{RoleId, TenantId},
};

/// A custom role, as stored.
#[derive(Clone, Debug)]
pub struct RoleRow {
    /// Identifier.
    pub id: RoleId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Free text.
    pub description: String,
    /// `system`, `tenant` or `project`.
    pub scope: String,
    /// Names of permissions, separated by spaces.
    pub permissions: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
}

from_row!(RoleRow { id, name, description, scope, permissions, created_at, version });

const COLUMNS: &str = "id, name, description, scope, permissions, created_at, version";

/// Adds a role. `Duplicate` when the name is taken.
pub async fn insert(tx: &mut Tx, tenant: TenantId, role: &RoleRow) -> Result<()> {
    tx.execute(
        "INSERT INTO role (tenant_id, id, name, description, scope, permissions, created_at, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (
            tenant,
            role.id,
            &role.name,
            &role.description,
            &role.scope,
            &role.permissions,
            role.created_at,
            role.version,
        ),
    )
    .await
    .map(drop)
}

/// The custom role with this identifier.
pub async fn find(tx: &mut Tx, tenant: TenantId, id: RoleId) -> Result<Option<RoleRow>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM role WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// All custom roles of a tenant. There are few; lists are cut in memory
/// because the built-in ones belong to them.
pub async fn all(tx: &mut Tx, tenant: TenantId) -> Result<Vec<RoleRow>> {
    tx.fetch_all(&format!("SELECT {COLUMNS} FROM role WHERE tenant_id = $1"), (tenant,)).await
}

/// Changes a role if `version` is current; answers whether it was.
pub async fn update(tx: &mut Tx, tenant: TenantId, role: &RoleRow, version: i64) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE role SET name = $1, description = $2, permissions = $3, version = version + 1
             WHERE tenant_id = $4 AND id = $5 AND version = $6",
            (&role.name, &role.description, &role.permissions, tenant, role.id, version),
        )
        .await?;
    Ok(changed == 1)
}

/// Deletes a custom role and takes it from everybody who has it; answers
/// whether there was one. Built-in roles are not touched.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: RoleId) -> Result<bool> {
    let gone =
        tx.execute("DELETE FROM role WHERE tenant_id = $1 AND id = $2", (tenant, id)).await? == 1;
    if gone {
        tx.execute("DELETE FROM assignment WHERE tenant_id = $1 AND role_id = $2", (tenant, id))
            .await?;
    }
    Ok(gone)
}

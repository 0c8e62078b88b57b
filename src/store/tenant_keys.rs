//! Wrapped tenant keys. What wraps them is the keystore's business.

use super::{Result, Tx, row::from_row};
use crate::ids::TenantId;

/// One version of a tenant's key, wrapped by a root key.
#[derive(Clone, Debug)]
pub struct TenantKeyRow {
    /// Whose key.
    pub tenant_id: TenantId,
    /// Which version; the highest seals.
    pub key_version: u32,
    /// The root key that wraps it.
    pub root_key: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

from_row!(TenantKeyRow { tenant_id, key_version, root_key, wrapped });

/// Adds a version.
pub async fn insert(tx: &mut Tx, row: &TenantKeyRow) -> Result<()> {
    tx.execute(
        "INSERT INTO tenant_key (tenant_id, key_version, root_key, wrapped) VALUES ($1, $2, $3, $4)",
        (row.tenant_id, row.key_version, &row.root_key, &row.wrapped),
    )
    .await
    .map(drop)
}

/// The newest version of a tenant's key, `None` when the tenant is gone. In a
/// transaction that may write it stays the newest until the transaction ends:
/// SQLite has one writer, PostgreSQL takes a lock that [`lock`] waits for.
pub async fn newest(tx: &mut Tx, tenant: TenantId) -> Result<Option<u32>> {
    let sql = "SELECT key_version FROM tenant_key WHERE tenant_id = $1
               ORDER BY key_version DESC LIMIT 1";
    if !tx.is_postgres() || tx.is_reading() {
        return Ok(tx.fetch_optional::<i64>(sql, (tenant,)).await?.and_then(|n| n.try_into().ok()));
    }
    let sql = format!("{sql} FOR SHARE");
    // The row that it waited for may be gone then; the second look finds its successor.
    for _ in 0..2 {
        if let Some(found) = tx.fetch_optional::<i64>(&sql, (tenant,)).await? {
            return Ok(found.try_into().ok());
        }
    }
    Ok(None)
}

/// Keeps everybody from sealing with a tenant's keys until the transaction ends.
pub async fn lock(tx: &mut Tx, tenant: TenantId) -> Result<()> {
    tx.execute("UPDATE tenant_key SET wrapped = wrapped WHERE tenant_id = $1", (tenant,))
        .await
        .map(drop)
}

/// All versions of a tenant's key, newest first.
pub async fn of_tenant(tx: &mut Tx, tenant: TenantId) -> Result<Vec<TenantKeyRow>> {
    tx.fetch_all(
        "SELECT tenant_id, key_version, root_key, wrapped FROM tenant_key
         WHERE tenant_id = $1 ORDER BY key_version DESC",
        (tenant,),
    )
    .await
}

/// Every key of every tenant: for the rotation of the root key.
pub async fn all(tx: &mut Tx) -> Result<Vec<TenantKeyRow>> {
    tx.fetch_all(
        "SELECT tenant_id, key_version, root_key, wrapped FROM tenant_key
         ORDER BY tenant_id, key_version",
        (),
    )
    .await
}

/// Replaces the wrapping of one version.
pub async fn rewrap(tx: &mut Tx, row: &TenantKeyRow) -> Result<()> {
    tx.execute(
        "UPDATE tenant_key SET root_key = $1, wrapped = $2 WHERE tenant_id = $3 AND key_version = $4",
        (&row.root_key, &row.wrapped, row.tenant_id, row.key_version),
    )
    .await
    .map(drop)
}

/// Forgets versions before `key_version`, when nothing is sealed with them any more.
pub async fn delete_before(tx: &mut Tx, tenant: TenantId, key_version: u32) -> Result<()> {
    tx.execute(
        "DELETE FROM tenant_key WHERE tenant_id = $1 AND key_version < $2",
        (tenant, key_version),
    )
    .await
    .map(drop)
}

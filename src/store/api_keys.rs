//! API keys, of which only digests are stored.

use super::{
    ListQuery, Page, Result, Tx,
    page::{Key, Select, Sort},
    row::from_row,
};
use crate::{
    clock::Timestamp,
    error::Error,
    ids::{ApiKeyId, TenantId, UserId},
};

/// An API key.
#[derive(Clone, Debug)]
pub struct ApiKeyRow {
    /// The owner's tenant.
    pub tenant_id: TenantId,
    /// Identifier; part of the key's text.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// The owner.
    pub user_id: UserId,
    /// Digest of the secret.
    pub digest: [u8; 32],
    /// When it was created.
    pub created_at: Timestamp,
    /// Until when; absent: until it is deleted.
    pub expires_at: Option<Timestamp>,
    /// Roughly when it was last used.
    pub last_used_at: Option<Timestamp>,
}

from_row!(ApiKeyRow { tenant_id, id, name, user_id, digest, created_at, expires_at, last_used_at });

const COLUMNS: &str = "tenant_id, id, name, user_id, digest, created_at, expires_at, last_used_at";

/// Adds a key.
pub async fn insert(tx: &mut Tx, key: &ApiKeyRow) -> Result<()> {
    tx.execute(
        "INSERT INTO api_key (tenant_id, id, name, user_id, digest, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (key.tenant_id, key.id, &key.name, key.user_id, key.digest, key.created_at, key.expires_at),
    )
    .await
    .map(drop)
}

/// The key with this identifier in whatever tenant: for authentication, which
/// learns the tenant from the key.
pub async fn find_for_login(tx: &mut Tx, id: ApiKeyId) -> Result<Option<ApiKeyRow>> {
    tx.fetch_optional(&format!("SELECT {COLUMNS} FROM api_key WHERE id = $1"), (id,)).await
}

/// A key of the tenant.
pub async fn find(tx: &mut Tx, tenant: TenantId, id: ApiKeyId) -> Result<Option<ApiKeyRow>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM api_key WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// Keys of the tenant (or of one owner), sorted by `name` or `createdAt`.
pub async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    owner: Option<UserId>,
    list: &ListQuery,
) -> Result<Page<ApiKeyRow>, Error> {
    Select::new(COLUMNS, "api_key")
        .filter("tenant_id = ?", tenant)
        .filter_some("user_id = ?", owner)
        .search("name", list.search.as_deref())
        .page(
            tx,
            list,
            &[Sort::text("name", "name"), Sort::number("createdAt", "created_at")],
            "id",
            |key: &ApiKeyRow, sort| {
                let value = match sort {
                    "createdAt" => Key::Int(key.created_at.as_micros()),
                    _ => Key::Text(key.name.clone()),
                };
                (value, key.id.to_string())
            },
        )
        .await
}

/// Deletes a key.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: ApiKeyId) -> Result<bool> {
    Ok(tx.execute("DELETE FROM api_key WHERE tenant_id = $1 AND id = $2", (tenant, id)).await? == 1)
}

/// Notes that a key was used.
pub async fn note_use(tx: &mut Tx, tenant: TenantId, id: ApiKeyId, now: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE api_key SET last_used_at = $1 WHERE tenant_id = $2 AND id = $3",
        (now, tenant, id),
    )
    .await
    .map(drop)
}

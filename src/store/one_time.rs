//! One-time secrets of users: invitations, resets, tickets to change an
//! expired password. Only digests are stored.

use super::{Result, Tx, row::from_row};
use crate::{
    clock::Timestamp,
    ids::{TenantId, UserId},
};

/// A live one-time secret.
#[derive(Clone, Debug)]
pub struct OneTimeRow {
    /// The user's tenant.
    pub tenant_id: TenantId,
    /// Whom it is for.
    pub user_id: UserId,
    /// `invite`, `reset` or `change`.
    pub purpose: String,
    /// Until when.
    pub expires_at: Timestamp,
}

from_row!(OneTimeRow { tenant_id, user_id, purpose, expires_at });

/// Adds one and makes all earlier ones of the same user useless.
pub async fn replace(tx: &mut Tx, digest: [u8; 32], row: &OneTimeRow) -> Result<()> {
    tx.execute(
        "DELETE FROM one_time_secret WHERE tenant_id = $1 AND user_id = $2",
        (row.tenant_id, row.user_id),
    )
    .await?;
    tx.execute(
        "INSERT INTO one_time_secret (digest, tenant_id, user_id, purpose, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
        (digest, row.tenant_id, row.user_id, &row.purpose, row.expires_at),
    )
    .await
    .map(drop)
}

/// The unused, unexpired secret with this digest. It names its own tenant,
/// since whoever holds it is not logged in.
pub async fn find(tx: &mut Tx, digest: [u8; 32], now: Timestamp) -> Result<Option<OneTimeRow>> {
    tx.fetch_optional(
        "SELECT tenant_id, user_id, purpose, expires_at FROM one_time_secret
         WHERE digest = $1 AND used_at IS NULL AND expires_at > $2",
        (digest, now),
    )
    .await
}

/// Uses it up; answers whether this call was the one that did.
pub async fn use_up(tx: &mut Tx, digest: [u8; 32], now: Timestamp) -> Result<bool> {
    let used = tx
        .execute(
            "UPDATE one_time_secret SET used_at = $1
             WHERE digest = $2 AND used_at IS NULL AND expires_at > $1",
            (now, digest),
        )
        .await?;
    Ok(used == 1)
}

/// Makes every secret of a user useless.
pub async fn end_all(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<u64> {
    tx.execute("DELETE FROM one_time_secret WHERE tenant_id = $1 AND user_id = $2", (tenant, user))
        .await
}

/// Forgets what has expired.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM one_time_secret WHERE expires_at < $1", (before,)).await
}

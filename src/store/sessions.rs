//! Login sessions and their refresh tokens, of which only digests are stored.

use super::{Result, Tx, row::from_row};
use crate::{
    clock::Timestamp,
    ids::{SessionId, TenantId, UserId},
};

/// A login session.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// The user's tenant.
    pub tenant_id: TenantId,
    /// Identifier.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Login time.
    pub created_at: Timestamp,
    /// It cannot be refreshed after this.
    pub expires_at: Timestamp,
    /// When it was ended by logout, by an administrator or by theft of a token.
    pub ended_at: Option<Timestamp>,
    /// Where the login came from.
    pub address: Option<String>,
}

from_row!(SessionRow { tenant_id, id, user_id, created_at, expires_at, ended_at, address });

const COLUMNS: &str = "tenant_id, id, user_id, created_at, expires_at, ended_at, address";

/// Adds a session.
pub async fn insert(tx: &mut Tx, session: &SessionRow) -> Result<()> {
    tx.execute(
        "INSERT INTO session (tenant_id, id, user_id, created_at, expires_at, address)
         VALUES ($1, $2, $3, $4, $5, $6)",
        (
            session.tenant_id,
            session.id,
            session.user_id,
            session.created_at,
            session.expires_at,
            session.address.clone(),
        ),
    )
    .await
    .map(drop)
}

/// The session, also when it has ended.
pub async fn find(tx: &mut Tx, tenant: TenantId, id: SessionId) -> Result<Option<SessionRow>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM session WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// Ends one session; answers whether it was still live.
pub async fn end(tx: &mut Tx, tenant: TenantId, id: SessionId, now: Timestamp) -> Result<bool> {
    let ended = tx
        .execute(
            "UPDATE session SET ended_at = $1 WHERE tenant_id = $2 AND id = $3 AND ended_at IS NULL",
            (now, tenant, id),
        )
        .await?;
    Ok(ended == 1)
}

/// Ends every session of a user; answers how many were live.
pub async fn end_all(tx: &mut Tx, tenant: TenantId, user: UserId, now: Timestamp) -> Result<u64> {
    tx.execute(
        "UPDATE session SET ended_at = $1
         WHERE tenant_id = $2 AND user_id = $3 AND ended_at IS NULL",
        (now, tenant, user),
    )
    .await
}

/// Ends every session of a user but one; answers how many were live.
pub async fn end_others(
    tx: &mut Tx,
    tenant: TenantId,
    user: UserId,
    keep: SessionId,
    now: Timestamp,
) -> Result<u64> {
    tx.execute(
        "UPDATE session SET ended_at = $1
         WHERE tenant_id = $2 AND user_id = $3 AND id <> $4 AND ended_at IS NULL",
        (now, tenant, user, keep),
    )
    .await
}

/// Forgets sessions that expired before `before`.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM session WHERE expires_at < $1", (before,)).await
}

/// A refresh token, used or not.
#[derive(Clone, Debug)]
pub struct RefreshRow {
    /// The tenant of its session.
    pub tenant_id: TenantId,
    /// Its session.
    pub session_id: SessionId,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it was traded for the next one.
    pub used_at: Option<Timestamp>,
}

from_row!(RefreshRow { tenant_id, session_id, created_at, used_at });

/// Adds a refresh token to a session.
pub async fn insert_refresh(
    tx: &mut Tx,
    digest: [u8; 32],
    tenant: TenantId,
    session: SessionId,
    now: Timestamp,
) -> Result<()> {
    tx.execute(
        "INSERT INTO refresh_token (digest, tenant_id, session_id, created_at)
         VALUES ($1, $2, $3, $4)",
        (digest, tenant, session, now),
    )
    .await
    .map(drop)
}

/// The refresh token with this digest. It names its own tenant, since whoever
/// holds it is not logged in any more.
pub async fn find_refresh(tx: &mut Tx, digest: [u8; 32]) -> Result<Option<RefreshRow>> {
    tx.fetch_optional(
        "SELECT tenant_id, session_id, created_at, used_at FROM refresh_token WHERE digest = $1",
        (digest,),
    )
    .await
}

/// Uses it up; answers whether this call was the one that did.
pub async fn use_refresh(tx: &mut Tx, digest: [u8; 32], now: Timestamp) -> Result<bool> {
    let used = tx
        .execute(
            "UPDATE refresh_token SET used_at = $1 WHERE digest = $2 AND used_at IS NULL",
            (now, digest),
        )
        .await?;
    Ok(used == 1)
}

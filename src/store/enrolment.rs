//! Import tokens and the public keys of enrolled agents.

use super::{Result, Tx, row::from_row};
use crate::{
    clock::Timestamp,
    ids::{ClusterId, TenantId},
};

/// A live import token.
#[derive(Clone, Debug)]
pub struct ImportToken {
    /// The cluster's tenant.
    pub tenant_id: TenantId,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

from_row!(ImportToken { tenant_id, cluster_id, expires_at });

/// Adds a token and makes earlier ones of the cluster useless.
pub async fn replace_token(tx: &mut Tx, digest: [u8; 32], token: &ImportToken) -> Result<()> {
    tx.execute(
        "DELETE FROM import_token WHERE tenant_id = $1 AND cluster_id = $2",
        (token.tenant_id, token.cluster_id),
    )
    .await?;
    tx.execute(
        "INSERT INTO import_token (digest, tenant_id, cluster_id, expires_at)
         VALUES ($1, $2, $3, $4)",
        (digest, token.tenant_id, token.cluster_id, token.expires_at),
    )
    .await
    .map(drop)
}

/// The unused, unexpired token with this digest. It names its own tenant: an
/// agent has nothing else to show.
pub async fn find_token(
    tx: &mut Tx,
    digest: [u8; 32],
    now: Timestamp,
) -> Result<Option<ImportToken>> {
    tx.fetch_optional(
        "SELECT tenant_id, cluster_id, expires_at FROM import_token
         WHERE digest = $1 AND used_at IS NULL AND expires_at > $2",
        (digest, now),
    )
    .await
}

/// Uses it up; answers whether this call was the one that did.
pub async fn use_token(tx: &mut Tx, digest: [u8; 32], now: Timestamp) -> Result<bool> {
    let used = tx
        .execute(
            "UPDATE import_token SET used_at = $1
             WHERE digest = $2 AND used_at IS NULL AND expires_at > $1",
            (now, digest),
        )
        .await?;
    Ok(used == 1)
}

/// The token with this digest if somebody has used it, whether or not it has
/// expired meanwhile.
pub async fn find_used_token(tx: &mut Tx, digest: [u8; 32]) -> Result<Option<ImportToken>> {
    tx.fetch_optional(
        "SELECT tenant_id, cluster_id, expires_at FROM import_token
         WHERE digest = $1 AND used_at IS NOT NULL",
        (digest,),
    )
    .await
}

/// Forgets tokens that expired before then, used ones too.
pub async fn prune_tokens(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM import_token WHERE expires_at < $1", (before,)).await
}

/// The public key of an agent.
#[derive(Clone, Debug)]
pub struct AgentCredential {
    /// The nkey (`U…`).
    pub public_key: String,
    /// The cluster's tenant.
    pub tenant_id: TenantId,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// When the last issued JWT expires.
    pub expires_at: Timestamp,
    /// Since when the bus refuses it.
    pub revoked_at: Option<Timestamp>,
}

from_row!(AgentCredential { public_key, tenant_id, cluster_id, expires_at, revoked_at });

const COLUMNS: &str = "public_key, tenant_id, cluster_id, expires_at, revoked_at";

/// Adds the key of a newly enrolled agent. `Duplicate` when the key is known.
pub async fn insert_credential(tx: &mut Tx, credential: &AgentCredential) -> Result<()> {
    tx.execute(
        "INSERT INTO agent_credential (public_key, tenant_id, cluster_id, expires_at)
         VALUES ($1, $2, $3, $4)",
        (
            &credential.public_key,
            credential.tenant_id,
            credential.cluster_id,
            credential.expires_at,
        ),
    )
    .await
    .map(drop)
}

/// The key, revoked or not, in whatever tenant: an agent proves itself by its signature.
pub async fn find_credential(tx: &mut Tx, public_key: &str) -> Result<Option<AgentCredential>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM agent_credential WHERE public_key = $1"),
        (public_key,),
    )
    .await
}

/// The live key of a cluster's agent, if it has enrolled.
pub async fn of_cluster(
    tx: &mut Tx,
    tenant: TenantId,
    cluster: ClusterId,
) -> Result<Vec<AgentCredential>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM agent_credential WHERE tenant_id = $1 AND cluster_id = $2
             ORDER BY expires_at DESC"
        ),
        (tenant, cluster),
    )
    .await
}

/// Every live key of a tenant: for lists that show the state of credentials.
pub async fn live_of_tenant(tx: &mut Tx, tenant: TenantId) -> Result<Vec<AgentCredential>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM agent_credential WHERE tenant_id = $1 AND revoked_at IS NULL"
        ),
        (tenant,),
    )
    .await
}

/// The keys of every cluster that exists, revoked ones too: for start-up.
pub async fn of_clusters(tx: &mut Tx) -> Result<Vec<AgentCredential>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM agent_credential
             WHERE EXISTS (SELECT 1 FROM cluster WHERE cluster.id = agent_credential.cluster_id)"
        ),
        (),
    )
    .await
}

/// Notes that a new JWT was issued, unless the key is revoked; answers whether it was not.
pub async fn extend(
    tx: &mut Tx,
    tenant: TenantId,
    public_key: &str,
    expires_at: Timestamp,
) -> Result<bool> {
    let extended = tx
        .execute(
            "UPDATE agent_credential SET expires_at = $1
             WHERE tenant_id = $2 AND public_key = $3 AND revoked_at IS NULL",
            (expires_at, tenant, public_key),
        )
        .await?;
    Ok(extended == 1)
}

/// Revokes every key of a cluster and answers those that were live.
pub async fn revoke_cluster(
    tx: &mut Tx,
    tenant: TenantId,
    cluster: ClusterId,
    now: Timestamp,
) -> Result<Vec<String>> {
    tx.fetch_all(
        "UPDATE agent_credential SET revoked_at = $1
         WHERE tenant_id = $2 AND cluster_id = $3 AND revoked_at IS NULL RETURNING public_key",
        (now, tenant, cluster),
    )
    .await
}

/// Every revoked key whose last JWT has not expired: the bus must refuse these.
pub async fn revoked(tx: &mut Tx, now: Timestamp) -> Result<Vec<AgentCredential>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM agent_credential
             WHERE revoked_at IS NOT NULL AND expires_at > $1"
        ),
        (now,),
    )
    .await
}

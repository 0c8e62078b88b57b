//! What a POST with an idempotency key has led to.

use super::{Result, Tx, row::from_row};
use crate::{clock::Timestamp, ids::TenantId};

/// The remembered outcome of a request.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// Digest of what was asked for.
    pub fingerprint: [u8; 32],
    /// The outcome, sealed under the tenant's key.
    pub outcome_sealed: Vec<u8>,
}

from_row!(Remembered { fingerprint, outcome_sealed });

/// What `caller` got for this key.
pub async fn find(
    tx: &mut Tx,
    tenant: TenantId,
    caller: &str,
    key: &str,
) -> Result<Option<Remembered>> {
    tx.fetch_optional(
        "SELECT fingerprint, outcome_sealed FROM idempotency
         WHERE tenant_id = $1 AND caller = $2 AND idempotency_key = $3",
        (tenant, caller, key),
    )
    .await
}

/// Remembers an outcome. `Duplicate` when another request with the same key won.
pub async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    caller: &str,
    key: &str,
    remembered: &Remembered,
    now: Timestamp,
) -> Result<()> {
    tx.execute(
        "INSERT INTO idempotency
             (tenant_id, caller, idempotency_key, fingerprint, outcome_sealed, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        (tenant, caller, key, remembered.fingerprint, &remembered.outcome_sealed, now),
    )
    .await
    .map(drop)
}

/// Forgets what is older than `before`.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM idempotency WHERE created_at < $1", (before,)).await
}

/// Forgets everything of a tenant: its outcomes are sealed with a key that goes.
pub async fn forget_tenant(tx: &mut Tx, tenant: TenantId) -> Result<()> {
    tx.execute("DELETE FROM idempotency WHERE tenant_id = $1", (tenant,)).await.map(drop)
}

//! Small named settings of a tenant or of the system scope, as JSON.

use super::{Result, Tx, row::from_row};
use crate::ids::TenantId;

/// A stored setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// JSON.
    pub value: String,
    /// A part that must not be readable, sealed under the tenant's key.
    pub sealed: Option<Vec<u8>>,
    /// Counts its changes; 0 means that it was never set.
    pub version: i64,
}

from_row!(Setting { value, sealed, version });

/// The setting, if it was ever set.
pub async fn find(tx: &mut Tx, tenant: TenantId, name: &str) -> Result<Option<Setting>> {
    tx.fetch_optional(
        "SELECT value, sealed, version FROM setting WHERE tenant_id = $1 AND name = $2",
        (tenant, name),
    )
    .await
}

/// Sets it if `version` is current (0: never set); answers whether it was.
pub async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    name: &str,
    setting: &Setting,
    version: i64,
) -> Result<bool> {
    let changed = if version == 0 {
        tx.execute(
            "INSERT INTO setting (tenant_id, name, value, sealed, version)
             VALUES ($1, $2, $3, $4, 1) ON CONFLICT (tenant_id, name) DO NOTHING",
            (tenant, name, &setting.value, setting.sealed.clone()),
        )
        .await?
    } else {
        tx.execute(
            "UPDATE setting SET value = $1, sealed = $2, version = version + 1
             WHERE tenant_id = $3 AND name = $4 AND version = $5",
            (&setting.value, setting.sealed.clone(), tenant, name, version),
        )
        .await?
    };
    Ok(changed == 1)
}

/// Every setting of a tenant that has a sealed part: for the rotation of its key.
pub async fn sealed_of_tenant(tx: &mut Tx, tenant: TenantId) -> Result<Vec<(String, Vec<u8>)>> {
    struct Sealed {
        name: String,
        sealed: Vec<u8>,
    }
    from_row!(Sealed { name, sealed });
    let rows: Vec<Sealed> = tx
        .fetch_all(
            "SELECT name, sealed FROM setting WHERE tenant_id = $1 AND sealed IS NOT NULL",
            (tenant,),
        )
        .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.sealed)).collect())
}

/// Replaces only the sealed part; the setting itself has not changed.
pub async fn reseal(tx: &mut Tx, tenant: TenantId, name: &str, sealed: &[u8]) -> Result<()> {
    tx.execute(
        "UPDATE setting SET sealed = $1 WHERE tenant_id = $2 AND name = $3",
        (sealed, tenant, name),
    )
    .await
    .map(drop)
}

//! The one row that says which installation this database belongs to.

use super::{Result, Tx, row::from_row};
use crate::clock::Timestamp;

/// The installation.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The identifier of the keystore that this database was made with.
    pub keystore_id: String,
    /// When it was installed.
    pub created_at: Timestamp,
    /// The digest of the set-up code, until set-up is done.
    pub setup_digest: Option<[u8; 32]>,
    /// When set-up was completed.
    pub setup_done_at: Option<Timestamp>,
}

from_row!(Installation { keystore_id, created_at, setup_digest, setup_done_at });

/// The installation, unless the database is new.
pub async fn find(tx: &mut Tx) -> Result<Option<Installation>> {
    tx.fetch_optional(
        "SELECT keystore_id, created_at, setup_digest, setup_done_at FROM installation",
        (),
    )
    .await
}

/// Writes the row of a new installation.
pub async fn create(
    tx: &mut Tx,
    keystore_id: &str,
    sealed_keystore: &[u8],
    setup_digest: [u8; 32],
    now: Timestamp,
) -> Result<()> {
    tx.execute(
        "INSERT INTO installation (id, keystore_id, created_at, setup_digest, sealed_keystore)
         VALUES ('self', $1, $2, $3, $4)",
        (keystore_id, now, setup_digest, sealed_keystore),
    )
    .await
    .map(drop)
}

/// Replaces the digest of the set-up code while set-up is not done; answers
/// whether it was still open.
pub async fn set_setup_code(tx: &mut Tx, digest: [u8; 32]) -> Result<bool> {
    let changed = tx
        .execute("UPDATE installation SET setup_digest = $1 WHERE setup_done_at IS NULL", (digest,))
        .await?;
    Ok(changed == 1)
}

/// Ends set-up; answers whether it was still open.
pub async fn finish_setup(tx: &mut Tx, now: Timestamp) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE installation SET setup_digest = NULL, setup_done_at = $1
             WHERE setup_done_at IS NULL",
            (now,),
        )
        .await?;
    Ok(changed == 1)
}

/// Keeps the sealed copy of the keystore that a recovery needs.
pub async fn store_keystore(tx: &mut Tx, keystore_id: &str, sealed: &[u8]) -> Result<()> {
    tx.execute(
        "UPDATE installation SET keystore_id = $1, sealed_keystore = $2",
        (keystore_id, sealed),
    )
    .await
    .map(drop)
}

/// Keeps everybody else who changes the keystore waiting until the transaction ends.
pub async fn lock_keystore(tx: &mut Tx) -> Result<()> {
    tx.execute("UPDATE installation SET keystore_id = keystore_id", ()).await.map(drop)
}

/// The sealed copy of the keystore.
pub async fn sealed_keystore(tx: &mut Tx) -> Result<Option<Vec<u8>>> {
    tx.fetch_optional("SELECT sealed_keystore FROM installation", ()).await
}

/// Whether the database has our schema at all; a new one has not.
pub async fn is_there(tx: &mut Tx) -> Result<bool> {
    let catalogue = if tx.is_postgres() {
        "SELECT CAST(1 AS BIGINT) FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_name = 'installation'"
    } else {
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'installation'"
    };
    let found: Option<i64> = tx.fetch_optional(catalogue, ()).await?;
    Ok(found.is_some())
}

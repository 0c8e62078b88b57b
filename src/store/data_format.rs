//! Which versions have run on this data, and which still can.
//!
//! Owns: the one row that says so, and refusing data that is too new.
//! Must not know: what a version has changed.
//!
//! The row is raised before a version migrates: a migration that takes
//! something away is never seen by a version that still needs it.

use super::{Failure, Result, Store, StoreError, Tx, row::from_row};
use crate::release::{Build, Version};

/// What has run on the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFormat {
    /// The newest version that has.
    pub version: Version,
    /// The oldest version that can run on what it left.
    pub oldest_version: Version,
}

from_row!(DataFormat { version, oldest_version });

/// The row, unless no version has written it yet.
pub async fn find(tx: &mut Tx) -> Result<Option<DataFormat>> {
    let catalogue = if tx.is_postgres() {
        "SELECT CAST(1 AS BIGINT) FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_name = 'data_format'"
    } else {
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'data_format'"
    };
    let there: Option<i64> = tx.fetch_optional(catalogue, ()).await?;
    if there.is_none() {
        return Ok(None);
    }
    tx.fetch_optional("SELECT version, oldest_version FROM data_format", ()).await
}

/// Refuses data on which `build` cannot run any more.
pub async fn refuse_newer(tx: &mut Tx, build: &Build) -> Result<()> {
    match find(tx).await? {
        Some(found) if build.version < found.oldest_version => {
            let DataFormat { version, oldest_version } = found;
            Err(StoreError::new(
                Failure::TooNew,
                format!(
                    "the data was last used by version {version} and needs version \
                     {oldest_version} or newer; this is version {}",
                    build.version
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Says that `build` runs on the data from now on; it never says less than before.
async fn raise(store: &Store, build: &Build) -> Result<()> {
    loop {
        let mut tx = store.begin().await?;
        let Some(found) = find(&mut tx).await? else { return Ok(()) };
        let raised = DataFormat {
            version: found.version.clone().max(build.version.clone()),
            oldest_version: found.oldest_version.clone().max(build.oldest.clone()),
        };
        if raised == found {
            return Ok(());
        }
        // Another node may have raised it meanwhile; then it is looked at again.
        let changed = tx
            .execute(
                "UPDATE data_format SET version = $1, oldest_version = $2
                 WHERE version = $3 AND oldest_version = $4",
                (
                    raised.version.to_string(),
                    raised.oldest_version.to_string(),
                    found.version.to_string(),
                    found.oldest_version.to_string(),
                ),
            )
            .await?;
        tx.commit().await?;
        if changed == 1 {
            return Ok(());
        }
    }
}

async fn begin_with(store: &Store, build: &Build) -> Result<()> {
    let mut tx = store.begin().await?;
    if find(&mut tx).await?.is_some() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO data_format (id, version, oldest_version) VALUES ('self', $1, $2)
         ON CONFLICT (id) DO NOTHING",
        (build.version.to_string(), build.oldest.to_string()),
    )
    .await?;
    tx.commit().await
}

impl Store {
    /// What has run on the data; `None` for a database that is new or of a
    /// version before this was written down.
    pub async fn data_format(&self) -> Result<Option<DataFormat>> {
        find(&mut self.read().await?).await
    }

    /// The migrations that were made, by number.
    pub async fn migrations(&self) -> Result<Vec<i64>> {
        let mut tx = self.read().await?;
        tx.fetch_all("SELECT version FROM _sqlx_migrations ORDER BY version", ()).await
    }

    /// Refuses data on which `build` cannot run any more. Changes nothing.
    pub async fn refuse_newer_data(&self, build: &Build) -> Result<()> {
        refuse_newer(&mut self.read().await?, build).await
    }

    /// Brings the schema up to `build`, unless that cannot run on the data.
    pub async fn migrate_to(&self, build: &Build) -> Result<()> {
        self.refuse_newer_data(build).await?;
        raise(self, build).await?;
        self.run_migrations().await?;
        begin_with(self, build).await
    }
}

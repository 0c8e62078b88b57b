//! A standalone's data moved to PostgreSQL, while nothing runs.

use std::sync::Arc;

use super::{Offline, look, no_installation, open_keystore};
use crate::{
    app::{before_update, data_dir, install, start::open_store_within},
    audit::Event,
    config::{Config, Database},
    error::{Error, Kind, Result},
    ids::TenantId,
    keystore::Keystore,
    rbac::Actor,
    release::Build,
    store::{
        Store, data_format,
        transfer::{self, Listener, Snapshot, TableSum},
    },
};

impl Offline {
    /// Copies all data from SQLite to the PostgreSQL of the settings `to`, in one
    /// transaction that is committed only when both have the same rows and
    /// checksums. Nothing is written to the SQLite database: until `palisade
    /// serve` is started with `to`, and whenever this fails, the standalone goes
    /// on as it was. Safe to repeat until then.
    ///
    /// `Invalid` when these are not settings of a standalone and of the same
    /// appliance on PostgreSQL; `Conflict` when the data or that database is
    /// not fit for it; see [`transfer::run`].
    pub async fn move_storage(&self, to: &Config, progress: Listener<'_>) -> Result<Vec<TableSum>> {
        before_update::refuse_half_restored(&self.config)?;
        self.refuse_other_settings(to)?;
        let path = data_dir::database(&self.config.storage.data_dir);
        if !path.is_file() {
            return Err(no_installation());
        }
        let mut source = Snapshot::of(&path).await?;
        data_format::refuse_newer(source.tx(), &Build::own()).await?;
        let known = look(source.tx()).await?.ok_or_else(no_installation)?;
        // As the server will open it afterwards.
        let keystore = open_keystore(to, self.passphrase.as_ref(), Some(&known)).await?;
        let target = open_store_within(to, transfer::STATEMENT_LIMIT).await?;
        let moved = Box::pin(self.fill(&target, &mut source, keystore, progress)).await;
        target.close().await;
        moved
    }

    fn refuse_other_settings(&self, to: &Config) -> Result<()> {
        if self.config.storage.database != Database::Sqlite {
            let message = "must be sqlite in the present settings: that is what is moved";
            return Err(Error::invalid("storage.database", message));
        }
        if to.storage.database != Database::Postgres {
            let message = "must be postgres in the new settings: that is where it is moved to";
            return Err(Error::invalid("storage.database", message));
        }
        // What else is in it stays, and it is what this process holds.
        let place = |config: &Config| config.storage.data_dir.canonicalize().ok();
        if place(to) != place(&self.config) {
            let message = "must be the same directory in both settings";
            return Err(Error::invalid("storage.data_dir", message));
        }
        Ok(())
    }

    async fn fill(
        &self,
        target: &Store,
        source: &mut Snapshot,
        keystore: Keystore,
        progress: Listener<'_>,
    ) -> Result<Vec<TableSum>> {
        match install::known_installation(target).await? {
            Some(other) if other != keystore.installation_id().to_string() => {
                return Err(of_another(&other));
            }
            // What an earlier move has left, or data in use: not to be changed by a look.
            Some(_) => {}
            None => target.migrate().await?,
        }
        let ledger = self.ledger_on(target.clone(), Arc::new(keystore));
        let mut change = ledger.begin(&Actor::system(TenantId::SYSTEM)).await?;
        let moved = transfer::run(source, change.tx(), progress).await?;
        let rows: u64 = moved.iter().map(|table| table.rows).sum();
        let event = Event::new(transfer::RECORD).with("tables", moved.len()).with("rows", rows);
        change.commit(event).await.map_err(after_commit)?;
        Ok(moved)
    }
}

fn of_another(installation: &str) -> Error {
    let message = format!(
        "The database of the new settings belongs to installation {installation}. Nothing was \
         moved."
    );
    Error::new(Kind::Conflict, "storage-of-another", message)
        .with_hint("Name a database of this installation's own, an empty one.")
}

fn after_commit(error: Error) -> Error {
    if error.code() == "outcome-unknown" {
        return error.with_hint("Move again: what this may have left there is replaced.");
    }
    error
}

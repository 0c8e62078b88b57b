//! What is done while nothing runs: to the keystore (recovery, another recovery
//! kit, another seal), for people who cannot get in any more, and to move the
//! data into another database.
//!
//! Owns: the order of the steps, so that the keystore and its sealed copy in
//! the database stay together and a wrong kit changes nothing.
//! Must not know: where a kit or a passphrase was typed, or who reads the result.

mod check;
mod credentials;
mod recovery;
mod storage;

pub use check::check_recovery_kit;

use std::{path::Path, sync::Arc};

use super::{
    BeforeUpdate, before_update,
    data_dir::{self, Occupied},
    install,
    start::{open_store, prepare},
};
use crate::{
    audit::Event,
    clock::{Clock, Random, SystemClock, SystemRandom},
    config::{Config, Database},
    error::{Error, Kind, Result},
    ids::TenantId,
    keystore::{Keystore, RecoveryKit, SealMode, SealedInfo, Status},
    rbac::Actor,
    release::Version,
    secret::Secret,
    store::{self, Store, Tx},
    vault,
};

pub use credentials::{NodeCredentials, node_credentials};

/// An installation that nobody else uses meanwhile.
#[derive(Debug)]
pub struct Offline {
    config: Config,
    passphrase: Option<Secret<String>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    _occupied: Occupied,
}

/// Where a recovery takes the sealed keystore from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The keystore's directory, or the database when that has a newer copy.
    Newest,
    /// This copy, e.g. of a backup.
    Copy(Vec<u8>),
}

/// What the database knows of the keystore.
struct Known {
    installation: String,
    copy: Vec<u8>,
}

impl Offline {
    /// Takes the installation of `config`; `passphrase` is what somebody has
    /// typed, when the keystore is sealed by one. `Unavailable` (`data-directory-in-use`)
    /// while a server runs on it; `NotFound` when there is none.
    pub fn new(config: Config, passphrase: Option<Secret<String>>) -> Result<Self> {
        let directory = &config.storage.data_dir;
        if !directory.is_dir() {
            let message = format!("There is no data directory {}.", directory.display());
            return Err(Error::new(Kind::NotFound, "no-installation", message)
                .with_hint("Name it with --data-dir or with the settings file of the appliance."));
        }
        let occupied = Occupied::of_existing(directory)?;
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        Ok(Self { config, passphrase, clock, random, _occupied: occupied })
    }

    /// What may be shown of the keystore.
    pub async fn status(&self) -> Result<Status> {
        Ok(self.keystore().await?.status())
    }

    /// Puts the data back as it was before `version` first ran on it; without
    /// one, before the last update. `NotFound` when no copy was kept.
    pub async fn restore_before_update(&self, version: Option<Version>) -> Result<BeforeUpdate> {
        let config = self.config.clone();
        install::blocking(move || before_update::restore(&config, version.as_ref())).await
    }

    /// Opens the keystore with a recovery kit and seals it anew as the settings
    /// say. With a wrong kit nothing is changed.
    pub async fn recover(&self, source: Source, kit: &Secret<String>) -> Result<Status> {
        let known = self.known().await?;
        let directory = self.config.keystore.dir.clone();
        let copy = match source {
            Source::Copy(copy) => Some(copy),
            Source::Newest => newest(&directory, known.as_ref())?,
        };
        let info = match &copy {
            Some(copy) => Some(Keystore::inspect(copy)?),
            None => Keystore::inspect_directory(&directory)?,
        };
        refuse_foreign(info.as_ref(), known.as_ref())?;
        let seal = install::seal(&self.config, self.passphrase.as_ref())?;
        let (kit, random) = (kit.clone(), Arc::clone(&self.random));
        let keystore = install::blocking(move || {
            Keystore::recover(&directory, copy.as_deref(), &kit, seal, &*random)
        })
        .await?;
        self.conclude(keystore, known.as_ref(), "platform.recoverKeystore").await
    }

    /// Makes another recovery kit; the one before opens only older copies.
    pub async fn new_recovery_kit(&self) -> Result<RecoveryKit> {
        let known = self.known().await?;
        let keystore = self.keystore_beside(known.as_ref()).await?;
        self.keep_and_migrate(known.as_ref()).await?;
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let (keystore, kit) = install::blocking(move || {
            let kit = keystore.new_recovery_kit(&*clock, &*random)?;
            Ok((keystore, kit))
        })
        .await?;
        self.conclude(keystore, known.as_ref(), "platform.newRecoveryKit").await?;
        Ok(kit)
    }

    /// Seals the keystore in another way. The settings have to say the same
    /// from now on.
    pub async fn change_seal(&self, seal: SealMode) -> Result<Status> {
        let known = self.known().await?;
        let keystore = self.keystore_beside(known.as_ref()).await?;
        self.keep_and_migrate(known.as_ref()).await?;
        let random = Arc::clone(&self.random);
        let keystore = install::blocking(move || {
            keystore.change_seal(seal, &*random)?;
            Ok(keystore)
        })
        .await?;
        self.conclude(keystore, known.as_ref(), "platform.changeSeal").await
    }

    async fn keystore(&self) -> Result<Keystore> {
        self.keystore_beside(self.known().await?.as_ref()).await
    }

    /// The keystore as the settings open it, if it belongs to the database.
    async fn keystore_beside(&self, known: Option<&Known>) -> Result<Keystore> {
        open_keystore(&self.config, self.passphrase.as_ref(), known).await
    }

    async fn known(&self) -> Result<Option<Known>> {
        known(&self.config).await
    }

    /// The way back is kept before the keystore changes, not after.
    async fn keep_and_migrate(&self, known: Option<&Known>) -> Result<()> {
        if known.is_some() {
            self.migrated().await?.close().await;
        }
        Ok(())
    }

    /// The database as this version needs it; see [`prepare`].
    async fn migrated(&self) -> Result<Store> {
        let store = prepare(&self.config, self.clock.now()).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Gives the database the new copy, and a record of what was done.
    async fn conclude(
        &self,
        keystore: Keystore,
        known: Option<&Known>,
        action: &'static str,
    ) -> Result<Status> {
        let status = keystore.status();
        let Some(known) = known else { return Ok(status) };
        let keystore = Arc::new(keystore);
        let (store, ledger) = self.ledger_of(Arc::clone(&keystore)).await?;
        let mut change = ledger.begin(&Actor::system(TenantId::SYSTEM)).await?;
        install::store_copy(change.tx(), &keystore, &known.copy).await?;
        change.commit(Event::new(action).with("recoveryKit", status.kit_number.clone())).await?;
        store.close().await;
        Ok(status)
    }
}

/// The keystore as these settings open it, if it belongs to the database.
async fn open_keystore(
    config: &Config,
    passphrase: Option<&Secret<String>>,
    known: Option<&Known>,
) -> Result<Keystore> {
    let directory = config.keystore.dir.clone();
    let unlock = install::unlock(config, passphrase)?;
    let keystore = install::blocking(move || Keystore::open(&directory, unlock)).await?;
    if let Some(known) = known {
        vault::refuse_foreign(&keystore.installation_id().to_string(), &known.installation)?;
        install::refuse_older(&keystore, &known.copy)?;
    }
    Ok(keystore)
}

/// The installation of the database, if there is one already. `Conflict`
/// (`restore-incomplete`) when a part of the data is of another time.
async fn known(config: &Config) -> Result<Option<Known>> {
    before_update::refuse_half_restored(config)?;
    // Opening would make the file.
    if config.storage.database == Database::Sqlite
        && !data_dir::database(&config.storage.data_dir).exists()
    {
        return Ok(None);
    }
    let store = open_store(config).await?;
    let known = async { look(&mut store.read().await?).await }.await;
    store.close().await;
    known
}

/// Refuses a keystore of another installation than the database's.
fn refuse_foreign(info: Option<&SealedInfo>, known: Option<&Known>) -> Result<()> {
    let (Some(info), Some(known)) = (info, known) else { return Ok(()) };
    vault::refuse_foreign(&info.installation.to_string(), &known.installation)
}

async fn look(tx: &mut Tx) -> Result<Option<Known>> {
    let Some(installation) = install::installation_of(tx).await? else { return Ok(None) };
    let copy = store::installation::sealed_keystore(tx).await?;
    Ok(copy.map(|copy| Known { installation, copy }))
}

fn no_installation() -> Error {
    let message = "There is no installation yet: the management plane has never run.";
    Error::new(Kind::NotFound, "no-installation", message)
}

/// The copy of the database, unless the directory has one that is as new.
fn newest(directory: &Path, known: Option<&Known>) -> Result<Option<Vec<u8>>> {
    let Some(known) = known else { return Ok(None) };
    let copy = Keystore::inspect(&known.copy)?;
    // One that cannot be read is what the copy is for.
    let own = Keystore::inspect_directory(directory).ok().flatten();
    let is_as_new = own.is_some_and(|own| {
        own.installation != copy.installation || own.generation >= copy.generation
    });
    Ok((!is_as_new).then(|| known.copy.clone()))
}

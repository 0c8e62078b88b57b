//! The first start, and recognising one's own installation at every other.
//!
//! Order matters: whatever could refuse the start is looked at before anything
//! is written. A keystore without a database is an installation that stopped
//! half-way (or a new database for an old keystore): it is finished. A database
//! without its keystore is refused: its sealed columns would be lost for good.

use std::sync::Arc;

use crate::{
    clock::{Clock, Random},
    config::{Config, Seal},
    error::{Error, Kind, Result},
    identity::SetupCode,
    ids::TenantId,
    keystore::{Keystore, SealMode, Unlock},
    secret::Secret,
    store::{self, Store, tenants::Tenant},
    vault::{self, Vault},
};

/// Opens the keystore, or creates one for a database that is still empty.
pub(super) async fn keystore(
    config: &Config,
    store: &Store,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Keystore> {
    let known = known_installation(store).await?;
    let directory = config.keystore.dir.clone();
    if Keystore::exists(&directory) {
        let unlock = unlock(config)?;
        let keystore = blocking(move || Keystore::open(&directory, unlock)).await?;
        if let Some(id) = known {
            vault::refuse_foreign(&keystore.installation_id().to_string(), &id)?;
        }
        return Ok(keystore);
    }
    if let Some(id) = known {
        return Err(Error::new(
            Kind::Internal,
            "keystore-missing",
            format!(
                "The database belongs to installation {id}, but there is no keystore in {}. \
                 Nothing was changed.",
                directory.display()
            ),
        )
        .with_hint(
            "Put the keystore back, or run `palisade keys recover` with the recovery kit.",
        ));
    }
    let seal = seal(config)?;
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    // The kit made here is thrown away: set-up makes the one that is printed.
    let (keystore, _) =
        blocking(move || Keystore::create(&directory, seal, &*clock, &*random)).await?;
    Ok(keystore)
}

/// Runs what blocks on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// The installation that this database belongs to; `None` for an empty one.
async fn known_installation(store: &Store) -> Result<Option<String>> {
    let mut tx = store.read().await?;
    if !store::installation::is_there(&mut tx).await? {
        return Ok(None);
    }
    Ok(store::installation::find(&mut tx).await?.map(|found| found.keystore_id))
}

fn passphrase(config: &Config) -> Result<Secret<String>> {
    match &config.keystore.passphrase_file {
        Some(file) => file.read().map_err(|error| unusable_secret(&error)),
        None => Err(Error::invalid(
            "keystore.passphrase_file",
            "the keystore is sealed with a passphrase: name the file that holds it",
        )),
    }
}

fn unusable_secret(error: &dyn std::error::Error) -> Error {
    Error::new(Kind::Invalid, "secret-file", format!("{error}."))
}

fn unlock(config: &Config) -> Result<Unlock> {
    Ok(match (config.keystore.seal, &config.keystore.seal_key_file) {
        (Seal::Passphrase, _) => Unlock::Passphrase(passphrase(config)?),
        (Seal::Unattended, Some(file)) => Unlock::KeyFile(file.path().to_owned()),
        (Seal::Unattended, None) => Unlock::Unattended,
    })
}

fn seal(config: &Config) -> Result<SealMode> {
    Ok(match (config.keystore.seal, &config.keystore.seal_key_file) {
        (Seal::Passphrase, _) => SealMode::Passphrase(passphrase(config)?),
        (Seal::Unattended, Some(file)) => SealMode::KeyFile(file.path().to_owned()),
        (Seal::Unattended, None) => SealMode::Unattended,
    })
}

/// Writes what every installation has: its own row and the system scope.
/// Safe to repeat; does nothing on an installed database.
pub(super) async fn ensure(
    store: &Store,
    vault: &Vault,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<()> {
    let mut tx = store.begin().await?;
    if store::installation::find(&mut tx).await?.is_some() {
        return Ok(());
    }
    let now = clock.now();
    let keystore = vault.keystore();
    let id = keystore.installation_id().to_string();
    let code = *SetupCode::random(random).digest().as_bytes();
    store::installation::create(&mut tx, &id, &keystore.export_sealed(), code, now).await?;
    let system = Tenant {
        id: TenantId::SYSTEM,
        name: "System".to_owned(),
        slug: "system".to_owned(),
        state: "active".to_owned(),
        created_at: now,
        version: 1,
    };
    store::tenants::insert(&mut tx, &system).await?;
    vault.create_key(&mut tx, TenantId::SYSTEM).await?;
    Ok(tx.commit().await?)
}

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
    store::{self, Store, Tx, tenants::Tenant},
    vault::{self, Vault},
};

/// Opens the keystore, or creates one for a database that is still empty.
pub(super) async fn keystore(
    config: &Config,
    passphrase: Option<&Secret<String>>,
    store: &Store,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Result<Keystore> {
    let known = known_installation(store).await?;
    let directory = config.keystore.dir.clone();
    if Keystore::exists(&directory) {
        let unlock = unlock(config, passphrase)?;
        let keystore = blocking(move || Keystore::open(&directory, unlock)).await?;
        let Some(id) = known else { return Ok(keystore) };
        vault::refuse_foreign(&keystore.installation_id().to_string(), &id)?;
        let copy = store::installation::sealed_keystore(&mut store.read().await?).await?;
        return blocking(move || adopt(keystore, &copy.unwrap_or_default())).await;
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
            "Put the keystore back, or open its copy in the database with the recovery kit: F8 on \
             the appliance's console; elsewhere `palisade keys recover`.",
        ));
    }
    let seal = seal(config, passphrase)?;
    let (clock, random) = (Arc::clone(clock), Arc::clone(random));
    // The kit made here is thrown away: set-up makes the one that is printed.
    let (keystore, _) =
        blocking(move || Keystore::create(&directory, seal, &*clock, &*random)).await?;
    Ok(keystore)
}

/// The keystore as new as its copy in the database: another node may have
/// changed it while this one was down. Refused when that is sealed in another
/// way, or has changed apart from this one.
fn adopt(keystore: Keystore, copy: &[u8]) -> Result<Keystore> {
    let adopted = keystore.adopt(copy);
    if adopted.as_ref().is_ok_and(|was_newer| *was_newer) {
        tracing::info!("the keystore was brought up to date with its copy in the database");
    }
    // Why it cannot be used says less than what is wrong with it.
    refuse_older(&keystore, copy).map_err(|refused| match adopted {
        Err(error) => refused.caused_by(error),
        Ok(_) => refused,
    })?;
    Ok(keystore)
}

/// Refuses a keystore that is older than its copy in the database: it may lack
/// keys that the database needs by now, and a change of it would fork the two.
pub(super) fn refuse_older(keystore: &Keystore, copy: &[u8]) -> Result<()> {
    let (own, known) = (keystore.status().generation, Keystore::inspect(copy)?.generation);
    // Every change is sealed with fresh randomness: equal counts and other
    // bytes are two histories.
    if own > known || (own == known && keystore.export_sealed() == copy) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict,
        "keystore-rolled-back",
        format!(
            "The keystore is not the one that the database was last used with (change {own} \
             against {known}): an older one was put back. Nothing was changed."
        ),
    )
    .with_hint(
        "Put the newest keystore back, or open its copy in the database with the recovery kit: F8 \
         on the appliance's console; elsewhere `palisade keys recover`.",
    ))
}

/// Gives the database the copy of this moment instead of `known`, unless another
/// node has changed the keystore meanwhile.
pub(super) async fn store_copy(tx: &mut Tx, keystore: &Keystore, known: &[u8]) -> Result<()> {
    store::installation::lock_keystore(tx).await?;
    let copy = store::installation::sealed_keystore(tx).await?;
    if copy.is_some_and(|copy| copy != known) {
        return Err(Error::new(
            Kind::Conflict,
            "keystore-forked",
            "Another node has changed the keystore at the same time. The change of this one \
             counts for nothing.",
        )
        .with_hint(
            "Run `palisade keys recover` with the recovery kit: it takes the copy of the database.",
        ));
    }
    let id = keystore.installation_id().to_string();
    Ok(store::installation::store_keystore(tx, &id, &keystore.export_sealed()).await?)
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// The installation that this database belongs to; `None` for an empty one.
pub(super) async fn known_installation(store: &Store) -> Result<Option<String>> {
    installation_of(&mut store.read().await?).await
}

/// The same, where one looks already.
pub(super) async fn installation_of(tx: &mut Tx) -> Result<Option<String>> {
    if !store::installation::is_there(tx).await? {
        return Ok(None);
    }
    Ok(store::installation::find(tx).await?.map(|found| found.keystore_id))
}

/// The passphrase: of the settings' file, else the one that somebody has typed.
fn passphrase(config: &Config, typed: Option<&Secret<String>>) -> Result<Secret<String>> {
    match (&config.keystore.passphrase_file, typed) {
        (Some(file), _) => file.read().map_err(|error| unusable_secret(&error)),
        (None, Some(typed)) => Ok(typed.clone()),
        (None, None) => Err(Error::invalid(
            "keystore.passphrase_file",
            "the keystore is sealed with a passphrase: name the file that holds it, or start \
             palisade on a terminal",
        )),
    }
}

fn unusable_secret(error: &dyn std::error::Error) -> Error {
    Error::new(Kind::Invalid, "secret-file", format!("{error}."))
}

pub(super) fn unlock(config: &Config, typed: Option<&Secret<String>>) -> Result<Unlock> {
    Ok(match (config.keystore.seal, &config.keystore.seal_key_file) {
        (Seal::Passphrase, _) => Unlock::Passphrase(passphrase(config, typed)?),
        (Seal::Unattended, Some(file)) => Unlock::KeyFile(file.path().to_owned()),
        (Seal::Unattended, None) => Unlock::Unattended,
    })
}

pub(super) fn seal(config: &Config, typed: Option<&Secret<String>>) -> Result<SealMode> {
    Ok(match (config.keystore.seal, &config.keystore.seal_key_file) {
        (Seal::Passphrase, _) => SealMode::Passphrase(passphrase(config, typed)?),
        (Seal::Unattended, Some(file)) => SealMode::KeyFile(file.path().to_owned()),
        (Seal::Unattended, None) => SealMode::Unattended,
    })
}

/// Writes what every installation has: its own row and the system scope. On an
/// installed database only the copy of the keystore is brought up to date.
pub(super) async fn ensure(
    store: &Store,
    vault: &Vault,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<()> {
    let mut tx = store.begin().await?;
    if store::installation::find(&mut tx).await?.is_some() {
        drop(tx);
        return vault.follow(store).await;
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

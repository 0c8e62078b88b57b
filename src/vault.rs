//! Tenants' keys in use: sealing and opening columns.
//!
//! Owns: the opened keys of tenants in memory, and the operations that touch
//! every sealed column (rotation of a tenant's key, of the root key).
//! Must not know: what a sealed column means.
//!
//! Every sealed column of the product is listed in [`Vault::rotate_tenant`];
//! whoever adds one adds it there, or rotation would make it unreadable.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    clock::{Clock, Random},
    error::{Error, Kind, Result},
    ids::TenantId,
    keystore::{Keystore, Place, TenantKey, Wrapped},
    secret::Secret,
    store::{self, Tx, tenant_keys::TenantKeyRow},
};

/// The keys of all tenants.
#[derive(Debug)]
pub struct Vault {
    keystore: Arc<Keystore>,
    random: Arc<dyn Random>,
    rings: RwLock<HashMap<TenantId, Arc<Keyring>>>,
}

/// The keys of one tenant: the newest seals, all of them open.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<TenantKey>,
    random: Arc<dyn Random>,
}

impl Keyring {
    /// Seals a value for one place: it opens nowhere else.
    pub fn seal(&self, table: &str, column: &str, row: &str, plain: &[u8]) -> Vec<u8> {
        self.keys[0].seal(Place { table, column, row }, plain, &*self.random)
    }

    /// Opens what was sealed for this place.
    pub fn open(
        &self,
        table: &str,
        column: &str,
        row: &str,
        sealed: &[u8],
    ) -> Result<Secret<Vec<u8>>> {
        let version = TenantKey::sealed_version(sealed);
        let key = self.keys.iter().find(|key| Some(key.version()) == version);
        let key =
            key.ok_or_else(|| Error::internal(format!("no key for {table}.{column} of {row}")))?;
        key.open(Place { table, column, row }, sealed)
    }

    /// Opens a text.
    pub fn open_text(&self, table: &str, column: &str, row: &str, sealed: &[u8]) -> Result<String> {
        let plain = self.open(table, column, row, sealed)?;
        String::from_utf8(plain.expose().clone()).map_err(Error::internal)
    }

    fn newest(&self) -> u32 {
        self.keys[0].version()
    }
}

impl Vault {
    /// A vault over an opened keystore.
    pub fn new(keystore: Arc<Keystore>, random: Arc<dyn Random>) -> Self {
        Self { keystore, random, rings: RwLock::default() }
    }

    /// The keystore behind it.
    pub fn keystore(&self) -> &Arc<Keystore> {
        &self.keystore
    }

    /// The keys of a tenant, as `tx` sees them. `NotFound` when the tenant is gone.
    ///
    /// What is in memory is asked for its age in the caller's transaction: whoever
    /// sealed with a key that another transaction has just replaced would write
    /// what nobody can open any more.
    pub async fn ring(&self, tx: &mut Tx, tenant: TenantId) -> Result<Arc<Keyring>> {
        let newest = store::tenant_keys::newest(tx, tenant).await?;
        let newest = newest.ok_or_else(|| Error::not_found("tenant"))?;
        if let Some(ring) = self.rings.read().unwrap_or_else(PoisonError::into_inner).get(&tenant)
            && ring.newest() == newest
        {
            return Ok(Arc::clone(ring));
        }
        let rows = store::tenant_keys::of_tenant(tx, tenant).await?;
        let ring = Arc::new(self.open_ring(&rows)?);
        self.rings
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tenant, Arc::clone(&ring));
        Ok(ring)
    }

    fn open_ring(&self, rows: &[TenantKeyRow]) -> Result<Keyring> {
        let keys: Result<Vec<_>> = rows
            .iter()
            .map(|row| {
                let wrapped = wrapped(row)?;
                self.keystore.unwrap_tenant_key(row.tenant_id, row.key_version, &wrapped)
            })
            .collect();
        let keys = keys?;
        if keys.is_empty() {
            return Err(Error::not_found("tenant"));
        }
        Ok(Keyring { keys, random: Arc::clone(&self.random) })
    }

    /// Forgets the keys of a deleted tenant.
    pub fn forget(&self, tenant: TenantId) {
        self.rings.write().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
    }

    /// Makes the first key of a new tenant.
    pub async fn create_key(&self, tx: &mut Tx, tenant: TenantId) -> Result<()> {
        self.insert_key(tx, tenant, 1).await
    }

    async fn insert_key(&self, tx: &mut Tx, tenant: TenantId, version: u32) -> Result<()> {
        // A key wrapped while the root key is being replaced must not be missed:
        // both wait for the same row.
        store::tenants::lock(tx, TenantId::SYSTEM).await?;
        let (_, wrapped) = self.keystore.new_tenant_key(tenant, version, &*self.random);
        let row = TenantKeyRow {
            tenant_id: tenant,
            key_version: version,
            root_key: wrapped.root.to_string(),
            wrapped: wrapped.bytes,
        };
        Ok(store::tenant_keys::insert(tx, &row).await?)
    }

    /// Gives a tenant a new key and seals everything with it, in the caller's
    /// transaction. Answers the new version.
    pub async fn rotate_tenant(&self, tx: &mut Tx, tenant: TenantId) -> Result<u32> {
        // In the order of `rotate_root`, so that neither waits for the other for ever.
        store::tenants::lock(tx, TenantId::SYSTEM).await?;
        store::tenant_keys::lock(tx, tenant).await?;
        let rows = store::tenant_keys::of_tenant(tx, tenant).await?;
        let old = self.open_ring(&rows)?;
        let version = old.newest() + 1;
        self.insert_key(tx, tenant, version).await?;
        let rows = store::tenant_keys::of_tenant(tx, tenant).await?;
        let new = self.open_ring(&rows)?;
        let again = |table, column, row: &str, sealed: &[u8]| -> Result<Vec<u8>> {
            Ok(new.seal(table, column, row, old.open(table, column, row, sealed)?.expose()))
        };
        for mut user in store::users::all(tx, tenant).await? {
            let row = user.id.to_string();
            user.email_sealed =
                user.email_sealed.map(|s| again("app_user", "email", &row, &s)).transpose()?;
            user.name_sealed =
                user.name_sealed.map(|s| again("app_user", "name", &row, &s)).transpose()?;
            store::users::reseal(tx, &user).await?;
        }
        for (cluster, sealed) in store::clusters::sealed_of_tenant(tx, tenant).await? {
            let sealed = again("cluster", "kubeconfig", &cluster.to_string(), &sealed)?;
            store::clusters::set_kubeconfig(tx, tenant, cluster, &sealed).await?;
        }
        for (name, sealed) in store::settings::sealed_of_tenant(tx, tenant).await? {
            let sealed = again("setting", "sealed", &name, &sealed)?;
            store::settings::reseal(tx, tenant, &name, &sealed).await?;
        }
        store::idempotency::forget_tenant(tx, tenant).await?;
        store::tenant_keys::delete_before(tx, tenant, version).await?;
        Ok(version)
    }

    /// Wraps every tenant's key with a new root key. Both root keys are on disk
    /// until the database holds only new wrappings, so a crash at any point
    /// leaves every key readable; running it again finishes the job.
    pub async fn rotate_root(&self, store: &store::Store, clock: &dyn Clock) -> Result<()> {
        self.keystore.begin_root_rotation(clock, &*self.random)?;
        let mut tx = store.begin().await?;
        store::tenants::lock(&mut tx, TenantId::SYSTEM).await?;
        for mut row in store::tenant_keys::all(&mut tx).await? {
            let wrapped = wrapped(&row)?;
            let wrapped =
                self.keystore.rewrap(row.tenant_id, row.key_version, &wrapped, &*self.random)?;
            row.root_key = wrapped.root.to_string();
            row.wrapped = wrapped.bytes;
            store::tenant_keys::rewrap(&mut tx, &row).await?;
        }
        let id = self.keystore.installation_id().to_string();
        store::installation::store_keystore(&mut tx, &id, &self.keystore.export_sealed()).await?;
        tx.commit().await?;
        self.keystore.finish_root_rotation(&*self.random)?;
        let mut tx = store.begin().await?;
        store::installation::store_keystore(&mut tx, &id, &self.keystore.export_sealed()).await?;
        Ok(tx.commit().await?)
    }
}

/// A stored key as the keystore takes it.
fn wrapped(row: &TenantKeyRow) -> Result<Wrapped> {
    let root = row.root_key.parse().map_err(Error::internal)?;
    Ok(Wrapped { root, bytes: row.wrapped.clone() })
}

/// Refuses a database that was made with another keystore: opening its
/// columns would fail one by one later, and writing would mix two installations.
pub fn refuse_foreign(keystore_id: &str, database_id: &str) -> Result<()> {
    if keystore_id == database_id {
        return Ok(());
    }
    Err(Error::new(
        Kind::Internal,
        "wrong-keystore",
        format!(
            "The database belongs to installation {database_id}, but the keystore is of \
             installation {keystore_id}. Nothing was changed."
        ),
    )
    .with_hint(
        "Put the right keystore in place, or open its copy with the recovery kit: F8 on the \
         appliance's console; elsewhere `palisade keys recover`.",
    ))
}

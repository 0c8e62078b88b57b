//! Tenants' keys in use: sealing and opening columns.
//!
//! Owns: the opened keys of tenants in memory, the operations that touch every
//! sealed column (rotation of a tenant's key, of the root key), and keeping the
//! keystore in step with its copy in the database.
//! Must not know: what a sealed column means.
//!
//! Several nodes may work on one database, each with a keystore of its own. The
//! copy in the database is the newest: a change is drafted and stored under a
//! lock of the database, and after the commit every node adopts it, the one that
//! has drafted it at once. So two nodes cannot change it in two ways, and a node
//! that stops in between has an older keystore and no other one.
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
    store::{self, Store, Tx, tenant_keys::TenantKeyRow},
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
        let mut ring = self.open_ring(&rows);
        let is_unknown = ring.as_ref().is_err_and(|error| error.code() == "root-key-unknown");
        if is_unknown && self.catch_up(tx).await? {
            // Another node has made a new root key.
            ring = self.open_ring(&rows);
        }
        let ring = Arc::new(ring?);
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
        self.catch_up(tx).await?;
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
        self.catch_up(tx).await?;
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
    pub async fn rotate_root(&self, store: &Store, clock: &Arc<dyn Clock>) -> Result<()> {
        let mut tx = store.begin().await?;
        store::tenants::lock(&mut tx, TenantId::SYSTEM).await?;
        let clock = Arc::clone(clock);
        let begun = self.draft(&mut tx, move |keystore, random| {
            Ok(((), keystore.draft_root_rotation(&*clock, random)?))
        });
        let ((), begun) = begun.await?;
        tx.commit().await?;
        self.adopt(begun).await?;

        let mut tx = store.begin().await?;
        // Whoever adds a key waits here, and has the new root key then.
        store::tenants::lock(&mut tx, TenantId::SYSTEM).await?;
        self.catch_up(&mut tx).await?;
        for mut row in store::tenant_keys::all(&mut tx).await? {
            let wrapped = wrapped(&row)?;
            let wrapped =
                self.keystore.rewrap(row.tenant_id, row.key_version, &wrapped, &*self.random)?;
            row.root_key = wrapped.root.to_string();
            row.wrapped = wrapped.bytes;
            store::tenant_keys::rewrap(&mut tx, &row).await?;
        }
        let ended = self.draft(&mut tx, |keystore, random| {
            Ok(((), keystore.draft_end_of_root_rotation(random)?))
        });
        let ((), ended) = ended.await?;
        tx.commit().await?;
        self.adopt(ended).await
    }

    /// Drafts a change of the keystore and stores it with the caller's
    /// transaction. Nobody else changes the keystore before that ends. Adopt the
    /// draft after the commit.
    ///
    /// `Conflict` (`keystore-forked`) when the keystore is not the database's;
    /// otherwise as the draft itself.
    pub async fn draft<T: Send + 'static>(
        &self,
        tx: &mut Tx,
        draft: impl FnOnce(&Keystore, &dyn Random) -> Result<(T, Option<Vec<u8>>)> + Send + 'static,
    ) -> Result<(T, Draft)> {
        store::installation::lock_keystore(tx).await?;
        self.catch_up(tx).await?;
        let (keystore, random) = (Arc::clone(&self.keystore), Arc::clone(&self.random));
        let (value, sealed) = blocking(move || draft(&keystore, &*random)).await?;
        if let Some(sealed) = &sealed {
            let id = self.keystore.installation_id().to_string();
            store::installation::store_keystore(tx, &id, sealed).await?;
        }
        Ok((value, Draft(sealed)))
    }

    /// Uses what was drafted, after its commit.
    pub async fn adopt(&self, draft: Draft) -> Result<()> {
        let Some(sealed) = draft.0 else { return Ok(()) };
        self.take_over(sealed).await.map(drop)
    }

    /// Takes the copy in the database over if it is newer; answers whether it was.
    async fn catch_up(&self, tx: &mut Tx) -> Result<bool> {
        match store::installation::sealed_keystore(tx).await? {
            Some(copy) if self.differs(&copy) => self.take_over(copy).await,
            _ => Ok(false),
        }
    }

    fn differs(&self, copy: &[u8]) -> bool {
        self.keystore.export_sealed() != copy
    }

    async fn take_over(&self, copy: Vec<u8>) -> Result<bool> {
        let keystore = Arc::clone(&self.keystore);
        let was_newer = blocking(move || keystore.adopt(&copy)).await?;
        if was_newer {
            let generation = self.keystore.status().generation;
            tracing::info!(generation, "the keystore is that of the database now");
        }
        Ok(was_newer)
    }

    /// Brings the keystore and its copy in the database together: the newer of
    /// the two counts. Writes nothing when they are the same. Whoever changes the
    /// keystore stores the copy too; this is for other nodes, and for commands
    /// that could not.
    ///
    /// `Conflict` (`keystore-forked`, `keystore-changed`) when they are of two
    /// histories.
    pub async fn follow(&self, store: &Store) -> Result<()> {
        let copy = store::installation::sealed_keystore(&mut store.read().await?).await?;
        let Some(copy) = copy.filter(|copy| self.differs(copy)) else { return Ok(()) };
        if self.take_over(copy).await? {
            return Ok(());
        }
        let mut tx = store.begin().await?;
        let stored = self.draft(&mut tx, |keystore, _| Ok(((), Some(keystore.export_sealed()))));
        let ((), _in_use) = stored.await?;
        Ok(tx.commit().await?)
    }
}

/// A change of the keystore that is stored and not in use yet.
#[derive(Debug)]
#[must_use = "adopt it after the commit"]
pub struct Draft(Option<Vec<u8>>);

/// Runs what blocks on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
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

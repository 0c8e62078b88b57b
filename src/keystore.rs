//! The keystore: the secrets of an installation, and envelope encryption for tenants.
//!
//! Owns: `keystore.json` and `seal.key`, every long-lived secret in them, the
//! recovery kit, their rotation, and sealing the fields of tenants.
//! Must not know: the database, the bus or HTTP. Wrapped tenant keys and sealed
//! fields are stored by others as opaque bytes.
//!
//! ```text
//! passphrase | seal.key | systemd credential      recovery kit
//!                 \                              /
//!                  +--- data key (two slots) ---+
//!                               |
//!                          the payload
//!   root keys   signing keys   hash salt   backup key   bus seed   audit seed   CA
//!       |                          |                       |
//!   tenant keys (stored wrapped)  pepper, e-mail index    the bus' operator and accounts
//!       |
//!   encryption, blind index, audit
//! ```
//!
//! Invariants:
//! * Nothing is used before it is on disk; nothing on disk is replaced other
//!   than by a whole new file. A crash leaves the old or the new keystore.
//! * What is bound into a sealed value says all about where it belongs.
//! * Opening never writes.
//! * No `Debug` output and no error holds a secret.
//!
//! All functions here block (file system, argon2): call those that change
//! something, and [`Keystore::open`], outside of the async workers.
//! Start at [`Keystore::create`].

mod authority;
pub(crate) mod crypto;
mod directory;
mod fault;
mod format;
mod jwt;
mod kit;
mod lifecycle;
mod names;
mod rotation;
mod seal;
mod secrets;
mod signer;
mod state;
mod tenant;
mod text;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;

pub use self::{
    authority::CaMaterial,
    jwt::{JwtKey, JwtKeys, PreviousJwtKey, VERIFIES_FOR},
    kit::RecoveryKit,
    names::{InstallationId, KeyId, NotAName},
    seal::{SealMode, Unlock},
    signer::{AuditSigner, verify},
    tenant::{Place, TenantKey, Wrapped},
};
use self::{
    directory::Directory,
    format::{SealSlot, SealedFile},
    lifecycle::Fixed,
    state::State,
    tenant::Root,
};
use crate::{
    clock::{Random, Timestamp},
    error::{Error, Kind, Result},
    ids::TenantId,
    secret::Secret,
};

/// The opened keystore of an installation. Share it in an `Arc`; reading takes no lock.
pub struct Keystore {
    directory: Directory,
    fixed: Fixed,
    live: ArcSwap<State>,
    /// Held during a change, so that two threads do not change it at once.
    writing: Mutex<()>,
}

/// What may be shown of a keystore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The installation.
    pub installation: InstallationId,
    /// When the keystore was created.
    pub created_at: Timestamp,
    /// Counts the changes of the keystore.
    pub generation: u64,
    /// How it is sealed.
    pub seal: SealKind,
    /// The root keys, the current one first. More than one: a rotation is under way.
    pub roots: Vec<KeyStatus>,
    /// The signing keys, the current one first.
    pub jwt: Vec<KeyStatus>,
    /// The number of the newest recovery kit.
    pub kit_number: String,
    /// When the newest recovery kit was made.
    pub kit_created_at: Timestamp,
}

impl Status {
    /// Whether a root rotation was begun and not finished.
    pub fn root_rotation_under_way(&self) -> bool {
        self.roots.len() > 1
    }
}

/// What a sealed copy says of itself. Nothing proves it before the copy is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedInfo {
    /// The installation.
    pub installation: InstallationId,
    /// Counts the changes: of two copies the one with more is the newer.
    pub generation: u64,
    /// How it is sealed.
    pub seal: SealKind,
    /// The number of the recovery kit that opens it.
    pub kit_number: String,
    /// When that kit was made.
    pub kit_created_at: Timestamp,
}

/// How a keystore is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealKind {
    /// By a key file; it opens without anybody present.
    Unattended,
    /// By a passphrase.
    Passphrase,
}

impl SealKind {
    fn of(file: &SealedFile) -> Self {
        match file.seal {
            SealSlot::Unattended { .. } => Self::Unattended,
            SealSlot::Passphrase { .. } => Self::Passphrase,
        }
    }
}

/// One key that rotates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its name.
    pub id: KeyId,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it still does.
    pub state: KeyState,
}

/// What a key still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Wraps or signs.
    Current,
    /// A root key that opens what it has wrapped, until the rotation is finished.
    Replaced,
    /// A signing key that verifies until then.
    VerifiesUntil(Timestamp),
}

impl Keystore {
    /// The random identifier of this installation. The store keeps it too, so
    /// that a keystore and a database that do not belong together are noticed.
    pub fn installation_id(&self) -> InstallationId {
        self.fixed.installation
    }

    /// The names of the root keys, the current one first.
    pub fn root_ids(&self) -> Vec<KeyId> {
        self.live.load().roots.iter().map(|root| root.id.clone()).collect()
    }

    /// The name of the root key that wraps new tenant keys.
    pub fn current_root(&self) -> KeyId {
        self.live.load().current_root().id.clone()
    }

    /// Names, times and states; nothing secret.
    pub fn status(&self) -> Status {
        let state = self.live.load();
        let roots = state.roots.iter().enumerate().map(|(position, root)| KeyStatus {
            id: root.id.clone(),
            created_at: root.created_at,
            state: if position == 0 { KeyState::Current } else { KeyState::Replaced },
        });
        let jwt = state.secrets.jwt.iter().map(|key| KeyStatus {
            id: key.id.clone(),
            created_at: key.created_at,
            state: key.verifies_until.map_or(KeyState::Current, KeyState::VerifiesUntil),
        });
        Status {
            installation: state.file.installation,
            created_at: state.file.created_at,
            generation: state.file.generation,
            seal: SealKind::of(&state.file),
            roots: roots.collect(),
            jwt: jwt.collect(),
            kit_number: state.file.recovery.number.clone(),
            kit_created_at: state.file.recovery.created_at,
        }
    }

    /// The keys of access tokens. Ask for them with each token: they rotate.
    pub fn jwt_keys(&self) -> Arc<JwtKeys> {
        Arc::clone(&self.live.load().jwt)
    }

    /// The digest under which a user is found by e-mail address, so that no
    /// address is ever a key in the database. The caller normalises the address.
    pub fn email_index(&self, normalised_email: &str) -> [u8; 32] {
        crypto::keyed_digest(&self.fixed.email_index, &[normalised_email.as_bytes()])
    }

    /// The digest by which a repeated request is known. Keyed, because bodies
    /// may hold passwords: a plain digest in a stolen database could be guessed at.
    pub fn request_digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        crypto::keyed_digest(&self.fixed.request_digest, parts)
    }

    /// The "secret" of argon2 for the passwords of users.
    pub fn password_pepper(&self) -> &Secret<[u8; 32]> {
        &self.fixed.pepper
    }

    /// The key that backups are encrypted with.
    pub fn backup_key(&self) -> &Secret<[u8; 32]> {
        &self.fixed.backup_key
    }

    /// The seed from which the bus derives its operator, accounts and users.
    pub fn bus_seed(&self) -> &Secret<[u8; 64]> {
        &self.fixed.bus_seed
    }

    /// The internal certificate authority.
    pub fn ca(&self) -> &CaMaterial {
        &self.fixed.ca
    }

    /// Signs checkpoints of the audit trail.
    pub fn audit_key(&self) -> AuditSigner {
        self.fixed.audit.clone()
    }

    /// The sealed keystore, to be stored in the database and in backups after
    /// each change; only the seal of this moment or the newest kit opens it.
    pub fn export_sealed(&self) -> Vec<u8> {
        self.live.load().bytes.to_vec()
    }

    /// Reads what a sealed copy says of itself, e.g. to ask for the right kit.
    ///
    /// `Internal` (`keystore-damaged`), `Conflict` (`keystore-newer`).
    pub fn inspect(sealed_copy: &[u8]) -> Result<SealedInfo> {
        let file = SealedFile::from_bytes(sealed_copy)
            .map_err(|fault| fault.at(Path::new("the sealed copy")))?;
        Ok(SealedInfo {
            installation: file.installation,
            generation: file.generation,
            seal: SealKind::of(&file),
            kit_number: file.recovery.number,
            kit_created_at: file.recovery.created_at,
        })
    }

    /// The same of the keystore in `dir`; `None` when there is none. Reads only.
    ///
    /// As [`Keystore::inspect`], and `Conflict` (`keystore-permissions`).
    pub fn inspect_directory(dir: &Path) -> Result<Option<SealedInfo>> {
        if !Self::exists(dir) {
            return Ok(None);
        }
        let found = Directory::new(dir).read(state::KEYSTORE).map_err(|fault| fault.at(dir))?;
        found.map(|bytes| Self::inspect(bytes.expose())).transpose()
    }

    /// Draws a key for a tenant, in its plain form and wrapped for the store.
    pub fn new_tenant_key(
        &self,
        tenant: TenantId,
        version: u32,
        random: &dyn Random,
    ) -> (TenantKey, Wrapped) {
        self.live.load().current_root().new_key(tenant, version, random)
    }

    /// Opens a stored tenant key.
    ///
    /// `Conflict` (`root-key-unknown`) when the keystore does not belong to the
    /// database; `Internal` (`tenant-key-damaged`) when it is not the key of
    /// this tenant and version, or was changed.
    pub fn unwrap_tenant_key(
        &self,
        tenant: TenantId,
        version: u32,
        wrapped: &Wrapped,
    ) -> Result<TenantKey> {
        root_of(&self.live.load(), wrapped)?.unwrap(tenant, version, wrapped)
    }

    /// The same tenant key under the current root key; errors as
    /// [`Self::unwrap_tenant_key`].
    pub fn rewrap(
        &self,
        tenant: TenantId,
        version: u32,
        wrapped: &Wrapped,
        random: &dyn Random,
    ) -> Result<Wrapped> {
        let state = self.live.load();
        root_of(&state, wrapped)?.rewrap(state.current_root(), tenant, version, wrapped, random)
    }
}

fn root_of<'a>(state: &'a State, wrapped: &Wrapped) -> Result<&'a Root> {
    state.root(&wrapped.root).ok_or_else(|| {
        Error::new(
            Kind::Conflict,
            "root-key-unknown",
            format!(
                "The key of a tenant is wrapped under {}, which this keystore does not hold.",
                wrapped.root
            ),
        )
        .with_hint("Keystore and database are of different times or installations. Bring back the keystore that belongs to this database, with the recovery kit: F8 on the appliance's console; elsewhere: palisade keys recover")
    })
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keystore({}, {})", self.fixed.installation, self.directory.path().display())
    }
}

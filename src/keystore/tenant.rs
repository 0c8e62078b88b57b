//! Tenant keys: envelope encryption of the fields of one tenant.
//!
//! Owns: the form of sealed values and of wrapped tenant keys, and what they
//! are bound to.
//! Must not know: which fields there are or where wrapped keys are stored.
//!
//! A sealed value is `1`, the key version (four bytes, big endian), a nonce of
//! 24 bytes, the cipher text and its tag of 16 bytes. It opens only under the
//! tenant, table, column, row and key version that it was sealed for, so a
//! copy of it is worth nothing anywhere else. Its length shows the length of
//! what is inside.

use std::fmt;

use super::{
    crypto::{self, Key, OVERHEAD},
    names::{InstallationId, KeyId},
    secrets::RootKey,
};
use crate::{
    clock::{Random, Timestamp},
    error::{Error, Kind, Result},
    ids::TenantId,
    secret::Secret,
};

const FORMAT: u8 = 1;
/// The format byte and the key version.
const PREFIX: usize = 5;

/// Where a sealed value lives. All three parts are bound into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The uid of the row, as text.
    pub row: &'a str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} of {}", self.table, self.column, self.row)
    }
}

/// A tenant key sealed under a root key; safe to store.
#[derive(Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The root key that opens it.
    pub root: KeyId,
    /// Format byte, nonce, sealed key, tag: 105 bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wrapped({}, {} bytes)", self.root, self.bytes.len())
    }
}

/// The keys of one tenant in one version. Nothing of it is ever shown.
#[derive(Clone)]
pub struct TenantKey {
    tenant: TenantId,
    version: u32,
    encryption: Key,
    blind_index: Key,
    audit: Secret<[u8; 32]>,
}

impl TenantKey {
    fn derive(tenant: TenantId, version: u32, master: &Secret<[u8; 64]>) -> Self {
        let context: [&[u8]; 2] = [&tenant.0.to_bytes(), &version.to_be_bytes()];
        let subkey = |purpose| crypto::subkey(master.expose(), purpose, &context);
        Self {
            tenant,
            version,
            encryption: subkey("tenant/encryption"),
            blind_index: subkey("tenant/blind-index"),
            audit: subkey("tenant/audit"),
        }
    }

    /// The tenant it belongs to.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Counts up with each rotation of the tenant's key.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Seals `plain` for one place; every call gives other bytes.
    pub fn seal(&self, place: Place<'_>, plain: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(PREFIX + OVERHEAD + plain.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.version.to_be_bytes());
        crypto::seal(&mut sealed, &self.encryption, &self.bound(place), plain, random);
        sealed
    }

    /// Opens what [`Self::seal`] made for the same place.
    ///
    /// `Conflict` (`key-version`) when it was sealed under another version of
    /// this key; `Internal` (`sealed-value-damaged`) when it was changed or
    /// comes from another place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret<Vec<u8>>> {
        let Some(version) = Self::sealed_version(sealed) else {
            return Err(damaged(place, "it has no known format"));
        };
        if version != self.version {
            return Err(Error::new(
                Kind::Conflict,
                "key-version",
                "A protected value was sealed under another version of its tenant's key.",
            )
            .caused_by(format!("{place}: version {version}, not {}", self.version)));
        }
        crypto::open(&self.encryption, &self.bound(place), &sealed[PREFIX..])
            .ok_or_else(|| damaged(place, "it does not open: changed, or from another place"))
    }

    /// The key version that a sealed value names; `None` when it is not one.
    pub fn sealed_version(sealed: &[u8]) -> Option<u32> {
        let (&[format, version @ ..], rest) = sealed.split_first_chunk::<PREFIX>()?;
        (format == FORMAT && rest.len() >= OVERHEAD).then(|| u32::from_be_bytes(version))
    }

    /// A digest by which equal values of a column find each other without
    /// being read. It changes with the version of the key.
    pub fn blind_index(&self, table: &str, column: &str, value: &[u8]) -> [u8; 32] {
        crypto::keyed_digest(&self.blind_index, &[table.as_bytes(), column.as_bytes(), value])
    }

    /// The key for digests over the tenant's audit trail.
    pub fn audit_key(&self) -> &Secret<[u8; 32]> {
        &self.audit
    }

    fn bound(&self, place: Place<'_>) -> Vec<u8> {
        crypto::encode(&[
            b"palisade/field",
            &[FORMAT],
            &self.tenant.0.to_bytes(),
            &self.version.to_be_bytes(),
            place.table.as_bytes(),
            place.column.as_bytes(),
            place.row.as_bytes(),
        ])
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantKey({}, version {})", self.tenant, self.version)
    }
}

fn damaged(place: Place<'_>, why: &str) -> Error {
    Error::new(Kind::Internal, "sealed-value-damaged", "A protected value cannot be read.")
        .with_hint("Check the disk and the newest backup: palisade doctor")
        .caused_by(format!("{place}: {why}"))
}

/// A root key, ready to wrap.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) id: KeyId,
    pub(super) created_at: Timestamp,
    installation: InstallationId,
    wrapping: Key,
}

impl Root {
    pub(super) fn new(installation: InstallationId, stored: &RootKey) -> Self {
        Self {
            id: stored.id.clone(),
            created_at: stored.created_at,
            installation,
            wrapping: crypto::subkey(stored.key.expose(), "root/tenant-keys", &[]),
        }
    }

    /// A new tenant key and its wrapped form.
    pub(super) fn new_key(
        &self,
        tenant: TenantId,
        version: u32,
        random: &dyn Random,
    ) -> (TenantKey, Wrapped) {
        let master = crypto::random_secret(random);
        let wrapped = self.wrap(tenant, version, &master, random);
        (TenantKey::derive(tenant, version, &master), wrapped)
    }

    fn wrap(
        &self,
        tenant: TenantId,
        version: u32,
        master: &Secret<[u8; 64]>,
        random: &dyn Random,
    ) -> Wrapped {
        let mut bytes = vec![FORMAT];
        let bound = self.bound(tenant, version);
        crypto::seal(&mut bytes, &self.wrapping, &bound, master.expose(), random);
        Wrapped { root: self.id.clone(), bytes }
    }

    /// The key inside of `wrapped`, if it is that of this tenant and version.
    pub(super) fn unwrap(
        &self,
        tenant: TenantId,
        version: u32,
        wrapped: &Wrapped,
    ) -> Result<TenantKey> {
        self.unwrap_master(tenant, version, wrapped)
            .map(|master| TenantKey::derive(tenant, version, &master))
    }

    /// The same key, wrapped under `current`.
    pub(super) fn rewrap(
        &self,
        current: &Self,
        tenant: TenantId,
        version: u32,
        wrapped: &Wrapped,
        random: &dyn Random,
    ) -> Result<Wrapped> {
        let master = self.unwrap_master(tenant, version, wrapped)?;
        Ok(current.wrap(tenant, version, &master, random))
    }

    fn unwrap_master(
        &self,
        tenant: TenantId,
        version: u32,
        wrapped: &Wrapped,
    ) -> Result<Secret<[u8; 64]>> {
        let sealed = wrapped.bytes.strip_prefix(&[FORMAT]);
        sealed
            .and_then(|sealed| {
                crypto::open_array(&self.wrapping, &self.bound(tenant, version), sealed)
            })
            .ok_or_else(|| {
                Error::new(
                    Kind::Internal,
                    "tenant-key-damaged",
                    "The key of a tenant cannot be read; its data stays sealed.",
                )
                .with_hint("Restore the database from the newest backup: palisade restore")
                .caused_by(format!("tenant {tenant}, version {version}, root {}", self.id))
            })
    }

    fn bound(&self, tenant: TenantId, version: u32) -> Vec<u8> {
        crypto::encode(&[
            b"palisade/tenant-key",
            &[FORMAT],
            self.installation.as_bytes(),
            self.id.as_str().as_bytes(),
            &tenant.0.to_bytes(),
            &version.to_be_bytes(),
        ])
    }
}

#[cfg(test)]
impl TenantKey {
    /// The same keys under the name of another tenant.
    pub(super) fn of_tenant(&self, tenant: TenantId) -> Self {
        Self { tenant, ..self.clone() }
    }

    /// The same keys under another version.
    pub(super) fn of_version(&self, version: u32) -> Self {
        Self { version, ..self.clone() }
    }
}

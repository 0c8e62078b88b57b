//! What is inside of a sealed keystore: the secrets of one installation.
//!
//! Owns: which secrets there are and their form in the sealed payload.
//! Must not know: how the payload is sealed or where it lies.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    authority,
    crypto::random_secret,
    fault::Fault,
    names::{InstallationId, KeyId},
    text,
};
use crate::{
    clock::{Clock, Random, Timestamp},
    secret::Secret,
};

/// Every secret of an installation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Secrets {
    /// The current root key, then those that a rotation has yet to replace.
    pub(super) roots: Vec<RootKey>,
    /// The current signing key, then those that still verify.
    pub(super) jwt: Vec<SigningKey>,
    /// Keys the digests of e-mail addresses and passwords. It never changes:
    /// nobody could log in afterwards.
    #[serde(with = "text")]
    pub(super) hash_salt: Secret<[u8; 64]>,
    /// Encrypts backups.
    #[serde(with = "text")]
    pub(super) backup_key: Secret<[u8; 32]>,
    /// The bus derives its operator and account keys from it.
    #[serde(with = "text")]
    pub(super) bus_seed: Secret<[u8; 64]>,
    /// The Ed25519 seed that signs audit checkpoints.
    #[serde(with = "text")]
    pub(super) audit_seed: Secret<[u8; 32]>,
    /// The certificate of the internal authority, PEM.
    pub(super) ca_certificate: String,
    /// Its private key, PEM (PKCS#8).
    #[serde(with = "text")]
    pub(super) ca_key: Secret<Vec<u8>>,
}

/// A key that wraps tenant keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RootKey {
    pub(super) id: KeyId,
    pub(super) created_at: Timestamp,
    #[serde(with = "text")]
    pub(super) key: Secret<[u8; 32]>,
}

impl RootKey {
    pub(super) fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
        Self {
            id: KeyId::random("root", random),
            created_at: clock.now(),
            key: random_secret(random),
        }
    }
}

/// A key that signs access tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SigningKey {
    pub(super) id: KeyId,
    pub(super) created_at: Timestamp,
    /// `None` for the current key.
    pub(super) verifies_until: Option<Timestamp>,
    #[serde(with = "text")]
    pub(super) key: Secret<[u8; 64]>,
}

impl SigningKey {
    pub(super) fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
        Self {
            id: KeyId::random("jwt", random),
            created_at: clock.now(),
            verifies_until: None,
            key: random_secret(random),
        }
    }
}

impl Secrets {
    /// The secrets of a new installation: nothing in them comes from another one.
    pub(super) fn new(
        installation: InstallationId,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, Fault> {
        let ca = authority::make(installation, clock, random)?;
        Ok(Self {
            roots: vec![RootKey::new(clock, random)],
            jwt: vec![SigningKey::new(clock, random)],
            hash_salt: random_secret(random),
            backup_key: random_secret(random),
            bus_seed: random_secret(random),
            audit_seed: random_secret(random),
            ca_certificate: ca.certificate_pem,
            ca_key: Secret::new(ca.key_pem.expose().clone().into_bytes()),
        })
    }

    /// The payload, before it is sealed.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Far more than it takes: growing would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 << 16));
        serde_json::to_writer(&mut *bytes, self).expect("a plain structure is JSON");
        bytes
    }

    /// Reads a payload.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let secrets: Self = serde_json::from_slice(bytes)
            .map_err(|_| Fault::Damaged("its content has another form"))?;
        if secrets.roots.is_empty() || secrets.jwt.is_empty() {
            return Err(Fault::Damaged("it holds no current keys"));
        }
        Ok(secrets)
    }
}

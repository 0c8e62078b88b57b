//! Signatures that show who wrote the audit trail (Ed25519).

use std::{fmt, sync::Arc};

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::fault::Fault;
use crate::secret::Secret;

/// Signs checkpoints of the audit trail. Cheap to clone.
#[derive(Clone)]
pub struct AuditSigner {
    pair: Arc<Ed25519KeyPair>,
    public: [u8; 32],
    mac_key: Arc<Secret<[u8; 32]>>,
}

impl AuditSigner {
    pub(super) fn of(seed: &Secret<[u8; 32]>) -> Result<Self, Fault> {
        let damaged = |_| Fault::Damaged("its audit key is none");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(damaged)?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        let mut mac_key = [0; 32];
        Hkdf::<Sha512>::new(None, seed.expose())
            .expand(b"palisade audit record mac 1", &mut mac_key)
            .map_err(|_| Fault::Damaged("its audit key is none"))?;
        Ok(Self { pair: Arc::new(pair), public, mac_key: Arc::new(Secret::new(mac_key)) })
    }

    /// A keyed digest that only this installation can make: HMAC-SHA-256
    /// under a subkey of the signing key. It protects records that no
    /// signature covers yet.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    pub fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.mac_key.expose())
            .expect("HMAC takes keys of any length");
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// The signature of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(bytes).as_ref());
        signature
    }

    /// The key that verifies; whoever checks an export has to know it beforehand.
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }
}

impl fmt::Debug for AuditSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = data_encoding::HEXLOWER.encode(&self.public);
        f.debug_struct("AuditSigner").field("public", &public).finish_non_exhaustive()
    }
}

/// Whether `signature` is that of `bytes` by the holder of `public`.
pub fn verify(public: &[u8; 32], bytes: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(bytes, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemRandom, keystore::crypto::random_secret};

    #[test]
    fn a_signature_holds_for_these_bytes_and_this_key_only() {
        let signer = AuditSigner::of(&random_secret(&SystemRandom)).expect("a seed");
        let other = AuditSigner::of(&random_secret(&SystemRandom)).expect("a seed");
        let signature = signer.sign(b"checkpoint");
        assert!(verify(&signer.public_key(), b"checkpoint", &signature));
        assert!(!verify(&signer.public_key(), b"Checkpoint", &signature));
        assert!(!verify(&other.public_key(), b"checkpoint", &signature));
        assert!(!verify(&signer.public_key(), b"checkpoint", &signature[..63]));
    }
}

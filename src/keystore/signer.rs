//! Signatures that show who wrote the audit trail (Ed25519).

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::{
    crypto::{self, Key},
    fault::Fault,
};
use crate::secret::Secret;

/// Signs checkpoints of the audit trail. Cheap to clone.
#[derive(Clone)]
pub struct AuditSigner {
    pair: Arc<Ed25519KeyPair>,
    public: [u8; 32],
    record_key: Key,
}

impl AuditSigner {
    pub(super) fn of(seed: &Secret<[u8; 32]>) -> Result<Self, Fault> {
        let damaged = |_| Fault::Damaged("its audit key is none");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(damaged)?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        let record_key = crypto::subkey(seed.expose(), "audit/records", &[]);
        Ok(Self { pair: Arc::new(pair), public, record_key })
    }

    /// A keyed digest that only this installation can make: HMAC-SHA-256
    /// under a subkey of the signing key. It protects records that no
    /// signature covers yet.
    pub fn mac(&self, bytes: &[u8]) -> [u8; 32] {
        crypto::keyed_digest(&self.record_key, &[bytes])
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

    #[test]
    fn a_keyed_digest_depends_on_the_bytes_and_on_the_installation() {
        let seed = random_secret(&SystemRandom);
        let signer = AuditSigner::of(&seed).expect("a seed");
        let other = AuditSigner::of(&random_secret(&SystemRandom)).expect("a seed");
        let digest = signer.mac(b"record");
        assert_eq!(AuditSigner::of(&seed).expect("a seed").mac(b"record"), digest);
        assert_ne!(signer.mac(b"Record"), digest);
        assert_ne!(other.mac(b"record"), digest);
        let shown = format!("{signer:?}");
        assert!(!shown.contains("record_key"), "{shown}");
    }
}

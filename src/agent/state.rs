//! The agent's identity at rest.
//!
//! Owns: the form of what is kept in the ConfigMap, and sealing the seed of
//! the agent's nkey under a key derived from the one-time token.
//! Must not know: Kubernetes' API or what the credentials are for.
//!
//! Two things are needed to speak for the cluster after a restart: this
//! ConfigMap and the token, which stands in a Secret. Whoever can read only
//! one of them has nothing, and management keeps neither: it knows the
//! public key and a digest of a token that it no longer accepts.

use std::collections::BTreeMap;

use aws_lc_rs::hkdf;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use data_encoding::BASE64;
use zeroize::Zeroize;

use crate::{
    bus::message::Enrolment,
    clock::{Random, random_bytes},
    secret::Secret,
};

const SALT: usize = 32;
const NONCE: usize = 24;
const PURPOSE: &[u8] = b"palisade agent state 1";

/// The identity as it is kept: the seed sealed, the rest in the open.
#[derive(Clone, Debug)]
pub struct SavedState {
    /// The agent's public nkey (`U…`).
    pub public_key: String,
    /// The salt of the key derivation, the nonce and the sealed seed, in this order.
    sealed_seed: Vec<u8>,
    /// What management answered; `None` before the first answer. Its JWT is
    /// worth nothing without the seed.
    pub enrolment: Option<Enrolment>,
}

/// The ConfigMap was not written by an agent, or somebody changed it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is missing or broken")]
pub struct BrokenState {
    /// The entry at fault.
    pub field: &'static str,
}

impl SavedState {
    /// Seals `seed` under `token`. A new salt and nonce are drawn each time.
    ///
    /// # Panics
    /// Never: the cipher refuses only texts of 256 GiB.
    pub fn seal(
        public_key: &str,
        seed: &Secret<String>,
        token: &Secret<String>,
        random: &dyn Random,
    ) -> Self {
        let salt: [u8; SALT] = random_bytes(random);
        let nonce: [u8; NONCE] = random_bytes(random);
        let payload = Payload { msg: seed.expose().as_bytes(), aad: &bound(public_key) };
        let cipher_text = cipher(token, &salt)
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a seed is shorter than 256 GiB");
        let sealed_seed = [&salt[..], &nonce[..], &cipher_text[..]].concat();
        Self { public_key: public_key.to_owned(), sealed_seed, enrolment: None }
    }

    /// The seed, or `None` when it was sealed under another token or anything was changed.
    pub fn unseal(&self, token: &Secret<String>) -> Option<Secret<String>> {
        let (salt, rest) = self.sealed_seed.split_first_chunk::<SALT>()?;
        let (nonce, cipher_text) = rest.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: cipher_text, aad: &bound(&self.public_key) };
        let plain = cipher(token, salt).decrypt(&XNonce::from(*nonce), payload).ok()?;
        String::from_utf8(plain).ok().map(Secret::new)
    }

    /// The entries of the ConfigMap.
    ///
    /// # Panics
    /// Never: an enrolment has no value that JSON cannot hold.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        let mut data = BTreeMap::from([
            ("publicKey".to_owned(), self.public_key.clone()),
            ("sealedSeed".to_owned(), BASE64.encode(&self.sealed_seed)),
        ]);
        if let Some(enrolment) = &self.enrolment {
            let json = serde_json::to_string(enrolment).expect("an enrolment is plain JSON");
            data.insert("enrolment".to_owned(), json);
        }
        data
    }

    /// Reads the entries of the ConfigMap.
    pub fn from_data(data: &BTreeMap<String, String>) -> Result<Self, BrokenState> {
        let field = |field: &'static str| data.get(field).ok_or(BrokenState { field });
        let enrolment = data.get("enrolment").map(|json| serde_json::from_str(json)).transpose();
        Ok(Self {
            public_key: field("publicKey")?.clone(),
            sealed_seed: BASE64
                .decode(field("sealedSeed")?.as_bytes())
                .map_err(|_| BrokenState { field: "sealedSeed" })?,
            enrolment: enrolment.map_err(|_| BrokenState { field: "enrolment" })?,
        })
    }
}

/// What the sealed seed is bound to: a seed moved next to another public key does not open.
fn bound(public_key: &str) -> Vec<u8> {
    [PURPOSE, b":", public_key.as_bytes()].concat()
}

/// The cipher under HKDF-SHA-256 of the token. The token carries at least 128
/// random bits, so that no slow password hash is needed.
fn cipher(token: &Secret<String>, salt: &[u8; SALT]) -> XChaCha20Poly1305 {
    struct KeyLength;
    impl hkdf::KeyType for KeyLength {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(token.expose().as_bytes())
        .expand(&[PURPOSE], KeyLength)
        .and_then(|output| output.fill(&mut key))
        .expect("HKDF-SHA-256 gives up to 8160 bytes");
    let cipher = XChaCha20Poly1305::new(&key.into());
    key.zeroize();
    cipher
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemRandom, Timestamp};

    const PUBLIC: &str = "UAPUBLIC";

    fn token(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn sealed() -> SavedState {
        let seed = Secret::new("SUASEEDSEEDSEED".to_owned());
        SavedState::seal(PUBLIC, &seed, &token("the token"), &SystemRandom)
    }

    #[test]
    fn the_seed_opens_with_the_token_that_sealed_it_after_a_round_through_the_configmap() {
        let mut state = sealed();
        state.enrolment = Some(Enrolment {
            cluster: "00ab12cd34ef".to_owned(),
            jwt: "jwt".to_owned(),
            expires_at: Timestamp::from_seconds(20),
            server_time: Timestamp::from_seconds(10),
        });
        let read = SavedState::from_data(&state.to_data()).unwrap();
        assert_eq!(read.unseal(&token("the token")).unwrap().expose(), "SUASEEDSEEDSEED");
        assert_eq!(read.public_key, PUBLIC);
        let enrolment = read.enrolment.unwrap();
        assert_eq!(enrolment.cluster, "00ab12cd34ef");
        assert_eq!(enrolment.expires_at, Timestamp::from_seconds(20));
    }

    #[test]
    fn the_configmap_holds_neither_the_seed_nor_the_token() {
        let text = format!("{:?}", sealed().to_data());
        assert!(!text.contains("SUASEED") && !text.contains("the token"));
        assert!(!text.contains(&BASE64.encode(b"SUASEEDSEEDSEED")));
    }

    #[test]
    fn another_token_does_not_open_the_seed() {
        for wrong in ["", "the token ", "The token", "another"] {
            assert!(sealed().unseal(&token(wrong)).is_none(), "{wrong:?} opened it");
        }
    }

    #[test]
    fn a_seed_moved_next_to_another_public_key_does_not_open() {
        let mut state = sealed();
        state.public_key = "UAOTHER".to_owned();
        assert!(state.unseal(&token("the token")).is_none());
    }

    #[test]
    fn any_flipped_bit_or_cut_is_found() {
        let state = sealed();
        for position in 0..state.sealed_seed.len() {
            let mut changed = state.clone();
            changed.sealed_seed[position] ^= 1;
            assert!(changed.unseal(&token("the token")).is_none(), "byte {position}");
            changed.sealed_seed.truncate(position);
            assert!(changed.unseal(&token("the token")).is_none(), "cut at {position}");
        }
    }

    #[test]
    fn the_same_seed_is_never_sealed_the_same_way_twice() {
        assert_ne!(sealed().sealed_seed, sealed().sealed_seed);
    }

    #[test]
    fn a_configmap_that_is_not_ours_says_which_entry_is_wrong() {
        let read = |entries: &[(&str, &str)]| {
            let data = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            SavedState::from_data(&data.collect()).unwrap_err().field
        };
        assert_eq!(read(&[]), "publicKey");
        assert_eq!(read(&[("publicKey", "U")]), "sealedSeed");
        assert_eq!(read(&[("publicKey", "U"), ("sealedSeed", "%")]), "sealedSeed");
        let broken = [("publicKey", "U"), ("sealedSeed", "AAAA"), ("enrolment", "{")];
        assert_eq!(read(&broken), "enrolment");
    }
}

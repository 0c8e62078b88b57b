//! The keys that agents prove themselves with.
//!
//! Owns: the agent's own key pair and the public half that management knows.
//! Must not know: who may have credentials, or for how long.
//!
//! The seed never leaves the agent; what travels is the public key and, inside
//! the credentials, a promise of management that is worthless without the seed.

use std::{fmt, str::FromStr};

use nkeys::{KeyPair, KeyPairType};

use crate::{
    clock::{Random, random_bytes},
    secret::Secret,
};

/// Length of an encoded public key.
const PUBLIC_KEY_LENGTH: usize = 56;

/// The public half of an agent's key: `U` and 55 more characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentPublicKey(Box<str>);

/// The text is no public key of a bus user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a public user key: 56 characters that start with U and carry a valid checksum")]
pub struct NotAPublicKey;

impl AgentPublicKey {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `signature` over `text` was made with the private half.
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        KeyPair::from_public_key(&self.0).is_ok_and(|key| key.verify(text, signature).is_ok())
    }
}

impl FromStr for AgentPublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, NotAPublicKey> {
        // The length first: the decoder is for well-meant input only.
        if text.len() != PUBLIC_KEY_LENGTH || !text.starts_with('U') || !text.is_ascii() {
            return Err(NotAPublicKey);
        }
        let key = KeyPair::from_public_key(text).map_err(|_| NotAPublicKey)?;
        // Re-encoding refuses other spellings of the same key.
        if key.key_pair_type() != KeyPairType::User || key.public_key() != text {
            return Err(NotAPublicKey);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AgentPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AgentPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent's own key pair.
pub struct AgentKey(KeyPair);

/// The text is no seed of a bus user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the seed of a user key: 58 characters that start with SU")]
pub struct NotASeed;

impl AgentKey {
    /// A new key.
    ///
    /// # Panics
    /// Never: 32 bytes are always a seed.
    pub fn generate(random: &dyn Random) -> Self {
        let seed = random_bytes(random);
        Self(KeyPair::new_from_raw(KeyPairType::User, seed).expect("32 bytes are a seed"))
    }

    /// Reads what [`AgentKey::seed`] wrote.
    pub fn from_seed(seed: &Secret<String>) -> Result<Self, NotASeed> {
        let text = seed.expose().trim();
        if !text.is_ascii() {
            return Err(NotASeed);
        }
        let key = KeyPair::from_seed(text).map_err(|_| NotASeed)?;
        if key.key_pair_type() != KeyPairType::User {
            return Err(NotASeed);
        }
        Ok(Self(key))
    }

    /// The text to store: `SU…`.
    ///
    /// # Panics
    /// Never: this key pair always has its seed.
    pub fn seed(&self) -> Secret<String> {
        Secret::new(self.0.seed().expect("a key pair made from a seed has one"))
    }

    /// The public half.
    pub fn public_key(&self) -> AgentPublicKey {
        AgentPublicKey(self.0.public_key().into())
    }

    /// Signs `text`; 64 bytes.
    ///
    /// # Panics
    /// Never: this key pair always has its seed.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.0.sign(text).expect("a key pair made from a seed signs")
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentKey({})", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn a_key_survives_its_seed_and_signs_for_its_public_half() {
        let key = AgentKey::generate(&SystemRandom);
        let again = AgentKey::from_seed(&key.seed()).expect("own seed");
        let public: AgentPublicKey = key.public_key().as_str().parse().expect("own public key");
        assert_eq!(again.public_key(), public);
        assert!(public.verifies(b"text", &again.sign(b"text")));
        assert!(!public.verifies(b"other", &again.sign(b"text")));
        assert!(!public.verifies(b"text", b"short"));
    }

    #[test]
    fn an_account_key_or_a_damaged_key_is_no_agent_key() {
        let account = KeyPair::new_from_raw(KeyPairType::Account, [7; 32]).expect("a key");
        assert!(account.public_key().parse::<AgentPublicKey>().is_err());
        let good = AgentKey::generate(&SystemRandom).public_key().to_string();
        let damaged = format!("{}{}", &good[..55], if good.ends_with('A') { 'B' } else { 'A' });
        for text in ["", "U", &good[..55], &damaged, &good.to_lowercase(), &"ü".repeat(28)] {
            assert!(text.parse::<AgentPublicKey>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn debug_output_does_not_show_the_seed() {
        let key = AgentKey::generate(&SystemRandom);
        assert!(!format!("{key:?}").contains(&key.seed().expose()[2..]));
    }
}

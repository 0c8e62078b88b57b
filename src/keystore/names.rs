//! The public names of an installation and of its keys. None of them is a secret.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::clock::{Random, random_bytes};

/// An installation: 128 random bits, 32 lower-case hex characters. It is drawn
/// when the keystore is created and never changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstallationId([u8; 16]);

impl InstallationId {
    /// Draws the identifier of a new installation.
    pub fn random(random: &dyn Random) -> Self {
        Self(random_bytes(random))
    }

    /// The sixteen bytes; used where a cipher binds the installation.
    pub(super) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The text is not the name of an installation or of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of {0}")]
pub struct NotAName(&'static str);

impl FromStr for InstallationId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let fault = NotAName("an installation: 32 lower-case hexadecimal characters");
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| fault)?;
        bytes.try_into().map(Self).map_err(|_| fault)
    }
}

impl TryFrom<String> for InstallationId {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<InstallationId> for String {
    fn from(id: InstallationId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a key that rotates, e.g. `root-1f2e3d4c5b6a7988`: lower-case
/// letters, digits and dashes, at most 64.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

impl KeyId {
    /// Draws the name of a new key that serves as `role`.
    pub(super) fn random(role: &str, random: &dyn Random) -> Self {
        Self(format!("{role}-{}", HEXLOWER.encode(&random_bytes::<8>(random))))
    }

    /// The name as text; others store it beside what the key protects.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            return Err(NotAName("a key: at most 64 lower-case letters, digits and dashes"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn names_survive_their_textual_form() {
        let installation = InstallationId::random(&SystemRandom);
        assert_eq!(installation.to_string().parse(), Ok(installation));
        let key = KeyId::random("root", &SystemRandom);
        assert_eq!(key.as_str().parse(), Ok(key));
    }

    #[test]
    fn text_of_another_shape_is_no_name() {
        for text in ["", "root id", "ROOT-1", "root-é", &"a".repeat(65)] {
            assert!(text.parse::<KeyId>().is_err(), "{text:?} was accepted");
        }
        for text in ["", "00", &"0".repeat(31), &"A".repeat(32), &"0".repeat(34)] {
            assert!(text.parse::<InstallationId>().is_err(), "{text:?} was accepted");
        }
    }
}

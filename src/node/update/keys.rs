//! Keys that sign updates.
//!
//! Owns: their text forms, the signature's line, and which keys an image trusts.
//! Must not know: what is signed.
//!
//! The secret key is made and used away from any appliance; an image contains
//! public keys only, so nobody can add one to a running appliance: its root
//! file system is read-only and verified.

use std::{fmt, path::Path, str::FromStr};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::{
    clock::{Random, random_bytes},
    error::{Error, Kind, Result},
    secret::Secret,
};

const PUBLIC: &str = "palisade-update-key";
const SECRET: &str = "palisade-update-secret-key";
const SIGNATURE: &str = "palisade-update-signature-1";

/// A key that verifies updates: one line, `palisade-update-key ID BASE64 NAME`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 32],
    name: String,
}

/// A key that signs updates: one line, `palisade-update-secret-key BASE64 NAME`.
#[derive(Debug)]
pub struct SecretKey {
    seed: Secret<[u8; 32]>,
    pair: Ed25519KeyPair,
    name: String,
}

/// A line of text is no such key. The text is never repeated: it may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// Not a public key.
    #[error("expected one line: palisade-update-key ID BASE64 NAME")]
    Public,
    /// Not a secret key.
    #[error("expected one line: palisade-update-secret-key BASE64 NAME")]
    Secret,
}

impl PublicKey {
    /// A short name of the key itself.
    pub fn id(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.bytes)[..8])
    }

    /// What its maker calls it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC} {} {} {}", self.id(), BASE64.encode(&self.bytes), self.name)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let [PUBLIC, id, key, name] = words(text).ok_or(NotAKey::Public)? else {
            return Err(NotAKey::Public);
        };
        let bytes = decode(key).ok_or(NotAKey::Public)?;
        let key = Self { bytes, name: key_name(name).ok_or(NotAKey::Public)? };
        // A line that was damaged on its way must not become another key.
        if key.id() == id { Ok(key) } else { Err(NotAKey::Public) }
    }
}

impl SecretKey {
    /// A new key. `Invalid` when `name` is not a short name of letters, digits, `.`, `-`, `_`.
    pub fn generate(name: &str, random: &dyn Random) -> Result<Self> {
        let name = key_name(name).ok_or_else(|| {
            Error::invalid("name", "must be 1 to 64 letters, digits, dots, hyphens or underscores")
        })?;
        Self::of(Secret::new(random_bytes(random)), name).map_err(Error::internal)
    }

    fn of(seed: Secret<[u8; 32]>, name: String) -> Result<Self, NotAKey> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| NotAKey::Secret)?;
        Ok(Self { seed, pair, name })
    }

    /// The line to be kept.
    pub fn text(&self) -> Secret<String> {
        Secret::new(format!("{SECRET} {} {}\n", BASE64.encode(self.seed.expose()), self.name))
    }

    /// The other half.
    ///
    /// # Panics
    /// Never: a public key of Ed25519 has 32 bytes.
    pub fn public(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref().try_into().expect("32 bytes");
        PublicKey { bytes, name: self.name.clone() }
    }

    /// The line that signs `content`.
    pub(super) fn sign(&self, content: &[u8]) -> String {
        let signature = self.pair.sign(content);
        format!("{SIGNATURE} {} {}\n", self.public().id(), BASE64.encode(signature.as_ref()))
    }
}

impl FromStr for SecretKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let words: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split(' ').collect();
        let [SECRET, key, name] = words.as_slice() else { return Err(NotAKey::Secret) };
        let mut bytes: [u8; 32] = decode(key).ok_or(NotAKey::Secret)?;
        let seed = Secret::new(bytes);
        bytes.zeroize();
        Self::of(seed, key_name(name).ok_or(NotAKey::Secret)?)
    }
}

fn words(text: &str) -> Option<[&str; 4]> {
    let words: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split(' ').collect();
    words.try_into().ok()
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn key_name(text: &str) -> Option<String> {
    let usual = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let fits = (1..=64).contains(&text.len()) && text.chars().all(usual) && !text.starts_with('.');
    fits.then(|| text.to_owned())
}

/// The keys whose updates are accepted.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// These keys.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Every `*.pub` of a directory. `Internal` when one cannot be read: an
    /// image is made as a whole, and a key that is missing must not go unnoticed.
    /// A directory that is missing holds no keys.
    pub fn read(directory: &Path) -> Result<Self> {
        let unusable = |path: &Path, cause: Box<dyn std::error::Error + Send + Sync>| {
            let message = format!("The update key {} cannot be used.", path.display());
            Error::new(Kind::Internal, "update-keys", message).caused_by(cause)
        };
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(unusable(directory, error.into())),
        };
        let mut keys = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unusable(directory, error.into()))?.path();
            if path.extension().is_none_or(|ending| ending != "pub") {
                continue;
            }
            let text =
                std::fs::read_to_string(&path).map_err(|error| unusable(&path, error.into()))?;
            keys.push(text.parse().map_err(|error: NotAKey| unusable(&path, error.into()))?);
        }
        Ok(Self(keys))
    }

    /// The key that has signed `content` with the line `signature`.
    ///
    /// `Forbidden`: `update-unsigned` (not a signature), `update-unknown-key`,
    /// `update-signature` (not of this content).
    pub(super) fn verify(&self, content: &[u8], signature: &[u8]) -> Result<&PublicKey> {
        let refused = |code, message: String| Error::new(Kind::Forbidden, code, message);
        let line = std::str::from_utf8(signature).ok().and_then(|text| text.strip_suffix('\n'));
        let parts: Option<[&str; 3]> =
            line.and_then(|line| line.split(' ').collect::<Vec<_>>().try_into().ok());
        let read = parts.and_then(|[kind, id, signature]| {
            Some((id, decode::<64>(signature).filter(|_| kind == SIGNATURE)?))
        });
        let Some((id, signature)) = read else {
            return Err(refused("update-unsigned", "The update is not signed.".to_owned())
                .with_hint("Get the file again from where the release was published."));
        };
        let Some(key) = self.0.iter().find(|key| key.id() == id) else {
            let shown: String = id.chars().take(16).filter(char::is_ascii_alphanumeric).collect();
            return Err(refused(
                "update-unknown-key",
                format!(
                    "The update is signed by a key ({shown}) that this appliance does not trust."
                ),
            )
            .with_hint(match self.0.as_slice() {
                [] => "This image contains no update key: it can only be replaced.".to_owned(),
                keys => format!(
                    "It trusts {}.",
                    keys.iter().map(PublicKey::id).collect::<Vec<_>>().join(", ")
                ),
            }));
        };
        let verifies = UnparsedPublicKey::new(&ED25519, key.bytes).verify(content, &signature);
        verifies.map_err(|_| {
            refused(
                "update-signature",
                "The signature of the update is not good: the file was altered.".to_owned(),
            )
            .with_hint("Get the file again from where the release was published.")
        })?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    fn key(name: &str) -> SecretKey {
        SecretKey::generate(name, &SystemRandom).expect("a key")
    }

    #[test]
    fn keys_survive_their_text() {
        let secret = key("release-2026");
        let again: SecretKey = secret.text().expose().parse().expect("the same");
        assert_eq!(again.public(), secret.public());
        let line = secret.public().to_string();
        assert_eq!(line.parse::<PublicKey>().expect("the same"), secret.public());
        assert!(!line.contains('\n') && line.ends_with(" release-2026"));
    }

    #[test]
    fn a_damaged_public_key_is_not_another_key() {
        let line = key("x").public().to_string();
        let position = line.len() - 10;
        let swapped = if line.as_bytes()[position] == b'A' { "B" } else { "A" };
        let mut damaged = line.clone();
        damaged.replace_range(position..=position, swapped);
        assert_eq!(damaged.parse::<PublicKey>(), Err(NotAKey::Public));
        assert_eq!(
            line.replace("update-key", "update-secret-key").parse::<PublicKey>(),
            Err(NotAKey::Public)
        );
    }

    #[test]
    fn a_secret_key_is_not_shown() {
        let secret = key("x");
        let encoded = BASE64.encode(secret.seed.expose());
        assert!(!format!("{secret:?}").contains(&encoded));
    }

    #[test]
    fn only_a_trusted_key_over_the_same_content_is_believed() {
        let (own, other) = (key("own"), key("other"));
        let trusted = TrustedKeys::new(vec![key("older").public(), own.public()]);
        let line = own.sign(b"content");
        assert_eq!(trusted.verify(b"content", line.as_bytes()).expect("good"), &own.public());
        let code = |content: &[u8], line: &str| {
            trusted.verify(content, line.as_bytes()).expect_err("refused").code().to_owned()
        };
        assert_eq!(code(b"Content", &line), "update-signature");
        assert_eq!(code(b"content", &other.sign(b"content")), "update-unknown-key");
        // The name of a trusted key over the signature of another.
        let forged = other.sign(b"content").replace(&other.public().id(), &own.public().id());
        assert_eq!(code(b"content", &forged), "update-signature");
        assert_eq!(code(b"content", ""), "update-unsigned");
        assert_eq!(code(b"content", line.trim_end()), "update-unsigned");
        assert_eq!(code(b"content", &format!("{line}\n")), "update-unsigned");
    }

    #[test]
    fn an_image_trusts_the_keys_of_its_directory_and_notices_a_broken_one() {
        let place = tempfile::tempdir().expect("a directory");
        assert!(TrustedKeys::read(&place.path().join("missing")).expect("none").0.is_empty());
        let own = key("own").public();
        std::fs::write(place.path().join("own.pub"), format!("{own}\n")).expect("written");
        std::fs::write(place.path().join("README"), "no key").expect("written");
        assert_eq!(TrustedKeys::read(place.path()).expect("one").0, [own]);
        std::fs::write(place.path().join("bad.pub"), "no key").expect("written");
        assert_eq!(TrustedKeys::read(place.path()).expect_err("refused").code(), "update-keys");
    }
}

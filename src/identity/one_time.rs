//! Secrets that we hand out once and keep only a digest of.
//!
//! Owns: the text of refresh tokens, invitations, cluster imports, API keys
//! and set-up codes, and the digests they are stored as.
//! Must not know: where digests are stored or what presenting a secret allows.
//!
//! A secret has 256 random bits (a set-up code, typed by hand, has 80), so a
//! plain SHA-256 is enough: there is nothing to guess that a slow hash would
//! slow down. The digest covers the whole text with its prefix; a secret for
//! one purpose is never one for another.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    clock::{Random, random_bytes},
    ids::ApiKeyId,
    secret::Secret,
};

/// What a secret is for; fixes its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Renews a login session; replaced each time it is used.
    Refresh,
    /// Lets an invited user, or one who forgot it, choose a password.
    Invitation,
    /// Lets a user whose password has expired choose another one.
    PasswordChange,
    /// Lets an agent enrol itself for one cluster.
    ClusterImport,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 4] =
        [Self::Refresh, Self::Invitation, Self::PasswordChange, Self::ClusterImport];

    /// How every secret for this purpose starts, so that a scanner of leaked
    /// text can tell what it has found.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "pr_",
            Self::Invitation => "pi_",
            Self::PasswordChange => "pw_",
            Self::ClusterImport => "pc_",
        }
    }
}

/// The text is not a secret of the expected kind. It is not part of the
/// message: it might be a secret of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a valid secret of the expected kind; copy it again, from its first to its last character"
)]
pub struct NotASecret;

/// What is stored of a secret: its SHA-256. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// From what the store has kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For the store to keep and to look up by.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// A secret with 256 random bits: `pr_`, `pi_`, `pw_` or `pc_` and 43
/// characters of base64url.
#[derive(Clone, Debug)]
pub struct OneTimeSecret(Secret<String>);

impl OneTimeSecret {
    /// Draws a new secret.
    pub fn random(purpose: Purpose, random: &dyn Random) -> Self {
        Self(Secret::new(format!("{}{}", purpose.prefix(), random_part(random))))
    }

    /// Takes what a caller presents. Only the form is checked here; whether it
    /// counts is for the store, by [`Self::digest`].
    pub fn parse(purpose: Purpose, text: &str) -> Result<Self, NotASecret> {
        let rest = text.strip_prefix(purpose.prefix()).ok_or(NotASecret)?;
        check_random_part(rest)?;
        Ok(Self(Secret::new(text.to_owned())))
    }

    /// The plain text, to hand over exactly once.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What to store and to compare.
    pub fn digest(&self) -> Digest {
        Digest::of(self.expose())
    }
}

/// An API key: `pk_`, the key's uid, `_` and 43 characters of base64url. The
/// uid finds the record; the digest of the whole text decides.
#[derive(Clone, Debug)]
pub struct ApiKeySecret {
    id: ApiKeyId,
    text: Secret<String>,
}

impl ApiKeySecret {
    const PREFIX: &str = "pk_";

    /// Draws the secret of the key `id`.
    pub fn random(id: ApiKeyId, random: &dyn Random) -> Self {
        let text = format!("{}{id}_{}", Self::PREFIX, random_part(random));
        Self { id, text: Secret::new(text) }
    }

    /// Whether `text` is meant to be an API key rather than an access token.
    pub fn looks_like_one(text: &str) -> bool {
        text.starts_with(Self::PREFIX)
    }

    /// Takes what a caller presents; only the form is checked.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let rest = text.strip_prefix(Self::PREFIX).ok_or(NotASecret)?;
        let (id, random_part) = rest.split_once('_').ok_or(NotASecret)?;
        let id = id.parse().map_err(|_| NotASecret)?;
        check_random_part(random_part)?;
        Ok(Self { id, text: Secret::new(text.to_owned()) })
    }

    /// The key that this is the secret of, or claims to be.
    pub fn id(&self) -> ApiKeyId {
        self.id
    }

    /// The part that may be shown again later, to tell keys apart.
    pub fn shown_prefix(&self) -> String {
        Self::prefix_of(self.id)
    }

    /// How the text of the key `id` begins.
    pub fn prefix_of(id: ApiKeyId) -> String {
        format!("{}{id}", Self::PREFIX)
    }

    /// The plain text, to hand over exactly once.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What to store and to compare.
    pub fn digest(&self) -> Digest {
        Digest::of(self.expose())
    }
}

/// A code that a person reads from one screen and types into another: four
/// groups of four characters, 80 random bits.
#[derive(Clone, Debug)]
pub struct SetupCode(Secret<String>);

impl SetupCode {
    /// Without 0, 1, I and O, which are taken for one another.
    const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

    /// Draws a new code.
    pub fn random(random: &dyn Random) -> Self {
        let bytes: [u8; 16] = random_bytes(random);
        // 32 characters divide 256 evenly, so every character is equally likely.
        let code = bytes.iter().map(|byte| char::from(Self::ALPHABET[usize::from(byte % 32)]));
        Self(Secret::new(code.collect()))
    }

    /// Takes what a person has typed: case, hyphens and spaces do not matter.
    pub fn parse(typed: &str) -> Result<Self, NotASecret> {
        if typed.len() > 64 {
            return Err(NotASecret);
        }
        let code: Secret<String> = typed
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_uppercase())
            .collect::<String>()
            .into();
        let valid = |byte: u8| Self::ALPHABET.contains(&byte);
        if code.expose().len() == 16 && code.expose().bytes().all(valid) {
            Ok(Self(code))
        } else {
            Err(NotASecret)
        }
    }

    /// The code in groups, for a screen: `ABCD-EFGH-JKLM-NPQR`.
    pub fn expose_grouped(&self) -> String {
        let code = self.0.expose();
        [&code[..4], &code[4..8], &code[8..12], &code[12..]].join("-")
    }

    /// What to store and to compare.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.expose())
    }
}

fn random_part(random: &dyn Random) -> String {
    BASE64URL_NOPAD.encode(&random_bytes::<32>(random))
}

/// Exactly 32 bytes in their only encoding: no padding, no stray bits at the end.
fn check_random_part(text: &str) -> Result<(), NotASecret> {
    if text.len() != 43 {
        return Err(NotASecret);
    }
    let decoded = BASE64URL_NOPAD.decode(text.as_bytes()).map(Secret::new);
    if decoded.is_ok_and(|bytes| bytes.expose().len() == 32) { Ok(()) } else { Err(NotASecret) }
}

#[cfg(test)]
mod tests;

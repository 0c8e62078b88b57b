//! The names of things: one newtype for each kind of object.
//!
//! Owns: the textual form of identifiers and their conversion from and to text.
//! Must not know: where an identifier is stored or who may see it.
//!
//! A [`Uid`] is 48 random bits, written as 12 lower-case hex characters. It is
//! unique because the store says so (insert, and draw again on a clash), it is
//! never reused and it is never a secret: knowing one gives no access.
//! [`SessionId`] is not a `Uid`; it carries 128 bits because guessing one must
//! stay out of reach even though it never stands alone as a credential.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::clock::Random;

/// 48 random bits in 12 lower-case hex characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(u64);

const UID_MASK: u64 = (1 << 48) - 1;

impl Uid {
    /// Draws a new identifier. Uniqueness is for the store to enforce.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        Self(u64::from_le_bytes(bytes) & UID_MASK)
    }

    /// The six bytes, most significant first; used where a cipher binds an identifier.
    pub fn to_bytes(self) -> [u8; 6] {
        let [_, _, tail @ ..] = self.0.to_be_bytes();
        tail
    }
}

/// The text is not 12 lower-case hex characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 12 lower-case hexadecimal characters")]
pub struct NotAUid;

impl FromStr for Uid {
    type Err = NotAUid;

    fn from_str(text: &str) -> Result<Self, NotAUid> {
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 12 || !text.bytes().all(lower_hex) {
            return Err(NotAUid);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAUid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

macro_rules! uid_types {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uid);

        impl $name {
            /// Draws a new identifier of this kind.
            pub fn random(random: &dyn Random) -> Self {
                Self(Uid::random(random))
            }
        }

        impl FromStr for $name {
            type Err = NotAUid;
            fn from_str(text: &str) -> Result<Self, NotAUid> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

uid_types! {
    /// A customer of the installation, or [`TenantId::SYSTEM`].
    TenantId
    /// A group of clusters inside a tenant.
    ProjectId
    /// A person who can log in, in exactly one tenant.
    UserId
    /// A group of users of one tenant.
    TeamId
    /// A named set of permissions.
    RoleId
    /// A credential for programs, owned by a user.
    ApiKeyId
    /// A registered cluster. Never reused, even after deletion.
    ClusterId
    /// One audit record.
    AuditId
    /// One role given to one user or team in one scope.
    AssignmentId
}

impl TenantId {
    /// The scope of system administrators. It has users, roles, keys and an
    /// audit trail like any tenant, but no projects and no clusters.
    pub const SYSTEM: Self = Self(Uid(0));

    /// Whether this is the scope of system administrators.
    pub fn is_system(self) -> bool {
        self == Self::SYSTEM
    }
}

/// A login session: 128 random bits, 32 lower-case hex characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Draws a new session identifier.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl FromStr for SessionId {
    type Err = NotAUid;

    fn from_str(text: &str) -> Result<Self, NotAUid> {
        let decoded = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| NotAUid)?;
        decoded.try_into().map(Self).map_err(|_| NotAUid)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_survives_its_textual_form() {
        let uid: Uid = "00ab12cd34ef".parse().expect("a valid uid");
        assert_eq!(uid.to_string(), "00ab12cd34ef");
        assert_eq!(uid.to_bytes(), [0x00, 0xab, 0x12, 0xcd, 0x34, 0xef]);
    }

    #[test]
    fn text_that_is_not_twelve_lower_case_hex_characters_is_no_uid() {
        for text in
            ["", "00ab12cd34e", "00ab12cd34ef0", "00AB12CD34EF", "+0ab12cd34ef", "zzzzzzzzzzzz"]
        {
            assert!(text.parse::<Uid>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_session_id_has_thirty_two_hex_characters() {
        assert!("00".repeat(16).parse::<SessionId>().is_ok());
        assert!("00".repeat(15).parse::<SessionId>().is_err());
        assert!("00".repeat(17).parse::<SessionId>().is_err());
    }
}

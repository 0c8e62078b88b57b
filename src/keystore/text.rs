//! Secrets and sealed bytes as base64 in JSON.
//!
//! [`Secret`] has no `Serialize` on purpose, so that no secret slips into an
//! answer or a log; the functions here are named one by one where the
//! keystore's own payload is written, and they overwrite what they borrow.

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, Zeroizing};

use crate::secret::Secret;

pub(super) fn serialize<T, S>(secret: &Secret<T>, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Zeroize + AsRef<[u8]>,
    S: Serializer,
{
    let text = Zeroizing::new(BASE64.encode(secret.expose().as_ref()));
    serializer.serialize_str(&text)
}

pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Secret<T>, D::Error>
where
    T: Zeroize + for<'a> TryFrom<&'a [u8]>,
    D: Deserializer<'de>,
{
    // Borrowed: base64 never needs unescaping, so no copy is made on the way.
    let text = <&str>::deserialize(deserializer)?;
    let bytes = BASE64.decode(text.as_bytes()).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| de::Error::custom("expected base64"))?;
    T::try_from(bytes.as_slice())
        .map(Secret::new)
        .map_err(|_| de::Error::custom("a key has the wrong length"))
}

/// Bytes that are not secret: sealed, or a salt.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(|_| de::Error::custom("expected base64"))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

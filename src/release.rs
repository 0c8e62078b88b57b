//! What this build is: its version, and which data it works on.
//!
//! Owns: [`Version`] and its order, and the two facts that decide whether one
//! version can run on what another has written.
//! Must not know: how data is kept or how a version gets onto a machine.
//!
//! The data format is the number of the newest migration (`store::migrate`
//! keeps both in step). A version that takes something away from the schema
//! raises [`OLDEST_VERSION`] to the release that stopped using it.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The format of the data that this build writes.
pub const DATA_FORMAT: u32 = 3;

/// The oldest version that can run on data of [`DATA_FORMAT`].
pub const OLDEST_VERSION: &str = "0.1.0";

/// A build, as data knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its version.
    pub version: Version,
    /// The oldest version that can run on what it leaves.
    pub oldest: Version,
}

impl Build {
    /// This one.
    pub fn own() -> Self {
        Self { version: Version::own(), oldest: Version::oldest() }
    }
}

/// A version: `1.2.0`, or `1.2.0~rc1` for one that comes before `1.2.0`.
///
/// The order is the one by which the boot loader and systemd-sysupdate choose.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version {
    numbers: [u32; 3],
    /// Word and number of a version before the release.
    before: Option<(String, u32)>,
}

impl Version {
    /// The version of this build.
    ///
    /// # Panics
    /// Never: a test reads the constant.
    pub fn own() -> Self {
        VERSION.parse().expect("the version of Cargo.toml is one")
    }

    /// The oldest version that can run on this build's data.
    ///
    /// # Panics
    /// Never: a test reads the constant.
    pub fn oldest() -> Self {
        OLDEST_VERSION.parse().expect("the oldest version is one")
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (&self.before, &other.before) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(own), Some(other)) => own.cmp(other),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        match &self.before {
            Some((word, 0)) => write!(f, "~{word}"),
            Some((word, number)) => write!(f, "~{word}{number}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a version such as 1.2.0 or 1.2.0~rc1")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let (numbers, before) = match text.split_once('~') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let mut parts = numbers.split('.').map(number);
        let mut next = || parts.next().flatten().ok_or(NotAVersion);
        let numbers = [next()?, next()?, next()?];
        if parts.next().is_some() {
            return Err(NotAVersion);
        }
        Ok(Self { numbers, before: before.map(before_release).transpose()? })
    }
}

/// Digits in the one way in which a number is written.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=6).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn before_release(text: &str) -> Result<(String, u32), NotAVersion> {
    let end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let (word, digits) = text.split_at(end);
    if !(1..=16).contains(&word.len()) {
        return Err(NotAVersion);
    }
    match digits {
        "" => Ok((word.to_owned(), 0)),
        // It would be written without the digit.
        "0" => Err(NotAVersion),
        digits => Ok((word.to_owned(), number(digits).ok_or(NotAVersion)?)),
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|_| panic!("{text} is a version"))
    }

    #[test]
    fn this_build_has_versions_that_can_be_read() {
        assert!(Version::oldest() <= Version::own());
    }

    #[test]
    fn versions_are_ordered_by_number_and_candidates_come_before_their_release() {
        let order = [
            "0.9.9",
            "1.0.0~beta2",
            "1.0.0~rc1",
            "1.0.0~rc10",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
        ];
        assert!(order.map(version).is_sorted());
        assert!(version("1.0.0~rc2") < version("1.0.0~rc10"));
    }

    #[test]
    fn a_version_is_written_in_one_way_only() {
        for text in ["1.2.0", "0.0.0", "1.2.0~rc1", "1.2.0~alpha", "999999.0.0"] {
            assert_eq!(version(text).to_string(), text);
        }
        let wrong = [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.03",
            "v1.2.3",
            "1.2.3-rc1",
            "1.2.3~",
            "+1.2.3",
            "1.2.3~rc0",
            "1.2.3~rc01",
            "1.2.3~RC1",
            "1.2.3~1",
            "1.2.3~rc1.2",
            " 1.2.3",
            "1.2.3/",
            "1234567.0.0",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Version>(), Err(NotAVersion), "{text:?}");
        }
    }
}

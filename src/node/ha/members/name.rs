//! The name of a node in its cluster.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One label of a DNS name in lower case: it stands in certificates, in the
/// engines' configuration and on screens.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(String);

impl NodeName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name, or the same with the first free number behind it: appliances
    /// that nobody has named all have the same name.
    ///
    /// # Panics
    /// Never: there are more numbers than nodes.
    pub fn free_among(&self, taken: &[Self]) -> Self {
        let numbered = (2_u32..).map(|number| {
            let end = format!("-{number}");
            // Cut in front of the number; a hyphen before another would still be a name.
            let kept = self.0.len().min(LONGEST - end.len());
            Self(format!("{}{end}", &self.0[..kept]))
        });
        let mut candidates = std::iter::once(self.clone()).chain(numbered);
        candidates.find(|name| !taken.contains(name)).expect("there are more numbers than nodes")
    }
}

/// The longest label of a DNS name.
const LONGEST: usize = 63;

/// The text is not the name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a node has 1 to 63 lower-case letters, digits and hyphens, and no hyphen at \
     either end, e.g. palisade-1"
)]
pub struct NotANodeName;

impl FromStr for NodeName {
    type Err = NotANodeName;

    fn from_str(text: &str) -> Result<Self, NotANodeName> {
        let fits = (1..=LONGEST).contains(&text.len())
            && !text.starts_with('-')
            && !text.ends_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(NotANodeName) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

//! What is wrong with an answer, as one line for a narrow screen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most characters of a mistake's line.
pub const LINE_LENGTH: usize = 110;
/// The most characters of a property that nobody knows.
const KEY_LENGTH: usize = 40;
/// What remains of an answer, at least, when the line would become too long.
const LEAST_SHOWN: usize = 8;

/// One mistake in one property. Its `Display` is one line without secrets, of
/// at most [`LINE_LENGTH`] characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// The property.
    pub key: String,
    /// What was given, cut and without control characters; nothing when it was
    /// empty or is a secret.
    pub given: Option<String>,
    /// What is wrong, as the second half of a sentence: `is no IPv4 address`.
    pub wrong: String,
    /// What to write instead, as a wish: `write e.g. 192.0.2.10/24`.
    pub instead: String,
}

impl Mistake {
    /// `given` is wrong.
    pub(super) fn new(
        key: &str,
        given: &str,
        wrong: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        let harmless: String =
            given.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_LENGTH).collect();
        let given = Some(harmless).filter(|given| !given.is_empty());
        Self { key: key.to_owned(), given, wrong: wrong.into(), instead: instead.into() }
    }

    /// What was given is a secret, or nothing.
    pub(super) fn hidden(key: &str, wrong: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::new(key, "", wrong, instead)
    }
}

impl Mistake {
    /// The line without the property, for where its name stands already.
    pub fn sentence(&self) -> String {
        let Self { key, given, wrong, instead } = self;
        let Some(given) = given else { return format!("{wrong}; {instead}") };
        let around = format!("{key}: \"\" {wrong}; {instead}").chars().count();
        let room = LINE_LENGTH.saturating_sub(around).max(LEAST_SHOWN);
        if given.chars().count() <= room {
            format!("\"{given}\" {wrong}; {instead}")
        } else {
            let start: String = given.chars().take(room - 2).collect();
            format!("\"{start}..\" {wrong}; {instead}")
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: String = self.key.chars().take(KEY_LENGTH).collect();
        write!(f, "{key}: {}", self.sentence())
    }
}

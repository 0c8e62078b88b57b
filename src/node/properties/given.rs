//! Answers as they were given: text by key.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroize;

use super::table::find;

/// What is shown in the place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// Answers before anybody has looked at them. `Debug` hides secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawAnswers(BTreeMap<String, String>);

impl RawAnswers {
    /// The answer to `key` without white space around it; nothing when it is empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// Answers `key`; an empty text takes the answer away.
    pub fn set(&mut self, key: impl Into<String>, text: impl Into<String>) {
        let (key, text) = (key.into(), text.into());
        self.remove(&key);
        if !text.trim().is_empty() {
            self.0.insert(key, text);
        }
    }

    /// Takes an answer away.
    pub fn remove(&mut self, key: &str) {
        if let Some(mut old) = self.0.remove(key) {
            old.zeroize();
        }
    }

    /// Every key that was answered, with its answer, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.keys().filter_map(|key| Some((key.as_str(), self.get(key)?)))
    }

    /// Whether nothing was answered.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The answer to `key` as everybody may read it: passwords are left out. A
    /// misspelt property may be one, and a wrong key a private one.
    pub fn shown(&self, key: &str) -> Option<String> {
        let text = self.get(key)?;
        Some(match find(key) {
            Some(property) if !property.is_password() && !text.contains("PRIVATE") => {
                without_password(text)
            }
            _ => HIDDEN.to_owned(),
        })
    }

    /// Takes away what is no property of this version.
    pub fn forget_unknown(&mut self) {
        let unknown: Vec<_> = self.0.keys().filter(|key| find(key).is_none()).cloned().collect();
        for key in unknown {
            self.remove(&key);
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for RawAnswers {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(answers: I) -> Self {
        let mut found = Self::default();
        for (key, text) in answers {
            found.set(key, text);
        }
        found
    }
}

impl fmt::Debug for RawAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|key| (key, self.shown(key)))).finish()
    }
}

impl Drop for RawAnswers {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

/// A text without what may be a password or token in a URL, however wrong the
/// URL is otherwise.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        // A proxy whose scheme was forgotten: `user:password@host`.
        return match text.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => format!("{HIDDEN}@{host}"),
            _ => text.to_owned(),
        };
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}"),
        None => format!("{scheme}://{rest}"),
    }
}

//! What can be wrong with a setting, and where it was written.
//!
//! Owns: [`ConfigError`] and [`Origin`].
//! Must not know: any particular setting.

use std::{fmt, path::PathBuf};

/// Where the value of a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the value that we ship.
    Default,
    /// Nowhere: it follows from the setting with this key.
    Derived(&'static str),
    /// A configuration file; lines count from 1, and 0 stands for the whole file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag on the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived(from) => write!(f, "follows {from}"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// The configuration is unusable. Its text is one sentence that names the
/// setting, where it was written and what is wrong with it, and it never
/// repeats a value that may hold a secret. A command that gets one ends with
/// exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    key: Option<String>,
    origin: Origin,
    problem: String,
}

impl ConfigError {
    /// The setting `key`, written at `origin`, has a problem: the end of a
    /// sentence that starts with the key, e.g. `must be between 1 and 10`.
    pub(super) fn at(key: &str, origin: &Origin, problem: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), origin: origin.clone(), problem: problem.into() }
    }

    /// The place itself is at fault, not one setting in it.
    pub(super) fn of(origin: Origin, problem: impl Into<String>) -> Self {
        Self { key: None, origin, problem: problem.into() }
    }

    /// The setting at fault, e.g. `server.listen`; `None` when the file as a
    /// whole or an environment variable that names no setting is.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Where it was written.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "setting {key} ({}) {}", self.origin, self.problem),
            None => write!(f, "{} {}", self.origin, self.problem),
        }
    }
}

impl std::error::Error for ConfigError {}

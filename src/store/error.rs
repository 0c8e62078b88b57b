//! What can go wrong in the store, and how callers read it.

use std::{fmt, time::Duration};

use sqlx::migrate::MigrateError;

use crate::error::{Error, Kind};

/// When it makes sense to ask again what has become of a change.
const RETRY_UNKNOWN: Duration = Duration::from_secs(2);

/// What kind of failure of the database this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A unique constraint says that this exists already.
    Duplicate,
    /// A foreign key says that something is missing or still in use.
    Reference,
    /// The disk or the quota is full; nothing was changed.
    Full,
    /// No answer in time, or no connection; nothing was changed.
    Unavailable,
    /// A commit was sent and its answer got lost: it may have happened.
    Unknown,
    /// The schema was made by something else than a version of this program.
    Schema,
    /// A newer version has used the data, and this one cannot any more.
    TooNew,
    /// Anything else: a bug, or damage.
    Broken,
}

/// A failed statement or transaction.
#[derive(Debug)]
pub struct StoreError {
    failure: Failure,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// The failure's kind.
    pub fn failure(&self) -> Failure {
        self.failure
    }

    pub(super) fn timeout() -> Self {
        Self { failure: Failure::Unavailable, source: Some("no answer in time".into()) }
    }

    pub(super) fn new(failure: Failure, cause: impl Into<String>) -> Self {
        Self { failure, source: Some(cause.into().into()) }
    }

    /// The same failure of a commit that may have happened.
    pub(super) fn unknown(self) -> Self {
        Self { failure: Failure::Unknown, ..self }
    }

    /// For the caller who knows what a duplicate means here: `Conflict` with
    /// the field that is taken.
    pub fn on_duplicate(self, field: &'static str, message: &'static str) -> Error {
        if self.failure == Failure::Duplicate {
            return Error::new(Kind::Conflict, "already-exists", format!("{message}."))
                .with_field(field, message.to_lowercase());
        }
        self.into()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failure {
            Failure::Duplicate => "the database has this already",
            Failure::Reference => "the database refuses a reference",
            Failure::Full => "the disk of the database is full",
            Failure::Unavailable => "the database does not answer",
            Failure::Unknown => "the database did not say whether the change was made",
            Failure::Schema => {
                "the schema of the database is not one of Palisade's: restore a backup, or run \
                 the version that made it"
            }
            Failure::TooNew => "a newer version has used this data",
            Failure::Broken => "the database failed",
        })
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self { failure: classify(&error), source: Some(Box::new(error)) }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        let failure = match &error {
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                classify(source)
            }
            _ => Failure::Schema,
        };
        Self { failure, source: Some(Box::new(error)) }
    }
}

fn classify(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(database) if database.is_unique_violation() => Failure::Duplicate,
        sqlx::Error::Database(database) if database.is_foreign_key_violation() => {
            Failure::Reference
        }
        sqlx::Error::Database(database) => classify_code(database.code().as_deref().unwrap_or("")),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Failure::Unavailable,
        _ => Failure::Broken,
    }
}

/// SQLite's result codes are numbers (the low byte is the primary code);
/// PostgreSQL's are five characters.
fn classify_code(code: &str) -> Failure {
    if let Some(primary) = code.parse::<u32>().ok().filter(|_| code.len() < 5) {
        return match primary & 0xff {
            13 => Failure::Full, // SQLITE_FULL
            // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR
            5..=10 => Failure::Unavailable,
            _ => Failure::Broken,
        };
    }
    match code {
        "53100" => Failure::Full, // disk_full
        // query_canceled, shutdowns, read_only_sql_transaction, serialization_failure,
        // deadlock_detected, lock_not_available, io_error
        "57014" | "57P01" | "57P02" | "57P03" | "25006" | "40001" | "40P01" | "55P03" | "58030" => {
            Failure::Unavailable
        }
        _ if code.starts_with("08") || code.starts_with("53") => Failure::Unavailable,
        _ => Failure::Broken,
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error.failure {
            Failure::Full => full().caused_by(error),
            Failure::Unavailable => {
                Self::unavailable("The database does not answer: nothing was changed.")
                    .caused_by(error)
            }
            Failure::Unknown => Self::new(
                Kind::Unavailable,
                "outcome-unknown",
                "The database did not say in time whether the change was made.",
            )
            .with_retry_after(RETRY_UNKNOWN)
            .with_hint("Send it again with the same Idempotency-Key, or look whether it was made.")
            .caused_by(error),
            Failure::Duplicate => {
                Self::new(Kind::Conflict, "already-exists", "This exists already.").caused_by(error)
            }
            Failure::Reference => Self::new(
                Kind::Conflict,
                "in-use",
                "Something that this refers to is gone, or something still refers to this.",
            )
            .caused_by(error),
            Failure::TooNew => {
                // The cause says which versions, and nothing else.
                let cause = error.source.map_or_else(String::new, |cause| cause.to_string());
                let mut sentence = cause;
                if let Some(first) = sentence.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                Self::new(Kind::Conflict, "data-too-new", format!("{sentence}.")).with_hint(
                    "Run that version, or go back to the data of before the update: F8 on the \
                         appliance's console; elsewhere `palisade update restore-data`.",
                )
            }
            Failure::Schema | Failure::Broken => Self::internal(error),
        }
    }
}

/// The data disk is full, as callers read it.
pub fn full() -> Error {
    Error::new(
        Kind::StorageFull,
        "storage-full",
        "The disk of the appliance is full: nothing was changed.",
    )
    .with_hint("Free space on the data disk or enlarge it; reading still works.")
}

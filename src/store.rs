//! The store: the only module that names a database.
//!
//! Owns: the two pools, transactions, migrations and every SQL statement, one
//! file per aggregate. The same statement text runs on SQLite and on
//! PostgreSQL; only the migrations differ.
//! Must not know: permissions, HTTP, the bus, or what a sealed column contains.
//!
//! Every function of an aggregate takes the tenant and puts it into its
//! `WHERE`: a foreign identifier finds nothing. Begin with [`Store::begin`] to
//! change something and [`Store::read`] to look.
//!
//! SQLite has one writer. Transactions of different callers are savepoints
//! inside one group that is committed, and so synced to disk, once for all of
//! them: see `lite`. PostgreSQL commits in groups by itself.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use crate::release::Build;

mod error;
mod lite;
mod migrate;
mod page;
mod postgres;
mod row;
mod tx;
mod value;

pub mod api_keys;
pub mod assignments;
pub mod audit;
pub mod clusters;
pub mod data_format;
pub mod enrolment;
pub mod idempotency;
pub mod installation;
pub mod invalidation;
pub mod leases;
pub mod one_time;
pub mod projects;
pub mod roles;
pub mod sessions;
pub mod settings;
pub mod statistics;
pub mod teams;
pub mod tenant_keys;
pub mod tenants;
pub mod transfer;
pub mod users;

pub use error::{Failure, StoreError, full};
pub use page::{Cursor, Key, ListQuery, Page};
pub use postgres::{ClientCertificate, PostgresSettings, ServerRole, ServerSeen, Servers};
pub use row::{Column, FromRow, Row};
pub use tx::Tx;
pub use value::{Bind, Value};

use lite::Lite;
use postgres::Postgres;

/// The result of a store function.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// How long one statement may take before the caller is told to try again,
/// unless [`Store::with_statement_limit`] says otherwise.
pub(crate) const STATEMENT_LIMIT: Duration = Duration::from_secs(8);

/// Which database, and where.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// A file of our own.
    Sqlite {
        /// The database file; its folder must exist.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres(PostgresSettings),
}

/// How many transactions were finished in how many groups since the start. A
/// group costs one sync to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStatistics {
    /// Transactions that asked to be committed.
    pub transactions: u64,
    /// Groups that had at least one of them.
    pub groups: u64,
}

/// A handle on the database. Cloning is cheap; all clones share the pools.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    statement_limit: Duration,
}

#[derive(Clone, Debug)]
enum Backend {
    Lite(Lite),
    Postgres(Postgres),
}

impl Store {
    /// Opens the database without changing anything in it. Of several servers
    /// of PostgreSQL one must be the primary, or become it soon: `Unavailable`
    /// says what each of them said.
    pub async fn open(settings: &StoreSettings) -> Result<Self> {
        Self::open_within(settings, postgres::START_LIMIT).await
    }

    /// The same with another limit of the time to wait for a primary.
    pub async fn open_within(settings: &StoreSettings, patience: Duration) -> Result<Self> {
        let backend = match settings {
            StoreSettings::Sqlite { path } => Backend::Lite(Lite::open(path).await?),
            StoreSettings::Postgres(settings) => {
                Backend::Postgres(Box::pin(Postgres::open(settings, patience)).await?)
            }
        };
        Ok(Self { backend, statement_limit: STATEMENT_LIMIT })
    }

    /// The same store with another limit of one statement. PostgreSQL gives up
    /// by itself after [`PostgresSettings::statement_timeout`].
    pub fn with_statement_limit(self, limit: Duration) -> Self {
        Self { statement_limit: limit, ..self }
    }

    /// Brings the schema up to this version of the program.
    pub async fn migrate(&self) -> Result<()> {
        self.migrate_to(&Build::own()).await
    }

    async fn run_migrations(&self) -> Result<()> {
        match &self.backend {
            Backend::Lite(lite) => lite.migrate().await,
            Backend::Postgres(postgres) => Box::pin(postgres.migrate()).await,
        }
    }

    /// Begins a transaction that may change something. Without [`Tx::commit`]
    /// everything in it is undone.
    pub async fn begin(&self) -> Result<Tx> {
        let (asked, limit) = (Instant::now(), self.statement_limit);
        let begun = match &self.backend {
            Backend::Lite(lite) => lite.begin().await,
            Backend::Postgres(postgres) => Box::pin(postgres.begin(limit)).await,
        };
        tx::count_failure(begun).map(|tx| tx.since(asked).limited(limit))
    }

    /// A connection to look at committed data.
    pub async fn read(&self) -> Result<Tx> {
        match &self.backend {
            Backend::Lite(lite) => lite.read().await,
            Backend::Postgres(postgres) => Box::pin(postgres.read(self.statement_limit)).await,
        }
        .map(|tx| tx.limited(self.statement_limit))
    }

    /// Whether the database answers, and could take changes.
    pub async fn ping(&self) -> Result<()> {
        let tx = match &self.backend {
            Backend::Lite(lite) => lite.read().await,
            Backend::Postgres(postgres) => {
                Box::pin(postgres.read_primary(self.statement_limit)).await
            }
        };
        tx?.limited(self.statement_limit)
            .fetch_optional::<i64>("SELECT CAST(1 AS BIGINT)", ())
            .await
            .map(drop)
    }

    /// Empties the write-ahead log of SQLite, so that deleted rows are gone
    /// from the disk. `false` while somebody reads from it: try again.
    /// PostgreSQL looks after its log by itself.
    pub async fn empty_log(&self) -> Result<bool> {
        match &self.backend {
            Backend::Lite(lite) => lite.empty_log().await,
            Backend::Postgres(_) => Ok(true),
        }
    }

    /// Writes all committed data into the new file `into`, of one moment and
    /// without gaps; `false` for PostgreSQL, which is not a file of ours. The
    /// file must not exist, or be empty. What is left of it after a failure is
    /// of no use.
    pub async fn copy_into(&self, into: &Path) -> Result<bool> {
        match &self.backend {
            Backend::Lite(lite) => lite.copy_into(into).await.map(|()| true),
            Backend::Postgres(_) => Ok(false),
        }
    }

    /// How transactions have shared syncs to disk; `None` for PostgreSQL, which
    /// does that by itself.
    pub fn group_statistics(&self) -> Option<GroupStatistics> {
        match &self.backend {
            Backend::Lite(lite) => Some(lite.group_statistics()),
            Backend::Postgres(_) => None,
        }
    }

    /// Whether several processes may work on this database at the same time.
    pub fn is_shared(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    /// What the servers of PostgreSQL say, where there are several: it changes
    /// while one watches.
    pub fn servers(&self) -> Option<watch::Receiver<Servers>> {
        match &self.backend {
            Backend::Lite(_) => None,
            Backend::Postgres(postgres) => postgres.seen(),
        }
    }

    /// Writes everything to its final place. Afterwards nothing can begin;
    /// waits for connections that are still in use.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Lite(lite) => lite.close().await,
            Backend::Postgres(postgres) => Box::pin(postgres.close()).await,
        }
    }
}

#[cfg(test)]
mod tests;

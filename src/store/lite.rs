//! SQLite: one writer, many readers, and commits in groups.
//!
//! A sync to disk costs a hundred times what a small transaction costs, so
//! transactions share syncs. The first one opens a group (`BEGIN IMMEDIATE`);
//! each transaction is a savepoint in it. Whoever finishes calls the flusher,
//! which queues for the writer like everybody else: all who were waiting
//! before it take their turns, then it commits the group and tells everyone at
//! once. Nobody is told of success before the sync. With nobody waiting, the
//! flusher is next and a single transaction pays for its own sync only.
//!
//! Invariants: a caller that goes away leaves at most an open savepoint and a
//! statement that the connection still runs; the next turn waits for the
//! statement and undoes the savepoint. The steps in between, where half done
//! would be wrong, run in tasks of their own and to their end.

use std::{
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions, Executor, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, watch};

use super::{Failure, GroupStatistics, Result, StoreError, Tx, migrate};
use writer::Writer;

mod writer;

/// How long a transaction waits for its turn and for its beginning.
const TURN_LIMIT: Duration = Duration::from_secs(10);
/// How long SQLite waits for another process that holds the file.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// The same, for a connection that was told otherwise.
const RESTORE_BUSY_LIMIT: &str = "PRAGMA busy_timeout = 5000";

/// Whether the transactions of a group are on disk.
type Outcome = std::result::Result<(), Failure>;

#[derive(Clone, Debug)]
pub(super) struct Lite {
    readers: SqlitePool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: Arc<Mutex<Writer>>,
    flush: Arc<Notify>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    transactions: AtomicU64,
    groups: AtomicU64,
}

impl Lite {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_LIMIT)
            // Deleted secrets are overwritten, not left on free pages.
            .pragma("secure_delete", "ON")
            .pragma("cache_size", "-4000")
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let connection = options.connect().await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        let counters = Arc::<Counters>::default();
        let shared = Arc::new(Shared {
            writer: Arc::new(Mutex::new(Writer::new(connection, Arc::clone(&counters)))),
            flush: Arc::new(Notify::new()),
            counters,
        });
        tokio::spawn(flusher(Arc::downgrade(&shared), Arc::clone(&shared.flush)));
        Ok(Self { readers, shared })
    }

    /// A connection to what the file has now, however long it is held. The file
    /// is not changed, and not made.
    pub(super) async fn look(path: &Path) -> Result<Tx> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY_LIMIT)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let mut connection = pool.acquire().await?;
        // What is read first decides which moment it is.
        for statement in ["BEGIN", "SELECT COUNT(*) FROM sqlite_schema"] {
            connection.execute(statement).await?;
        }
        Ok(Tx::lite_read(connection))
    }

    pub(super) async fn migrate(&self) -> Result<()> {
        let mut writer = self.idle_writer().await?;
        Ok(migrate::sqlite().run(&mut writer.connection).await?)
    }

    pub(super) async fn read(&self) -> Result<Tx> {
        Ok(Tx::lite_read(self.readers.acquire().await?))
    }

    pub(super) async fn begin(&self) -> Result<Tx> {
        let turn = async {
            let writer = self.shared.lock().await?;
            let turn = WriteTurn { writer, shared: Arc::clone(&self.shared) };
            to_the_end(turn.open()).await
        };
        let turn = tokio::time::timeout(TURN_LIMIT, turn).await;
        Ok(Tx::lite_write(turn.map_err(|_| StoreError::timeout())??))
    }

    pub(super) fn group_statistics(&self) -> GroupStatistics {
        let counters = &self.shared.counters;
        GroupStatistics {
            transactions: counters.transactions.load(Ordering::Relaxed),
            groups: counters.groups.load(Ordering::Relaxed),
        }
    }

    /// Moves the log into the database file and cuts it to nothing. A reader
    /// in the middle of a statement makes SQLite leave the log for later.
    pub(super) async fn empty_log(&self) -> Result<bool> {
        self.idle_writer().await?.empty_log().await
    }

    pub(super) async fn copy_into(&self, into: &Path) -> Result<()> {
        let path = into
            .to_str()
            .ok_or_else(|| StoreError::new(Failure::Broken, "the path of the copy is not UTF-8"))?;
        let mut writer = self.idle_writer().await?;
        let copy = sqlx::query("VACUUM INTO $1").bind(path.to_owned());
        copy.execute(&mut writer.connection).await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        let Ok(mut writer) = self.idle_writer().await else { return };
        // Fails only when another process holds the file; the log stays valid then.
        let _ = writer.empty_log().await;
        writer.closed = true;
    }

    /// The writer without an open group.
    async fn idle_writer(&self) -> Result<OwnedMutexGuard<Writer>> {
        let mut writer = self.shared.lock().await?;
        to_the_end(async move {
            writer.finish_group().await;
            Ok(writer)
        })
        .await
    }
}

impl Shared {
    /// The writer, unless the store is closed.
    async fn lock(&self) -> Result<OwnedMutexGuard<Writer>> {
        let writer = Arc::clone(&self.writer).lock_owned().await;
        if writer.closed {
            return Err(StoreError::new(Failure::Unavailable, "the store is closed"));
        }
        Ok(writer)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.flush.notify_one(); // the flusher finds nobody and ends
    }
}

/// Commits the open group whenever it is called, until the store is gone.
async fn flusher(shared: Weak<Shared>, flush: Arc<Notify>) {
    loop {
        flush.notified().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.writer.lock().await.finish_group().await;
    }
}

/// Runs a step that must not stay half done, whatever becomes of the caller.
async fn to_the_end<T: Send + 'static>(
    step: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let stopping = |_| StoreError::new(Failure::Unavailable, "the process is stopping");
    tokio::spawn(step).await.map_err(stopping)?
}

/// The writer, held for one transaction.
#[derive(Debug)]
pub(super) struct WriteTurn {
    writer: OwnedMutexGuard<Writer>,
    shared: Arc<Shared>,
}

impl WriteTurn {
    async fn open(mut self) -> Result<Self> {
        self.writer.open_member().await?;
        Ok(self)
    }

    pub(super) fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        &mut self.writer.connection
    }

    /// Tells of a failed statement, which may have undone more than itself.
    pub(super) fn note(&mut self, error: &StoreError) {
        self.writer.suspect(error.failure());
    }

    /// Answers when the group is on disk. Whoever stops waiting does not learn
    /// whether it is.
    pub(super) async fn commit(self) -> Result<()> {
        let shared = Arc::clone(&self.shared); // keeps the flusher until it has told
        let mut outcome = to_the_end(self.release()).await?;
        let told = outcome.wait_for(Option::is_some).await.map(|outcome| *outcome);
        drop(shared);
        match told {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(failure))) => Err(StoreError::new(failure, "the commit failed")),
            Ok(None) | Err(_) => Err(StoreError::new(Failure::Unavailable, "the writer is gone")),
        }
    }

    /// Joins the group, calls the flusher and lets the next transaction in.
    async fn release(mut self) -> Result<watch::Receiver<Option<Outcome>>> {
        self.writer.release_member().await
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        self.shared.flush.notify_one();
    }
}

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
//! Invariant: a caller that goes away in the middle leaves a savepoint behind,
//! which the next turn rolls back before it begins.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{
    Connection as _, Executor, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard, watch};

use super::{Failure, Result, StoreError, Tx, migrate};

/// How many transactions share one sync at the most.
const MAX_GROUP: usize = 128;
/// How long a transaction waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Lite {
    readers: SqlitePool,
    writer: Arc<Mutex<Writer>>,
    flush: Arc<Notify>,
}

#[derive(Debug)]
struct Writer {
    connection: SqliteConnection,
    group: Option<Group>,
    /// A savepoint may be open that nobody will release.
    abandoned: bool,
}

/// Transactions that will be committed together.
#[derive(Debug)]
struct Group {
    members: usize,
    outcome: watch::Sender<Option<std::result::Result<(), Failure>>>,
    /// Set when SQLite has undone everything in the group.
    broken: Option<Failure>,
}

impl Lite {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            // Deleted secrets are overwritten, not left on free pages.
            .pragma("secure_delete", "ON")
            .pragma("cache_size", "-4000")
            .statement_cache_capacity(256);
        let connection = SqliteConnection::connect_with(&options).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        let writer = Writer { connection, group: None, abandoned: false };
        let lite =
            Self { readers, writer: Arc::new(Mutex::new(writer)), flush: Arc::new(Notify::new()) };
        let (writer, flush) = (Arc::downgrade(&lite.writer), Arc::clone(&lite.flush));
        tokio::spawn(async move {
            loop {
                flush.notified().await;
                let Some(writer) = writer.upgrade() else { return };
                writer.lock().await.finish_group().await;
            }
        });
        Ok(lite)
    }

    pub(super) async fn migrate(&self) -> Result<()> {
        let mut writer = self.writer.lock().await;
        writer.finish_group().await;
        Ok(migrate::sqlite().run(&mut writer.connection).await?)
    }

    pub(super) async fn read(&self) -> Result<Tx> {
        Ok(Tx::lite_read(self.readers.acquire().await?))
    }

    pub(super) async fn begin(&self) -> Result<Tx> {
        let turn = tokio::time::timeout(TURN_LIMIT, Arc::clone(&self.writer).lock_owned());
        let mut writer = turn.await.map_err(|_| StoreError::timeout())?;
        if writer.group.as_ref().is_some_and(|group| group.broken.is_some()) {
            writer.finish_group().await;
        }
        writer.drop_abandoned().await;
        if writer.group.is_none() {
            writer.group = Some(Group::new());
            if let Err(error) = writer.run("BEGIN IMMEDIATE").await {
                writer.group = None;
                return Err(error);
            }
        }
        writer.abandoned = true;
        writer.run("SAVEPOINT member").await?;
        Ok(Tx::lite_write(WriteTurn { writer, flush: Arc::clone(&self.flush) }))
    }

    /// Moves the log into the database file and cuts it to nothing. A reader
    /// in the middle of a statement makes SQLite leave the log for later.
    pub(super) async fn empty_log(&self) -> Result<()> {
        let mut writer = self.writer.lock().await;
        writer.finish_group().await;
        writer.run("PRAGMA wal_checkpoint(TRUNCATE)").await
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        // Fails only when another process holds the file; the log stays valid then.
        let _ = self.empty_log().await;
    }
}

impl Group {
    fn new() -> Self {
        Self { members: 0, outcome: watch::Sender::new(None), broken: None }
    }
}

impl Writer {
    async fn run(&mut self, sql: &'static str) -> Result<()> {
        self.connection.execute(sqlx::query(sql)).await?;
        Ok(())
    }

    /// Undoes what a caller left behind who went away in the middle.
    async fn drop_abandoned(&mut self) {
        if self.abandoned {
            // Both fail when the savepoint was never opened or is released already: fine.
            let _ = self.run("ROLLBACK TO member").await;
            let _ = self.run("RELEASE member").await;
            self.abandoned = false;
        }
    }

    /// Commits the open group, if there is one, and tells its members.
    async fn finish_group(&mut self) {
        self.drop_abandoned().await;
        let Some(group) = self.group.take() else { return };
        let outcome = match group.broken {
            Some(failure) => Err(failure),
            None => self.run("COMMIT").await.map_err(|error| error.failure()),
        };
        if outcome.is_err() {
            // After most failures SQLite has rolled back by itself and says so.
            let _ = self.run("ROLLBACK").await;
        }
        group.outcome.send_replace(Some(outcome));
    }
}

/// The writer, held for one transaction.
#[derive(Debug)]
pub(super) struct WriteTurn {
    writer: OwnedMutexGuard<Writer>,
    flush: Arc<Notify>,
}

impl WriteTurn {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.writer.connection
    }

    /// A full disk or an I/O error makes SQLite undo the whole group.
    pub(super) fn note(&mut self, error: &StoreError) {
        if matches!(error.failure(), Failure::Full | Failure::Unavailable)
            && let Some(group) = &mut self.writer.group
        {
            group.broken = Some(error.failure());
        }
    }

    pub(super) async fn commit(mut self) -> Result<()> {
        self.writer.run("RELEASE member").await.inspect_err(|error| self.note(error))?;
        self.writer.abandoned = false;
        let Some(group) = &mut self.writer.group else {
            return Err(StoreError::new(Failure::Broken, "a transaction without a group"));
        };
        group.members += 1;
        let mut outcome = group.outcome.subscribe();
        if group.members >= MAX_GROUP {
            self.writer.finish_group().await;
        }
        drop(self); // calls the flusher and lets the next transaction in
        let told = outcome.wait_for(Option::is_some).await.map(|outcome| *outcome);
        match told {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(failure))) => Err(StoreError::new(failure, "the commit failed")),
            Ok(None) | Err(_) => Err(StoreError::new(Failure::Unavailable, "the writer is gone")),
        }
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        self.flush.notify_one();
    }
}

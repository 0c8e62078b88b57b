//! The writing connection and the group of transactions that is open on it.
//!
//! Invariant: nothing here may be given up half way. The callers see to that.

use std::sync::{Arc, atomic::Ordering};

use sqlx::{Executor, SqliteConnection};
use tokio::sync::watch;

use super::{Counters, Outcome, RESTORE_BUSY_LIMIT};
use crate::store::{Failure, Result, StoreError};

/// How many transactions share one sync at the most.
const MAX_GROUP: u64 = 128;

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    pub(super) closed: bool,
    group: Option<Group>,
    /// Whether the savepoint of a transaction is open.
    member: bool,
    counters: Arc<Counters>,
}

/// Transactions that will be committed together.
#[derive(Debug)]
struct Group {
    members: u64,
    outcome: watch::Sender<Option<Outcome>>,
    /// The last failure of a statement, in case it has undone the group.
    suspect: Option<Failure>,
    /// Set when SQLite has undone everything in the group.
    broken: Option<Failure>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, counters: Arc<Counters>) -> Self {
        Self { connection, closed: false, group: None, member: false, counters }
    }

    async fn run(&mut self, sql: &'static str) -> Result<()> {
        self.connection.execute(sqlx::query(sql)).await?;
        Ok(())
    }

    /// Opens the savepoint of a transaction, in the open group or in a new one.
    pub(super) async fn open_member(&mut self) -> Result<()> {
        self.undo_member().await;
        if self.group.as_ref().is_some_and(|group| group.broken.is_some() || group.is_full()) {
            self.finish_group().await;
        }
        if self.group.is_none() {
            if let Err(error) = self.run("BEGIN IMMEDIATE").await {
                // In case a failed group could not even be rolled back.
                let _ = self.run("ROLLBACK").await;
                return Err(error);
            }
            self.group = Some(Group::new());
        }
        self.run("SAVEPOINT member").await?;
        self.member = true;
        Ok(())
    }

    /// Makes the transaction a part of its group; answers where to wait.
    pub(super) async fn release_member(&mut self) -> Result<watch::Receiver<Option<Outcome>>> {
        let released = self.run("RELEASE member").await;
        self.member = false;
        let Some(group) = &mut self.group else {
            return Err(StoreError::new(Failure::Broken, "a transaction without a group"));
        };
        if let Err(error) = released {
            return Err(group.undone(&error));
        }
        group.members += 1;
        Ok(group.outcome.subscribe())
    }

    /// A failed statement: SQLite undoes either the statement or everything.
    /// Which of them shows when the savepoint is closed.
    pub(super) fn suspect(&mut self, failure: Failure) {
        if let Some(group) = &mut self.group {
            group.suspect = Some(failure);
        }
    }

    /// Undoes what a caller left behind who did not commit. Statements that it
    /// still has running end first: the connection does one after another.
    async fn undo_member(&mut self) {
        if !self.member {
            return;
        }
        let undone = self.roll_back_member().await;
        self.member = false;
        if let (Err(error), Some(group)) = (undone, &mut self.group) {
            group.undone(&error);
        }
    }

    async fn roll_back_member(&mut self) -> Result<()> {
        self.run("ROLLBACK TO member").await?;
        self.run("RELEASE member").await
    }

    /// Commits the open group, if there is one, and tells its members.
    pub(super) async fn finish_group(&mut self) {
        self.undo_member().await;
        let Some(group) = self.group.take() else { return };
        let outcome = match group.broken {
            Some(failure) => Err(failure),
            None => self.run("COMMIT").await.map_err(|error| error.failure()),
        };
        if outcome.is_err() {
            // After most failures SQLite has rolled back by itself and says so.
            let _ = self.run("ROLLBACK").await;
        }
        if group.members > 0 {
            self.counters.groups.fetch_add(1, Ordering::Relaxed);
            self.counters.transactions.fetch_add(group.members, Ordering::Relaxed);
            metrics::histogram!("palisade_store_group_size").record(group.members as f64);
        }
        group.outcome.send_replace(Some(outcome));
    }

    /// Moves the log into the file. Only without an open group. Answers whether
    /// it is empty: while somebody reads from it, it cannot be, and waiting for
    /// that would make all changes wait.
    pub(super) async fn empty_log(&mut self) -> Result<bool> {
        self.run("PRAGMA busy_timeout = 0").await?;
        let checkpoint = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)");
        let busy = checkpoint.fetch_one(&mut self.connection).await;
        self.run(RESTORE_BUSY_LIMIT).await?;
        match busy {
            Ok(busy) => Ok(busy == 0),
            Err(error) => {
                let error = StoreError::from(error);
                if error.failure() == Failure::Unavailable { Ok(false) } else { Err(error) }
            }
        }
    }
}

impl Group {
    fn new() -> Self {
        Self { members: 0, outcome: watch::Sender::new(None), suspect: None, broken: None }
    }

    fn is_full(&self) -> bool {
        self.members >= MAX_GROUP
    }

    /// The savepoint cannot be closed: SQLite has undone the whole group, after
    /// a full disk or an I/O error. Answers why.
    fn undone(&mut self, error: &StoreError) -> StoreError {
        let failure = match (self.suspect, error.failure()) {
            (Some(failure @ (Failure::Full | Failure::Unavailable)), _)
            | (_, failure @ (Failure::Full | Failure::Unavailable)) => failure,
            _ => Failure::Unavailable,
        };
        self.broken = Some(failure);
        StoreError::new(failure, "the database has undone the transaction")
    }
}

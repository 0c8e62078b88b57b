//! The time during which one server is the primary.

use std::{future::Future, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::PgPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::close_soon;
use crate::store::{Failure, Result, StoreError};

/// A primary and the connections to it. Clones are of the same reign.
#[derive(Clone, Debug)]
pub(in crate::store) struct Reign {
    pool: PgPool,
    over: CancellationToken,
    /// Which server, and when its process was started: one that was started
    /// again may have been replaced meanwhile.
    identity: (usize, i64),
    /// How long a commit may be without an answer before its connection goes.
    longest_commit: Duration,
}

impl Reign {
    /// Of the only server that there is: it never ends.
    pub(super) fn of_the_only(pool: PgPool) -> Self {
        let longest_commit = Duration::from_mins(1);
        Self { pool, over: CancellationToken::new(), identity: (0, 0), longest_commit }
    }

    /// Of one of several servers. A commit may wait for a standby to come back,
    /// and keeps its connection for that; a server that is gone ends the reign.
    pub(super) fn of_one(pool: PgPool, server: usize, started: i64) -> Self {
        let longest_commit = Duration::from_hours(1);
        Self { pool, over: CancellationToken::new(), identity: (server, started), longest_commit }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) fn server(&self) -> usize {
        self.identity.0
    }

    pub(super) fn identity(&self) -> (usize, i64) {
        self.identity
    }

    pub(super) fn longest_commit(&self) -> Duration {
        self.longest_commit
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Returns when the reign is over.
    pub(super) async fn end(&self) {
        self.over.cancelled().await;
    }

    /// Ends it: nothing more begins, and whatever waits for an answer fails.
    pub(super) fn depose(&self) {
        self.over.cancel();
        close_soon(self.pool.clone());
    }

    /// Does `work` within `limit` and the reign. Never for a commit. It is boxed
    /// before anything else, so that no caller's future grows with it.
    pub(in crate::store) fn during<'a, T: Send + 'a>(
        &'a self,
        limit: Duration,
        work: impl Future<Output = sqlx::Result<T>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        let bounded = timeout(limit, work);
        Box::pin(async move {
            match self.unless_over(bounded).await? {
                Ok(outcome) => outcome.map_err(StoreError::from),
                Err(_) => Err(StoreError::timeout()),
            }
        })
    }

    pub(super) async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(deposed()),
            outcome = work => Ok(outcome),
        }
    }
}

pub(super) fn deposed() -> StoreError {
    StoreError::new(Failure::Unavailable, "the server is not the primary any more")
}

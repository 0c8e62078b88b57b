//! Commits, which nobody may cancel.
//!
//! A commit may wait for a standby to have the change. Who asks PostgreSQL to
//! give up meanwhile is told of success, though the change is on the primary
//! alone and goes with it. So a commit that was sent is waited for in a task of
//! its own: neither a caller who goes away nor one whose time is over ends it.
//! Giving up on a server that is gone closes the socket, which cancels nothing.

use std::time::Duration;

use sqlx::{Postgres, Transaction};
use tokio::time::{sleep, timeout};

use super::reign::{Reign, deposed};
use crate::store::{Failure, Result, StoreError};

/// How long an answer is waited for that a server may have sent before its
/// reign was over.
const LATE: Duration = Duration::from_secs(30);
/// The same, for the caller.
const LATE_FOR_CALLER: Duration = Duration::from_secs(1);

impl Reign {
    /// Commits. `Unknown` when the answer is not there within `limit`: the
    /// commit goes on, and may have happened or happen later.
    pub(in crate::store) async fn commit(
        self,
        transaction: Transaction<'static, Postgres>,
        limit: Duration,
    ) -> Result<()> {
        if self.is_over() {
            return Err(deposed()); // nothing was sent
        }
        let reign = self.clone();
        let committing = tokio::spawn(async move {
            tokio::select! {
                outcome = transaction.commit() => outcome.map_err(after_commit),
                () = reign.over_for(LATE) => Err(unknown("its server is gone")),
                () = sleep(reign.longest_commit()) => Err(unknown("its server never answered")),
            }
        });
        tokio::select! {
            told = timeout(limit, committing) => match told {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(unknown("the process is stopping")),
                Err(_) => Err(unknown("no answer in time")),
            },
            () = self.over_for(LATE_FOR_CALLER) => Err(unknown("its server is gone")),
        }
    }

    /// Returns so long after the reign is over.
    async fn over_for(&self, more: Duration) {
        self.end().await;
        sleep(more).await;
    }
}

fn unknown(why: &str) -> StoreError {
    StoreError::new(Failure::Unknown, why)
}

/// A failed commit: PostgreSQL has refused it, or its answer got lost.
fn after_commit(error: sqlx::Error) -> StoreError {
    const ROLLED_BACK: [&str; 2] = ["40001", "40P01"]; // serialization_failure, deadlock_detected
    let refused = match &error {
        sqlx::Error::Database(answer) => {
            answer.code().is_some_and(|code| ROLLED_BACK.contains(&&*code))
        }
        _ => false,
    };
    let error = StoreError::from(error);
    if error.failure() == Failure::Unavailable && !refused { error.unknown() } else { error }
}

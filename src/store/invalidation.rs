//! News for the caches of every node: whose rights or sessions have changed.

use super::{Result, Tx, row::from_row};
use crate::{clock::Timestamp, ids::AuditId};

/// Announces that what is cached under `subject` is outdated.
pub async fn insert(tx: &mut Tx, id: AuditId, subject: &str, now: Timestamp) -> Result<()> {
    tx.execute("INSERT INTO invalidation (id, subject, at) VALUES ($1, $2, $3)", (id, subject, now))
        .await
        .map(drop)
}

/// One piece of news.
#[derive(Clone, Debug)]
pub struct News {
    /// Identifier, to tell what was read already.
    pub id: AuditId,
    /// What is outdated.
    pub subject: String,
}

from_row!(News { id, subject });

/// What was announced since `since`. Readers ask again for a moment that
/// they have seen already: transactions of other nodes may commit late.
pub async fn since(tx: &mut Tx, since: Timestamp) -> Result<Vec<News>> {
    tx.fetch_all("SELECT id, subject FROM invalidation WHERE at >= $1", (since,)).await
}

/// Forgets news that every node has read.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<u64> {
    tx.execute("DELETE FROM invalidation WHERE at < $1", (before,)).await
}

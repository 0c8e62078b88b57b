//! News for the caches of every node: whose rights or sessions have changed.
//!
//! All times are of the database's clock: those of the nodes may differ.

use std::time::Duration;

use super::{
    Result, Tx,
    leases::{micros, now},
    row::from_row,
};
use crate::ids::AuditId;

/// Announces that what is cached under `subject` is outdated.
pub async fn insert(tx: &mut Tx, id: AuditId, subject: &str) -> Result<()> {
    let sql = format!("INSERT INTO invalidation (id, subject, at) VALUES ($1, $2, {})", now(tx));
    tx.execute(&sql, (id, subject)).await.map(drop)
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

/// What was announced in the time of `back`. Readers ask again for a time that
/// they have seen already: transactions of other nodes may commit late.
pub async fn within(tx: &mut Tx, back: Duration) -> Result<Vec<News>> {
    let sql = format!("SELECT id, subject FROM invalidation WHERE at >= {} - $1", now(tx));
    tx.fetch_all(&sql, (micros(back),)).await
}

/// Forgets news that every node has read: what is older than `age`.
pub async fn prune(tx: &mut Tx, age: Duration) -> Result<u64> {
    let sql = format!("DELETE FROM invalidation WHERE at < {} - $1", now(tx));
    tx.execute(&sql, (micros(age),)).await
}

//! Leases: work that one process of several does at a time.
//!
//! Owns: who holds which lease until when, and its fence, a number that grows
//! with every change of the holder. All times are of the database's clock.
//! Must not know: what the work is.
//!
//! A holder that was stopped for a while does not know that its lease has moved.
//! So every transaction of the work ends with [`Fence::confirm`], which fails
//! when the fence is not the present one, and keeps the lease from moving until
//! the transaction is over.

use std::time::Duration;

use super::{Failure, Result, StoreError, Tx, row::from_row};
use crate::clock::Timestamp;

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The work.
    pub name: String,
    /// Who does it.
    pub holder: String,
    /// How often the holder has changed, and one.
    pub fence: i64,
    /// When it ends unless it is renewed, by the database's clock.
    pub until: Timestamp,
}

from_row!(Lease { name, holder, fence, until });

/// The right to do the work, for its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence(Option<(String, i64)>);

impl Fence {
    /// For a database that only one process works on: nobody can take over.
    pub const ALONE: Self = Self(None);

    /// Of a lease that was acquired.
    pub fn of(lease: &Lease) -> Self {
        Self(Some((lease.name.clone(), lease.fence)))
    }

    /// Right before the commit of a transaction of the work: `Unavailable` when
    /// somebody else holds the lease by now.
    pub async fn confirm(&self, tx: &mut Tx) -> Result<()> {
        let Some((name, fence)) = &self.0 else { return Ok(()) };
        if confirm(tx, name, *fence).await? {
            return Ok(());
        }
        Err(StoreError::new(Failure::Unavailable, "another node does this work now"))
    }
}

/// The lease, if anybody ever held it.
pub async fn find(tx: &mut Tx, name: &str) -> Result<Option<Lease>> {
    tx.fetch_optional("SELECT name, holder, fence, until FROM leases WHERE name = $1", (name,))
        .await
}

/// Takes the lease for `life`, if it is free, has ended, or is the holder's
/// already; else `None`. An end further away than any life reaches was set by a
/// clock that has been put back since, and counts for nothing.
pub async fn acquire(
    tx: &mut Tx,
    name: &str,
    holder: &str,
    life: Duration,
) -> Result<Option<Lease>> {
    let now = now(tx);
    let sql = format!(
        "INSERT INTO leases (name, holder, fence, until) VALUES ($1, $2, 1, {now} + $3)
         ON CONFLICT (name) DO UPDATE
         SET holder = excluded.holder, until = excluded.until,
             fence = CASE WHEN leases.holder = excluded.holder
                     THEN leases.fence ELSE leases.fence + 1 END
         WHERE leases.holder = excluded.holder OR leases.until <= {now}
            OR leases.until > {now} + $3 + $3
         RETURNING name, holder, fence, until"
    );
    tx.fetch_optional(&sql, (name, holder, micros(life))).await
}

/// Prolongs the lease to `life` from now. `false` when it has ended or another
/// has it: it must be acquired again.
pub async fn renew(
    tx: &mut Tx,
    name: &str,
    holder: &str,
    fence: i64,
    life: Duration,
) -> Result<bool> {
    let now = now(tx);
    let sql = format!(
        "UPDATE leases SET until = {now} + $4
         WHERE name = $1 AND holder = $2 AND fence = $3 AND until > {now}"
    );
    Ok(tx.execute(&sql, (name, holder, fence, micros(life))).await? == 1)
}

/// Ends the lease now, so that another need not wait for its end. `false` when
/// it was not the holder's any more.
pub async fn release(tx: &mut Tx, name: &str, holder: &str, fence: i64) -> Result<bool> {
    let sql = format!(
        "UPDATE leases SET until = {} WHERE name = $1 AND holder = $2 AND fence = $3",
        now(tx)
    );
    Ok(tx.execute(&sql, (name, holder, fence)).await? == 1)
}

/// Whether this is the present fence. The lease cannot move before the end of
/// the transaction: whoever wants it waits for that.
pub async fn confirm(tx: &mut Tx, name: &str, fence: i64) -> Result<bool> {
    let lock = if tx.is_postgres() { "FOR SHARE" } else { "" };
    let sql = format!("SELECT fence FROM leases WHERE name = $1 AND fence = $2 {lock}");
    Ok(tx.fetch_optional::<i64>(&sql, (name, fence)).await?.is_some())
}

/// The database's clock, in microseconds, also within a long transaction.
pub(super) fn now(tx: &Tx) -> &'static str {
    if tx.is_postgres() {
        "CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000) AS BIGINT)"
    } else {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    }
}

pub(super) fn micros(life: Duration) -> i64 {
    i64::try_from(life.as_micros()).unwrap_or(i64::MAX / 4)
}

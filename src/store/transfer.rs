//! Everything from SQLite to PostgreSQL, in one transaction and proven.
//!
//! Owns: which tables are copied in which order, the copying, and the proof
//! that both sides have the same: the rows and a checksum of each table.
//! Must not know: what the tables mean, what becomes of either database later.
//!
//! The tables, their columns and references come from the schema, so that none
//! can be forgotten; [`LEFT_BEHIND`] says which are not copied, and why. The
//! checksum of a table is made of its values in the order of its primary key,
//! not of what an engine stores, so equal tables have equal ones on both.
//! No column is counted by the database: there is no sequence to be continued.
//!
//! Nothing is in PostgreSQL until the caller commits. Whatever fails before
//! leaves it as it was.

use std::{path::Path, time::Duration};

use super::{Result, StoreError, Tx, Value, installation, lite::Lite, migrate};
use crate::error::{Error, Kind};

mod canonical;
mod plan;

use canonical::Digest;
use plan::{Table, quoted};

/// The action of the record that the transaction of a move has to end with: data
/// whose newest record this is was not used since, and may be replaced.
pub const RECORD: &str = "platform.moveStorage";

/// How long one statement of a move may take, on either side.
pub const STATEMENT_LIMIT: Duration = Duration::from_mins(2);

/// How many rows are in memory at the same time.
const PAGE: usize = 256;

/// Tables that are not copied.
const LEFT_BEHIND: &[&str] = &[
    // What each database has been through itself.
    HISTORY,
    // News for the caches of processes that run: all of them start with empty ones.
    "invalidation",
    // Who does which work: nobody runs. Only a process on PostgreSQL takes one,
    // so one there shows that the data there is in use.
    "leases",
];
const HISTORY: &str = "_sqlx_migrations";

/// The one table that a migration has filled: its row gives way to the source's.
const FILLED: &str = "data_format";

/// A SQLite database as it was at one moment. Its file is only read.
#[derive(Debug)]
pub struct Snapshot(Tx);

impl Snapshot {
    /// Of the file `path`, which has to be there.
    pub async fn of(path: &Path) -> Result<Self> {
        Ok(Self(Lite::look(path).await?.limited(STATEMENT_LIMIT)))
    }

    /// To look into it.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.0
    }
}

/// How many rows a table has, and their checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSum {
    /// The table.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over all of its values.
    pub checksum: [u8; 32],
}

impl TableSum {
    /// The checksum in hexadecimal digits.
    pub fn checksum_text(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.checksum)
    }
}

/// What has just been done.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// With which table.
    pub table: &'a str,
    /// How many tables that were, this one included…
    pub number: usize,
    /// …of how many.
    pub of: usize,
    /// The rows of the table.
    pub rows: u64,
    /// What.
    pub step: Step,
}

/// What is done with each table. All are copied before the first is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was copied.
    Copied,
    /// It is the same on both sides.
    Compared,
}

/// Whoever is told.
pub type Listener<'a> = &'a mut (dyn FnMut(&Progress<'_>) + Send);

/// Copies everything of `source` in the transaction `target` of a migrated
/// PostgreSQL and compares both. The caller adds a record of [`RECORD`] and
/// commits; without that nothing has happened.
///
/// `Conflict`: `storage-format` when the two are not of this version's format;
/// `storage-not-empty` when something would be lost that is no unused copy of an
/// earlier move. `Internal` (`storage-differs`) when the two are not the same.
pub async fn run(
    source: &mut Snapshot,
    target: &mut Tx,
    progress: Listener<'_>,
) -> Result<Vec<TableSum>, Error> {
    let source = source.tx();
    refuse_other_format(&history(source).await?, &history(target).await?, &migrate::versions())?;
    let tables = plan::tables(source, target).await?;
    claim(source, target, &tables).await?;
    let of = tables.len();
    for (table, number) in tables.iter().zip(1..) {
        let rows = copy(source, target, table).await?;
        progress(&Progress { table: &table.name, number, of, rows, step: Step::Copied });
    }
    let mut sums = Vec::with_capacity(of);
    for (table, number) in tables.iter().zip(1..) {
        let (original, copied) = tokio::try_join!(sum(source, table), sum(target, table))?;
        if original != copied {
            return Err(differs(&original, &copied));
        }
        progress(&Progress {
            table: &table.name,
            number,
            of,
            rows: copied.rows,
            step: Step::Compared,
        });
        sums.push(copied);
    }
    Ok(sums)
}

async fn history(tx: &mut Tx) -> Result<Vec<i64>> {
    tx.fetch_all(&format!("SELECT version FROM {HISTORY} ORDER BY version"), ()).await
}

fn refuse_other_format(source: &[i64], target: &[i64], own: &[i64]) -> Result<(), Error> {
    let refused = |side: &str, hint: &'static str| {
        let message =
            format!("The data in {side} is not of the format of this version. Nothing was moved.");
        Err(Error::new(Kind::Conflict, "storage-format", message).with_hint(hint))
    };
    if source != own {
        return refused(
            "SQLite",
            "Start `palisade serve` of this version once with the present settings, so that it \
             brings the data up to date; or move it with the version that used it last.",
        );
    }
    if target != own {
        return refused("PostgreSQL", "Name an empty database in the new settings.");
    }
    Ok(())
}

/// Keeps everybody else out of the tables and empties them, if nothing is lost by that.
async fn claim(source: &mut Tx, target: &mut Tx, tables: &[Table]) -> Result<(), Error> {
    let names = tables.iter().map(|table| &*table.name);
    let names: Vec<_> =
        names.chain(LEFT_BEHIND.iter().copied().filter(|name| *name != HISTORY)).collect();
    let all = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    target.execute(&format!("LOCK TABLE {all} IN ACCESS EXCLUSIVE MODE"), ()).await?;
    for name in names.into_iter().filter(|name| *name != FILLED) {
        if has_rows(target, name).await? && !is_unused_copy(source, target).await? {
            let message = format!(
                "The database of the new settings is not empty: there are rows in {name}. \
                 Nothing was moved."
            );
            return Err(Error::new(Kind::Conflict, "storage-not-empty", message).with_hint(
                "Name an empty database, or make this one anew (dropdb, createdb) if nobody \
                 needs what is in it.",
            ));
        }
    }
    target.execute(&format!("TRUNCATE {all}"), ()).await?;
    Ok(())
}

async fn has_rows(tx: &mut Tx, table: &str) -> Result<bool> {
    let sql = format!("SELECT CAST(1 AS BIGINT) FROM {} LIMIT 1", quoted(table));
    Ok(tx.fetch_optional::<i64>(&sql, ()).await?.is_some())
}

/// Whether an earlier move of the same installation has left this, and nobody
/// has used it: whatever is changed leaves a record, and whoever serves, a lease.
async fn is_unused_copy(source: &mut Tx, target: &mut Tx) -> Result<bool> {
    let of = |found: Option<installation::Installation>| found.map(|found| found.keystore_id);
    let same = of(installation::find(source).await?) == of(installation::find(target).await?);
    let newest = "SELECT action FROM audit_record ORDER BY at DESC LIMIT 1";
    let newest: Option<String> = target.fetch_optional(newest, ()).await?;
    Ok(same && newest.as_deref() == Some(RECORD) && !has_rows(target, "leases").await?)
}

async fn copy(source: &mut Tx, target: &mut Tx, table: &Table) -> Result<u64> {
    let (mut pages, sql) = (Pages::of(table), table.copy_statement());
    let mut rows = 0;
    while let Some(page) = pages.next(source).await? {
        target.copy_in(&sql, canonical::binary(&page)?).await?;
        rows += page.len() as u64;
    }
    // So that the database knows how to read it, now and for whoever comes next.
    target.execute(&format!("ANALYZE {}", quoted(&table.name)), ()).await?;
    Ok(rows)
}

async fn sum(tx: &mut Tx, table: &Table) -> Result<TableSum> {
    let (mut pages, mut digest) = (Pages::of(table), Digest::of(table));
    let mut rows = 0;
    while let Some(page) = pages.next(tx).await? {
        for row in &page {
            digest.add(row);
        }
        rows += page.len() as u64;
    }
    let count = format!("SELECT COUNT(*) FROM {}", quoted(&table.name));
    let counted: i64 = tx.fetch_one(&count, ()).await?;
    if u64::try_from(counted) != Ok(rows) {
        let cause = format!("{} counts {counted} rows and shows {rows}", table.name);
        return Err(StoreError::new(super::Failure::Broken, cause));
    }
    Ok(TableSum { name: table.name.clone(), rows, checksum: digest.finish() })
}

fn differs(original: &TableSum, copied: &TableSum) -> Error {
    let message = format!(
        "{} is not the same in PostgreSQL: {} rows with checksum {} have become {} rows with \
         checksum {}. Nothing was moved.",
        original.name,
        original.rows,
        original.checksum_text(),
        copied.rows,
        copied.checksum_text(),
    );
    Error::new(Kind::Internal, "storage-differs", message).with_hint(
        "The standalone is as it was: start it with its own settings. Look for whatever else \
         changes that database, triggers for instance, and move again.",
    )
}

/// The rows of a table in the order of its primary key.
struct Pages<'t> {
    table: &'t Table,
    /// The key of the last row of the last page.
    after: Option<Vec<Value>>,
    is_over: bool,
}

impl<'t> Pages<'t> {
    fn of(table: &'t Table) -> Self {
        Self { table, after: None, is_over: false }
    }

    async fn next(&mut self, tx: &mut Tx) -> Result<Option<Vec<Vec<Value>>>> {
        if self.is_over {
            return Ok(None);
        }
        let sql = self.table.page_statement(PAGE, self.after.is_some());
        let rows = tx.fetch_rows(&sql, self.after.take().unwrap_or_default()).await?;
        let page: Vec<_> = rows.iter().map(|row| self.table.values(row)).collect::<Result<_>>()?;
        self.is_over = page.len() < PAGE;
        self.after = page.last().map(|row| self.table.key_of(row));
        Ok((!page.is_empty()).then_some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_of_this_version_goes_to_a_database_of_this_version() {
        let own = [1, 2, 3];
        refuse_other_format(&own, &own, &own).expect("the same");
        for (source, target, side) in [
            (&[1, 2][..], &own[..], "SQLite"),
            (&[1, 2, 3, 4], &own, "SQLite"),
            (&own, &[1, 2, 3, 4], "PostgreSQL"),
        ] {
            let refused = refuse_other_format(source, target, &own).expect_err("another format");
            assert_eq!(refused.code(), "storage-format");
            assert!(refused.message().contains(side), "{}", refused.message());
        }
    }
}

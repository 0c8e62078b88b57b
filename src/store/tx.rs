//! A transaction or a reading connection, on either database.

use std::future::Future;

use sqlx::{
    AssertSqlSafe, PgConnection, SqliteConnection,
    pool::PoolConnection,
    postgres::{PgArguments, Postgres},
    query::Query,
    sqlite::{Sqlite, SqliteArguments},
};

use super::{
    Result, STATEMENT_LIMIT, StoreError,
    lite::WriteTurn,
    row::{FromRow, Row},
    value::{Bind, Value},
};

/// A transaction. Dropped without [`Tx::commit`], it changes nothing.
#[derive(Debug)]
pub struct Tx(Connection);

#[derive(Debug)]
enum Connection {
    LiteWrite(WriteTurn),
    LiteRead(PoolConnection<Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
    PostgresRead(PoolConnection<Postgres>),
}

enum Live<'c> {
    Lite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Tx {
    pub(super) fn lite_write(turn: WriteTurn) -> Self {
        Self(Connection::LiteWrite(turn))
    }

    pub(super) fn lite_read(connection: PoolConnection<Sqlite>) -> Self {
        Self(Connection::LiteRead(connection))
    }

    pub(super) fn postgres(transaction: sqlx::Transaction<'static, Postgres>) -> Self {
        Self(Connection::Postgres(transaction))
    }

    pub(super) fn postgres_read(connection: PoolConnection<Postgres>) -> Self {
        Self(Connection::PostgresRead(connection))
    }

    fn live(&mut self) -> Live<'_> {
        match &mut self.0 {
            Connection::LiteWrite(turn) => Live::Lite(turn.connection()),
            Connection::LiteRead(connection) => Live::Lite(connection),
            Connection::Postgres(transaction) => Live::Postgres(transaction),
            Connection::PostgresRead(connection) => Live::Postgres(connection),
        }
    }

    /// For the few statements that cannot be the same on both databases.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.0, Connection::Postgres(_) | Connection::PostgresRead(_))
    }

    /// Runs a statement; answers how many rows it touched.
    pub async fn execute(&mut self, sql: &str, values: impl Bind) -> Result<u64> {
        let values = values.into_values();
        let done = match self.live() {
            Live::Lite(connection) => {
                bounded(lite(sql, values).execute(connection)).await.map(|d| d.rows_affected())
            }
            Live::Postgres(connection) => {
                bounded(postgres(sql, values).execute(connection)).await.map(|d| d.rows_affected())
            }
        };
        self.noted(done)
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<T: FromRow>(
        &mut self,
        sql: &str,
        values: impl Bind,
    ) -> Result<Option<T>> {
        let values = values.into_values();
        let row = match self.live() {
            Live::Lite(connection) => bounded(lite(sql, values).fetch_optional(connection))
                .await
                .map(|r| r.map(Row::Lite)),
            Live::Postgres(connection) => bounded(postgres(sql, values).fetch_optional(connection))
                .await
                .map(|row| row.map(Row::Postgres)),
        };
        self.noted(row)?.as_ref().map(T::from_row).transpose()
    }

    /// The one row that must be there, e.g. a count.
    pub async fn fetch_one<T: FromRow>(&mut self, sql: &str, values: impl Bind) -> Result<T> {
        self.fetch_optional(sql, values).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// All rows. Lists that can be long are paged by the caller.
    pub async fn fetch_all<T: FromRow>(&mut self, sql: &str, values: impl Bind) -> Result<Vec<T>> {
        let values = values.into_values();
        let rows: Result<Vec<Row>> = match self.live() {
            Live::Lite(connection) => bounded(lite(sql, values).fetch_all(connection))
                .await
                .map(|rows| rows.into_iter().map(Row::Lite).collect()),
            Live::Postgres(connection) => bounded(postgres(sql, values).fetch_all(connection))
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        };
        self.noted(rows)?.iter().map(T::from_row).collect()
    }

    /// Makes the changes durable. An error means that nothing was changed,
    /// except `Unavailable` from PostgreSQL, where a commit whose answer got
    /// lost may have happened: repeat it with the same idempotency key.
    pub async fn commit(self) -> Result<()> {
        match self.0 {
            Connection::LiteWrite(turn) => turn.commit().await,
            Connection::Postgres(transaction) => bounded(transaction.commit()).await,
            Connection::LiteRead(_) | Connection::PostgresRead(_) => Ok(()),
        }
    }

    /// Tells the writer of a failed statement: some failures of SQLite undo
    /// the transactions of everybody in the group.
    fn noted<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if let (Err(error), Connection::LiteWrite(turn)) = (&outcome, &mut self.0) {
            turn.note(error);
        }
        outcome
    }
}

async fn bounded<T>(work: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match tokio::time::timeout(STATEMENT_LIMIT, work).await {
        Ok(outcome) => outcome.map_err(StoreError::from),
        Err(_) => Err(StoreError::timeout()),
    }
}

// The statement texts are constants of this module tree, joined at the most
// with names of columns from its own lists; values always travel as parameters.
fn lite(sql: &str, values: Vec<Value>) -> Query<'static, Sqlite, SqliteArguments> {
    values.into_iter().fold(
        sqlx::query(AssertSqlSafe(sql.to_owned())),
        |query, value| match value {
            Value::Text(value) => query.bind(value),
            Value::Int(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        },
    )
}

fn postgres(sql: &str, values: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    values.into_iter().fold(
        sqlx::query(AssertSqlSafe(sql.to_owned())),
        |query, value| match value {
            Value::Text(value) => query.bind(value),
            Value::Int(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        },
    )
}

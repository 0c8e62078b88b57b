//! A transaction or a reading connection, on either database.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, PgConnection, SqliteConnection,
    pool::PoolConnection,
    postgres::{PgArguments, Postgres},
    query::Query,
    sqlite::{Sqlite, SqliteArguments},
};

use super::{
    Failure, Result, STATEMENT_LIMIT, StoreError,
    lite::WriteTurn,
    postgres::Reign,
    row::{FromRow, Row},
    value::{Bind, Value},
};

/// A transaction. Dropped without [`Tx::commit`], it changes nothing. After a
/// statement that failed, or whose future was dropped, it can only be dropped.
#[derive(Debug)]
pub struct Tx {
    connection: Connection,
    /// A statement has failed or was given up. PostgreSQL would refuse whatever
    /// follows and turn the commit into a silent rollback; SQLite would go on,
    /// perhaps outside of any transaction.
    spoiled: bool,
    /// When its caller asked for it; only what changes something is timed.
    asked: Option<Instant>,
    /// How long one statement may take.
    limit: Duration,
}

#[derive(Debug)]
enum Connection {
    LiteWrite(WriteTurn),
    LiteRead(PoolConnection<Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>, Reign),
    PostgresRead(PoolConnection<Postgres>, Reign),
}

enum Live<'c> {
    Lite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection, &'c Reign),
}

impl Tx {
    pub(super) fn lite_write(turn: WriteTurn) -> Self {
        Connection::LiteWrite(turn).into()
    }

    pub(super) fn lite_read(connection: PoolConnection<Sqlite>) -> Self {
        Connection::LiteRead(connection).into()
    }

    pub(super) fn postgres(
        transaction: sqlx::Transaction<'static, Postgres>,
        reign: Reign,
    ) -> Self {
        Connection::Postgres(transaction, reign).into()
    }

    pub(super) fn postgres_read(connection: PoolConnection<Postgres>, reign: Reign) -> Self {
        Connection::PostgresRead(connection, reign).into()
    }

    /// Measures the time from `asked` to the commit.
    pub(super) fn since(self, asked: Instant) -> Self {
        Self { asked: Some(asked), ..self }
    }

    /// The same with another limit of one statement.
    pub(super) fn limited(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn live(&mut self) -> Live<'_> {
        match &mut self.connection {
            Connection::LiteWrite(turn) => Live::Lite(turn.connection()),
            Connection::LiteRead(connection) => Live::Lite(connection),
            Connection::Postgres(transaction, reign) => Live::Postgres(transaction, reign),
            Connection::PostgresRead(connection, reign) => Live::Postgres(connection, reign),
        }
    }

    /// For the few statements that cannot be the same on both databases.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.connection, Connection::Postgres(..) | Connection::PostgresRead(..))
    }

    /// Runs a statement; answers how many rows it touched.
    pub async fn execute(&mut self, sql: &str, values: impl Bind) -> Result<u64> {
        if self.is_reading() {
            return Err(StoreError::new(Failure::Broken, "a change needs Store::begin"));
        }
        let (values, limit) = (self.start(values)?, self.limit);
        let done = match self.live() {
            Live::Lite(connection) => bounded(limit, lite(sql, values).execute(connection))
                .await
                .map(|d| d.rows_affected()),
            Live::Postgres(connection, reign) => reign
                .during(limit, postgres(sql, values).execute(connection))
                .await
                .map(|d| d.rows_affected()),
        };
        self.noted(done)
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<T: FromRow>(
        &mut self,
        sql: &str,
        values: impl Bind,
    ) -> Result<Option<T>> {
        let (values, limit) = (self.start(values)?, self.limit);
        let row = match self.live() {
            Live::Lite(connection) => bounded(limit, lite(sql, values).fetch_optional(connection))
                .await
                .map(|r| r.map(Row::Lite)),
            Live::Postgres(connection, reign) => reign
                .during(limit, postgres(sql, values).fetch_optional(connection))
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
        self.fetch_rows(sql, values).await?.iter().map(T::from_row).collect()
    }

    /// The same for who finds out from the schema what is in them.
    pub(super) async fn fetch_rows(&mut self, sql: &str, values: impl Bind) -> Result<Vec<Row>> {
        let (values, limit) = (self.start(values)?, self.limit);
        let rows: Result<Vec<Row>> = match self.live() {
            Live::Lite(connection) => bounded(limit, lite(sql, values).fetch_all(connection))
                .await
                .map(|rows| rows.into_iter().map(Row::Lite).collect()),
            Live::Postgres(connection, reign) => reign
                .during(limit, postgres(sql, values).fetch_all(connection))
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        };
        self.noted(rows)
    }

    /// Does a `COPY … FROM STDIN` of PostgreSQL with this as its input; answers
    /// how many rows were taken in.
    pub(super) async fn copy_in(&mut self, sql: &str, input: Vec<u8>) -> Result<u64> {
        if !matches!(self.connection, Connection::Postgres(..)) {
            return Err(StoreError::new(Failure::Broken, "only a change of PostgreSQL can COPY"));
        }
        let limit = self.limit;
        self.start(())?;
        let done = match self.live() {
            Live::Lite(_) => Err(StoreError::new(Failure::Broken, "not PostgreSQL")),
            Live::Postgres(connection, reign) => {
                let copy = async move {
                    let mut copy = connection.copy_in_raw(sql).await?;
                    copy.send(input).await?;
                    copy.finish().await
                };
                reign.during(limit, copy).await
            }
        };
        self.noted(done)
    }

    /// Makes the changes durable. An error means that nothing was changed,
    /// except `Unknown` from PostgreSQL, where a commit whose answer got lost
    /// may have happened: repeat it with the same idempotency key.
    pub async fn commit(self) -> Result<()> {
        self.refuse_spoiled()?;
        count_failure(match self.connection {
            Connection::LiteWrite(turn) => turn.commit().await,
            Connection::Postgres(transaction, reign) => reign.commit(transaction, self.limit).await,
            Connection::LiteRead(_) | Connection::PostgresRead(..) => Ok(()),
        })?;
        if let Some(asked) = self.asked {
            metrics::histogram!("palisade_store_transaction_seconds").record(asked.elapsed());
        }
        Ok(())
    }

    /// Whether it was made by [`Store::read`](super::Store::read).
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.connection, Connection::LiteRead(_) | Connection::PostgresRead(..))
    }

    fn refuse_spoiled(&self) -> Result<()> {
        if self.spoiled {
            return Err(StoreError::new(Failure::Broken, "a statement before this one has failed"));
        }
        Ok(())
    }

    /// Before every statement.
    fn start(&mut self, values: impl Bind) -> Result<Vec<Value>> {
        self.refuse_spoiled()?;
        let values = values.into_values();
        // PostgreSQL cannot keep it. Lists treat it as a text that nothing has.
        if values.iter().any(Value::has_zero_character) {
            return Err(StoreError::new(Failure::Broken, "a text with a zero character"));
        }
        self.spoiled = !self.is_reading();
        Ok(values)
    }

    /// After every statement. Tells the writer of a failed one: some failures of
    /// SQLite undo the transactions of everybody in the group.
    fn noted<T>(&mut self, outcome: Result<T>) -> Result<T> {
        match (&outcome, &mut self.connection) {
            (Ok(_), _) => self.spoiled = false,
            (Err(error), Connection::LiteWrite(turn)) => turn.note(error),
            (Err(_), _) => {}
        }
        count_failure(outcome)
    }
}

/// Counts what the database could not do. A name that is taken or still in use
/// is an answer, not a failure.
pub(super) fn count_failure<T>(outcome: Result<T>) -> Result<T> {
    let failure = outcome.as_ref().err().map(StoreError::failure);
    let kind = match failure {
        None | Some(Failure::Duplicate | Failure::Reference) => return outcome,
        Some(Failure::Full) => "full",
        Some(Failure::Unavailable) => "unavailable",
        Some(Failure::Unknown) => "unknown",
        Some(Failure::Schema | Failure::TooNew) => "schema",
        Some(Failure::Broken) => "broken",
    };
    metrics::counter!("palisade_store_errors_total", "kind" => kind).increment(1);
    outcome
}

impl From<Connection> for Tx {
    fn from(connection: Connection) -> Self {
        Self { connection, spoiled: false, asked: None, limit: STATEMENT_LIMIT }
    }
}

async fn bounded<T>(limit: Duration, work: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
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

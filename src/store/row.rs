//! Values that come out of a statement.

use std::str::FromStr;

use sqlx::{
    ColumnIndex, Decode, Row as _, Type,
    postgres::{PgRow, Postgres},
    sqlite::{Sqlite, SqliteRow},
};

use super::Result;
use crate::{
    clock::Timestamp,
    ids::{
        ApiKeyId, AssignmentId, AuditId, ClusterId, ProjectId, RoleId, SessionId, TeamId, TenantId,
        UserId,
    },
    release::Version,
};

/// One row of either database.
#[derive(Debug)]
pub enum Row {
    /// From SQLite.
    Lite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    /// The value of the column `name`.
    pub fn get<T: Column>(&self, name: &str) -> Result<T> {
        self.at(name)
    }

    fn at<T: Column, I>(&self, index: I) -> Result<T>
    where
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> + Copy + std::fmt::Debug,
    {
        let raw: T::Raw = match self {
            Self::Lite(row) => row.try_get(index)?,
            Self::Postgres(row) => row.try_get(index)?,
        };
        T::from_raw(raw).map_err(|source| {
            sqlx::Error::ColumnDecode { index: format!("{index:?}"), source }.into()
        })
    }
}

/// A type that can stand in a column, by way of one of the four basic types.
pub trait Column: Sized {
    /// What both databases deliver.
    type Raw: for<'r> Decode<'r, Sqlite>
        + Type<Sqlite>
        + for<'r> Decode<'r, Postgres>
        + Type<Postgres>
        + Unpin;

    /// From the basic value; fails when a row holds what we would never write.
    fn from_raw(raw: Self::Raw) -> std::result::Result<Self, sqlx::error::BoxDynError>;
}

macro_rules! plain_columns {
    ($($type:ty),+) => {$(
        impl Column for $type {
            type Raw = Self;
            fn from_raw(raw: Self) -> std::result::Result<Self, sqlx::error::BoxDynError> {
                Ok(raw)
            }
        }
    )+};
}

plain_columns!(String, i64, bool, Vec<u8>);

macro_rules! text_columns {
    ($($type:ty),+) => {$(
        impl Column for $type {
            type Raw = String;
            fn from_raw(raw: String) -> std::result::Result<Self, sqlx::error::BoxDynError> {
                Ok(<$type>::from_str(&raw)?)
            }
        }
    )+};
}

text_columns!(
    TenantId,
    ProjectId,
    UserId,
    TeamId,
    RoleId,
    ApiKeyId,
    ClusterId,
    AuditId,
    AssignmentId,
    SessionId,
    Version
);

impl Column for u32 {
    type Raw = i64;
    fn from_raw(raw: i64) -> std::result::Result<Self, sqlx::error::BoxDynError> {
        Ok(raw.try_into()?)
    }
}

impl Column for Timestamp {
    type Raw = i64;
    fn from_raw(raw: i64) -> std::result::Result<Self, sqlx::error::BoxDynError> {
        Ok(Self::from_micros(raw))
    }
}

impl Column for [u8; 32] {
    type Raw = Vec<u8>;
    fn from_raw(raw: Vec<u8>) -> std::result::Result<Self, sqlx::error::BoxDynError> {
        raw.try_into().map_err(|_| "expected 32 bytes".into())
    }
}

impl<T: Column> Column for Option<T>
where
    Option<T::Raw>:
        for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    type Raw = Option<T::Raw>;
    fn from_raw(raw: Self::Raw) -> std::result::Result<Self, sqlx::error::BoxDynError> {
        raw.map(T::from_raw).transpose()
    }
}

/// A type that a whole row can become.
pub trait FromRow: Sized {
    /// Reads the columns.
    fn from_row(row: &Row) -> Result<Self>;
}

/// A row with one column is that column: for counts and look-ups.
impl<T: Column> FromRow for T {
    fn from_row(row: &Row) -> Result<Self> {
        row.at(0_usize)
    }
}

/// Implements [`FromRow`] for a struct whose fields are named like its columns.
macro_rules! from_row {
    ($type:ty { $($field:ident),+ $(,)? }) => {
        impl $crate::store::FromRow for $type {
            fn from_row(row: &$crate::store::Row) -> $crate::store::Result<Self> {
                Ok(Self { $($field: row.get(stringify!($field))?),+ })
            }
        }
    };
}
pub(super) use from_row;

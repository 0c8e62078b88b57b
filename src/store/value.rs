//! Values that go into a statement.

use crate::{
    clock::Timestamp,
    ids::{
        ApiKeyId, AssignmentId, AuditId, ClusterId, ProjectId, RoleId, SessionId, TeamId, TenantId,
        UserId,
    },
};

/// One parameter. Four types suffice on both databases; a missing value keeps
/// its type, because PostgreSQL wants to know it.
#[derive(Clone, Debug)]
pub enum Value {
    /// `TEXT`
    Text(Option<String>),
    /// `BIGINT`
    Int(Option<i64>),
    /// `BOOLEAN` (an integer in SQLite)
    Bool(Option<bool>),
    /// `BYTEA` or `BLOB`
    Bytes(Option<Vec<u8>>),
}

impl Value {
    /// Whether this is a text that PostgreSQL cannot keep.
    pub(super) fn has_zero_character(&self) -> bool {
        matches!(self, Self::Text(Some(text)) if text.contains('\0'))
    }
}

macro_rules! from_types {
    ($($variant:ident: $($type:ty => $convert:expr),+;)+) => {$($(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                let convert: fn($type) -> _ = $convert;
                Self::$variant(Some(convert(value)))
            }
        }

        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                let convert: fn($type) -> _ = $convert;
                Self::$variant(value.map(convert))
            }
        }
    )+)+};
}

from_types! {
    Text:
        String => |text| text,
        &str => str::to_owned,
        &String => Clone::clone,
        TenantId => |id| id.to_string(),
        ProjectId => |id| id.to_string(),
        UserId => |id| id.to_string(),
        TeamId => |id| id.to_string(),
        RoleId => |id| id.to_string(),
        ApiKeyId => |id| id.to_string(),
        ClusterId => |id| id.to_string(),
        AuditId => |id| id.to_string(),
        AssignmentId => |id| id.to_string(),
        SessionId => |id| id.to_string();
    Int:
        i64 => |number| number,
        u32 => i64::from,
        Timestamp => Timestamp::as_micros;
    Bool:
        bool => |flag| flag;
    Bytes:
        Vec<u8> => |bytes| bytes,
        &[u8] => <[u8]>::to_vec,
        &Vec<u8> => Clone::clone,
        [u8; 32] => |bytes| bytes.to_vec(),
        [u8; 64] => |bytes| bytes.to_vec();
}

/// The parameters of a statement: a tuple, or a vector when they are collected.
pub trait Bind {
    /// The parameters in the order of `$1`, `$2`, …
    fn into_values(self) -> Vec<Value>;
}

impl Bind for Vec<Value> {
    fn into_values(self) -> Vec<Value> {
        self
    }
}

impl Bind for () {
    fn into_values(self) -> Vec<Value> {
        Vec::new()
    }
}

macro_rules! bind_tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: Into<Value>),+> Bind for ($($name,)+) {
            #[expect(non_snake_case, reason = "type parameters double as variable names")]
            fn into_values(self) -> Vec<Value> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }
        }
    )+};
}

bind_tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I) (A B C D E F G H I J) (A B C D E F G H I J K) (A B C D E F G H I J K L)
    (A B C D E F G H I J K L M) (A B C D E F G H I J K L M N) (A B C D E F G H I J K L M N O)
    (A B C D E F G H I J K L M N O P)
}

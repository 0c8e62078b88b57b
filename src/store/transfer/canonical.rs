//! Values as bytes: for a checksum, and for PostgreSQL's binary COPY. Pure.
//!
//! Owns: that equal values have equal bytes whichever database they are from,
//! and that other values have others: each is told by its type and length.
//! Must not know: where values come from.

use sha2::{Digest as _, Sha256};

use super::plan::{Kind, Table};
use crate::store::{Failure, Result, StoreError, Value};

/// The checksum of a table, row by row.
#[derive(Debug)]
pub(super) struct Digest(Sha256);

impl Digest {
    /// Of no rows yet. Other columns give another one.
    pub(super) fn of(table: &Table) -> Self {
        let mut digest = Self(Sha256::new());
        digest.part(b'T', table.name.as_bytes());
        for field in &table.fields {
            let kind = match field.kind {
                Kind::Text => b't',
                Kind::Int => b'i',
                Kind::Bool => b'b',
                Kind::Bytes => b'x',
            };
            digest.part(kind, field.name.as_bytes());
        }
        digest
    }

    /// Adds a row: a value for each column.
    pub(super) fn add(&mut self, row: &[Value]) {
        self.0.update(b"R");
        for value in row {
            match value {
                Value::Text(Some(text)) => self.part(b't', text.as_bytes()),
                Value::Int(Some(number)) => self.part(b'i', &number.to_be_bytes()),
                Value::Bool(Some(flag)) => self.part(b'b', &[u8::from(*flag)]),
                Value::Bytes(Some(bytes)) => self.part(b'x', bytes),
                Value::Text(None) | Value::Int(None) | Value::Bool(None) | Value::Bytes(None) => {
                    self.part(b'0', &[]);
                }
            }
        }
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    fn part(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}

/// Rows as `COPY … FROM STDIN (FORMAT binary)` reads them.
pub(super) fn binary(rows: &[Vec<Value>]) -> Result<Vec<u8>> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
    bytes.extend_from_slice(&[0; 8]); // no flags, nothing more in the header
    for row in rows {
        let columns = i16::try_from(row.len()).map_err(too_large)?;
        bytes.extend_from_slice(&columns.to_be_bytes());
        for value in row {
            match value {
                Value::Text(Some(text)) => field(&mut bytes, text.as_bytes())?,
                Value::Int(Some(number)) => field(&mut bytes, &number.to_be_bytes())?,
                Value::Bool(Some(flag)) => field(&mut bytes, &[u8::from(*flag)])?,
                Value::Bytes(Some(value)) => field(&mut bytes, value)?,
                Value::Text(None) | Value::Int(None) | Value::Bool(None) | Value::Bytes(None) => {
                    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
                }
            }
        }
    }
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(bytes)
}

fn field(bytes: &mut Vec<u8>, value: &[u8]) -> Result<()> {
    let length = i32::try_from(value.len()).map_err(too_large)?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value);
    Ok(())
}

fn too_large(error: std::num::TryFromIntError) -> StoreError {
    StoreError::new(Failure::Broken, format!("a value is too large for PostgreSQL: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::plan::Field, *};

    fn table(name: &str, fields: &[(&str, Kind)]) -> Table {
        let field = |(name, kind): &(&str, Kind)| Field { name: (*name).to_owned(), kind: *kind };
        let fields = fields.iter().map(field).collect();
        Table { name: name.to_owned(), fields, key: vec![0] }
    }

    fn checksum(table: &Table, rows: &[Vec<Value>]) -> [u8; 32] {
        let mut digest = Digest::of(table);
        for row in rows {
            digest.add(row);
        }
        digest.finish()
    }

    fn text(value: &str) -> Value {
        value.into()
    }

    #[test]
    fn whatever_differs_gives_another_checksum() {
        let two = table("t", &[("a", Kind::Text), ("b", Kind::Text)]);
        let different = [
            vec![],
            vec![vec![text("a"), text("b")]],
            vec![vec![text("ab"), text("")]],
            vec![vec![text(""), text("ab")]],
            vec![vec![text("b"), text("a")]],
            vec![vec![text("a"), text("b")], vec![text("a"), text("b")]],
            vec![vec![text("a"), Value::Text(None)]],
            vec![vec![Value::Text(None), text("a")]],
            vec![vec![text("a"), text("")]],
            vec![vec![text("a"), text("0")]],
            vec![vec![text("a"), Value::Int(Some(0))]],
            vec![vec![text("a"), Value::Bool(Some(false))]],
            vec![vec![text("a"), Value::Bool(Some(true))]],
            vec![vec![text("a"), Value::Bytes(Some(vec![]))]],
            vec![vec![text("a"), Value::Bytes(Some(vec![0]))]],
            vec![vec![text("a"), Value::Int(Some(1))]],
            vec![vec![text("a"), Value::Int(Some(-1))]],
        ];
        let mut seen: HashSet<_> = different.iter().map(|rows| checksum(&two, rows)).collect();
        assert_eq!(seen.len(), different.len());
        for other in [
            table("u", &[("a", Kind::Text), ("b", Kind::Text)]),
            table("t", &[("a", Kind::Text), ("c", Kind::Text)]),
            table("t", &[("a", Kind::Text), ("b", Kind::Int)]),
            table("t", &[("a", Kind::Text)]),
        ] {
            assert!(seen.insert(checksum(&other, &[])), "{other:?}");
        }
    }

    #[test]
    fn nothing_is_nothing_whatever_could_have_been_there() {
        let one = table("t", &[("a", Kind::Text)]);
        let of = |value: Value| checksum(&one, &[vec![value]]);
        assert_eq!(of(Value::Text(None)), of(Value::Bytes(None)));
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let row = vec![
            text("é"),
            Value::Int(Some(-2)),
            Value::Bool(Some(true)),
            Value::Bytes(Some(vec![0, 255])),
            Value::Text(None),
        ];
        let expected: &[&[u8]] = &[
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0",
            b"\0\x05",
            b"\0\0\0\x02\xc3\xa9",
            b"\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xfe",
            b"\0\0\0\x01\x01",
            b"\0\0\0\x02\0\xff",
            b"\xff\xff\xff\xff",
            b"\xff\xff",
        ];
        assert_eq!(binary(&[row]).expect("small"), expected.concat());
    }
}

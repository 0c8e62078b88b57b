//! Which tables are moved, in which order, with which columns.
//!
//! Owns: reading that from both schemas, and refusing two that do not fit.
//! Must not know: the rows.

use std::collections::{BTreeMap, BTreeSet};

use super::LEFT_BEHIND;
use crate::store::{Failure, Result, Row, StoreError, Tx, Value, row::from_row};

/// A table that is moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    /// The places of the columns of the primary key, in its order.
    pub(super) key: Vec<usize>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `TEXT` in both.
    Text,
    /// `INTEGER` or `BIGINT`.
    Int,
    /// `INTEGER` or `BOOLEAN`.
    Bool,
    /// `BLOB` or `BYTEA`.
    Bytes,
}

impl Kind {
    /// Of a column with these two types.
    fn of(lite: &str, postgres: &str) -> Option<Self> {
        match (lite, postgres) {
            ("TEXT", "text") => Some(Self::Text),
            ("INTEGER", "bigint") => Some(Self::Int),
            ("INTEGER", "boolean") => Some(Self::Bool),
            ("BLOB", "bytea") => Some(Self::Bytes),
            _ => None,
        }
    }
}

impl Table {
    /// The next rows after a key, or the first.
    pub(super) fn page_statement(&self, rows: usize, after: bool) -> String {
        let key = list(self.key.iter().map(|place| &*self.fields[*place].name));
        let values: Vec<_> = (1..=self.key.len()).map(|number| format!("${number}")).collect();
        let after =
            if after { format!("WHERE ({key}) > ({})", values.join(", ")) } else { String::new() };
        let (columns, table) = (self.columns(), quoted(&self.name));
        format!("SELECT {columns} FROM {table} {after} ORDER BY {key} LIMIT {rows}")
    }

    /// Takes rows in, in PostgreSQL.
    pub(super) fn copy_statement(&self) -> String {
        format!("COPY {} ({}) FROM STDIN (FORMAT binary)", quoted(&self.name), self.columns())
    }

    fn columns(&self) -> String {
        list(self.fields.iter().map(|field| &*field.name))
    }

    /// The values of a row in the order of the columns.
    pub(super) fn values(&self, row: &Row) -> Result<Vec<Value>> {
        let value = |field: &Field| -> Result<Value> {
            Ok(match field.kind {
                Kind::Text => Value::Text(row.get(&field.name)?),
                Kind::Int => Value::Int(row.get(&field.name)?),
                Kind::Bool => Value::Bool(row.get(&field.name)?),
                Kind::Bytes => Value::Bytes(row.get(&field.name)?),
            })
        };
        self.fields.iter().map(value).collect()
    }

    /// The primary key of a row.
    pub(super) fn key_of(&self, row: &[Value]) -> Vec<Value> {
        self.key.iter().map(|place| row[*place].clone()).collect()
    }
}

/// A name as both databases take it, whatever word it is.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// The tables of `source` that are moved to `target`, each after those that it
/// refers to. `Schema` when the two do not have the same columns.
pub(super) async fn tables(source: &mut Tx, target: &mut Tx) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for described in in_order(describe(source).await?)? {
        let types = types(target, &described.name).await?;
        tables.push(described.beside(types)?);
    }
    Ok(tables)
}

/// A table as SQLite describes it.
#[derive(Clone, Debug, Default)]
struct Described {
    name: String,
    columns: Vec<ColumnRow>,
    /// The tables that it refers to.
    references: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct ColumnRow {
    name: String,
    kind: String,
    /// The place in the primary key, from 1; 0 for none.
    place: i64,
}

from_row!(ColumnRow { name, kind, place });

async fn describe(source: &mut Tx) -> Result<Vec<Described>> {
    let all = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'
               ESCAPE '!' ORDER BY name";
    let names: Vec<String> = source.fetch_all(all, ()).await?;
    let mut tables = Vec::new();
    for name in names.into_iter().filter(|name| !LEFT_BEHIND.contains(&&**name)) {
        let columns = "SELECT name, type AS kind, pk AS place FROM pragma_table_info($1)
                       ORDER BY cid";
        let columns = source.fetch_all(columns, (&name,)).await?;
        let references = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)";
        let references: Vec<String> = source.fetch_all(references, (&name,)).await?;
        tables.push(Described { name, columns, references: references.into_iter().collect() });
    }
    Ok(tables)
}

/// Column by column, the types that PostgreSQL has.
async fn types(target: &mut Tx, table: &str) -> Result<BTreeMap<String, String>> {
    struct Typed {
        name: String,
        kind: String,
    }
    from_row!(Typed { name, kind });
    let sql = "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS kind
               FROM information_schema.columns
               WHERE table_schema = current_schema() AND CAST(table_name AS TEXT) = $1";
    let found: Vec<Typed> = target.fetch_all(sql, (table,)).await?;
    Ok(found.into_iter().map(|column| (column.name, column.kind)).collect())
}

impl Described {
    /// The same with the types that PostgreSQL has for it.
    fn beside(self, mut types: BTreeMap<String, String>) -> Result<Table> {
        let name = self.name;
        let mut key: Vec<(i64, usize)> = Vec::new();
        let mut fields = Vec::new();
        for (column, number) in self.columns.into_iter().zip(0..) {
            let other = types.remove(&column.name);
            let kind = other.as_ref().and_then(|other| Kind::of(&column.kind, other));
            let Some(kind) = kind else {
                return unfit(format!("{name}.{} is {} and {other:?}", column.name, column.kind));
            };
            if column.place > 0 {
                key.push((column.place, number));
            }
            fields.push(Field { name: column.name, kind });
        }
        if !types.is_empty() {
            return unfit(format!("SQLite has no {:?} in {name}", types.keys()));
        }
        if key.is_empty() {
            return unfit(format!("{name} has no primary key"));
        }
        key.sort_unstable();
        Ok(Table { name, fields, key: key.into_iter().map(|(_, number)| number).collect() })
    }
}

/// Every table after those that it refers to, and otherwise by name.
fn in_order(mut tables: Vec<Described>) -> Result<Vec<Described>> {
    let mut ordered: Vec<Described> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let done = |name: &String| ordered.iter().any(|table| table.name == *name);
        let next = tables.iter().position(|table| table.references.iter().all(done));
        let Some(next) = next else {
            let names: Vec<_> = tables.iter().map(|table| &*table.name).collect();
            return unfit(format!("{} refer to each other", names.join(", ")));
        };
        ordered.push(tables.remove(next));
    }
    Ok(ordered)
}

fn unfit<T>(why: String) -> Result<T> {
    Err(StoreError::new(Failure::Schema, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, references: &[&str]) -> Described {
        let references = references.iter().map(|name| (*name).to_owned()).collect();
        Described { name: name.to_owned(), references, ..Described::default() }
    }

    fn column(name: &str, kind: &str, place: i64) -> ColumnRow {
        ColumnRow { name: name.to_owned(), kind: kind.to_owned(), place }
    }

    fn types(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
    }

    #[test]
    fn a_table_comes_after_all_that_it_refers_to() {
        let tables = vec![
            described("a", &["c", "d"]),
            described("b", &[]),
            described("c", &["d"]),
            described("d", &[]),
        ];
        let names: Vec<_> =
            in_order(tables).expect("an order").into_iter().map(|table| table.name).collect();
        assert_eq!(names, ["b", "d", "c", "a"]);
        for circle in [
            vec![described("a", &["b"]), described("b", &["a"])],
            vec![described("a", &["a"])],
            vec![described("a", &["gone"])],
        ] {
            let refused = in_order(circle).expect_err("there is no order");
            assert_eq!(refused.failure(), Failure::Schema);
        }
    }

    #[test]
    fn two_tables_fit_when_they_have_the_same_columns_of_the_same_kinds() {
        let columns = vec![
            column("note", "TEXT", 0),
            column("at", "INTEGER", 2),
            column("done", "INTEGER", 0),
            column("id", "BLOB", 1),
        ];
        let lite = Described { columns, ..described("t", &[]) };
        let good = [("note", "text"), ("at", "bigint"), ("done", "boolean"), ("id", "bytea")];
        let table = lite.clone().beside(types(&good)).expect("they fit");
        assert_eq!(table.key, [3, 1]);
        assert_eq!(
            table.page_statement(9, true),
            "SELECT \"note\", \"at\", \"done\", \"id\" FROM \"t\" \
             WHERE (\"id\", \"at\") > ($1, $2) ORDER BY \"id\", \"at\" LIMIT 9"
        );
        assert_eq!(
            table.copy_statement(),
            "COPY \"t\" (\"note\", \"at\", \"done\", \"id\") FROM STDIN (FORMAT binary)"
        );
        for (bad, why) in [
            (types(&good[..3]), "t.id is BLOB and None"),
            (types(&[&good[..], &[("more", "text")]].concat()), "SQLite has no [\"more\"] in t"),
            (types(&[&good[..3], &[("id", "text")]].concat()), "t.id is BLOB and Some(\"text\")"),
            (types(&[]), "t.note is TEXT and None"),
        ] {
            let refused = lite.clone().beside(bad).expect_err("they do not fit");
            assert!(crate::error::chain(&refused).contains(why), "{refused:?}");
        }
        let keyless = Described { columns: vec![column("a", "TEXT", 0)], ..described("t", &[]) };
        keyless.beside(types(&[("a", "text")])).expect_err("no order of its rows");
    }
}

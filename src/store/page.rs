//! Lists: filtered, sorted and paged by the database.
//!
//! Paging is by key, not by offset: the cursor names the last row of a page,
//! so rows that appear or vanish meanwhile neither repeat nor skip others.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::{Result, row::FromRow, tx::Tx, value::Value};
use crate::error::Error;

/// Where the next page begins: the sort key and identifier of the last row seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The value of the sort column, as text or number.
    pub key: Key,
    /// The row's identifier, which makes the order total.
    pub id: String,
}

/// A sort key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// For number columns.
    Int(i64),
    /// For text columns.
    Text(String),
}

impl Cursor {
    /// The text that the caller sends back. It means nothing to the caller.
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads what [`Cursor::encode`] wrote. Kind: `Invalid`.
    pub fn decode(text: &str) -> Result<Self, Error> {
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .filter(|cursor: &Self| !cursor.has_zero_character())
            .ok_or_else(|| Error::invalid("cursor", "is not a cursor of this list"))
    }

    fn has_zero_character(&self) -> bool {
        self.id.contains('\0') || matches!(&self.key, Key::Text(text) if text.contains('\0'))
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
    /// How many rows match in all.
    pub total: u32,
}

impl<T> Page<T> {
    /// The same page with other rows.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(change).collect(),
            next: self.next,
            total: self.total,
        }
    }
}

/// What a caller wants of a list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Rows per page.
    pub limit: u32,
    /// After this row.
    pub cursor: Option<Cursor>,
    /// A text that the names must contain; `a` to `z` in any case.
    pub search: Option<String>,
    /// The sort key as the caller names it; each list has its own.
    pub sort: String,
    /// Largest first.
    pub descending: bool,
}

impl Default for ListQuery {
    fn default() -> Self {
        Self { limit: 50, cursor: None, search: None, sort: String::new(), descending: false }
    }
}

/// The condition that nothing meets.
const NO_ROW: &str = "1 = 0";

/// A statement with conditions that depend on the caller. Only names from
/// this module tree become text; everything that a caller says is a parameter.
#[derive(Debug)]
pub(super) struct Select {
    columns: &'static str,
    from: &'static str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

/// A column that a list can be sorted by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sort {
    /// As the caller names it.
    pub(super) name: &'static str,
    /// As the database names it.
    pub(super) column: &'static str,
    /// Whether it is a number; a cursor's key must be of the same type.
    pub(super) number: bool,
}

impl Sort {
    pub(super) const fn text(name: &'static str, column: &'static str) -> Self {
        Self { name, column, number: false }
    }

    pub(super) const fn number(name: &'static str, column: &'static str) -> Self {
        Self { name, column, number: true }
    }
}

impl Select {
    pub(super) fn new(columns: &'static str, from: &'static str) -> Self {
        Self { columns, from, conditions: Vec::new(), values: Vec::new() }
    }

    /// Adds `condition`, in which `?` stands for `value`.
    pub(super) fn filter(mut self, condition: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if value.has_zero_character() {
            self.conditions.push(NO_ROW.to_owned());
            return self;
        }
        self.values.push(value);
        self.conditions.push(condition.replace('?', &format!("${}", self.values.len())));
        self
    }

    /// Adds `condition` when there is a value for it.
    pub(super) fn filter_some<V: Into<Value>>(
        self,
        condition: &'static str,
        value: Option<V>,
    ) -> Self {
        match value {
            Some(value) => self.filter(condition, value),
            None => self,
        }
    }

    /// Only rows whose `column` is one of `values`; none when there are no values.
    pub(super) fn filter_in<V: Into<Value>>(
        mut self,
        column: &'static str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let mut places = Vec::new();
        for value in values {
            self.values.push(value.into());
            places.push(format!("${}", self.values.len()));
        }
        self.conditions.push(if places.is_empty() {
            NO_ROW.to_owned()
        } else {
            format!("{column} IN ({})", places.join(", "))
        });
        self
    }

    /// Only rows whose `column` contains `text`; `a` to `z` in any case, which
    /// is what `LOWER` does on SQLite and in the sort order `C` of PostgreSQL.
    pub(super) fn search(mut self, column: &'static str, text: Option<&str>) -> Self {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return self };
        if text.contains('\0') {
            self.conditions.push(NO_ROW.to_owned());
            return self;
        }
        let mut pattern = String::from("%");
        for character in text.to_ascii_lowercase().chars() {
            if matches!(character, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('%');
        self.values.push(pattern.into());
        let place = self.values.len();
        self.conditions.push(format!("LOWER({column}) LIKE ${place} ESCAPE '\\'"));
        self
    }

    fn conditions(&self) -> String {
        if self.conditions.is_empty() { "1 = 1".to_owned() } else { self.conditions.join(" AND ") }
    }

    /// All rows in the order of `order_by`, at most `limit`.
    pub(super) async fn all<T: FromRow>(
        self,
        tx: &mut Tx,
        order_by: &'static str,
        limit: u32,
    ) -> Result<Vec<T>> {
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {order_by} LIMIT {limit}",
            self.columns,
            self.from,
            self.conditions()
        );
        tx.fetch_all(&sql, self.values).await
    }

    /// How many rows match.
    pub(super) async fn count(&self, tx: &mut Tx) -> Result<u32> {
        let sql = format!("SELECT COUNT(*) FROM {} WHERE {}", self.from, self.conditions());
        tx.fetch_one(&sql, self.values.clone()).await
    }

    /// One page, sorted by one of `sorts` (the first is the default) and then
    /// by `id_column`. `key` reads a row's sort key and identifier.
    pub(super) async fn page<T: FromRow>(
        self,
        tx: &mut Tx,
        list: &ListQuery,
        sorts: &[Sort],
        id_column: &'static str,
        key: impl Fn(&T, &str) -> (Key, String),
    ) -> Result<Page<T>, Error> {
        let total = self.count(tx).await?;
        let (items, next) = self.slice(tx, list, sorts, id_column, key).await?;
        Ok(Page { items, next, total })
    }

    /// The rows of a page and where the next one begins, without counting what
    /// else there is: whoever reads page after page would count it each time.
    pub(super) async fn slice<T: FromRow>(
        mut self,
        tx: &mut Tx,
        list: &ListQuery,
        sorts: &[Sort],
        id_column: &'static str,
        key: impl Fn(&T, &str) -> (Key, String),
    ) -> Result<(Vec<T>, Option<Cursor>), Error> {
        let sort = sorts
            .iter()
            .find(|sort| {
                sort.name == list.sort || (list.sort.is_empty() && sort.name == sorts[0].name)
            })
            .ok_or_else(|| {
                let names: Vec<_> = sorts.iter().map(|sort| sort.name).collect();
                Error::invalid("sort", format!("must be one of {}", names.join(", ")))
            })?;
        let (direction, beyond) = if list.descending { ("DESC", "<") } else { ("ASC", ">") };
        if let Some(cursor) = &list.cursor {
            if sort.number != matches!(cursor.key, Key::Int(_)) {
                return Err(Error::invalid("cursor", "belongs to a list with another order"));
            }
            self.values.push(match &cursor.key {
                Key::Int(number) => (*number).into(),
                Key::Text(text) => text.as_str().into(),
            });
            self.values.push(cursor.id.as_str().into());
            let place = self.values.len();
            self.conditions.push(format!(
                "({}, {id_column}) {beyond} (${}, ${place})",
                sort.column,
                place - 1
            ));
        }
        let sql = format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {} {direction}, {id_column} {direction} LIMIT {}",
            self.columns,
            self.from,
            self.conditions(),
            sort.column,
            list.limit.saturating_add(1)
        );
        let mut items: Vec<T> = tx.fetch_all(&sql, self.values).await?;
        let more = items.len() > list.limit as usize;
        items.truncate(list.limit as usize);
        let end = if more { items.last() } else { None };
        let next = end.map(|item| {
            let (key, id) = key(item, sort.name);
            Cursor { key, id }
        });
        Ok((items, next))
    }
}

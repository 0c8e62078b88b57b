//! Pages of lists that are sorted in memory: what is sealed in the database
//! cannot be sorted there.
//!
//! Owns: sorting, cutting and continuing by the last row seen.
//! Must not know: what the rows are.

use std::cmp::Ordering;

use crate::{
    error::{Error, Result},
    store::{Cursor, Key, ListQuery, Page},
};

/// The sort key that the caller wants, if the list has it; the first is the default.
/// Kind: `Invalid`.
pub(super) fn sort_key(list: &ListQuery, sorts: &[&'static str]) -> Result<&'static str> {
    if list.sort.is_empty() {
        return Ok(sorts.first().copied().unwrap_or_default());
    }
    let found = sorts.iter().copied().find(|sort| *sort == list.sort);
    found.ok_or_else(|| Error::invalid("sort", format!("must be one of {}", sorts.join(", "))))
}

/// One page of `rows`. `place` names the sort key and identifier of a row; a
/// page begins after the place that the cursor names, whether the row that was
/// there still exists or not. Kind: `Invalid` for the cursor of another order.
pub(super) fn cut<T>(
    rows: Vec<T>,
    list: &ListQuery,
    place: impl Fn(&T) -> Cursor,
) -> Result<Page<T>> {
    let total = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let mut placed: Vec<_> = rows.into_iter().map(|row| (place(&row), row)).collect();
    placed.sort_by(|(one, _), (other, _)| order(one, other));
    if list.descending {
        placed.reverse();
    }
    if let Some(cursor) = &list.cursor {
        if placed.first().is_some_and(|(first, _)| !alike(&first.key, &cursor.key)) {
            return Err(Error::invalid("cursor", "belongs to a list with another order"));
        }
        let beyond = if list.descending { Ordering::Less } else { Ordering::Greater };
        placed.retain(|(place, _)| order(place, cursor) == beyond);
    }
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let more = placed.len() > limit;
    placed.truncate(limit);
    let next = placed.last().filter(|_| more).map(|(place, _)| place.clone());
    Ok(Page { items: placed.into_iter().map(|(_, row)| row).collect(), next, total })
}

fn order(one: &Cursor, other: &Cursor) -> Ordering {
    let keys = match (&one.key, &other.key) {
        (Key::Int(one), Key::Int(other)) => one.cmp(other),
        (Key::Text(one), Key::Text(other)) => one.cmp(other),
        (Key::Int(_), Key::Text(_)) => Ordering::Less,
        (Key::Text(_), Key::Int(_)) => Ordering::Greater,
    };
    keys.then_with(|| one.id.cmp(&other.id))
}

fn alike(one: &Key, other: &Key) -> bool {
    matches!(one, Key::Int(_)) == matches!(other, Key::Int(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    type Row = (&'static str, &'static str);

    fn place(row: &Row) -> Cursor {
        Cursor { key: Key::Text(row.0.to_owned()), id: row.1.to_owned() }
    }

    fn walk(rows: &[Row], descending: bool) -> Vec<Row> {
        let mut list = ListQuery { limit: 2, descending, ..ListQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = cut(rows.to_vec(), &list, place).unwrap();
            assert_eq!(page.total as usize, rows.len());
            seen.extend(page.items);
            match page.next {
                Some(next) => list.cursor = Some(next),
                None => return seen,
            }
        }
    }

    const ROWS: [Row; 5] = [("mia", "3"), ("ada", "5"), ("mia", "1"), ("zoe", "2"), ("mia", "4")];

    #[test]
    fn pages_together_have_every_row_once_also_when_keys_repeat() {
        let sorted = [("ada", "5"), ("mia", "1"), ("mia", "3"), ("mia", "4"), ("zoe", "2")];
        assert_eq!(walk(&ROWS, false), sorted);
        let mut reversed = sorted;
        reversed.reverse();
        assert_eq!(walk(&ROWS, true), reversed);
    }

    #[test]
    fn a_row_that_vanishes_between_two_pages_neither_repeats_nor_hides_another() {
        let list = ListQuery { limit: 2, ..ListQuery::default() };
        let first = cut(ROWS.to_vec(), &list, place).unwrap();
        let last_seen = *first.items.last().expect("two rows");
        let rest: Vec<_> = ROWS.into_iter().filter(|row| *row != last_seen).collect();
        let second = cut(rest, &ListQuery { cursor: first.next, ..list }, place).unwrap();
        assert_eq!(second.items, [("mia", "3"), ("mia", "4")]);
    }

    #[test]
    fn the_last_page_says_that_it_is_the_last() {
        let list = ListQuery { limit: 5, ..ListQuery::default() };
        assert!(cut(ROWS.to_vec(), &list, place).unwrap().next.is_none());
    }

    #[test]
    fn the_cursor_of_another_order_is_refused() {
        let cursor = Some(Cursor { key: Key::Int(7), id: "1".to_owned() });
        let list = ListQuery { cursor, ..ListQuery::default() };
        assert_eq!(cut(ROWS.to_vec(), &list, place).unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn a_list_is_sorted_only_by_what_it_offers() {
        let by = |sort: &str| ListQuery { sort: sort.to_owned(), ..ListQuery::default() };
        assert_eq!(sort_key(&by(""), &["name", "email"]).unwrap(), "name");
        assert_eq!(sort_key(&by("email"), &["name", "email"]).unwrap(), "email");
        assert_eq!(sort_key(&by("password"), &["name"]).unwrap_err().fields()[0].field, "sort");
    }
}

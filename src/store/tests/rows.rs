//! Every row of every table as text, whatever tables there are.

use std::fmt::Display;

use super::{
    super::{StoreSettings, Tx},
    Given,
};

/// A table and the statement that gives each of its rows as one text.
pub(super) struct Table {
    name: String,
    rows: String,
}

/// All tables of the database.
pub(super) async fn tables(given: &Given) -> Vec<Table> {
    let mut tx = given.store.read().await.expect("read");
    let (names, on_sqlite) = match &given.settings {
        StoreSettings::Sqlite { .. } => {
            ("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", true)
        }
        StoreSettings::Postgres(_) => (
            "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
             WHERE table_schema = 'public' ORDER BY 1",
            false,
        ),
    };
    let names: Vec<String> = tx.fetch_all(names, ()).await.expect("the tables");
    assert!(names.len() > 20, "only {names:?}");
    let mut tables = Vec::new();
    for name in names {
        let row = if on_sqlite {
            let columns: Vec<String> = tx
                .fetch_all("SELECT 'quote(' || name || ')' FROM pragma_table_info($1)", (&name,))
                .await
                .expect("the columns");
            columns.join(" || ' ' || ")
        } else {
            "CAST(t AS TEXT)".to_owned()
        };
        tables.push(Table { rows: format!("SELECT {row} FROM {name} t ORDER BY 1"), name });
    }
    tables
}

/// The rows of all tables, each with its table's name.
pub(super) async fn dump(tx: &mut Tx, tables: &[Table]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for table in tables {
        let rows: Vec<String> = tx.fetch_all(&table.rows, ()).await.expect("rows of a table");
        all.extend(rows.into_iter().map(|row| (table.name.clone(), row)));
    }
    all
}

impl Given {
    /// The rows in which this text occurs.
    pub(super) async fn rows_that_mention(&self, text: impl Display) -> Vec<(String, String)> {
        let tables = tables(self).await;
        let mut tx = self.store.read().await.expect("read");
        let mut rows = dump(&mut tx, &tables).await;
        rows.retain(|(_, row)| row.contains(&text.to_string()));
        rows
    }
}

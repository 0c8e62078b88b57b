//! The store's tests. A body in `on_both!` runs on SQLite and on PostgreSQL.

use tempfile::TempDir;

use super::{PostgresSettings, Result, Store, StoreSettings, Tx};

#[path = "../../tests/it/postgres.rs"]
mod postgres;
mod rows;
mod sample;

mod accounts;
mod child;
mod durability;
mod failures;
mod fleet;
mod groups;
mod leases;
mod paging;
mod records;
mod rights;
mod schema;
mod tenancy;
mod transactions;
mod transfer;

/// Makes two tests of each function: one on SQLite, one on PostgreSQL.
macro_rules! on_both {
    ($(async fn $name:ident($given:ident: Given) $body:block)+) => {$(
        mod $name {
            use super::*;

            async fn body($given: Given) $body

            #[tokio::test]
            async fn on_sqlite() {
                body(Given::sqlite().await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                body(Given::postgres().await).await;
            }
        }
    )+};
}
use on_both;

/// A migrated database of the test's own.
struct Given {
    store: Store,
    settings: StoreSettings,
    _folder: Option<TempDir>,
}

impl Given {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the database");
        let settings = StoreSettings::Sqlite { path: folder.path().join("palisade.db") };
        let store = Store::open(&settings).await.expect("open SQLite");
        store.migrate().await.expect("migrate SQLite");
        Self { store, settings, _folder: Some(folder) }
    }

    /// The files of SQLite as they are now, as a store of their own.
    fn copy_of_the_files(&self) -> Copy {
        let StoreSettings::Sqlite { path } = &self.settings else { panic!("PostgreSQL") };
        let folder = tempfile::tempdir().expect("a folder for the copy");
        let copy = folder.path().join("palisade.db");
        for suffix in ["", "-wal"] {
            let file = |path: &std::path::Path| format!("{}{suffix}", path.display());
            std::fs::copy(file(path), file(&copy)).expect("copy a file of the database");
        }
        Copy { settings: StoreSettings::Sqlite { path: copy }, _folder: folder }
    }

    async fn postgres() -> Self {
        let database = postgres::migrated(|database| async move {
            let store = Store::open(&settings(&database)).await.expect("open PostgreSQL");
            store.migrate().await.expect("migrate PostgreSQL");
            store.close().await;
        })
        .await;
        let settings = settings(&database);
        let store = Store::open(&settings).await.expect("open PostgreSQL");
        Self { store, settings, _folder: None }
    }

    /// Runs `work` in a transaction of its own and commits it.
    async fn commit<T, F>(&self, work: F) -> T
    where
        F: AsyncFnOnce(&mut Tx) -> Result<T>,
    {
        let mut tx = self.store.begin().await.expect("begin");
        let value = work(&mut tx).await.expect("a statement");
        tx.commit().await.expect("commit");
        value
    }
}

/// A copy of a database that is still in use.
struct Copy {
    settings: StoreSettings,
    _folder: TempDir,
}

fn settings(database: &postgres::Database) -> StoreSettings {
    StoreSettings::Postgres(PostgresSettings {
        url: database.url(),
        password: None,
        ca_file: None,
        client: None,
        max_connections: 8,
        statement_timeout: super::STATEMENT_LIMIT,
    })
}

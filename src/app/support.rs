//! What only the running management plane knows, for a support bundle.

use std::fs;

use serde_json::{Value, json};

use super::{App, data_dir};
use crate::{config::Database, store::StoreError};

/// More than this of one text does not go to the node daemon.
const LONGEST: usize = 40 * 1024;

impl App {
    /// Names and contents: metrics, readiness, and size and format of the database.
    /// Nothing of anybody's data is among it.
    pub async fn support_facts(&self) -> Vec<(String, String)> {
        let database = self.database_facts().await;
        let mut facts = Vec::new();
        let mut add = |name: &str, mut text: String| {
            let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            facts.push((name.to_owned(), text));
        };
        if let Some(metrics) = self.metrics() {
            add("metrics.txt", metrics.render());
        }
        let readiness = serde_json::to_string_pretty(&self.readiness().snapshot());
        add("readiness.json", readiness.unwrap_or_default());
        add("database.json", database.to_string());
        facts
    }

    async fn database_facts(&self) -> Value {
        let store = self.0.ledger.store();
        let format = store.data_format().await.map(|format| {
            format.map(|format| {
                json!({
                    "version": format.version.to_string(),
                    "oldestVersion": format.oldest_version.to_string(),
                })
            })
        });
        let migrations = store.migrations().await;
        let unseen = |error: StoreError| json!({ "unseen": error.to_string() });
        let mut facts = self.database_size();
        facts["dataFormat"] = format.map_or_else(unseen, |format| json!(format));
        facts["migrations"] = migrations.map_or_else(unseen, |numbers| json!(numbers));
        facts
    }

    fn database_size(&self) -> Value {
        let storage = &self.config().storage;
        match storage.database {
            Database::Postgres => json!({ "kind": "postgres" }),
            Database::Sqlite => {
                let file = data_dir::database(&storage.data_dir);
                let size = |ending: &str| {
                    let path = format!("{}{ending}", file.display());
                    fs::metadata(path).map(|found| found.len()).ok()
                };
                json!({ "kind": "sqlite", "bytes": size(""), "logBytes": size("-wal") })
            }
        }
    }
}

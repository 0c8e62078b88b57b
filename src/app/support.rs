//! What only the running management plane knows, for a support bundle.

use std::fs;

use serde_json::json;

use super::{App, data_dir};
use crate::config::Database;

/// More than this of one text does not go to the node daemon.
const LONGEST: usize = 40 * 1024;

impl App {
    /// Names and contents: metrics, readiness and the size of the database.
    /// Nothing of anybody's data is among it.
    pub fn support_facts(&self) -> Vec<(String, String)> {
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
        add("database.json", self.database_facts().to_string());
        facts
    }

    fn database_facts(&self) -> serde_json::Value {
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

//! The schema's history: embedded, append-only, checked by checksum at start.
//!
//! A shipped migration is never edited. A change of meaning takes two
//! releases: the first adds (expand), the second removes (contract), so that
//! two versions can run side by side on one database.
//!
//! A migration that removes says so in a line of its own and names the release
//! that stopped using what it removes, e.g. `-- contract: unused since 1.2.0`.
//! [`release::OLDEST_VERSION`](crate::release::OLDEST_VERSION) is then at least
//! that release, and older versions refuse the data. A test holds both.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

type Step = (i64, &'static str, &'static str);

macro_rules! steps {
    ($folder:literal: $($version:literal $name:literal),+ $(,)?) => {
        &[$((
            $version,
            $name,
            include_str!(concat!("migrations/", $folder, "/", $name, ".sql")),
        )),+]
    };
}

const SQLITE: &[Step] = steps!("sqlite": 1 "0001_init", 2 "0002_data_format", 3 "0003_leases");
const POSTGRES: &[Step] = steps!("postgres": 1 "0001_init", 2 "0002_data_format", 3 "0003_leases");

/// The migrations that this version knows, by number.
pub(super) fn versions() -> Vec<i64> {
    SQLITE.iter().map(|(version, _, _)| *version).collect()
}

pub(super) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

pub(super) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(steps: &'static [Step]) -> Migrator {
    let migrations = steps.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // A node of the previous version must start on a schema that a newer one has expanded.
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Version;

    /// `table.column` of every `CREATE TABLE` in the text.
    fn columns(steps: &[Step]) -> Vec<String> {
        let mut found = Vec::new();
        for (_, _, sql) in steps {
            let mut table = None;
            for line in sql.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                    table = rest.split_whitespace().next().map(str::to_owned);
                } else if line.starts_with(')') {
                    table = None;
                } else if let (Some(table), Some(name)) = (&table, line.split_whitespace().next())
                    && name
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
                {
                    found.push(format!("{table}.{name}"));
                }
            }
        }
        found
    }

    #[test]
    fn both_databases_have_the_same_tables_and_columns() {
        assert!(columns(SQLITE).len() > 80);
        assert_eq!(columns(SQLITE), columns(POSTGRES));
    }

    /// What a text takes away from those who know the schema before it, and the
    /// release that stopped using it, if the text says so.
    fn removals(sql: &str) -> (Vec<String>, Option<Version>) {
        let mut named = None;
        let mut code = String::new();
        for line in sql.lines() {
            let (before, comment) = line.split_once("--").unwrap_or((line, ""));
            if let Some(release) = comment.trim().strip_prefix("contract: unused since ") {
                named = release.trim().parse().ok();
            }
            code.push_str(before);
            code.push(' ');
        }
        let mut found = Vec::new();
        for statement in code.split(';') {
            let words: Vec<String> =
                statement.split_whitespace().map(str::to_ascii_uppercase).collect();
            let text = format!(" {} ", words.join(" "));
            let has = |part: &str| text.contains(&format!(" {part} "));
            let alters = text.starts_with(" ALTER TABLE ");
            let removes = text.starts_with(" DROP ")
                || (alters && (has("DROP") || has("RENAME") || has("SET NOT NULL") || has("TYPE")))
                || (alters && has("NOT NULL") && !has("DEFAULT"))
                || (alters && (has("CONSTRAINT") || has("CHECK") || has("UNIQUE")))
                || text.starts_with(" CREATE UNIQUE INDEX ")
                || text.starts_with(" CREATE TRIGGER ");
            if removes {
                found.push(words.join(" "));
            }
        }
        (found, named)
    }

    /// What is wrong with a migration that comes after the first.
    fn objection(sql: &str, oldest: &Version, own: &Version) -> Option<String> {
        match removals(sql) {
            (found, None) if !found.is_empty() => Some(format!(
                "{} takes something away: name the release that stopped using it",
                found.join("; ")
            )),
            (_, Some(since)) if since >= *own => {
                Some(format!("{since} is not an earlier release than {own}"))
            }
            (_, Some(since)) if since > *oldest => {
                Some(format!("OLDEST_VERSION {oldest} still uses it: it must be {since}"))
            }
            _ => None,
        }
    }

    #[test]
    fn no_migration_takes_something_away_that_a_version_may_still_use() {
        for (_, name, sql) in SQLITE.iter().skip(1).chain(POSTGRES.iter().skip(1)) {
            let found = objection(sql, &Version::oldest(), &Version::own());
            assert_eq!(found, None, "{name}");
        }
    }

    #[test]
    fn the_rule_knows_expanding_from_contracting() {
        let version = |text: &str| text.parse::<Version>().expect("a version");
        let refused = |sql: &str| objection(sql, &version("1.1.0"), &version("1.3.0")).is_some();
        for expands in [
            "CREATE TABLE t (id TEXT NOT NULL, UNIQUE (id)) STRICT;",
            "ALTER TABLE t ADD COLUMN note TEXT;",
            "ALTER TABLE t ADD COLUMN kind TEXT NOT NULL DEFAULT 'x';",
            "CREATE INDEX i ON t (note);",
            "INSERT INTO t (id) VALUES ('DROP TABLE');",
            "-- DROP TABLE t;",
            "-- contract: unused since 1.1.0\nDROP TABLE t;",
            "-- contract: unused since 1.0.0\nALTER TABLE t DROP COLUMN note;",
        ] {
            assert!(!refused(expands), "{expands}");
        }
        for contracts in [
            "DROP TABLE t;",
            "drop\n table t",
            "DROP INDEX i;",
            "CREATE TABLE u (id TEXT); DROP TABLE t;",
            "ALTER TABLE t DROP COLUMN note;",
            "ALTER TABLE t RENAME TO u;",
            "ALTER TABLE t RENAME COLUMN note TO remark;",
            "ALTER TABLE t ADD COLUMN kind TEXT NOT NULL;",
            "ALTER TABLE t ALTER COLUMN note SET NOT NULL;",
            "ALTER TABLE t ALTER COLUMN note TYPE BIGINT;",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (id <> '');",
            "CREATE UNIQUE INDEX i ON t (note);",
            // Not an earlier release; one that the oldest still uses; no release at all.
            "-- contract: unused since 1.3.0\nDROP TABLE t;",
            "-- contract: unused since 1.2.0\nDROP TABLE t;",
            "-- contract: unused since long ago\nDROP TABLE t;",
            "-- contract\nDROP TABLE t;",
        ] {
            assert!(refused(contracts), "{contracts}");
        }
    }

    #[test]
    fn the_data_format_is_the_newest_migration() {
        let newest = SQLITE.last().expect("a migration").0;
        assert_eq!(newest, i64::from(crate::release::DATA_FORMAT));
    }

    #[test]
    fn both_databases_have_the_same_versions_in_order() {
        let versions = |steps: &[Step]| steps.iter().map(|(v, n, _)| (*v, *n)).collect::<Vec<_>>();
        assert_eq!(versions(SQLITE), versions(POSTGRES));
        assert!(SQLITE.is_sorted_by_key(|(version, _, _)| *version));
    }
}

//! The schema's history: embedded, append-only, checked by checksum at start.
//!
//! A shipped migration is never edited. A change of meaning takes two
//! releases: the first adds (expand), the second removes (contract), so that
//! two versions can run side by side on one database.

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

const SQLITE: &[Step] = steps!("sqlite": 1 "0001_init");
const POSTGRES: &[Step] = steps!("postgres": 1 "0001_init");

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

    #[test]
    fn both_databases_have_the_same_versions_in_order() {
        let versions = |steps: &[Step]| steps.iter().map(|(v, n, _)| (*v, *n)).collect::<Vec<_>>();
        assert_eq!(versions(SQLITE), versions(POSTGRES));
        assert!(SQLITE.is_sorted_by_key(|(version, _, _)| *version));
    }
}

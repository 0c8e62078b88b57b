//! `palisade storage move`: from SQLite to PostgreSQL, on the data directory of
//! an appliance that is stopped.

use std::{fmt::Write, path::PathBuf, time::Instant};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    failure::{Failure, Result},
    format::{Format, Output},
    keys::Place,
    output::{emit, say},
};
use crate::{
    config::{Config, Sources},
    error::chain,
    store::transfer::{Progress, Step, TableSum},
};

/// So many digits of a checksum tell one from another for people.
const DIGITS: usize = 16;

/// Arguments of `palisade storage`.
#[derive(Debug, Args)]
pub(super) struct StorageArgs {
    #[command(subcommand)]
    command: StorageCommand,
}

#[derive(Debug, Subcommand)]
enum StorageCommand {
    /// Copy all data from SQLite to PostgreSQL and prove that both are the same.
    ///
    /// Stop `palisade serve` first, and start it with the new settings
    /// afterwards. Rows and checksums of all tables are compared before the
    /// one transaction in which they are copied is committed; if anything fails,
    /// there is nothing in PostgreSQL and the command can be repeated. Nothing
    /// is written to the SQLite database: with the present settings the
    /// appliance goes on as it was. Once it has been started with the new ones,
    /// do not go back: what is done after that is in PostgreSQL alone.
    Move(MoveArgs),
}

#[derive(Debug, Args)]
struct MoveArgs {
    /// The settings file that counts from then on: `storage.database` is postgres
    /// with an empty database, `storage.data_dir` the same directory as now.
    #[arg(long, value_name = "FILE")]
    to_config: PathBuf,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(args: StorageArgs) -> Result<()> {
    match args.command {
        StorageCommand::Move(args) => move_to(args).await,
    }
}

async fn move_to(args: MoveArgs) -> Result<()> {
    let file = args.to_config.display().to_string();
    let to = Config::load(Sources::of_process(Some(args.to_config), Vec::new()));
    let to = to.map_err(|error| {
        let hint = format!("See which settings count: `palisade config check --config {file}`.");
        Failure::usage(chain(&error), hint)
    })?;
    let began = Instant::now();
    let offline = args.place.take(false)?;
    let tables = offline.move_storage(&to, &mut |progress| say(&line(progress))).await?;
    let seconds = began.elapsed().as_secs_f64();
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        let tables: Vec<_> = tables
            .iter()
            .map(|table| {
                let checksum = table.checksum_text();
                json!({"name": table.name, "rows": table.rows, "checksum": checksum})
            })
            .collect();
        // Milliseconds: nobody wants to read more.
        let seconds = (seconds * 1_000.0).round() / 1_000.0;
        args.output.show_value(&json!({"tables": tables, "rows": rows, "seconds": seconds}))?;
    } else {
        emit(&table(&tables))?;
    }
    say(&format!(
        "{rows} rows of {} tables are in PostgreSQL, the same as in SQLite, after {seconds:.1} s. \
         Start it there: palisade serve --config {file}",
        tables.len()
    ));
    Ok(())
}

fn line(progress: &Progress<'_>) -> String {
    let Progress { table, number, of, rows, step } = progress;
    let done = match step {
        Step::Copied => "copied",
        Step::Compared => "the same on both sides",
    };
    format!("{number}/{of} {table}: {rows} rows {done}")
}

fn table(tables: &[TableSum]) -> String {
    let width = tables.iter().map(|table| table.name.len()).max().unwrap_or(0);
    let mut text = format!("{:<width$}  {:>10}  CHECKSUM", "TABLE", "ROWS");
    for table in tables {
        let checksum = table.checksum_text();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n{:<width$}  {:>10}  {}",
            table.name,
            table.rows,
            checksum.get(..DIGITS).unwrap_or(&checksum)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_below_each_other_with_the_beginning_of_their_checksums() {
        let sum =
            |name: &str, rows, byte| TableSum { name: name.to_owned(), rows, checksum: [byte; 32] };
        assert_eq!(
            table(&[sum("audit_record", 100_001, 0xab), sum("tenant", 2, 0)]),
            "TABLE               ROWS  CHECKSUM\n\
             audit_record      100001  abababababababab\n\
             tenant                 2  0000000000000000"
        );
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let progress =
            Progress { table: "cluster", number: 3, of: 23, rows: 500, step: Step::Copied };
        assert_eq!(line(&progress), "3/23 cluster: 500 rows copied");
    }
}

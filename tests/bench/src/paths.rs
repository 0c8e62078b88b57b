//! The hot paths. One file for each; each starts what it needs and ends it.

mod audit_csv;
mod get;
mod heartbeat;
mod idle;
mod list;
mod login;
mod mutation;
mod rbac;
mod seal;
mod start;

pub(crate) use seal::tenant_key;

use std::{process::ExitCode, time::Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    block_on,
    measure::load_average,
    table::{Row, Table},
};

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// An authenticated GET of one cluster.
    Get,
    /// A page of a long list.
    List,
    /// Audited durable changes by 64 writers.
    Mutation,
    /// Heartbeats of many agents.
    Heartbeat,
    /// Sealing and opening fields.
    Seal,
    /// Permission decisions.
    Rbac,
    /// Logging in, and reading while others do.
    Login,
    /// The audit trail as CSV.
    AuditCsv,
    /// From a cold start to ready.
    Start,
    /// Memory of an idle appliance.
    Idle,
}

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How often ours and the peer take turns.
    pub(crate) rounds: usize,
    quick: bool,
}

impl Size {
    /// So many operations, or a tenth of them.
    pub(crate) fn of(self, operations: usize) -> usize {
        if self.quick { operations.div_ceil(10) } else { operations }
    }
}

/// Measures `names`, or everything, and prints the table.
pub(crate) fn run(names: Vec<Bench>, quick: bool) -> Result<ExitCode> {
    let names = if names.is_empty() { Bench::value_variants().to_vec() } else { names };
    let size = Size { rounds: if quick { 2 } else { 5 }, quick };
    let mut table = Table::default();
    let mut outcome = ExitCode::SUCCESS;
    for name in names {
        let begun = Instant::now();
        eprint!("{name:?} …");
        match measure(name, size) {
            Ok(rows) => {
                eprintln!(" {:.0?}, load average {}", begun.elapsed(), load_average()?);
                // Shown at once too: whoever interrupts keeps what there is.
                eprintln!("{}", Table(rows.clone()));
                table.0.extend(rows);
            }
            Err(error) => {
                // What was measured before is worth no less for it.
                eprintln!(" error: {error:#}");
                outcome = ExitCode::FAILURE;
            }
        }
    }
    println!("{table}");
    Ok(outcome)
}

fn measure(name: Bench, size: Size) -> Result<Vec<Row>> {
    match name {
        Bench::Get => block_on(get::measure(size)),
        Bench::List => block_on(list::measure(size)),
        Bench::Mutation => block_on(mutation::measure(size)),
        Bench::Heartbeat => block_on(heartbeat::measure(size)),
        Bench::Seal => seal::measure(size),
        Bench::Rbac => rbac::measure(size),
        Bench::Login => block_on(login::measure(size)),
        Bench::AuditCsv => block_on(audit_csv::measure(size)),
        Bench::Start => block_on(start::measure(size)),
        Bench::Idle => block_on(idle::measure(size)),
    }
}

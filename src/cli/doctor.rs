//! `palisade doctor`: what is wrong with this machine, and how well it is closed.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{
    config::Settings,
    failure::{Exit, Failure},
    output::{fail, harmless, print},
    runtime,
};
use crate::{
    clock::SystemClock,
    config::Config,
    doctor::{
        Machine,
        causes::{self, Targets},
        cis, facts,
    },
    error,
};

/// Arguments of `palisade doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Check the hardening instead: our own list of CIS-style checks.
    #[arg(long)]
    cis: bool,
    /// How the report looks.
    #[arg(long, short, value_enum, default_value_t = Look::Text, value_name = "FORMAT")]
    output: Look,
    #[command(flatten)]
    subject: Subject,
}

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Look {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The installation that is looked at.
#[derive(Debug, Args)]
pub(super) struct Subject {
    #[command(flatten)]
    settings: Settings,
    /// The directory of everything that the appliance writes (`storage.data_dir`).
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
}

impl Subject {
    /// The machine, its settings (or why they cannot be used) and what else to
    /// look at. On the appliance the settings are those of its service.
    pub(super) fn resolve(self) -> (Machine, Result<Config, String>, Targets) {
        let machine = Machine::default();
        let data_dir = self.data_dir.clone();
        let mut flags = Vec::new();
        if let Some(directory) = self.data_dir {
            flags.push(("storage.data_dir".to_owned(), directory.display().to_string()));
        }
        let rendered = machine.paths().serve_settings();
        let config = self.settings.or_file(rendered).load(flags);
        let config = config.map_err(|problem| error::chain(&problem));
        let targets = Targets { data_dir, ..Targets::of_node(machine.paths()) };
        (machine, config, targets)
    }
}

pub(super) fn run(args: DoctorArgs) -> ExitCode {
    let runtime = match runtime::single_threaded() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let (machine, config, targets) = args.subject.resolve();
    let (good, text, json) = if args.cis {
        let gathered = runtime.block_on(facts::gather(&machine, &config, &SystemClock));
        let report = cis::evaluate(&gathered);
        (report.failed == 0, report.text(), pretty(&report))
    } else {
        let observe = causes::observe(&machine, &config, &targets, &SystemClock);
        let diagnosis = causes::diagnose(&runtime.block_on(observe));
        (diagnosis.healthy, diagnosis.text(), pretty(&diagnosis))
    };
    // A look that still hangs must not keep the process.
    runtime.shutdown_background();
    let shown = match args.output {
        Look::Text => print(&harmless(&text)),
        Look::Json => match json {
            Ok(json) => print(&json),
            Err(failure) => return failure.report(),
        },
    };
    if good { shown } else { Exit::Failed.into() }
}

/// JSON for people who read it as well.
fn pretty(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| {
        Failure::new(Exit::Failed, format!("The report cannot be written: {error}."))
    })
}

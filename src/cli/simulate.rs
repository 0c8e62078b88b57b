//! `palisade simulate`: many agents over the real bus, from one process.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use super::{
    output::fail,
    runtime::{multi_threaded, start_logging, terminated},
};
use crate::{
    agent::Transport,
    error::Result,
    secret::Secret,
    simulate::{self, Shape, SimulateSettings},
};

/// Arguments of `palisade simulate`.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Management's address, `https://fqdn[:port]`.
    #[arg(long, value_name = "URL")]
    url: String,
    /// An API key of a user who may create projects and clusters.
    #[arg(long, value_name = "KEY", env = "PALISADE_TOKEN", hide_env_values = true)]
    token: String,
    /// The CA that signed management's certificate.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How many clusters.
    #[arg(long, default_value_t = 12)]
    clusters: usize,
    /// The project that they are in; created if it is missing.
    #[arg(long, default_value = "Simulation")]
    project: String,
    /// What their names begin with.
    #[arg(long, default_value = "simulated")]
    prefix: String,
    /// How long to run; without it until the process is stopped.
    #[arg(long)]
    seconds: Option<u64>,
    /// The most nodes of one cluster.
    #[arg(long, default_value_t = 12)]
    nodes: u32,
    /// How many clusters of a hundred are in trouble on average.
    #[arg(long, default_value_t = 10)]
    degraded_percent: u32,
    /// Delete the clusters at the end.
    #[arg(long)]
    cleanup: bool,
}

impl SimulateArgs {
    /// The settings of a demonstration.
    pub(super) fn demonstration(url: String, token: String, ca: PathBuf) -> SimulateSettings {
        SimulateSettings {
            management_url: url,
            api_key: Secret::new(token),
            ca_file: Some(ca),
            transport: Transport::WebSocket,
            clusters: 12,
            project: "Factories".to_owned(),
            name_prefix: "plant".to_owned(),
            duration: None,
            shape: Shape { degraded_percent: 20, ..Shape::default() },
            cleanup: false,
        }
    }

    fn settings(self) -> SimulateSettings {
        SimulateSettings {
            management_url: self.url,
            api_key: Secret::new(self.token),
            ca_file: self.ca,
            transport: Transport::WebSocket,
            clusters: self.clusters,
            project: self.project,
            name_prefix: self.prefix,
            duration: self.seconds.map(Duration::from_secs),
            shape: Shape {
                nodes: self.nodes,
                degraded_percent: self.degraded_percent,
                ..Shape::default()
            },
            cleanup: self.cleanup,
        }
    }
}

pub(super) fn run(args: SimulateArgs) -> ExitCode {
    match simulate(args.settings()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

pub(super) fn simulate(settings: SimulateSettings) -> Result<()> {
    start_logging("human")?;
    let mut out = anstream::stdout();
    let simulation = simulate::run(settings, &mut out, terminated());
    multi_threaded()?.block_on(simulation).map(drop)
}

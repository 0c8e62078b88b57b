//! `palisade agent`: the pod in a managed cluster.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    output::fail,
    runtime::{single_threaded, start_logging, terminated},
};
use crate::{
    agent::{self, AgentSettings, TokenSource, Transport},
    error::Result,
    secret::Secret,
};

/// Arguments of `palisade agent`. The import manifest gives them by environment.
#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Management's address, `https://fqdn[:port]`.
    #[arg(long, value_name = "URL", env = "PALISADE_MANAGEMENT_URL")]
    management_url: String,
    /// The file with the one-time token of the import.
    #[arg(long, value_name = "FILE", env = "PALISADE_TOKEN_FILE")]
    token_file: PathBuf,
    /// The CA that signed management's certificate; without it the system's CAs count.
    #[arg(long, value_name = "FILE", env = "PALISADE_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// `http://host:port` or `socks5://host:port`.
    #[arg(long, value_name = "URL", env = "PALISADE_PROXY", hide_env_values = true)]
    proxy: Option<String>,
    /// A file with `user:password` for the proxy.
    #[arg(long, value_name = "FILE", env = "PALISADE_PROXY_CREDENTIALS_FILE")]
    proxy_credentials_file: Option<PathBuf>,
    /// Names and networks that are reached without the proxy, with commas between.
    #[arg(long, value_name = "LIST", env = "PALISADE_NO_PROXY", default_value = "")]
    no_proxy: String,
    /// Reach the bus by TLS at this `host[:port]` instead of by WebSocket.
    #[arg(long, value_name = "ADDRESS", env = "PALISADE_BUS_ADDRESS")]
    bus_address: Option<String>,
    /// The namespace that the agent runs in.
    #[arg(long, value_name = "NAME", env = "PALISADE_NAMESPACE", default_value = agent::settings::NAMESPACE)]
    namespace: String,
    /// A kubeconfig; without one the pod's service account counts.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, default_value = "json", value_parser = ["human", "json"])]
    log_format: String,
}

pub(super) fn run(args: AgentArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn serve(args: AgentArgs) -> Result<()> {
    start_logging(&args.log_format)?;
    let transport = match args.bus_address {
        Some(address) => Transport::Tls { address },
        None => Transport::WebSocket,
    };
    let settings = AgentSettings {
        management_url: args.management_url,
        token: TokenSource::File(args.token_file),
        ca_file: args.ca_file,
        proxy: args.proxy.map(Secret::new),
        proxy_credentials_file: args.proxy_credentials_file,
        no_proxy: args.no_proxy,
        transport,
        namespace: args.namespace,
        kubeconfig: args.kubeconfig,
        state_name: agent::settings::STATE_NAME.to_owned(),
    };
    single_threaded()?.block_on(agent::run(settings, terminated()))
}

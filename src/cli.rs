//! The command line.
//!
//! Owns: what the program's arguments mean, the exit codes, and what is
//! written to the terminal. One file for each group of commands.
//! Must not know: how anything is done; a command calls one function below.
//!
//! Data goes to standard output, everything else to standard error. Exit codes:
//! 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 wait
//! timed out, 7 operation failed, 8 unreachable or TLS, 130 interrupted.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod agent;
mod audit;
mod config;
mod demo;
mod output;
mod runtime;
mod serve;
mod simulate;

/// Manage fleets of Kubernetes clusters from behind the firewall.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the management plane.
    Serve(serve::ServeArgs),
    /// Run the agent of a managed cluster.
    Agent(agent::AgentArgs),
    /// Run the protocol of many agents, to size an installation or to show one.
    Simulate(simulate::SimulateArgs),
    /// Fill a fresh appliance with a tenant and a dozen simulated clusters.
    Demo(demo::DemoArgs),
    /// Prove that an exported audit trail is whole.
    Audit(audit::AuditArgs),
    /// Look at the settings.
    Config(config::ConfigArgs),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    runtime::raise_file_limit();
    match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Agent(args) => agent::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Config(args) => config::run(args),
        Command::Openapi => output::print(&crate::gateway::document()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        super::Cli::command().debug_assert();
    }
}

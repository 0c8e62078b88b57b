//! The command line.
//!
//! Owns: what the program's arguments mean, the exit codes, and what is
//! written to the terminal. One file for each group of commands.
//! Must not know: how anything is done; a command calls one function below, or
//! the HTTP API of an appliance that runs.
//!
//! ```text
//! connection -> client -> session -> home      which appliance, as whom
//! get describe create delete set wait ...      one file for each verb
//! find order resource format                   names, documents, columns
//! failure output                               how a command ends
//! ```
//!
//! Data goes to standard output, everything else to standard error. Exit codes:
//! 0 ok, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 wait
//! timed out, 7 operation failed, 8 unreachable or TLS, 130 interrupted.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod agent;
mod audit;
mod client;
mod completion;
mod config;
mod connection;
mod console;
mod create;
mod delete;
mod demo;
mod describe;
mod doctor;
mod duration;
mod explain;
mod failure;
mod find;
mod format;
mod get;
mod home;
mod keys;
mod kubeconfig;
mod login;
mod node;
mod order;
mod output;
mod private_file;
mod recover;
mod resource;
mod runtime;
mod serve;
mod session;
mod set;
mod simulate;
mod storage;
mod support_bundle;
mod terminal;
mod trust;
mod update;
mod wait;

/// Manage fleets of Kubernetes clusters from behind the firewall.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
enum Command {
    /// Begin a session at an appliance; the next commands use it.
    Login(login::LoginArgs),
    /// End the session.
    Logout(login::LogoutArgs),
    /// Say who and where you are.
    Whoami(login::WhoamiArgs),
    /// List objects, or show single ones in a line each.
    Get(get::GetArgs),
    /// Show objects in full, with what belongs to them.
    Describe(get::DescribeArgs),
    /// Create an object.
    Create(create::CreateArgs),
    /// Change fields of an object.
    Set(set::SetArgs),
    /// Delete objects.
    Delete(delete::DeleteArgs),
    /// Wait until a cluster has reached a state.
    Wait(wait::WaitArgs),
    /// Keep or fetch the kubeconfig of a cluster.
    Kubeconfig(kubeconfig::KubeconfigArgs),
    /// Say whether a user may do something, and why.
    Why(explain::WhyArgs),
    /// List everybody who may do something.
    WhoCan(explain::Question),
    /// Look at the installation's keys, exchange and recover them.
    Keys(keys::KeysArgs),
    /// Let people in again who cannot get in (appliance stopped).
    Recover(recover::RecoverArgs),
    /// Move the data of an appliance into another database (appliance stopped).
    Storage(storage::StorageArgs),
    /// Show the machine's own screen (a service of the image).
    Console(console::ConsoleArgs),
    /// Make, check and install updates of an appliance.
    Update(update::UpdateArgs),
    /// Print a completion script for a shell.
    Completion(completion::CompletionArgs),
    /// Run the management plane.
    Serve(serve::ServeArgs),
    /// Run the agent of a managed cluster.
    Agent(agent::AgentArgs),
    /// Run the protocol of many agents, to size an installation or to show one.
    Simulate(simulate::SimulateArgs),
    /// Fill a fresh appliance with a tenant and a dozen simulated clusters.
    Demo(demo::DemoArgs),
    /// Look at and look after the machine of an appliance.
    Node(node::NodeArgs),
    /// Prove that an exported audit trail is whole.
    Audit(audit::AuditArgs),
    /// Name what is wrong with this machine, or check how well it is closed (--cis).
    Doctor(doctor::DoctorArgs),
    /// Make one file for whoever helps, without secrets.
    SupportBundle(support_bundle::SupportBundleArgs),
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
        Command::Login(args) => client(login::login(args)),
        Command::Logout(args) => client(login::logout(args)),
        Command::Whoami(args) => client(login::whoami(args)),
        Command::Get(args) => client(get::get(args)),
        Command::Describe(args) => client(get::describe(args)),
        Command::Create(args) => client(create::run(args)),
        Command::Set(args) => client(set::run(args)),
        Command::Delete(args) => client(delete::run(args)),
        Command::Wait(args) => client(wait::run(args)),
        Command::Kubeconfig(args) => client(kubeconfig::run(args)),
        Command::Why(args) => client(explain::why(args)),
        Command::WhoCan(args) => client(explain::who_can(args)),
        Command::Keys(args) => client(keys::run(args)),
        Command::Recover(args) => client(recover::run(args)),
        Command::Storage(args) => client(storage::run(args)),
        Command::Console(args) => console::run(args),
        Command::Update(args) => client(update::run(args)),
        Command::Completion(args) => completion::run(&args),
        Command::Serve(args) => serve::run(args),
        Command::Agent(args) => agent::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Node(args) => client(node::run(args)),
        Command::Audit(args) => audit::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::SupportBundle(args) => support_bundle::run(args),
        Command::Config(args) => config::run(args),
        Command::Openapi => output::print(&crate::gateway::document()),
    }
}

/// Runs a command that talks to an appliance, until it ends or Ctrl-C.
fn client(command: impl Future<Output = failure::Result<()>>) -> ExitCode {
    let interruptible = async {
        tokio::select! {
            // What is asked before the first request is interrupted by the
            // signal itself: nobody listens for it yet.
            biased;
            outcome = command => outcome,
            _ = tokio::signal::ctrl_c() => {
                Err(failure::Failure::new(failure::Exit::Interrupted, "Interrupted."))
            }
        }
    };
    let outcome = match runtime::single_threaded() {
        Ok(runtime) => {
            let outcome = runtime.block_on(interruptible);
            // A question that nobody answers must not keep the process.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
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

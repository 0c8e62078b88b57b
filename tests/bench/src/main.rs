//! Palisade's hot paths beside their peers, measured in the same minutes.
//!
//! Owns: starting the appliance and each peer, the load, and the table.
//! Must not know: what the numbers ought to be, beyond the goals it prints.
//!
//! A row compares what one operation costs the server in processor time (the
//! sum of `/proc/PID/task/*/schedstat`), or where waiting is the matter, how
//! long it takes. Ours and the peer take turns, at least five times; medians
//! are compared and the extremes are shown. A goal that is missed is printed
//! as missed.

mod appliance;
mod fleet;
mod http;
mod load;
mod measure;
mod nonces;
mod paths;
mod peers;
mod process;
mod table;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use paths::Bench;

// As the product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "palisade-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure hot paths (all of them, if none is named) and print the table.
    Paths(PathArgs),
    /// Run a fleet of simulated clusters and look for lost heartbeats.
    Fleet(fleet::FleetArgs),
    /// Seal ten million values and look for a nonce that comes twice.
    Nonces {
        /// How many.
        #[arg(long, default_value_t = 10_000_000)]
        seals: usize,
    },
    /// A peer: an HTTPS server that says hello and does nothing else.
    #[command(hide = true)]
    Hello { listen: std::net::SocketAddr, certificate: PathBuf, key: PathBuf },
}

#[derive(Debug, Args)]
struct PathArgs {
    /// Which ones.
    #[arg(value_enum)]
    names: Vec<Bench>,
    /// Fewer operations: to see that everything runs, not to judge by.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Paths(args) => paths::run(args.names, args.quick),
        Command::Fleet(args) => fleet::run(&args),
        Command::Nonces { seals } => nonces::run(seals),
        Command::Hello { listen, certificate, key } => peers::hello(listen, &certificate, &key),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `work` on as many threads as there are cores.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

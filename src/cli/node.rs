//! `palisade node`: the machine of an appliance.

mod daemon;
mod status;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::Result;
use crate::node::paths::Paths;

/// Arguments of `palisade node`.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// Do what needs root, for the screen and the management plane (a service of the image).
    Daemon(Layout),
    /// Say how this machine does.
    Status(status::StatusArgs),
}

/// Where the appliance keeps things.
#[derive(Debug, Args)]
pub(super) struct Layout {
    /// Everything below another directory, for trying things out.
    #[arg(long, value_name = "DIRECTORY", default_value = "/", hide = true)]
    root: PathBuf,
}

impl Layout {
    /// The paths.
    pub(super) fn paths(self) -> Paths {
        Paths::below(self.root)
    }
}

pub(super) async fn run(args: NodeArgs) -> Result<()> {
    match args.command {
        NodeCommand::Daemon(layout) => daemon::daemon(layout).await,
        NodeCommand::Status(args) => status::status(args).await,
    }
}

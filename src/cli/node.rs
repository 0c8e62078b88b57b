//! `palisade node`: the machine of an appliance.

mod answers;
mod cluster;
mod daemon;
mod healthy;
mod package;
mod status;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::failure::Result;
use crate::node::{host::Host, paths::Paths};

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
    /// Apply the operator's answers to this machine (a service of the image, at every boot).
    FirstBoot(Layout),
    /// Show what the operator has answered, or change it.
    Answers(answers::AnswersArgs),
    /// Say whether this version of the appliance works.
    Healthy(healthy::HealthyArgs),
    /// Begin a cluster of three nodes on this one; prints the code for the next node.
    Init(cluster::InitArgs),
    /// Print a code with which one more node may join.
    Invite(cluster::InviteArgs),
    /// Make this fresh node a member of a cluster, by a code.
    Join(cluster::JoinArgs),
    /// Do the steps again that make three nodes one cluster, after they have failed.
    Complete(Layout),
    /// Take another node out of the cluster.
    Remove(cluster::RemoveArgs),
    /// Let another node's database lead.
    SwitchOver(cluster::SwitchArgs),
    /// Go on with this node alone: the others are lost for good.
    RecoverAlone(cluster::AloneArgs),
    /// Keep files of the cluster (for the node daemon).
    #[command(hide = true)]
    Settle(Layout),
    /// Write the OVF descriptor for a disk, whose content id becomes a fixed one.
    Descriptor(package::DescriptorArgs),
    /// Recompute every digest of an OVA, and look for what importers stumble over.
    VerifyOva {
        /// The package.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
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

    /// The machine; below another root its programs come from `programs` there.
    fn host(&self) -> Host {
        if self.root == Path::new("/") {
            Host::default()
        } else {
            Host::below(&self.root, &self.root.join("programs"))
        }
    }
}

pub(super) async fn run(args: NodeArgs) -> Result<()> {
    match args.command {
        NodeCommand::Daemon(layout) => daemon::daemon(layout).await,
        NodeCommand::Status(args) => status::status(args).await,
        NodeCommand::FirstBoot(layout) => answers::first_boot(&layout).await,
        NodeCommand::Answers(args) => answers::answers(args).await,
        NodeCommand::Healthy(args) => healthy::run(args).await,
        NodeCommand::Init(args) => cluster::init(args).await,
        NodeCommand::Invite(args) => cluster::invite(args).await,
        NodeCommand::Join(args) => cluster::join(args).await,
        NodeCommand::Complete(layout) => cluster::complete(layout).await,
        NodeCommand::Remove(args) => cluster::remove(args).await,
        NodeCommand::SwitchOver(args) => cluster::switch_over(args).await,
        NodeCommand::RecoverAlone(args) => cluster::recover_alone(args).await,
        NodeCommand::Settle(layout) => cluster::settle(layout),
        NodeCommand::Descriptor(args) => package::describe(&args),
        NodeCommand::VerifyOva { file } => package::verify(&file),
    }
}

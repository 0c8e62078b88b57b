//! `palisade update`: making, checking and installing updates.

mod local;
mod offline;
mod online;
mod restore;

use clap::{Args, Subcommand};

use super::failure::Result;

/// Arguments of `palisade update`.
#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    #[command(subcommand)]
    command: UpdateCommand,
}

#[derive(Debug, Subcommand)]
enum UpdateCommand {
    /// Show what runs, what is in the other slot, and what became of the last update.
    Status(online::ShowArgs),
    /// Ask the appliance's mirror for a newer version.
    Check(online::ShowArgs),
    /// Install an update into the other slot; nothing that runs is touched.
    Install(online::InstallArgs),
    /// Restart the appliance into what was installed.
    Restart(online::RestartArgs),
    /// Put the data back as it was before an update (appliance stopped).
    RestoreData(restore::RestoreArgs),
    /// Make a pair of keys for signing updates, away from any appliance.
    Key(offline::KeyArgs),
    /// Make a signed update file of what `appliance/build` has left.
    Make(offline::MakeArgs),
    /// Show what an update file says about itself, without believing it.
    Inspect(offline::InspectArgs),
    /// Check an update file against public keys.
    Verify(offline::VerifyArgs),
}

pub(super) async fn run(args: UpdateArgs) -> Result<()> {
    match args.command {
        UpdateCommand::Status(args) => online::status(args).await,
        UpdateCommand::Check(args) => online::check(args).await,
        UpdateCommand::Install(args) => online::install(args).await,
        UpdateCommand::Restart(args) => online::restart(args).await,
        UpdateCommand::RestoreData(args) => restore::run(args).await,
        UpdateCommand::Key(args) => offline::key(&args),
        UpdateCommand::Make(args) => offline::make(args),
        UpdateCommand::Inspect(args) => offline::inspect(&args),
        UpdateCommand::Verify(args) => offline::verify(&args),
    }
}

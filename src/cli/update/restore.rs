//! `palisade update restore-data`: the data of before an update.

use clap::Args;

use crate::{
    cli::{
        failure::{Failure, Result},
        keys::offline::Place,
        output::say,
    },
    release::Version,
};

/// Arguments of `palisade update restore-data`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The version before whose first start the data is wanted; without it, the newest.
    #[arg(long = "before", value_name = "VERSION")]
    before: Option<Version>,
    /// Do not ask whether everything since then may be lost.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(args: RestoreArgs) -> Result<()> {
    if !args.yes {
        return Err(Failure::usage(
            "Everything that was done since the update is lost with this.",
            "Say that you want it: --yes. What is there now is put aside, not removed.",
        ));
    }
    let about = args.place.take_closed()?.restore_before_update(args.before).await?;
    say(&format!(
        "The data is as it was at {}, before version {} first ran on it.",
        about.at, about.version
    ));
    say("What was there is put aside: the database in the directory `replaced`, the keys beside \
         the keystore with `.replaced` after its name.");
    Ok(())
}

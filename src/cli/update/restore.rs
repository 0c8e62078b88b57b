//! `palisade update restore-data`: the data of before an update.

use clap::Args;
use serde_json::json;

use crate::{
    app::{BeforeUpdate, data_before_update},
    cli::{
        failure::{Failure, Result},
        format::{Format, Output},
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
    /// Say what the newest copy is and change nothing; the appliance may run.
    #[arg(long, conflicts_with_all = ["yes", "before"])]
    show: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(args: RestoreArgs) -> Result<()> {
    if args.show {
        let about = data_before_update(&args.place.config()?)?;
        let sentence = "The newest copy is of the data as it was";
        return tell(&about, sentence, args.output).map(drop);
    }
    if !args.yes {
        return Err(Failure::usage(
            "Everything that was done since the update is lost with this.",
            "Say that you want it: --yes. What is there now is put aside, not removed.",
        ));
    }
    let about = args.place.take_closed()?.restore_before_update(args.before).await?;
    if tell(&about, "The data is as it was", args.output)? {
        return Ok(());
    }
    say("What was there is put aside: the database in the directory `replaced`, the keys beside \
         the keystore with `.replaced` after its name.");
    Ok(())
}

/// Says which data it is; whether that was for a program.
fn tell(about: &BeforeUpdate, sentence: &str, output: Output) -> Result<bool> {
    let BeforeUpdate { version, at, .. } = about;
    if matches!(output.format, Format::Json | Format::Yaml) {
        output.show_value(&json!({ "version": version, "at": at }))?;
        return Ok(true);
    }
    say(&format!("{sentence} at {at}, before version {version} first ran on it."));
    Ok(false)
}

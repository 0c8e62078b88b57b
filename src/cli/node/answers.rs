//! `palisade node first-boot` and `palisade node answers`.

use std::{collections::BTreeMap, io::Read as _};

use clap::Args;

use super::Layout;
use crate::{
    cli::{
        failure::{Exit, Failure, Result},
        output::{emit, harmless, say},
    },
    node::{
        answers::{self, AmendError, Report},
        first_boot,
        properties::salvage,
    },
};

/// Arguments of `palisade node answers`.
#[derive(Debug, Args)]
pub(super) struct AnswersArgs {
    /// Change an answer, e.g. `--set ipv4=192.0.2.10/24`; nothing after the `=` takes it away.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Read changes from standard input, as a JSON object: for secrets, which other users of
    /// this machine could see on a command line.
    #[arg(long)]
    stdin: bool,
    /// Put the answers into effect once more, e.g. after a disk was full.
    #[arg(long, conflicts_with_all = ["set", "stdin"])]
    apply: bool,
    #[command(flatten)]
    layout: Layout,
}

fn key_and_value(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) async fn first_boot(layout: &Layout) -> Result<()> {
    let host = layout.host();
    let sentence = first_boot::run(&host).await.map_err(|error| {
        Failure::new(Exit::Failed, format!("The answers cannot be applied: {error}."))
            .with_hint("The next boot tries again; the console shows what the disk has to say.")
    })?;
    say(&sentence);
    let report = answers::read_report(host.paths()).ok().flatten();
    for mistake in report.iter().flat_map(|report| &report.mistakes) {
        say(&mistake.to_string());
    }
    Ok(())
}

pub(super) async fn answers(args: AnswersArgs) -> Result<()> {
    let host = args.layout.host();
    let mut changes = args.set;
    if args.stdin {
        changes.extend(from_standard_input()?);
    }
    if !changes.is_empty() {
        let report = first_boot::amend(&host, changes).await.map_err(|error| refused(&error))?;
        say("The answers are changed and applied.");
        remarks(&report);
        return Ok(());
    }
    if args.apply {
        let report = first_boot::apply(&host).await.map_err(|error| refused(&error.into()))?;
        say("The answers are applied.");
        remarks(&report);
        return Ok(());
    }
    let unreadable = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("The answers cannot be read: {error}."))
            .with_hint("Only root may read them.")
    };
    let Some(kept) = answers::load(host.paths()).map_err(unreadable)? else {
        return Err(Failure::new(Exit::NotFound, "Nothing has been answered on this machine.")
            .with_hint("`palisade node first-boot` looks for answers."));
    };
    for (key, value) in first_boot::shown(&kept.given) {
        // A certificate has many lines; the first says enough.
        let line = value.lines().next().unwrap_or_default();
        emit(&format!("{key} = {}", harmless(line)))?;
    }
    let salvaged = salvage(&kept.given);
    remarks(&Report::of(kept.source, &salvaged));
    Ok(())
}

fn from_standard_input() -> Result<BTreeMap<String, String>> {
    let mut text = String::new();
    let read = std::io::stdin().take(256 * 1024).read_to_string(&mut text);
    read.ok().and_then(|_| serde_json::from_str(&text).ok()).ok_or_else(|| {
        Failure::usage(
            "Standard input is no JSON object of texts.",
            r#"Write e.g. {"ipv4": "192.0.2.10/24", "gateway": "192.0.2.1"}."#,
        )
    })
}

fn refused(error: &AmendError) -> Failure {
    match error {
        AmendError::Mistakes(mistakes) => {
            let failure = Failure::new(Exit::Failed, "The answers were not changed.");
            mistakes.iter().fold(failure, |failure, mistake| {
                failure.with_field(&mistake.key, &mistake.sentence())
            })
        }
        AmendError::Io(error) => {
            Failure::new(Exit::Failed, format!("The answers cannot be applied: {error}."))
                .with_hint(
                    "Only root may change them. What was accepted is applied at the next boot.",
                )
        }
    }
}

fn remarks(report: &Report) {
    for mistake in &report.mistakes {
        say(&mistake.to_string());
    }
    for (key, text) in &report.notes {
        say(&format!("note: {key}: {text}"));
    }
    if let Some(waiting) = &report.waiting {
        say(waiting);
    }
}

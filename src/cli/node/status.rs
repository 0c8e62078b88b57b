//! `palisade node status`: what the daemon says, in words.

use clap::Args;

use super::Layout;
use crate::{
    cli::{
        failure::{Exit, Failure, Result},
        format::{Format, Output},
        output::{emit, harmless},
    },
    node::{
        client::{Client, NoAnswer},
        protocol::{Health, SetUp, Share, Status, StatusRequest},
    },
};

/// Arguments of `palisade node status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    layout: Layout,
}

pub(super) async fn status(args: StatusArgs) -> Result<()> {
    let client = Client::of(&args.layout.paths());
    let status = client.ask(StatusRequest {}).await.map_err(no_answer)?;
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        let value = serde_json::to_value(&status).map_err(crate::error::Error::internal)?;
        return args.output.show_value(&value);
    }
    emit(&harmless(&lines(&status).join("\n")))
}

/// How a command ends that the daemon did not do.
pub(super) fn no_answer(no_answer: NoAnswer) -> Failure {
    match no_answer {
        NoAnswer::Silent(reason) => {
            Failure::new(Exit::Unreachable, format!("The node service does not answer: {reason}."))
                .with_hint("On an appliance: systemctl status palisade-node. Use it as root there.")
        }
        NoAnswer::Failed(failure) => crate::error::Error::from(failure).into(),
    }
}

fn lines(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |label: &str, text: String| lines.push(format!("{label:<13}{text}"));
    add("version", status.version.clone());
    add("host", status.host.clone());
    add("role", status.role.clone().unwrap_or_else(|| "not chosen".to_owned()));
    for url in &status.urls {
        add("url", url.clone());
    }
    if let Some(fingerprint) = &status.fingerprint {
        add("certificate", fingerprint.clone());
    }
    match &status.set_up {
        SetUp::Open { code: Some(code) } => add("set-up code", code.clone()),
        SetUp::Open { code: None } => add("set-up", "waits for the management plane".to_owned()),
        SetUp::Done => add("set-up", "done".to_owned()),
    }
    match &status.health {
        Health::Answers { ready: true, .. } => add("health", "ready".to_owned()),
        Health::Answers { ready: false, checks } => {
            add("health", "not ready".to_owned());
            for check in checks.iter().filter(|check| !check.ok) {
                add("", format!("{}: {}", check.name, check.detail));
            }
        }
        Health::Silent { reason } => add("health", format!("not ready: {reason}")),
    }
    for unit in &status.units {
        add("service", format!("{} {}", unit.unit, unit.state));
    }
    for mistake in &status.mistakes {
        add("mistake", format!("{}: {}", mistake.property, mistake.message));
    }
    let share = |share: Option<Share>| {
        share.map_or_else(
            || "unknown".to_owned(),
            |share| format!("{} of {} MiB used", share.used >> 20, share.total >> 20),
        )
    };
    add("memory", share(status.memory));
    add("data disk", share(status.data_disk));
    lines
}

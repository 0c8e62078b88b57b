//! `palisade node status`: what the daemon says, in words.

use std::time::Duration;

use clap::Args;

use super::Layout;
use crate::{
    cli::{
        failure::{Exit, Failure, Result},
        format::{Format, Output},
        output::{emit, harmless},
    },
    error::Error,
    node::{
        client::{Client, NoAnswer},
        ha::standing::{Standing, database, standing},
        protocol::{
            ClusterState, ClusterView, Failover, Health, NodeView, Quorum, SetUp, Share, Status,
            StatusRequest,
        },
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
    let cluster = client.ask(ClusterState {}).await;
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        let mut value = serde_json::to_value(&status).map_err(Error::internal)?;
        let problem = cluster.as_ref().err().map(ToString::to_string);
        value["cluster"] = serde_json::to_value(cluster.ok()).map_err(Error::internal)?;
        value["clusterProblem"] = serde_json::json!(problem);
        return args.output.show_value(&value);
    }
    let mut lines = lines(&status);
    match cluster {
        Ok(view) => lines.extend(cluster_lines(&view)),
        Err(error) => lines.push(line("cluster", &error.to_string())),
    }
    emit(&harmless(&lines.join("\n")))
}

/// How a command ends that the daemon did not do.
pub(super) fn no_answer(no_answer: NoAnswer) -> Failure {
    match no_answer {
        NoAnswer::Silent(reason) => {
            Failure::new(Exit::Unreachable, format!("The node service does not answer: {reason}."))
                .with_hint("On an appliance: systemctl status palisade-node. Use it as root there.")
        }
        NoAnswer::Failed(failure) => Error::from(failure).into(),
    }
}

fn line(label: &str, text: &str) -> String {
    format!("{label:<13}{text}")
}

/// Nothing on a node that belongs to no cluster and has not tried to.
fn cluster_lines(view: &ClusterView) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |label: &str, text: &str| lines.push(line(label, text));
    let (standing, sentence) = standing(view);
    if standing == Standing::Alone {
        return lines;
    }
    add("cluster", &sentence);
    if let Some(progress) = &view.progress {
        if progress.running {
            add("", &format!("{}: {} %", progress.step, progress.percent));
        }
        if let Some(failure) = &progress.failure {
            add("", &format!("{}: {failure}", progress.step));
        }
    }
    if let Some(Quorum { present, members, needed }) = view.quorum {
        add("quorum", &format!("{present} of {members} nodes agree, {needed} are needed"));
    }
    if let Some(address) = view.virtual_address {
        add("address", &format!("{address}, always at a node that works"));
    }
    for node in &view.nodes {
        add("node", &node_line(node));
        add("", &format!("  if it stopped now: {}", node.if_stopped));
    }
    if let Some(Failover { at, leader, why }) = &view.last_failover {
        add("fail-over", &format!("{leader} has led since {at:.0} ({why})"));
    }
    if let Some(open) = &view.invitation {
        let tries = open.tries;
        add(
            "invitation",
            &format!("counts for {} s more, bears {tries} wrong codes", open.seconds),
        );
        if let Some(fingerprint) = &open.fingerprint {
            add("", &format!("a node joins; both show {fingerprint}"));
        }
    }
    for warning in &view.warnings {
        add("warning", warning);
    }
    lines
}

/// One node, the most important first.
fn node_line(node: &NodeView) -> String {
    let mut parts = vec![format!("{} at {}", node.name, node.address)];
    if node.own {
        parts.push("this one".to_owned());
    }
    match (&node.silent, node.ready) {
        (Some(why), _) => parts.push(format!("does not answer: {}", why.trim_end_matches('.'))),
        (None, Some(true)) => parts.push("ready".to_owned()),
        (None, _) => parts.push("not ready".to_owned()),
    }
    if let Some(it) = &node.database {
        parts.push(format!("database {}", database(it)));
    }
    if let Some(etcd) = &node.etcd {
        parts.push(if etcd.leader { "etcd leads" } else { "etcd follows" }.to_owned());
    }
    if let Some(version) = &node.version {
        parts.push(version.to_string());
    }
    if let Some(ahead) = node.clock_ahead_ms.filter(|ahead| ahead.unsigned_abs() >= 100) {
        let by = Duration::from_millis(ahead.unsigned_abs()).as_secs_f64();
        let way = if ahead > 0 { "ahead" } else { "behind" };
        parts.push(format!("clock {by:.1} s {way}"));
    }
    if let Some(until) = node.certificate_until {
        parts.push(format!("certificate until {until:.0}"));
    }
    parts.join(", ")
}

fn lines(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |label: &str, text: String| lines.push(line(label, &text));
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

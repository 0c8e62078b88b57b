//! `palisade node init`, `join` and what else is about several nodes: requests
//! to the node daemon of this machine, in words.

use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr},
};

use clap::Args;

use super::{Layout, status::no_answer};
use crate::{
    cli::{
        failure::{Exit, Failure, Result},
        format::{Format, Output},
        output::{emit, harmless, say},
        terminal,
    },
    node::{
        client::Client,
        ha::{
            local::{self, Work},
            members::NodeName,
        },
        protocol::{
            Ask, CompleteCluster, Invite, JoinCluster, Progress, RecoverAlone, RemoveNode,
            SwitchOver,
        },
    },
    secret::Secret,
};

/// Arguments of `palisade node init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Begin a cluster of three nodes. This node keeps its data and works on.
    #[arg(long, required = true)]
    ha: bool,
    /// The address that shall always be at a node that works, in the network of this node.
    #[arg(long, value_name = "ADDRESS")]
    virtual_ip: Option<IpAddr>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    layout: Layout,
}

/// Arguments of `palisade node invite`.
#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    layout: Layout,
}

/// Arguments of `palisade node join`.
#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    /// The code that a member shows; without it, it is asked for or read from standard input.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// The address of that member between the nodes.
    #[arg(long, value_name = "ADDRESS")]
    address: Ipv4Addr,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    layout: Layout,
}

/// Arguments of `palisade node remove`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The node's name, as `palisade node status` shows it.
    #[arg(value_name = "NODE")]
    name: NodeName,
    #[command(flatten)]
    layout: Layout,
}

/// Arguments of `palisade node switch-over`.
#[derive(Debug, Args)]
pub(super) struct SwitchArgs {
    /// Which node's database is to lead; without one, the nearest.
    #[arg(long, value_name = "NODE")]
    to: Option<NodeName>,
    #[command(flatten)]
    layout: Layout,
}

/// Arguments of `palisade node recover-alone`.
#[derive(Debug, Args)]
pub(super) struct AloneArgs {
    /// The name of this node: the others must be lost for good. What only they had is lost.
    #[arg(long, value_name = "NODE")]
    confirm: String,
    #[command(flatten)]
    layout: Layout,
}

async fn ask<A: Ask>(layout: Layout, ask: A) -> Result<A::Answer> {
    let client = Client::of(&layout.paths());
    let told = |progress: Progress| {
        let percent = progress.percent.map_or_else(String::new, |done| format!("{done:>3} %  "));
        say(&harmless(&format!("{percent}{}", progress.text)));
    };
    client.ask_as(ask, None, None, told).await.map_err(no_answer)
}

pub(super) async fn init(args: InitArgs) -> Result<()> {
    let InitArgs { ha: _, virtual_ip, output, layout } = args;
    invited(Invite { virtual_address: virtual_ip, begin: true }, output, layout).await
}

pub(super) async fn invite(args: InviteArgs) -> Result<()> {
    invited(Invite::default(), args.output, args.layout).await
}

async fn invited(request: Invite, output: Output, layout: Layout) -> Result<()> {
    let invitation = ask(layout, request).await?;
    if matches!(output.format, Format::Json | Format::Yaml) {
        let value = serde_json::to_value(&invitation).map_err(crate::error::Error::internal)?;
        return output.show_value(&value);
    }
    let (code, address) = (invitation.code.expose(), invitation.address);
    say(&format!("One node may join within {} minutes. On that node:", invitation.seconds / 60));
    emit(&format!("palisade node join --address {address} --code {code}"))
}

pub(super) async fn join(args: JoinArgs) -> Result<()> {
    let code = match args.code {
        Some(code) => Secret::new(code),
        None if terminal::is_there() => Secret::new(terminal::line("Join code: ")?),
        None => typed()?,
    };
    let joined = ask(args.layout, JoinCluster { code, address: args.address }).await?;
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        let value = serde_json::to_value(&joined).map_err(crate::error::Error::internal)?;
        return args.output.show_value(&value);
    }
    emit(&format!(
        "{} is a member now, one of {}. Both nodes show {}.",
        joined.name, joined.members, joined.fingerprint
    ))
}

fn typed() -> Result<Secret<String>> {
    let mut text = String::new();
    let read = std::io::stdin().take(1_024).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("No code can be read: {error}."), "Give --code."))?;
    Ok(Secret::new(text.trim().to_owned()))
}

pub(super) async fn complete(layout: Layout) -> Result<()> {
    ask(layout, CompleteCluster {}).await?;
    emit("The steps go on; `palisade node status` shows how far they are.")
}

pub(super) async fn remove(args: RemoveArgs) -> Result<()> {
    let name = args.name.clone();
    ask(args.layout, RemoveNode { name: args.name }).await?;
    emit(&format!("{name} is no member any more."))
}

pub(super) async fn switch_over(args: SwitchArgs) -> Result<()> {
    let switched = ask(args.layout, SwitchOver { to: args.to }).await?;
    emit(&format!("The database of {} leads.", switched.leader))
}

pub(super) async fn recover_alone(args: AloneArgs) -> Result<()> {
    ask(args.layout, RecoverAlone { confirm: args.confirm }).await?;
    emit("This node works alone. Let two fresh nodes join it: `palisade node invite`.")
}

/// The work on files of other users, as the daemon tells it on standard input.
pub(super) fn settle(layout: Layout) -> Result<()> {
    let mut text = zeroize::Zeroizing::new(String::new());
    let failed = |why: String| {
        Failure::new(Exit::Failed, format!("The files of the cluster cannot be kept: {why}."))
            .with_hint("Check the disk of this node, and try again.")
    };
    std::io::stdin().read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    let work: Work = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    local::carry_out(&layout.paths(), work).map_err(|error| failed(error.to_string()))
}

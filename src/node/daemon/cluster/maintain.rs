//! Looking after a cluster that runs: taking a node out, letting another
//! database lead, and going on with the last node.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    invite::tell_others,
    local::{self, ETCD, MANAGEMENT_PLANE, PATRONI},
    locked, own_place,
    until::{Until, until},
    unusable, watch,
};
use crate::{
    error::{Error, Kind, Result},
    files,
    node::{
        daemon::{Context, Node, answers},
        ha::{
            engines::{DatabaseRole, Engines},
            members::{Members, NodeName},
            outlook,
            place::{Phase, Place},
        },
        protocol::{AskStep, Done, MemberStep, RecoverAlone, RemoveNode, SwitchOver, SwitchedOver},
    },
};

/// Another leader is there within seconds.
const TIME_TO_SWITCH: Duration = Duration::from_mins(1);
/// An etcd that has lost its peers starts alone.
const TIME_TO_START: Duration = Duration::from_mins(2);
/// Somebody else leads after this much time, if somebody can.
const TIME_TO_LEAD: Duration = Duration::from_secs(40);

fn refused(code: &'static str, message: impl Into<String>, hint: &'static str) -> Error {
    Error::new(Kind::Conflict, code, message.into()).with_hint(hint)
}

/// Takes a node out. It may be dead; then it may never come back as it was.
pub(crate) async fn remove(context: &Context, ask: RemoveNode) -> Result<Done> {
    let node = &context.node;
    let _one = node.cluster.changing.lock().await;
    let own = own_place(&node.paths)?;
    let gone = own
        .members
        .get(&ask.name)
        .map_err(|fault| Error::new(Kind::NotFound, "no-such-node", format!("{fault}.")))?;
    let gone = gone.clone();
    if gone.name == own.own {
        return Err(refused(
            "own-node",
            "A node cannot take itself out.",
            "Ask another node for it: `palisade node remove` there, or the page Nodes.",
        ));
    }
    let left = own.members.without(&ask.name).map_err(Error::internal)?;
    if own.phase == Phase::Running {
        keeps_majority(node, &own, &ask.name)?;
        let engines = Engines::new(&node.paths)?;
        if leader(node).as_ref() == Some(&ask.name) {
            context.progress("Another database takes over", Some(20));
            lead(node, &engines, &own, &ask.name, None).await?;
        }
        context.progress("Taking it out of etcd", Some(50));
        engines.remove_etcd_member(own.own_member().address, gone.address).await?;
    }
    context.progress("Telling every node", Some(70));
    let next = own.with_members(left);
    next.save(&node.paths).map_err(|fault| unusable(&fault))?;
    // It hears it as long as it is believed, and leaves by itself.
    let told = AskStep { step: MemberStep::Take(next.common()) };
    if let Err(error) = watch::ask(node, gone.address, told, Duration::from_mins(3)).await {
        tracing::warn!(error = %error.chain(), node = %gone.name, "the node that is taken out does not hear of it");
    }
    answers::render(node).await?;
    tell_others(node, &next).await;
    Ok(Done {})
}

/// The nodes that are left have to agree without this one.
fn keeps_majority(node: &Node, own: &Place, gone: &NodeName) -> Result<()> {
    let seen = locked(&node.cluster.seen).clone();
    let votes = |name: &NodeName| seen.nodes.get(name).is_some_and(|heard| heard.etcd.is_some());
    let present = own.members.others(gone).filter(|member| votes(&member.name)).count();
    let needed = outlook::needed(own.members.all().len());
    if present >= needed {
        return Ok(());
    }
    let message = format!(
        "Without {gone} only {present} of {} nodes would answer, and {needed} have to agree.",
        own.members.all().len()
    );
    Err(refused(
        "no-majority",
        message,
        "Bring another node back first. When the others are lost for good: \
         `palisade node recover-alone` on the last one.",
    ))
}

/// Whose database leads, by what was heard last.
fn leader(node: &Node) -> Option<NodeName> {
    let seen = locked(&node.cluster.seen);
    let mut all = seen.databases.iter();
    all.find(|(_, it)| it.role == DatabaseRole::Leader).map(|(name, _)| name.clone())
}

/// Lets another node's database lead.
pub(crate) async fn switch_over(context: &Context, ask: SwitchOver) -> Result<SwitchedOver> {
    let node = &context.node;
    let own = own_place(&node.paths)?;
    let Some(from) = leader(node) else {
        return Err(refused(
            "no-leader",
            "No database leads at the moment.",
            "Wait some seconds; `palisade node status` shows when one does.",
        ));
    };
    if let Some(to) = &ask.to {
        own.members
            .get(to)
            .map_err(|fault| Error::new(Kind::NotFound, "no-such-node", format!("{fault}.")))?;
        if *to == from {
            return Ok(SwitchedOver { leader: from });
        }
    }
    context.progress("Another database takes over", Some(20));
    let engines = Engines::new(&node.paths)?;
    let leader = lead(node, &engines, &own, &from, ask.to.as_ref()).await?;
    Ok(SwitchedOver { leader })
}

/// Another database leads, and that is seen.
async fn lead(
    node: &Node,
    engines: &Engines,
    own: &Place,
    from: &NodeName,
    to: Option<&NodeName>,
) -> Result<NodeName> {
    let here = own.own_member().address;
    engines.switch_over(here, from, to).await?;
    until(node, engines, here, Until::AnotherLeads(from.clone()), TIME_TO_SWITCH).await?;
    let listed = engines.databases(here).await?;
    let leader = listed.iter().find(|it| it.database.role == DatabaseRole::Leader);
    let name = leader.and_then(|leader| leader.name.parse().ok());
    name.ok_or_else(|| Error::unavailable("No database leads at the moment."))
}

/// Goes on with this node alone. What only the others had is lost.
pub(crate) async fn recover_alone(context: &Context, ask: RecoverAlone) -> Result<Done> {
    let node = &context.node;
    let _one = node.cluster.changing.lock().await;
    let own = own_place(&node.paths)?;
    if ask.confirm != own.own.as_str() {
        let message = format!("Type the name of this node, {}, to confirm.", own.own);
        return Err(Error::invalid("confirm", message));
    }
    if own.phase != Phase::Running {
        return Err(refused(
            "cluster-forming",
            "The cluster does not run yet; the first node still works alone.",
            "Complete it: `palisade node complete`.",
        ));
    }
    let others: Vec<_> = {
        let seen = locked(&node.cluster.seen);
        let answers = |name: &NodeName| {
            seen.nodes.get(name).is_some_and(|heard| heard.report.is_some() || heard.etcd.is_some())
        };
        own.members.others(&own.own).filter(|it| answers(&it.name)).cloned().collect()
    };
    if let Some(other) = others.first() {
        let message = format!("{} still answers.", other.name);
        return Err(refused(
            "not-alone",
            message,
            "Two nodes go on by themselves. If it is broken, switch it off for good first.",
        ));
    }
    tracing::warn!("this node goes on alone: what only the others had is lost");
    let alone = Members::founded(own.members.cluster(), own.own_member().clone());
    let next = own.with_members(alone.map_err(Error::internal)?);
    context.progress("Stopping the engines", Some(10));
    local::stop(node, &[PATRONI, ETCD]).await?;
    next.save(&node.paths).map_err(|fault| unusable(&fault))?;
    answers::render(node).await?;
    context.progress("Starting etcd with this node alone", Some(30));
    force_new_cluster(node)?;
    local::start(node, ETCD).await?;
    let engines = Engines::new(&node.paths)?;
    let here = next.own_member().address;
    until(node, &engines, here, Until::EtcdAgrees, TIME_TO_START).await?;
    // The file without the order: the next start must be an ordinary one.
    answers::render(node).await?;
    context.progress("Starting the database with this node alone", Some(60));
    local::start(node, PATRONI).await?;
    let alone = json!({ "synchronous_mode_strict": false, "synchronous_mode": true });
    let begun = tokio::time::Instant::now();
    while let Err(error) = engines.configure(here, &alone).await {
        if begun.elapsed() > TIME_TO_START {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let leads = || Until::Leads(next.own.clone());
    if until(node, &engines, here, leads(), TIME_TO_LEAD).await.is_err() {
        // It was not the one that surely has everything: nobody else can be asked any more.
        engines.fail_over(here, &next.own).await?;
        until(node, &engines, here, leads(), TIME_TO_START).await?;
    }
    context.progress("Starting the management plane", Some(90));
    local::start(node, MANAGEMENT_PLANE).await?;
    until(node, &engines, here, Until::Serves, TIME_TO_START).await?;
    Ok(Done {})
}

/// Adds to etcd's file the order to go on without its peers.
fn force_new_cluster(node: &Node) -> Result<()> {
    let path = node.paths.run().join("cluster/etcd.yml");
    let wrong = |error: std::io::Error| {
        Error::unavailable("The settings of etcd cannot be written.").caused_by(error)
    };
    let text = files::read_text(&path).map_err(wrong)?.unwrap_or_default();
    let forced = text.replacen('{', "{\n  \"force-new-cluster\": true,", 1);
    files::replace(&path, forced.as_bytes(), files::PUBLIC).map_err(wrong)
}

/// Once a standby follows again, acknowledged writes are on two nodes again.
pub(super) fn be_strict_again(node: &Arc<Node>, own: &Place) {
    let (node, here) = (Arc::clone(node), own.own_member().address);
    tokio::spawn(async move {
        let Ok(engines) = Engines::new(&node.paths) else { return };
        let strict = json!({ "synchronous_mode": "quorum", "synchronous_mode_strict": true });
        let limit = Duration::from_mins(30);
        let outcome = match until(&node, &engines, here, Until::OneFollows, limit).await {
            Ok(()) => engines.configure(here, &strict).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::warn!(error = %error.chain(), "writes are not yet kept on two nodes");
        }
    });
}

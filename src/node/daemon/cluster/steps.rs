//! What a node does when another member asks, and what it tells of itself.

use super::{
    local::{self, ETCD, MANAGEMENT_PLANE, PATRONI},
    own_place, place, unusable,
};
use crate::{
    error::{Error, Kind, Result},
    node::{
        daemon::{Context, Node, answers, plane::Plane},
        ha::{
            local::Work,
            place::{Common, Phase, Place},
        },
        protocol::{Done, Health, MemberReport, MemberState, MemberStep},
    },
    release::Build,
};

/// What this node tells the others about itself.
pub(crate) async fn report(context: &Context, _ask: MemberState) -> Result<MemberReport> {
    let own = own_place(context.paths())?;
    Ok(MemberReport {
        version: Build::own().version,
        now: context.clock().now(),
        host: own.own_member().host.clone(),
        common: own.common(),
        ready: ready(&context.node).await.is_ok(),
        certificate_until: super::watch::certificate_until(context.paths()),
    })
}

/// Whether the management plane of this node is ready; if not, why.
pub(super) async fn ready(node: &Node) -> Result<(), String> {
    match Plane::of(&node.paths)?.health().await.0 {
        Health::Answers { ready: true, .. } => Ok(()),
        Health::Answers { checks, .. } => {
            let wrong: Vec<_> = checks
                .iter()
                .filter(|check| !check.ok)
                .map(|check| format!("{}: {}", check.name, check.detail))
                .collect();
            Err(wrong.join("; "))
        }
        Health::Silent { reason } => Err(reason),
    }
}

/// One step that another member asks for.
pub(crate) async fn step(context: &Context, step: MemberStep) -> Result<Done> {
    let node = &context.node;
    carry_out(node, step).await?;
    Ok(Done {})
}

/// The same on this node itself.
pub(super) async fn carry_out(node: &Node, step: MemberStep) -> Result<()> {
    match step {
        MemberStep::Take(common) => take(node, common).await,
        MemberStep::StartEtcd => local::start(node, ETCD).await,
        MemberStep::StartDatabase => local::start(node, PATRONI).await,
        MemberStep::DiscardEngines => {
            // Whoever asks may have missed that they serve by now.
            if own_place(&node.paths)?.phase == Phase::Running {
                let message = "The cluster runs already; its data stay.";
                return Err(Error::new(Kind::Conflict, "cluster-runs", message));
            }
            local::discard_engines(node).await
        }
    }
}

/// Takes over what all have in common, when it is newer than what this node
/// knows, and does what follows from it.
pub(super) async fn take(node: &Node, common: Common) -> Result<()> {
    let _one = node.cluster.taking.lock().await;
    let Some(own) = place(&node.paths)? else { return Ok(()) };
    if common.members.cluster() != own.members.cluster() {
        let message = "The other node belongs to another cluster.";
        return Err(Error::new(Kind::Conflict, "other-cluster", message));
    }
    if common.epoch <= own.epoch {
        return Ok(());
    }
    if common.members.get(&own.own).is_err() {
        tracing::warn!("this node was taken out of its cluster");
        return leave(node).await;
    }
    let began = own.phase == Phase::Forming && common.phase == Phase::Running;
    let next = Place::of(own.own, common).map_err(Error::internal)?;
    next.save(&node.paths).map_err(|fault| unusable(&fault))?;
    answers::render(node).await?;
    if began {
        // A node that comes into a cluster which runs starts its engines first.
        for unit in [ETCD, PATRONI, MANAGEMENT_PLANE] {
            local::start(node, unit).await?;
        }
    }
    Ok(())
}

/// This node belongs to no cluster any more. Its management plane stays
/// stopped: it has no database of its own.
pub(super) async fn leave(node: &Node) -> Result<()> {
    local::stop(node, &[MANAGEMENT_PLANE, PATRONI, ETCD]).await?;
    local::carry_out(node, &Work::Leave).await?;
    answers::render(node).await
}

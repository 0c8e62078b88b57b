//! What people see of the cluster, made of what was heard last.

use super::{locked, place, watch::Seen};
use crate::{
    error::Result,
    node::{
        daemon::{Context, Node},
        ha::{
            members::{Member, Reading},
            outlook,
            place::{Phase, Place},
        },
        protocol::{ClusterState, ClusterView, Failover, NodeView, OpenInvitation, Quorum},
    },
};

/// The cluster as this node sees it.
pub(crate) fn state(context: &Context, _ask: ClusterState) -> Result<ClusterView> {
    let node = &context.node;
    let invitation = invitation(node);
    let progress = locked(&node.cluster.progress).clone();
    let Some(own) = place(&node.paths)? else {
        return Ok(ClusterView {
            own: None,
            phase: None,
            virtual_address: None,
            nodes: Vec::new(),
            quorum: None,
            last_failover: None,
            invitation,
            progress,
            warnings: Vec::new(),
        });
    };
    let seen = locked(&node.cluster.seen).clone();
    let weighed: Vec<_> = own.members.all().iter().map(|member| weighed(member, &seen)).collect();
    let nodes = own.members.all().iter();
    let nodes = nodes.map(|member| one(member, &own, &seen, &weighed)).collect();
    let running = own.phase == Phase::Running;
    let quorum = running.then(|| Quorum {
        present: weighed.iter().filter(|seen| seen.votes).count(),
        members: weighed.len(),
        needed: outlook::needed(weighed.len()),
    });
    let last_failover = seen.change.as_ref().and_then(|change| {
        let leader = change.leader.parse().ok()?;
        Some(Failover { at: change.at, leader, why: change.why.clone() })
    });
    Ok(ClusterView {
        phase: Some(own.phase),
        virtual_address: own.virtual_address,
        nodes,
        quorum,
        last_failover,
        invitation,
        progress,
        warnings: warnings(context, &own, &seen),
        own: Some(own.own),
    })
}

fn invitation(node: &Node) -> Option<OpenInvitation> {
    let invitation = locked(&node.cluster.invitation);
    let open = invitation.as_ref()?;
    let left = open.left(&*node.clock);
    if left.is_zero() {
        return None;
    }
    let fingerprint = locked(&node.cluster.fingerprint).clone();
    Some(OpenInvitation { seconds: left.as_secs(), tries: open.tries_left(), fingerprint })
}

fn weighed(member: &Member, seen: &Seen) -> outlook::Seen {
    let heard = seen.nodes.get(&member.name);
    let database = seen.databases.get(&member.name);
    let works = |state: &str| matches!(state, "running" | "streaming" | "in archive recovery");
    outlook::Seen {
        name: member.name.clone(),
        votes: heard.is_some_and(|heard| heard.etcd.is_some()),
        database: database.filter(|it| works(&it.state)).map(|it| it.role),
        ready: heard
            .and_then(|heard| heard.report.as_ref())
            .is_some_and(|(report, _)| report.ready),
    }
}

fn one(member: &Member, own: &Place, seen: &Seen, all: &[outlook::Seen]) -> NodeView {
    let heard = seen.nodes.get(&member.name).cloned().unwrap_or_default();
    let report = heard.report;
    let if_stopped = match (own.phase, own.members.all().first()) {
        (Phase::Running, _) => outlook::if_stopped(&member.name, all),
        (Phase::Forming, Some(first)) if first.name == member.name => {
            "Everything would stop until it is back: the cluster does not run yet.".to_owned()
        }
        (Phase::Forming, _) => "Nothing would stop: the cluster does not run yet.".to_owned(),
    };
    NodeView {
        name: member.name.clone(),
        own: member.name == own.own,
        address: member.address,
        joined: member.joined,
        host: member.host.clone(),
        version: report.as_ref().map(|(report, _)| report.version.clone()),
        silent: heard.silent,
        ready: report.as_ref().map(|(report, _)| report.ready),
        database: seen.databases.get(&member.name).cloned(),
        etcd: heard.etcd,
        clock_ahead_ms: report.as_ref().map(|(_, ahead)| *ahead),
        certificate_until: report.and_then(|(report, _)| report.certificate_until),
        if_stopped,
    }
}

/// What an operator should mend before it costs something.
fn warnings(context: &Context, own: &Place, seen: &Seen) -> Vec<String> {
    let now = context.clock().now();
    let readings: Vec<_> = seen
        .nodes
        .iter()
        .filter_map(|(name, heard)| {
            let (_, ahead) = heard.report.as_ref()?;
            let ahead = ahead.saturating_mul(1_000);
            let shows = crate::clock::Timestamp::from_micros(now.as_micros().saturating_add(ahead));
            Some(Reading { name: name.clone(), shows })
        })
        .collect();
    let mut warnings: Vec<_> =
        own.members.warnings(&readings).iter().map(ToString::to_string).collect();
    if own.phase == Phase::Running && own.members.all().len() < crate::node::ha::members::MOST {
        warnings.push(format!(
            "The cluster has {} of {} nodes: it does not outlive the loss of another one. Invite \
             a new node.",
            own.members.all().len(),
            crate::node::ha::members::MOST
        ));
    }
    let versions: std::collections::BTreeSet<_> = seen
        .nodes
        .values()
        .filter_map(|heard| heard.report.as_ref())
        .map(|(report, _)| report.version.to_string())
        .collect();
    if versions.len() > 1 {
        let versions: Vec<_> = versions.into_iter().collect();
        warnings.push(format!(
            "The nodes run different versions ({}). Update the others too.",
            versions.join(", ")
        ));
    }
    warnings
}

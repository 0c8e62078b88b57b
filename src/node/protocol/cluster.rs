//! Requests about the cluster that the node belongs to.
//!
//! Two kinds: what people ask of a node, and what nodes ask of each other over
//! the network between them.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::Need;
use crate::{
    clock::Timestamp,
    node::ha::{
        engines::{DatabaseNode, EtcdNode},
        members::NodeName,
        place::{Common, Phase},
    },
    release::Version,
    secret::Secret,
};

/// What is known of the cluster, at most a few seconds old.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterState {}

/// Begin a cluster on this node, or let one more node in: both make a code.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Invite {
    /// The address that shall always be at a node that works. Counts when the
    /// cluster is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_address: Option<IpAddr>,
    /// Whether a node that is alone begins a cluster. Otherwise it is refused.
    pub begin: bool,
}

/// The code, for one node and for a short time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    /// In groups, as a person types it.
    #[serde(serialize_with = "super::exposed")]
    pub code: Secret<String>,
    /// What the other node is told beside the code.
    pub address: Ipv4Addr,
    /// For how long it counts.
    pub seconds: u64,
}

/// Become a member by a code.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JoinCluster {
    /// What a member shows.
    #[serde(serialize_with = "super::exposed")]
    pub code: Secret<String>,
    /// The address of that member between the nodes.
    pub address: Ipv4Addr,
}

/// The node is a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// What it is called.
    pub name: NodeName,
    /// What both nodes show, for people to compare.
    pub fingerprint: String,
    /// How many members there are now.
    pub members: usize,
}

/// Do the steps that make a complete cluster run, after they have failed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CompleteCluster {}

/// Take a node out of the cluster. One that answers leaves in good order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RemoveNode {
    /// Which.
    pub name: NodeName,
}

/// Let another node's database lead.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SwitchOver {
    /// Which; without one, the one that is nearest to the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeName>,
}

/// Who leads after a [`SwitchOver`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchedOver {
    /// Its name.
    pub leader: NodeName,
}

/// Work with this node alone: the others are lost for good.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RecoverAlone {
    /// The name of this node, typed by whoever means it.
    pub confirm: String,
}

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// What this node is called; nothing when it belongs to no cluster.
    pub own: Option<NodeName>,
    /// How far the cluster is; nothing when there is none.
    pub phase: Option<Phase>,
    /// The address that moves.
    pub virtual_address: Option<IpAddr>,
    /// Its nodes, in the order in which they joined.
    pub nodes: Vec<NodeView>,
    /// How many nodes must agree, and how many do.
    pub quorum: Option<Quorum>,
    /// The last time that another database began to lead.
    pub last_failover: Option<Failover>,
    /// An invitation that is open, without its code.
    pub invitation: Option<OpenInvitation>,
    /// How far the cluster is on its way to run, or why it did not come so far.
    pub progress: Option<ClusterProgress>,
    /// What an operator should mend, as sentences.
    pub warnings: Vec<String>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// Whether it is the one that answers.
    pub own: bool,
    /// Its address between the nodes.
    pub address: Ipv4Addr,
    /// Since when it is a member.
    pub joined: Timestamp,
    /// What it shares the fate of, when that is known.
    pub host: Option<String>,
    /// What it runs; nothing when it does not answer.
    pub version: Option<Version>,
    /// Why nothing is known of it, as a short sentence; nothing when it answers.
    pub silent: Option<String>,
    /// Whether its management plane is ready; nothing when it does not answer.
    pub ready: Option<bool>,
    /// Its database.
    pub database: Option<DatabaseNode>,
    /// Its etcd.
    pub etcd: Option<EtcdNode>,
    /// By how many milliseconds its clock is ahead of this node's.
    pub clock_ahead_ms: Option<i64>,
    /// Until when its certificate counts.
    pub certificate_until: Option<Timestamp>,
    /// What would happen if this node stopped now, as a sentence.
    pub if_stopped: String,
}

/// How many nodes must agree, and how many do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quorum {
    /// Nodes whose etcd answers.
    pub present: usize,
    /// All nodes.
    pub members: usize,
    /// How many are needed.
    pub needed: usize,
}

/// Another database began to lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// When.
    pub at: Timestamp,
    /// Who has led since.
    pub leader: NodeName,
    /// Why, in Patroni's words.
    pub why: String,
}

/// An invitation that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenInvitation {
    /// For how long it counts.
    pub seconds: u64,
    /// How many wrong codes it still bears.
    pub tries: u8,
    /// What both nodes show while one joins, for people to compare.
    pub fingerprint: Option<String>,
}

/// How far a cluster is on its way to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProgress {
    /// What is being done, or was being done when it failed.
    pub step: String,
    /// From 0 to 100.
    pub percent: u8,
    /// Whether it still goes on.
    pub running: bool,
    /// Why it failed, as a sentence, with what to do next.
    pub failure: Option<String>,
}

/// What a node tells another one about itself.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MemberState {}

/// The answer to [`MemberState`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// What it runs.
    pub version: Version,
    /// What its clock shows.
    pub now: Timestamp,
    /// What it knows of the cluster.
    pub common: Common,
    /// Whether its management plane is ready.
    pub ready: bool,
    /// What names the host that it runs on, when that can be told.
    pub host: Option<String>,
    /// Until when its certificate counts.
    pub certificate_until: Option<Timestamp>,
}

/// One step that another node of the cluster asks for. Each can be repeated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberStep {
    /// Take over what all have in common, if it is newer.
    Take(Common),
    /// Start etcd.
    StartEtcd,
    /// Start the database.
    StartDatabase,
    /// End the engines, and forget what they have: they never served anybody.
    DiscardEngines,
}

/// [`MemberStep`] as a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AskStep {
    /// Which.
    pub step: MemberStep,
}

/// What making and joining clusters needs.
pub(super) const FORM: Need = Need::Change { action: "node.invite", permission: "platform.update" };
pub(super) const JOIN: Need = Need::Change { action: "node.join", permission: "platform.update" };
pub(super) const COMPLETE: Need =
    Need::Change { action: "node.completeCluster", permission: "platform.update" };
pub(super) const REMOVE: Need =
    Need::Change { action: "node.remove", permission: "platform.update" };
pub(super) const SWITCH: Need =
    Need::Change { action: "node.switchOver", permission: "platform.update" };
pub(super) const ALONE: Need =
    Need::Change { action: "node.recoverAlone", permission: "platform.update" };

//! The nodes of the management cluster.

use std::net::IpAddr;

use axum::{Json, extract::State, http::StatusCode};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    appliance::{NodeTask, NodeWork, NodesNow},
    clock::Timestamp,
    gateway::{
        extract::{Allowed, Id, ValidJson},
        respond::Answer,
    },
    node::{
        ha::{
            engines::{DatabaseNode, DatabaseRole},
            members::NodeName,
            place::Phase,
            standing::{self, Standing},
        },
        protocol::{Invitation, Invite, NodeView},
    },
    rbac::rights::{PlatformGet, PlatformUpdate},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_nodes))
        .routes(routes!(invite_node))
        .routes(routes!(complete_cluster))
        .routes(routes!(switch_over))
        .routes(routes!(remove_node))
}

/// The management cluster, as the node that answers sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlatformNodesView {
    /// `alone`, `forming`, `good`, `degraded` or `bad`.
    standing: &'static str,
    /// The same as a sentence.
    sentence: String,
    /// `none`, `forming` or `running`.
    phase: &'static str,
    /// What the node that answers is called, when it belongs to a cluster.
    own: Option<String>,
    /// The address that is always at a node that works.
    virtual_address: Option<String>,
    /// In the order in which they joined.
    nodes: Vec<PlatformNodeView>,
    /// Once the cluster runs.
    quorum: Option<NodesQuorumView>,
    /// The last time that another database began to lead.
    last_failover: Option<NodesFailoverView>,
    /// An invitation that is open, without its code.
    invitation: Option<OpenInvitationView>,
    /// How far the cluster is on its way to run, or why it did not come so far.
    progress: Option<NodesProgressView>,
    /// What was asked for through this node and takes longer, or how it ended.
    work: Option<NodesWorkView>,
    /// What should be mended, as sentences.
    warnings: Vec<String>,
}

/// One node of the management cluster.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlatformNodeView {
    name: String,
    /// Whether it is the one that answers.
    own: bool,
    /// Its address between the nodes.
    address: String,
    /// Since when it is a member.
    joined: Timestamp,
    /// What it shares the fate of, when that is known.
    host: Option<String>,
    /// What it runs; `null` when it does not answer.
    version: Option<String>,
    /// Why nothing is known of it; `null` when it answers.
    silent: Option<String>,
    /// Whether its management plane is ready; `null` when it does not answer.
    ready: Option<bool>,
    database: Option<NodeDatabaseView>,
    etcd: Option<NodeEtcdView>,
    /// By how many milliseconds its clock is ahead of the one of the node that answers.
    clock_ahead_ms: Option<i64>,
    /// Until when its certificate counts.
    certificate_until: Option<Timestamp>,
    /// What would happen if it stopped now, as a sentence.
    if_stopped: String,
}

/// The database of a node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NodeDatabaseView {
    /// `leader`, `synchronous` or `replica`.
    role: &'static str,
    /// What it does and how far it is behind, in words.
    words: String,
    /// Patroni's word, e.g. `running` or `streaming`.
    state: String,
    /// Grows with every new leader.
    timeline: Option<u64>,
    /// `null` for the leader, and when nobody knows.
    lag_bytes: Option<u64>,
}

/// The etcd of a node.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NodeEtcdView {
    /// Whether it leads the others.
    leader: bool,
    version: String,
    /// On disk.
    bytes: u64,
}

/// How many nodes must agree, and how many do.
#[derive(Debug, Serialize, ToSchema)]
struct NodesQuorumView {
    present: usize,
    members: usize,
    needed: usize,
}

/// Another database began to lead.
#[derive(Debug, Serialize, ToSchema)]
struct NodesFailoverView {
    at: Timestamp,
    /// Who has led since.
    leader: String,
    /// In Patroni's words.
    why: String,
}

/// An invitation that is open.
#[derive(Debug, Serialize, ToSchema)]
struct OpenInvitationView {
    /// For how long it counts.
    seconds: u64,
    /// How many wrong codes it still bears.
    tries: u8,
    /// What both nodes show while one joins, for people to compare.
    fingerprint: Option<String>,
}

/// How far the cluster is on its way to run.
#[derive(Debug, Serialize, ToSchema)]
struct NodesProgressView {
    step: String,
    percent: u8,
    /// Whether it still goes on.
    running: bool,
    /// Why it failed, with what to do next.
    failure: Option<String>,
}

/// What takes longer than a request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NodesWorkView {
    /// `removeNode` or `switchOver`.
    what: &'static str,
    /// The node that it is about, when that is known.
    node: Option<String>,
    step: String,
    percent: Option<u8>,
    /// When it ended; `null` while it goes on.
    ended_at: Option<Timestamp>,
    /// Why it failed.
    failure: Option<String>,
    /// What to do about it.
    hint: Option<String>,
}

/// Who is invited.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InviteNodeBody {
    /// Whether a node that is alone begins a cluster. Otherwise it is refused.
    #[garde(skip)]
    #[serde(default)]
    begin: bool,
    /// The address that shall always be at a node that works. Counts when the
    /// cluster is begun.
    #[garde(skip)]
    #[schema(value_type = Option<String>)]
    virtual_address: Option<IpAddr>,
}

/// A code for one node and for a short time.
#[derive(Serialize, ToSchema)]
struct NodeInvitationView {
    /// In groups, as a person types it. It is shown only now.
    code: String,
    /// What the other node is told beside the code.
    address: String,
    /// For how long it counts.
    seconds: u64,
}

/// Whose database leads.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SwitchOverBody {
    /// The name of a node; absent: the one that is nearest to the leader.
    #[garde(skip)]
    #[schema(value_type = Option<String>)]
    to: Option<NodeName>,
}

impl From<NodesNow> for PlatformNodesView {
    fn from(now: NodesNow) -> Self {
        let NodesNow { cluster, work } = now;
        let (standing, sentence) = standing::standing(&cluster);
        Self {
            standing: match standing {
                Standing::Alone => "alone",
                Standing::Forming => "forming",
                Standing::Good => "good",
                Standing::Degraded => "degraded",
                Standing::Bad => "bad",
            },
            sentence,
            phase: match cluster.phase {
                None => "none",
                Some(Phase::Forming) => "forming",
                Some(Phase::Running) => "running",
            },
            own: cluster.own.map(|name| name.to_string()),
            virtual_address: cluster.virtual_address.map(|address| address.to_string()),
            nodes: cluster.nodes.into_iter().map(PlatformNodeView::from).collect(),
            quorum: cluster.quorum.map(|quorum| NodesQuorumView {
                present: quorum.present,
                members: quorum.members,
                needed: quorum.needed,
            }),
            last_failover: cluster.last_failover.map(|change| NodesFailoverView {
                at: change.at,
                leader: change.leader.to_string(),
                why: change.why,
            }),
            invitation: cluster.invitation.map(|open| OpenInvitationView {
                seconds: open.seconds,
                tries: open.tries,
                fingerprint: open.fingerprint,
            }),
            progress: cluster.progress.map(|progress| NodesProgressView {
                step: progress.step,
                percent: progress.percent,
                running: progress.running,
                failure: progress.failure,
            }),
            work: work.map(NodesWorkView::from),
            warnings: cluster.warnings,
        }
    }
}

impl From<NodeView> for PlatformNodeView {
    fn from(node: NodeView) -> Self {
        Self {
            name: node.name.to_string(),
            own: node.own,
            address: node.address.to_string(),
            joined: node.joined,
            host: node.host,
            version: node.version.map(|version| version.to_string()),
            silent: node.silent,
            ready: node.ready,
            database: node.database.map(NodeDatabaseView::from),
            etcd: node.etcd.map(|etcd| NodeEtcdView {
                leader: etcd.leader,
                version: etcd.version,
                bytes: etcd.bytes,
            }),
            clock_ahead_ms: node.clock_ahead_ms,
            certificate_until: node.certificate_until,
            if_stopped: node.if_stopped,
        }
    }
}

impl From<DatabaseNode> for NodeDatabaseView {
    fn from(database: DatabaseNode) -> Self {
        Self {
            role: match database.role {
                DatabaseRole::Leader => "leader",
                DatabaseRole::Synchronous => "synchronous",
                DatabaseRole::Replica => "replica",
            },
            words: standing::database(&database),
            state: database.state,
            timeline: database.timeline,
            lag_bytes: database.lag_bytes,
        }
    }
}

impl From<NodeWork> for NodesWorkView {
    fn from(work: NodeWork) -> Self {
        let (ended_at, failure) = match work.ended {
            Some(ended) => (Some(ended.at), ended.failure),
            None => (None, None),
        };
        let (failure, hint) = match failure {
            Some((message, hint)) => (Some(message), hint),
            None => (None, None),
        };
        Self {
            what: match work.task {
                NodeTask::Remove(_) => "removeNode",
                NodeTask::SwitchOver(_) => "switchOver",
            },
            node: work.task.node().map(ToString::to_string),
            step: work.step,
            percent: work.percent,
            ended_at,
            failure,
            hint,
        }
    }
}

impl From<Invitation> for NodeInvitationView {
    fn from(made: Invitation) -> Self {
        Self {
            code: made.code.expose().clone(),
            address: made.address.to_string(),
            seconds: made.seconds,
        }
    }
}

/// How the management cluster does.
#[utoipa::path(get, path = "/v1/platform/nodes", tag = "Appliance",
    extensions(("x-permission" = json!("platform.get"))),
    responses((status = 200, description = "The state of the nodes.", body = PlatformNodesView)))]
async fn get_nodes(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformGet>,
) -> Answer<Json<PlatformNodesView>> {
    Ok(Json(app.nodes().view(&permit).await?.into()))
}

/// Make a code with which one more node joins.
#[utoipa::path(post, path = "/v1/platform/nodes/invite", tag = "Appliance",
    request_body = InviteNodeBody,
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 200, description = "The code.", body = NodeInvitationView)))]
async fn invite_node(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
    ValidJson(body): ValidJson<InviteNodeBody>,
) -> Answer<Json<NodeInvitationView>> {
    let ask = Invite { virtual_address: body.virtual_address, begin: body.begin };
    Ok(Json(app.nodes().invite(&permit, ask).await?.into()))
}

/// Do the steps again that make three nodes one cluster; how far they are, the state says.
#[utoipa::path(post, path = "/v1/platform/nodes/complete", tag = "Appliance",
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 202, description = "They have begun.")))]
async fn complete_cluster(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
) -> Answer<StatusCode> {
    app.nodes().complete(&permit).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Let another node's database lead; how far it is, the state says.
#[utoipa::path(post, path = "/v1/platform/nodes/switch-over", tag = "Appliance",
    request_body = SwitchOverBody,
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 202, description = "It has begun.")))]
async fn switch_over(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
    ValidJson(body): ValidJson<SwitchOverBody>,
) -> Answer<StatusCode> {
    app.nodes().switch_over(&permit, body.to, app.tasks()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Take a node out of the cluster; how far it is, the state says.
#[utoipa::path(delete, path = "/v1/platform/nodes/{name}", tag = "Appliance",
    params(("name" = String, Path, description = "The name of the node.")),
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 202, description = "It has begun.")))]
async fn remove_node(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
    Id(name): Id<NodeName>,
) -> Answer<StatusCode> {
    app.nodes().remove(&permit, name, app.tasks()).await?;
    Ok(StatusCode::ACCEPTED)
}

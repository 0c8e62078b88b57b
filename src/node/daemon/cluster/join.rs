//! Becoming a member by a code.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpSocket, sync::mpsc, task::AbortHandle, time::timeout};

use super::{
    local::{self, MANAGEMENT_PLANE},
    locked, place,
};
use crate::{
    error::{Error, Kind, Result},
    node::{
        daemon::{Context, Node, Peer, answers},
        ha::{
            join::{self, HandOver, Introduction, JoinCode, Joined as LetIn, Refusal, wire},
            local::{Certificates, Packed, Settled, Work},
            place::{Common, Phase},
        },
        outbox::Begun,
        properties::Role,
        protocol::{ClusterProgress, JoinCluster, Joined},
    },
};

/// The other node is on the same network.
const TIME_TO_CONNECT: Duration = Duration::from_secs(10);

/// How often a member that does not answer is called again.
const AGAIN: Duration = Duration::from_secs(10);
/// A code counts ten minutes.
const TIME_TO_TRY: Duration = Duration::from_mins(10);

/// A node whose operator has answered with a code joins by itself, when it
/// starts and when the answers change.
pub(in crate::node::daemon) fn join_by_answers(node: &Arc<Node>) {
    let mut joining = locked(&node.cluster.joining);
    // Whoever tries already looks at the answers before every try.
    if joining.as_ref().is_none_or(AbortHandle::is_finished) {
        let node = Arc::clone(node);
        let task = tokio::spawn(async move { by_answers(&node).await });
        *joining = Some(task.abort_handle());
    }
}

/// A code that is refused is not tried again: the console says why.
async fn by_answers(node: &Arc<Node>) {
    let (progress, _) = mpsc::channel(1);
    let context = Context { node: Arc::clone(node), peer: Peer::Root, progress };
    let begun = node.clock.uptime();
    loop {
        let Ok(answers) = local::answers(node) else { return };
        let code = answers.join_code.filter(|_| answers.role == Role::HaJoin);
        let address = answers.management_url.as_deref().and_then(address_in);
        let (Some(code), Some(address)) = (code, address) else { return };
        if !matches!(place(&node.paths), Ok(None)) {
            return;
        }
        let ask = JoinCluster { code: code.0.clone(), address };
        let event = Begun::new("node.join", "node");
        let joined = context.recorded(event, join(&context, ask)).await;
        let Err(error) = joined else { return };
        tracing::warn!(error = %error.chain(), "this node has not joined the cluster");
        let again = error.kind() == Kind::Unavailable
            && node.clock.uptime().saturating_sub(begun) < TIME_TO_TRY;
        *locked(&node.cluster.progress) = Some(ClusterProgress {
            step: "Joining the cluster".to_owned(),
            percent: 0,
            running: again,
            failure: Some(error.message().to_owned()),
        });
        if !again {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The address of the member in a URL like `https://10.9.0.11`.
fn address_in(url: &str) -> Option<Ipv4Addr> {
    let host = url.strip_prefix("https://")?.split(['/', ':']).next()?;
    host.parse().ok()
}

/// Joins the cluster of the node at this address.
pub(crate) async fn join(context: &Context, ask: JoinCluster) -> Result<Joined> {
    let node = &context.node;
    let _one = node.cluster.changing.lock().await;
    if let Some(own) = place(&node.paths)? {
        let message = format!("This node is a member of a cluster already, as {}.", own.own);
        return Err(Error::new(Kind::Conflict, "already-a-member", message)
            .with_hint("Take it out of that cluster first."));
    }
    if context.is_set_up() {
        let message = "This node was set up already and has data of its own.";
        return Err(Error::new(Kind::Conflict, "already-set-up", message).with_hint(
            "Let a fresh node join; to keep this one's data, let the others join this one.",
        ));
    }
    let code = JoinCode::parse(ask.code.expose())
        .map_err(|mistyped| Error::invalid("code", mistyped.to_string()))?;
    let (name, address) = local::introduction(&local::answers(node)?)?;
    context.progress("Calling the other node", Some(5));
    let silent = |why: String| {
        let message = format!("{} does not answer on port {}: {why}.", ask.address, join::PORT);
        Error::new(Kind::Unavailable, "no-answer", message).with_hint(
            "Check the address, and that the code was made there less than ten minutes ago.",
        )
    };
    let socket = TcpSocket::new_v4().map_err(Error::internal)?;
    let calling = async {
        // The address by which the members will know this node.
        socket.bind(SocketAddr::from((address, 0)))?;
        socket.connect(SocketAddr::from((ask.address, join::PORT))).await
    };
    let called = timeout(TIME_TO_CONNECT, calling).await;
    let mut stream = called
        .map_err(|_| silent("it takes too long".to_owned()))?
        .map_err(|error| silent(error.to_string()))?;
    let own = Introduction::new(name, address, None);
    let limits = wire::Limits::default();
    let let_in = wire::dial(&mut stream, &code, own, &*node.random, &limits, |waiting| {
        let fingerprint = waiting.fingerprint().to_string();
        context.progress(format!("Both nodes have the code; both show {fingerprint}"), Some(30));
        *locked(&node.cluster.fingerprint) = Some(fingerprint);
    });
    let LetIn { hand_over, fingerprint, .. } = let_in.await.map_err(|refusal| refused(&refusal))?;
    let HandOver { name, members, authority_pem, credentials, keystore } = hand_over;
    let answer = Joined {
        name: name.clone(),
        fingerprint: fingerprint.to_string(),
        members: members.all().len(),
    };
    context.progress("Keeping what was handed over", Some(60));
    local::stop(node, &[MANAGEMENT_PLANE]).await?;
    // Less than any number that the members have: they tell what counts.
    let common = Common { epoch: 0, phase: Phase::Forming, virtual_address: None, members };
    let work = Work::Settle {
        certificates: Certificates {
            authority_pem,
            credentials: credentials.into_iter().map(Into::into).collect(),
            fingerprint: String::new(),
        },
        place: Some(Settled { own: name, common }),
        keystore: Some(Packed::new(&keystore)),
    };
    local::carry_out(node, &work).await?;
    context.progress("Opening the ports between the nodes", Some(90));
    answers::render(node).await?;
    Ok(answer)
}

fn refused(refusal: &Refusal) -> Error {
    let kind = match refusal {
        Refusal::WrongCode { .. } | Refusal::Impostor => Kind::Unauthenticated,
        Refusal::Disconnected | Refusal::TimedOut | Refusal::Failed { .. } => Kind::Unavailable,
        Refusal::Told(told) if matches!(**told, Refusal::WrongCode { .. }) => Kind::Unauthenticated,
        _ => Kind::Conflict,
    };
    Error::new(kind, "join-refused", format!("This node was not let in: {refusal}."))
}

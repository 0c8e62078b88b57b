//! Becoming a member by a code.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpSocket, time::timeout};

use super::{
    local::{self, MANAGEMENT_PLANE},
    locked, place,
};
use crate::{
    error::{Error, Kind, Result},
    node::{
        daemon::{Context, answers},
        ha::{
            join::{self, HandOver, Introduction, JoinCode, Joined as LetIn, Refusal, wire},
            local::{Certificates, Packed, Settled, Work},
            place::{Common, Phase},
        },
        protocol::{JoinCluster, Joined},
    },
};

/// The other node is on the same network.
const TIME_TO_CONNECT: Duration = Duration::from_secs(10);

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

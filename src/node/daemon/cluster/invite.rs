//! Inviting a node: the code, and the door at which it counts.
//!
//! The door is open for as long as the code counts, on the network between the
//! nodes only. Whoever is refused there is recorded.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{form, local, locked, maintain, place, unusable, watch};
use crate::{
    error::{Error, Kind, Result},
    files,
    ids::Uid,
    node::{
        daemon::{Context, Node, answers},
        ha::{
            join::{self, HandOver, Introduction, Invitation, Refusal, wire},
            local::{Certificates, Settled, Work, pack_keystore},
            members::{MOST, Member, MemberFault, Members},
            place::{Common, Phase, Place},
        },
        outbox::Begun,
        properties::Interface,
        protocol::{self, AskStep, Invite, MemberStep},
    },
};

/// Nodes that knock at the same time.
const KNOCKING: usize = 4;
/// Starting and rendering on another node.
const STEP: Duration = Duration::from_mins(3);

/// Makes a code, and begins a cluster when this node belongs to none.
pub(crate) async fn invite(context: &Context, ask: Invite) -> Result<protocol::Invitation> {
    let node = &context.node;
    let _one = node.cluster.changing.try_lock().map_err(|_| busy())?;
    let own = match place(&node.paths)? {
        Some(own) => own,
        None if ask.begin => begin(context, &ask).await?,
        None => super::own_place(&node.paths)?,
    };
    if own.members.all().len() >= MOST {
        let error = Error::new(Kind::Conflict, "cluster-complete", sentence(&MemberFault::Full));
        return Err(match own.phase {
            Phase::Forming => error.with_hint("Complete it: `palisade node complete`."),
            Phase::Running => error,
        });
    }
    let address = own.own_member().address;
    let network = network(node, address)?;
    let invitation = Invitation::new(&*node.clock, &*node.random);
    let answer = protocol::Invitation {
        code: invitation.code().expose_grouped(),
        address,
        seconds: invitation.left(&*node.clock).as_secs(),
    };
    *locked(&node.cluster.invitation) = Some(invitation);
    *locked(&node.cluster.fingerprint) = None;
    open_door(node, address, network).await?;
    Ok(answer)
}

fn busy() -> Error {
    let message = "The cluster is being changed already.";
    Error::new(Kind::Conflict, "cluster-busy", message).with_hint("Wait until that has ended.")
}

fn sentence(fault: &MemberFault) -> String {
    let text = fault.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// This node becomes the first of a cluster. Nothing changes for its users.
async fn begin(context: &Context, ask: &Invite) -> Result<Place> {
    let node = &context.node;
    let answers = local::answers(node)?;
    let (name, address) = local::introduction(&answers)?;
    context.progress("Making the certificates of this node", Some(10));
    let certificates = local::issue(node, &name, address).await?;
    let first = Member {
        name: name.clone(),
        address,
        host: None,
        joined: node.clock.now(),
        certificate: certificates.fingerprint.clone(),
    };
    let members =
        Members::founded(Uid::random(&*node.random), first).map_err(|fault| refused(&fault))?;
    let virtual_address = ask.virtual_address.or(answers.virtual_ip);
    let common = Common { epoch: 1, phase: Phase::Forming, virtual_address, members };
    let settled = Settled { own: name.clone(), common: common.clone() };
    context.progress("Keeping them", Some(60));
    let work = Work::Settle { certificates, place: Some(settled), keystore: None };
    local::carry_out(node, &work).await?;
    answers::render(node).await?;
    Place::of(name, common).map_err(|fault| refused(&fault))
}

fn refused(fault: &MemberFault) -> Error {
    Error::new(Kind::Conflict, "member", sentence(fault))
}

/// The network from which nodes may knock.
fn network(node: &Node, own: Ipv4Addr) -> Result<Interface> {
    let answers = local::answers(node)?;
    let interface = crate::node::network::cluster_address(&answers);
    interface.filter(|interface| interface.address == own).ok_or_else(|| {
        let message = format!("{own}, this node's address in the cluster, is not its address now.");
        Error::new(Kind::Conflict, "other-address", message)
            .with_hint("Give the node its address back on the console (F2), or take it out.")
    })
}

/// The rule of the firewall while the door is open.
fn rule(node: &Node) -> std::path::PathBuf {
    node.paths.run().join("nftables/join.nft")
}

async fn open_door(node: &Arc<Node>, own: Ipv4Addr, network: Interface) -> Result<()> {
    close_door(node);
    let cannot = |error: std::io::Error| {
        let message = format!("Nodes cannot knock at {own} port {}.", join::PORT);
        Error::new(Kind::Unavailable, "join-port", message)
            .with_hint("End what listens there, and try again.")
            .caused_by(error)
    };
    let mut listener = TcpListener::bind(SocketAddr::from((own, join::PORT))).await;
    for _ in 0..20 {
        if listener.is_ok() {
            break;
        }
        // The door of the last invitation is just being closed.
        tokio::time::sleep(Duration::from_millis(100)).await;
        listener = TcpListener::bind(SocketAddr::from((own, join::PORT))).await;
    }
    let listener = listener.map_err(cannot)?;
    let from = format!("{}/{}", network.network(), network.prefix);
    let text = format!(
        "# There while a node may join.\n\
         add rule inet palisade more ip saddr {from} ip daddr {own} tcp dport {} accept\n",
        join::PORT
    );
    files::replace(&rule(node), text.as_bytes(), files::PUBLIC).map_err(cannot)?;
    local::reload(node, "nftables.service").await?;
    let closing = CancellationToken::new();
    *locked(&node.cluster.door) = Some(closing.clone());
    tokio::spawn(keep_door(Arc::clone(node), own, listener, closing));
    Ok(())
}

fn close_door(node: &Node) {
    if let Some(closing) = locked(&node.cluster.door).take() {
        closing.cancel();
    }
}

/// Lets in until the code counts no more.
async fn keep_door(
    node: Arc<Node>,
    own: Ipv4Addr,
    listener: TcpListener,
    closing: CancellationToken,
) {
    let (tracker, places) = (TaskTracker::new(), Arc::new(Semaphore::new(KNOCKING)));
    let counts = || {
        let invitation = locked(&node.cluster.invitation);
        invitation.as_ref().is_some_and(|open| !open.left(&*node.clock).is_zero())
    };
    while counts() && !closing.is_cancelled() {
        let knock = async { tokio::time::timeout(Duration::from_secs(1), listener.accept()).await };
        let Some(Ok(Ok((stream, from)))) = closing.run_until_cancelled(knock).await else {
            continue;
        };
        let Ok(free) = Arc::clone(&places).try_acquire_owned() else { continue };
        let node = Arc::clone(&node);
        tracker.spawn(async move {
            let begun = Begun::new("node.letIn", "member");
            let number = node.outbox.begin(begun, node.clock.now());
            let outcome = let_in(&node, own, stream).await;
            if let Err(refusal) = &outcome {
                tracing::warn!(%refusal, %from, "a node was not let in");
            }
            let told = outcome.as_ref().map(drop).map_err(|refusal| ("denied", word(refusal)));
            if let Ok(number) = number
                && let Err(error) = node.outbox.end(number, told)
            {
                tracing::warn!(error = %error.chain(), "the end of an event is not recorded");
            }
            drop(free);
        });
    }
    drop(listener);
    // Who is inside finishes what he has begun.
    tracker.close();
    tracker.wait().await;
    if !closing.is_cancelled() {
        if let Err(error) = files::remove(&rule(&node)) {
            tracing::warn!(%error, "the rule for nodes that join stays until the next boot");
        }
        let _ = local::reload(&node, "nftables.service").await;
    }
}

/// The word for a refusal in the record.
fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::WrongCode { .. } => "wrong-code",
        Refusal::Impostor => "impostor",
        Refusal::Expired => "expired",
        Refusal::Used => "used",
        Refusal::TooManyTries => "too-many-tries",
        Refusal::NotInvited => "not-invited",
        Refusal::Protocol { .. } | Refusal::Versions { .. } => "other-version",
        Refusal::NotAMember { .. } => "not-a-member",
        Refusal::Malformed => "malformed",
        Refusal::BadHandOver => "bad-hand-over",
        Refusal::Failed { .. } => "failed",
        Refusal::Disconnected => "disconnected",
        Refusal::TimedOut => "timed-out",
        Refusal::Told(_) => "refused-by-the-other",
    }
}

/// One node that knocks, until it is a member.
async fn let_in(node: &Arc<Node>, own: Ipv4Addr, mut stream: TcpStream) -> Result<(), Refusal> {
    let failed = |error: &Error| Refusal::Failed { why: error.message().to_owned() };
    let here = super::own_place(&node.paths).map_err(|error| failed(&error))?;
    let door = wire::Door {
        own: Introduction::new(here.own.clone(), own, None),
        invitation: &node.cluster.invitation,
        clock: &*node.clock,
        random: &*node.random,
        limits: wire::Limits::default(),
    };
    let given = Mutex::new(None);
    let newcomer = wire::receive(&mut stream, &door, async |newcomer, fingerprint| {
        *locked(&node.cluster.fingerprint) = Some(fingerprint.to_string());
        let prepared = prepare(node, newcomer).await.map_err(|error| failed(&error))?;
        *given.lock().await = Some(prepared.members.clone());
        Ok(prepared)
    });
    newcomer.await?;
    let members = given.into_inner().ok_or(Refusal::Malformed)?;
    admit(node, members).await.map_err(|error| failed(&error))
}

/// What a newcomer is given. It is no member yet.
async fn prepare(node: &Node, newcomer: &Introduction) -> Result<HandOver> {
    let here = super::own_place(&node.paths)?;
    let name = here.members.free_name(&newcomer.name);
    here.members.could_take(&name, newcomer.address).map_err(|fault| refused(&fault))?;
    let keystore = pack_keystore(&node.paths).map_err(|error| {
        Error::unavailable("The keystore of this node cannot be handed over.").caused_by(error)
    })?;
    let Certificates { authority_pem, credentials, fingerprint } =
        local::issue(node, &name, newcomer.address).await?;
    let member = Member {
        name: name.clone(),
        address: newcomer.address,
        host: newcomer.host.clone(),
        joined: node.clock.now(),
        certificate: fingerprint,
    };
    let members = here.members.with(member).map_err(|fault| refused(&fault))?;
    let credentials = credentials.into_iter().map(Into::into).collect();
    Ok(HandOver { name, members, authority_pem, credentials, keystore })
}

/// The node has what it needs: it is a member. When it is the last one, the
/// cluster is made to run; when the cluster runs already, so does the new node.
async fn admit(node: &Arc<Node>, members: Members) -> Result<()> {
    let here = super::own_place(&node.paths)?;
    let next = here.with_members(members);
    next.save(&node.paths).map_err(|fault| unusable(&fault))?;
    answers::render(node).await?;
    let Some(newcomer) = next.members.all().last().cloned() else { return Ok(()) };
    match next.phase {
        Phase::Forming => {
            tell_others(node, &next).await;
            if next.members.all().len() == MOST {
                form::begin(Arc::clone(node));
            }
        }
        Phase::Running => {
            let engines = crate::node::ha::engines::Engines::new(&node.paths)?;
            engines.add_etcd_member(here.own_member().address, newcomer.address).await?;
            tell_others(node, &next).await;
            maintain::be_strict_again(node, &next);
        }
    }
    Ok(())
}

/// Tells every other node what all have in common. One that does not answer
/// hears it later: everybody asks everybody.
pub(super) async fn tell_others(node: &Node, place: &Place) {
    for other in place.members.others(&place.own) {
        let ask = AskStep { step: MemberStep::Take(place.common()) };
        // A node that has just joined opens its door within seconds.
        let told = watch::ask(node, other.address, ask, STEP).await;
        if let Err(error) = told {
            tracing::info!(error = %error.chain(), node = %other.name, "a node hears of the change later");
        }
    }
}

//! What all nodes tell each other, every few seconds.
//!
//! A node that was away learns here what has changed; the answers to people are
//! made of what was heard last.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use x509_parser::{pem::parse_x509_pem, prelude::X509Certificate};

use super::{join, local, locked, place, steps};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    node::{
        client::{NoAnswer, ask_over},
        daemon::{Node, Peer, serve},
        ha::{
            engines::{Change, DatabaseNode, Engines, EtcdNode},
            keys::NODE,
            local::Work,
            members::NodeName,
            peer,
            place::{Phase, Place},
            render::{DAEMONS, KeyReader, keys},
        },
        paths::Paths,
        protocol::{Ask, MemberReport, MemberState},
    },
};

/// How often all are asked.
const EVERY: Duration = Duration::from_secs(3);
/// A node that answers later than this does not answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// Connections of other nodes at one time.
const CONNECTIONS: usize = 16;
/// A certificate with less left is replaced: a third of its life.
const REPLACE_BEFORE: Duration = Duration::from_hours(30 * 24);
/// How often that is looked at.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_hours(6);

/// What was heard last.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Of each node.
    pub(super) nodes: BTreeMap<NodeName, Heard>,
    /// What Patroni's list says of every database.
    pub(super) databases: BTreeMap<NodeName, DatabaseNode>,
    /// The last time that another database began to lead.
    pub(super) change: Option<Change>,
}

/// What was heard of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// What it says of itself, and by how many milliseconds its clock is ahead.
    pub(super) report: Option<(MemberReport, i64)>,
    /// Why it says nothing.
    pub(super) silent: Option<String>,
    /// Its etcd, when that can agree with others.
    pub(super) etcd: Option<EtcdNode>,
}

/// Runs until `stopping`. Does nothing on a node that belongs to no cluster.
pub(in crate::node::daemon) async fn watch(node: Arc<Node>, stopping: CancellationToken) {
    join::join_by_answers(&node);
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut door: Option<Door> = None;
    let mut looked = None;
    while stopping.run_until_cancelled(every.tick()).await.is_some() {
        let Ok(Some(own)) = place(&node.paths) else {
            door = None;
            *locked(&node.cluster.seen) = Seen::default();
            continue;
        };
        let address = own.own_member().address;
        if door.as_ref().is_none_or(|door| door.address != address || door.has_ended()) {
            door = Door::open(&node, address).await;
        }
        let asked = stopping.run_until_cancelled(ask_all(&node, &own)).await;
        let Some((seen, newer)) = asked else { break };
        *locked(&node.cluster.seen) = seen;
        if let Some(common) = newer
            && let Err(error) = steps::take(&node, common).await
        {
            tracing::warn!(error = %error.chain(), "what the cluster has agreed on cannot be taken over");
        }
        let now = node.clock.uptime();
        if looked.is_none_or(|at| now.saturating_sub(at) > LOOK_AT_CERTIFICATE) {
            looked = Some(now);
            if let Err(error) = look_after_certificates(&node, &own).await {
                tracing::warn!(error = %error.chain(), "the certificates of this node are not replaced; trying again");
                looked = None;
            }
        }
    }
    if let Some(joining) = locked(&node.cluster.joining).take() {
        joining.abort();
    }
}

/// Asks every node, and answers what one of them knows that this one does not.
async fn ask_all(node: &Arc<Node>, own: &Place) -> (Seen, Option<crate::node::ha::place::Common>) {
    let engines = Engines::new(&node.paths).ok();
    let mut asking = JoinSet::new();
    for member in own.members.all() {
        let (node, engines, own) = (Arc::clone(node), engines.clone(), own.clone());
        let member = member.clone();
        asking.spawn(async move {
            let etcd = async {
                let engines = engines.as_ref()?;
                engines.etcd_agrees(member.address).await.ok().filter(|agrees| *agrees)?;
                engines.etcd(member.address).await.ok()
            };
            let running = own.phase == Phase::Running;
            let etcd = async { if running { etcd.await } else { None } };
            let asked = async {
                let before = node.clock.now();
                let report = if member.name == own.own {
                    own_report(&node, &own).await
                } else {
                    ask(&node, member.address, MemberState {}, PATIENCE).await
                };
                (report, before, node.clock.now())
            };
            let ((report, before, after), etcd) = tokio::join!(asked, etcd);
            let mut heard = Heard { etcd, ..Heard::default() };
            match report {
                Ok(report) => {
                    let ahead = ahead_ms(report.now, before, after);
                    heard.report = Some((report, ahead));
                }
                Err(error) => heard.silent = Some(error.message().to_owned()),
            }
            (member.name, heard)
        });
    }
    let mut seen = Seen::default();
    while let Some(asked) = asking.join_next().await {
        if let Ok((name, heard)) = asked {
            seen.nodes.insert(name, heard);
        }
    }
    if let Some(engines) = engines.filter(|_| own.phase == Phase::Running) {
        databases(&engines, own, &mut seen).await;
    }
    let known = seen.nodes.values().filter_map(|heard| heard.report.as_ref());
    let newest = known.map(|(report, _)| &report.common).max_by_key(|common| common.epoch);
    let newer = newest.filter(|common| common.epoch > own.epoch).cloned();
    (seen, newer)
}

/// The list of the databases, of the first Patroni that answers, this node's first.
async fn databases(engines: &Engines, own: &Place, seen: &mut Seen) {
    let others = own.members.others(&own.own).map(|member| member.address);
    for address in std::iter::once(own.own_member().address).chain(others) {
        let Ok(listed) = engines.databases(address).await else { continue };
        let named =
            |it: crate::node::ha::engines::Listed| Some((it.name.parse().ok()?, it.database));
        seen.databases = listed.into_iter().filter_map(named).collect();
        seen.change = engines.last_change(address).await.ok().flatten();
        return;
    }
}

async fn own_report(node: &Node, own: &Place) -> Result<MemberReport> {
    Ok(MemberReport {
        version: crate::release::Build::own().version,
        now: node.clock.now(),
        common: own.common(),
        ready: steps::ready(node).await.is_ok(),
        host: own.own_member().host.clone(),
        certificate_until: certificate_until(&node.paths),
    })
}

/// By how many milliseconds a clock that showed `shown` between these two
/// moments is ahead.
fn ahead_ms(shown: Timestamp, before: Timestamp, after: Timestamp) -> i64 {
    let middle = i64::midpoint(before.as_micros(), after.as_micros());
    (shown.as_micros() - middle) / 1_000
}

/// Asks another member. `Unavailable` with a short reason when there is no answer.
pub(super) async fn ask<A: Ask>(
    node: &Node,
    other: Ipv4Addr,
    ask: A,
    patience: Duration,
) -> Result<A::Answer> {
    let own = super::own_place(&node.paths)?.own_member().address;
    let silent = |why: String| Error::unavailable(format!("{other} does not answer: {why}."));
    let asked = async {
        let stream = peer::call(&node.paths, own, other).await;
        ask_over(stream.map_err(|error| NoAnswer::Silent(error.to_string()))?, ask).await
    };
    match timeout(patience, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(NoAnswer::Failed(failure))) => Err(failure.into()),
        Ok(Err(NoAnswer::Silent(why))) => Err(silent(why)),
        Err(_) => Err(silent("it takes too long".to_owned())),
    }
}

/// The place where other members ask this node.
struct Door {
    address: Ipv4Addr,
    serving: tokio::task::JoinHandle<()>,
}

impl Door {
    async fn open(node: &Arc<Node>, address: Ipv4Addr) -> Option<Self> {
        let listener = match TcpListener::bind(SocketAddr::from((address, DAEMONS))).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, %address, "the other nodes cannot ask this one");
                return None;
            }
        };
        let serving = tokio::spawn(let_in(Arc::clone(node), listener));
        Some(Self { address, serving })
    }

    fn has_ended(&self) -> bool {
        self.serving.is_finished()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn let_in(node: Arc<Node>, listener: TcpListener) {
    let (tracker, places) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let Ok(free) = Arc::clone(&places).try_acquire_owned() else { continue };
        let node = Arc::clone(&node);
        tracker.spawn(async move {
            let answered = async {
                let own = place(&node.paths).ok().flatten();
                let own = own.ok_or_else(|| std::io::Error::other("no cluster"))?;
                peer::answer(&node.paths, &own.members, stream).await
            };
            match timeout(PATIENCE, answered).await {
                Ok(Ok((name, stream))) => {
                    Box::pin(serve::converse(&node, Peer::Member(name), stream)).await;
                }
                Ok(Err(error)) => tracing::info!(%error, %from, "who calls is no member"),
                Err(_) => tracing::info!(%from, "who calls says nothing"),
            }
            drop(free);
        });
    }
}

/// Until when the certificate of this node counts.
pub(super) fn certificate_until(paths: &Paths) -> Option<Timestamp> {
    let pem = std::fs::read(keys(paths, KeyReader::Palisade, NODE).certificate).ok()?;
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    let certificate: X509Certificate<'_> = pem.parse_x509().ok()?;
    Some(Timestamp::from_seconds(certificate.validity().not_after.timestamp()))
}

/// Replaces the certificates of this node in time. Who reads them is told; open
/// connections go on.
async fn look_after_certificates(node: &Node, own: &Place) -> Result<()> {
    let until = certificate_until(&node.paths);
    if until.is_some_and(|until| node.clock.now().plus(REPLACE_BEFORE) < until) {
        return Ok(());
    }
    let certificates = local::issue(node, &own.own, own.own_member().address).await?;
    local::carry_out(node, &Work::Settle { certificates, place: None, keystore: None }).await?;
    tracing::info!("the certificates of this node were replaced");
    // etcd looks at its files for every connection.
    local::reload(node, local::PATRONI).await?;
    local::reload(node, local::MANAGEMENT_PLANE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_middle_of_the_question() {
        let at = |seconds: i64| Timestamp::from_seconds(seconds);
        assert_eq!(ahead_ms(at(101), at(100), at(102)), 0);
        assert_eq!(ahead_ms(at(3_701), at(100), at(102)), 3_600_000);
        assert_eq!(ahead_ms(at(99), at(100), at(100)), -1_000);
    }
}

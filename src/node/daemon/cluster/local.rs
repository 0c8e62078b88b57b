//! What is done on this node alone: through programs outside of the daemon's
//! sandbox, which may neither change owners nor touch other users' files.

use std::{net::IpAddr, time::Duration};

use crate::{
    error::{Error, Kind, Result},
    node::{
        answers as kept,
        daemon::Node,
        ha::{
            local::{Certificates, Work},
            members::NodeName,
        },
        network,
        properties::{Answers, salvage},
    },
};

/// The database, and Patroni above it.
pub(super) const PATRONI: &str = "palisade-patroni.service";
/// etcd.
pub(super) const ETCD: &str = "palisade-etcd.service";
/// `palisade serve`.
pub(super) const MANAGEMENT_PLANE: &str = "palisade.service";
/// Opening the keystore and making five keys.
const TIME_TO_ISSUE: Duration = Duration::from_mins(1);
/// Removing the data of a database that was never used.
const TIME_TO_SETTLE: Duration = Duration::from_mins(2);
/// PostgreSQL writes what it has before it ends.
const TIME_TO_STOP: Duration = Duration::from_mins(2);

/// The operator's answers, as far as they are right.
pub(super) fn answers(node: &Node) -> Result<Answers> {
    let answers = kept::load(&node.paths).map_err(|error| {
        Error::unavailable("The answers of this machine cannot be read.").caused_by(error)
    })?;
    Ok(salvage(&answers.map(|kept| kept.given).unwrap_or_default()).answers)
}

/// The name and the address of this node among others.
pub(super) fn introduction(answers: &Answers) -> Result<(NodeName, std::net::Ipv4Addr)> {
    let name = network::short_name(network::full_name(answers)).to_ascii_lowercase();
    let name = name.parse().map_err(|_| {
        let message = format!("The host name {name} cannot be the name of a node.");
        Error::new(Kind::Conflict, "node-name", message)
            .with_hint("Give this node another host name on its console, e.g. palisade-1.")
    })?;
    let own = network::cluster_address(answers).map(|own| own.address);
    let Some(IpAddr::V4(address)) = own else {
        let message = "This node has no fixed IPv4 address.";
        return Err(Error::new(Kind::Conflict, "no-fixed-address", message)
            .with_hint("Give it one on its console (F2): the other nodes have to find it again."));
    };
    Ok((name, address))
}

/// Certificates of the installation's CA for a node and its engines' users, made
/// by our own program as the user of the management plane: it has the keystore.
pub(super) async fn issue(
    node: &Node,
    name: &NodeName,
    address: std::net::Ipv4Addr,
) -> Result<Certificates> {
    let run = node.programs.as_management_plane(&node.paths.data(), TIME_TO_ISSUE);
    let settings = node.paths.serve_settings();
    let run = run
        .args(["keys", "node", "--name", name.as_str()])
        .args(["--address", &address.to_string()])
        .args([std::ffi::OsStr::new("--config"), settings.as_os_str()]);
    let text = run.output().await?.or_failure("Making the certificates of the node")?;
    let text = zeroize::Zeroizing::new(text);
    serde_json::from_str(&text).map_err(Error::internal)
}

/// Does a piece of work that touches files of other users.
pub(super) async fn carry_out(node: &Node, work: &Work) -> Result<()> {
    let text = zeroize::Zeroizing::new(serde_json::to_string(work).map_err(Error::internal)?);
    let root = format!("--root={}", node.paths.at("/").display());
    let run = node.programs.outside(&[], "palisade", TIME_TO_SETTLE);
    let run = run.args(["node", "settle", &root]).input(&text);
    run.output().await?.or_failure("Keeping what belongs to the cluster").map(drop)
}

/// Starts services, and does not wait until they run: the first of three etcds
/// waits for the others.
pub(super) async fn start(node: &Node, unit: &str) -> Result<()> {
    systemctl(node, &["start", "--no-block", unit], Duration::from_secs(30)).await
}

/// Stops services, and waits until they have ended.
pub(super) async fn stop(node: &Node, units: &[&str]) -> Result<()> {
    let words: Vec<_> = std::iter::once("stop").chain(units.iter().copied()).collect();
    systemctl(node, &words, TIME_TO_STOP).await
}

/// Tells a service to look at its files again.
pub(super) async fn reload(node: &Node, unit: &str) -> Result<()> {
    systemctl(node, &["try-reload-or-restart", unit], Duration::from_secs(30)).await
}

async fn systemctl(node: &Node, words: &[&str], limit: Duration) -> Result<()> {
    let output = node.programs.run("systemctl").args(words).within(limit).output().await?;
    output.or_failure(&format!("systemctl {}", words.join(" "))).map(drop)
}

/// The engines are stopped, and what they have goes: they have served nobody.
pub(super) async fn discard_engines(node: &Node) -> Result<()> {
    stop(node, &[PATRONI, ETCD]).await?;
    carry_out(node, &Work::DiscardEngines).await
}

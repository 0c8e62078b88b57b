//! Waiting until engines and nodes are as a step needs them.

use std::{fmt, net::Ipv4Addr, time::Duration};

use super::{locked, steps};
use crate::{
    error::{Error, Kind, Result},
    node::{
        daemon::Node,
        ha::{
            engines::{DatabaseRole, Engines},
            members::NodeName,
            place::Phase,
        },
    },
};

const LOOK: Duration = Duration::from_millis(500);

/// What is waited for.
#[derive(Clone, Debug)]
pub(super) enum Until {
    /// The etcd of this node agrees with the others.
    EtcdAgrees,
    /// The database of this node leads.
    Leads(NodeName),
    /// Another database than this node's leads.
    AnotherLeads(NodeName),
    /// So many databases have everything.
    HaveEverything(usize),
    /// A database follows the leader.
    OneFollows,
    /// The management plane of this node is ready.
    Serves,
    /// The management planes of these nodes are ready, on the cluster.
    AllServe(Vec<NodeName>),
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EtcdAgrees => f.write_str("etcd agrees"),
            Self::Leads(name) => write!(f, "the database of {name} leads"),
            Self::AnotherLeads(name) => write!(f, "another database than that of {name} leads"),
            Self::HaveEverything(1) => f.write_str("a second database has everything"),
            Self::HaveEverything(_) => f.write_str("both other databases have everything"),
            Self::OneFollows => f.write_str("another database follows"),
            Self::Serves => f.write_str("the management plane is ready"),
            Self::AllServe(_) => f.write_str("every node is ready"),
        }
    }
}

/// Waits until it is so. The failure says what was seen last.
pub(super) async fn until(
    node: &Node,
    engines: &Engines,
    here: Ipv4Addr,
    wanted: Until,
    limit: Duration,
) -> Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let looked = is_so(node, engines, here, &wanted).await;
        if matches!(looked, Ok(true)) {
            return Ok(());
        }
        if begun.elapsed() > limit {
            let last =
                looked.err().map_or_else(String::new, |error| format!(" {}", error.message()));
            let message = format!("It took more than {} s until {wanted}.{last}", limit.as_secs());
            return Err(Error::new(Kind::Unavailable, "took-too-long", message)
                .with_hint("Look at the logs of the nodes, mend the cause, and try again."));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn is_so(node: &Node, engines: &Engines, here: Ipv4Addr, wanted: &Until) -> Result<bool> {
    use DatabaseRole::{Leader, Synchronous};
    let databases = || engines.databases(here);
    match wanted {
        Until::EtcdAgrees => engines.etcd_agrees(here).await,
        Until::Leads(name) => Ok(databases().await?.iter().any(|it| {
            it.name == name.as_str() && it.database.role == Leader && it.database.state == "running"
        })),
        Until::AnotherLeads(name) => Ok(databases().await?.iter().any(|it| {
            it.name != name.as_str() && it.database.role == Leader && it.database.state == "running"
        })),
        Until::HaveEverything(wanted) => {
            let listed = databases().await?;
            let have = listed
                .iter()
                .filter(|it| it.database.role == Synchronous && it.database.state == "streaming");
            Ok(have.count() >= *wanted)
        }
        Until::OneFollows => Ok(databases()
            .await?
            .iter()
            .any(|it| it.database.role != Leader && it.database.state == "streaming")),
        Until::Serves => steps::ready(node).await.map(|()| true).map_err(Error::unavailable),
        Until::AllServe(names) => {
            let seen = locked(&node.cluster.seen);
            Ok(names.iter().all(|name| {
                let report = seen.nodes.get(name).and_then(|heard| heard.report.as_ref());
                report.is_some_and(|(it, _)| it.ready && it.common.phase == Phase::Running)
            }))
        }
    }
}

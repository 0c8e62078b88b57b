//! How a cluster stands, in words for people. Pure.
//!
//! Owns: the one sentence with which the page, the screen and the command line
//! begin, and the words for a database.
//! Must not know: how the state was found out, or where the words are shown.

use super::{
    engines::{DatabaseNode, DatabaseRole},
    members::MOST,
    place::Phase,
};
use crate::node::protocol::{ClusterView, NodeView};

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no cluster.
    Alone,
    /// It does not run yet; the first node works alone.
    Forming,
    /// One node may fail.
    Good,
    /// It works, but the next failure would stop something.
    Degraded,
    /// Something has stopped.
    Bad,
}

/// How the cluster stands, and the same as a sentence.
pub fn standing(view: &ClusterView) -> (Standing, String) {
    match view.phase {
        None => (Standing::Alone, "This node works alone.".to_owned()),
        Some(Phase::Forming) => forming(view),
        Some(Phase::Running) => running(view),
    }
}

fn forming(view: &ClusterView) -> (Standing, String) {
    let joined = view.nodes.len();
    let sentence = match &view.progress {
        Some(progress) if progress.failure.is_some() => {
            let text = "The nodes did not become a cluster; the first one works alone, as before.";
            return (Standing::Bad, text.to_owned());
        }
        Some(progress) if progress.running => "The nodes are becoming a cluster.".to_owned(),
        _ if joined >= MOST => {
            "All nodes have joined, and the cluster does not run yet.".to_owned()
        }
        _ => format!("The cluster is forming: {joined} of {MOST} nodes."),
    };
    (Standing::Forming, sentence)
}

fn running(view: &ClusterView) -> (Standing, String) {
    if let Some(quorum) = view.quorum
        && quorum.present < quorum.needed
    {
        let sentence = format!(
            "No change can be made: {} of {} nodes agree, and {} are needed.",
            quorum.present, quorum.members, quorum.needed
        );
        return (Standing::Bad, sentence);
    }
    let leads = |node: &NodeView| role(node) == Some(DatabaseRole::Leader);
    if !view.nodes.iter().any(leads) {
        let sentence = "No change can be made until a database leads again: that takes seconds.";
        return (Standing::Bad, sentence.to_owned());
    }
    if view.nodes.len() < MOST {
        let nodes = if view.nodes.len() == 1 { "one node" } else { "two nodes" };
        let sentence =
            format!("Not highly available: the cluster has only {nodes}, and needs {MOST}.");
        return (Standing::Degraded, sentence);
    }
    let faults: Vec<_> = view.nodes.iter().filter_map(fault).collect();
    if faults.is_empty() {
        let sentence = "Highly available: any one node can fail, and nothing is lost.";
        return (Standing::Good, sentence.to_owned());
    }
    (Standing::Degraded, format!("Not highly available: {}.", faults.join("; ")))
}

fn role(node: &NodeView) -> Option<DatabaseRole> {
    node.database.as_ref().map(|database| database.role)
}

/// What keeps the cluster from outliving another failure, of this node.
fn fault(node: &NodeView) -> Option<String> {
    let name = &node.name;
    if node.silent.is_some() {
        return Some(format!("{name} does not answer"));
    }
    if node.etcd.is_none() {
        return Some(format!("the etcd of {name} does not answer"));
    }
    match role(node) {
        None => return Some(format!("the database of {name} does not answer")),
        Some(DatabaseRole::Replica) => return Some(format!("the database of {name} is behind")),
        Some(DatabaseRole::Leader | DatabaseRole::Synchronous) => {}
    }
    (node.ready == Some(false)).then(|| format!("the management plane of {name} is not ready"))
}

/// What a database does, and how far it is behind.
pub fn database(database: &DatabaseNode) -> String {
    let does = match database.role {
        DatabaseRole::Leader => return "leads".to_owned(),
        DatabaseRole::Synchronous => "has everything",
        DatabaseRole::Replica => "follows",
    };
    match database.lag_bytes {
        None => format!("{does}, nobody knows how far behind"),
        Some(0) => does.to_owned(),
        Some(bytes) => format!("{does}, {} behind", amount(bytes)),
    }
}

fn amount(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        node::{
            ha::{engines::EtcdNode, members::tests::name, outlook},
            protocol::{ClusterProgress, Quorum},
        },
    };

    fn node(number: u8, role: DatabaseRole) -> NodeView {
        NodeView {
            name: name(&format!("n{number}")),
            own: number == 1,
            address: [192, 0, 2, 10 + number].into(),
            joined: Timestamp::from_seconds(0),
            host: None,
            version: None,
            silent: None,
            ready: Some(true),
            database: Some(DatabaseNode {
                role,
                state: "streaming".to_owned(),
                timeline: Some(1),
                lag_bytes: (role != DatabaseRole::Leader).then_some(0),
            }),
            etcd: Some(EtcdNode { leader: false, version: "3.5.16".to_owned(), bytes: 1 }),
            clock_ahead_ms: Some(0),
            certificate_until: None,
            if_stopped: String::new(),
        }
    }

    fn view(phase: Option<Phase>, nodes: Vec<NodeView>) -> ClusterView {
        let present = nodes.iter().filter(|node| node.etcd.is_some()).count();
        let members = nodes.len();
        ClusterView {
            own: Some(name("n1")),
            phase,
            virtual_address: None,
            quorum: (phase == Some(Phase::Running)).then(|| Quorum {
                present,
                members,
                needed: outlook::needed(members),
            }),
            nodes,
            last_failover: None,
            invitation: None,
            progress: None,
            warnings: Vec::new(),
        }
    }

    fn three() -> Vec<NodeView> {
        let roles = [DatabaseRole::Leader, DatabaseRole::Synchronous, DatabaseRole::Synchronous];
        (1..).zip(roles).map(|(number, role)| node(number, role)).collect()
    }

    type Spoil = fn(&mut Vec<NodeView>);

    #[test]
    fn a_running_cluster_says_what_it_could_bear() {
        let cases: [(Spoil, Standing, &str); 9] = [
            (|_| (), Standing::Good, "any one node can fail"),
            (|all| all.truncate(2), Standing::Degraded, "only two nodes"),
            (|all| all.truncate(1), Standing::Degraded, "only one node,"),
            (
                |all| all[2].silent = Some("no route".to_owned()),
                Standing::Degraded,
                "n3 does not answer",
            ),
            (|all| all[1].etcd = None, Standing::Degraded, "the etcd of n2"),
            (|all| all[1].database = None, Standing::Degraded, "the database of n2 does not"),
            (|all| all[1].ready = Some(false), Standing::Degraded, "plane of n2 is not ready"),
            (|all| all[0].database = None, Standing::Bad, "until a database leads"),
            (
                |all| all.iter_mut().skip(1).for_each(|node| node.etcd = None),
                Standing::Bad,
                "1 of 3 nodes agree, and 2 are needed",
            ),
        ];
        for (spoil, expected, text) in cases {
            let mut nodes = three();
            spoil(&mut nodes);
            let (standing, sentence) = standing(&view(Some(Phase::Running), nodes));
            assert!(standing == expected && sentence.contains(text), "{standing:?}: {sentence}");
        }
        let mut nodes = three();
        nodes[2] = node(3, DatabaseRole::Replica);
        let (standing, sentence) = standing(&view(Some(Phase::Running), nodes));
        assert_eq!(
            (standing, sentence.as_str()),
            (Standing::Degraded, "Not highly available: the database of n3 is behind.")
        );
    }

    #[test]
    fn a_cluster_that_forms_says_how_far_it_is() {
        let (alone, sentence) = standing(&view(None, Vec::new()));
        assert_eq!((alone, sentence.as_str()), (Standing::Alone, "This node works alone."));
        let mut two = view(Some(Phase::Forming), three());
        two.nodes.pop();
        assert_eq!(standing(&two).1, "The cluster is forming: 2 of 3 nodes.");
        let mut all = view(Some(Phase::Forming), three());
        assert!(standing(&all).1.starts_with("All nodes have joined"));
        let mut progress = ClusterProgress {
            step: "Starting etcd on every node".to_owned(),
            percent: 15,
            running: true,
            failure: None,
        };
        all.progress = Some(progress.clone());
        assert_eq!(standing(&all).0, Standing::Forming);
        (progress.running, progress.failure) = (false, Some("It broke.".to_owned()));
        all.progress = Some(progress);
        let (failed, sentence) = standing(&all);
        assert!(failed == Standing::Bad && sentence.contains("as before"), "{sentence}");
    }

    #[test]
    fn a_database_says_what_it_does_and_how_far_it_is_behind() {
        let behind = |role, lag_bytes| {
            let state = "streaming".to_owned();
            database(&DatabaseNode { role, state, timeline: None, lag_bytes })
        };
        assert_eq!(behind(DatabaseRole::Leader, None), "leads");
        assert_eq!(behind(DatabaseRole::Synchronous, Some(0)), "has everything");
        assert_eq!(behind(DatabaseRole::Replica, Some(900)), "follows, 900 bytes behind");
        assert_eq!(behind(DatabaseRole::Replica, Some(3 << 20)), "follows, 3 MiB behind");
        assert!(behind(DatabaseRole::Replica, None).contains("nobody knows"));
    }
}

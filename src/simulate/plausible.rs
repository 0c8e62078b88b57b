//! Clusters that do not exist, and what they would report.
//!
//! Owns: their size, their state, and how it changes by chance.
//! Must not know: the bus.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use crate::{
    agent::session::Source,
    bus::message::{Capacity, NodeCounts, NodeState, PodCounts, Report, WorkloadProblem},
    clock::{Random, Timestamp, random_bytes},
};

const GIB: u64 = 1 << 30;
const NODE_MILLIS: u64 = 8_000;
const NODE_BYTES: u64 = 32 * GIB;
const VERSIONS: [&str; 4] = ["v1.31.9", "v1.32.7", "v1.33.3", "v1.34.1"];
const WORKLOADS: [&str; 6] = ["cart", "checkout", "search", "payments", "mailer", "ledger"];

/// What simulated clusters look like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The most nodes of one cluster; the fewest is one.
    pub nodes: u32,
    /// How many clusters of a hundred are in trouble on average.
    pub degraded_percent: u32,
    /// The average time between two changes of one cluster.
    pub change_every: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Self { nodes: 12, degraded_percent: 10, change_every: Duration::from_secs(30) }
    }
}

/// One cluster.
pub(super) struct Plausible<'a> {
    shape: Shape,
    random: &'a dyn Random,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    version: &'static str,
    nodes: u32,
    pods: PodCounts,
    cpu_used: u64,
    memory_used: u64,
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    NodeNotReady(u32),
    CrashLoop(&'static str),
}

impl<'a> Plausible<'a> {
    /// A cluster drawn by chance.
    pub(super) fn draw(shape: Shape, random: &'a dyn Random) -> Self {
        let nodes = 1 + below(random, shape.nodes.max(1));
        let mut state = State {
            version: pick(random, &VERSIONS),
            nodes,
            pods: PodCounts {
                running: nodes * (8 + below(random, 30)),
                succeeded: below(random, 20),
                ..PodCounts::default()
            },
            cpu_used: 0,
            memory_used: 0,
            trouble: trouble(shape, nodes, random),
        };
        state.use_resources(random);
        Self { shape, random, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Changes the cluster now and then, for ever.
    pub(super) async fn live(&self) {
        loop {
            // Between half and one and a half times the average.
            let factor = 0.5 + f64::from(below(self.random, 1_000)) / 1_000.0;
            sleep(self.shape.change_every.mul_f64(factor)).await;
            self.change();
        }
    }

    fn change(&self) {
        let random = self.random;
        let mut state = self.lock();
        match below(random, 10) {
            0 => state.trouble = trouble(self.shape, state.nodes, random),
            1..=4 => {
                let most = state.nodes * 100;
                let step = below(random, 5);
                let grown = (state.pods.running + step).min(most);
                let shrunk = state.pods.running.saturating_sub(step).max(state.nodes);
                state.pods.running = if below(random, 2) == 0 { grown } else { shrunk };
                state.pods.pending = below(random, 3);
            }
            _ => state.use_resources(random),
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Between a fifth and four fifths of what there is.
    fn use_resources(&mut self, random: &dyn Random) {
        let part = |whole: u64| whole / 5 + whole / 1_000 * u64::from(below(random, 600));
        self.cpu_used = part(u64::from(self.nodes) * NODE_MILLIS);
        self.memory_used = part(u64::from(self.nodes) * NODE_BYTES);
    }

    fn node(&self, number: u32) -> NodeState {
        let ready = self.trouble != Some(Trouble::NodeNotReady(number));
        let reason =
            if ready { "" } else { "NodeStatusUnknown: Kubelet stopped posting node status." };
        NodeState {
            name: format!("node-{number:03}"),
            ready,
            schedulable: true,
            reason: reason.to_owned(),
            version: self.version.to_owned(),
        }
    }

    fn problems(&self) -> Vec<WorkloadProblem> {
        let Some(Trouble::CrashLoop(name)) = self.trouble else { return Vec::new() };
        vec![WorkloadProblem {
            kind: "Deployment".to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            reason: "1 of 3 replicas are ready: CrashLoopBackOff".to_owned(),
        }]
    }
}

impl Source for Plausible<'_> {
    async fn changed(&self) {
        self.changed.notified().await;
    }

    fn report(&self, _now: Timestamp) -> Option<Report> {
        let state = self.lock();
        let lost = u32::from(matches!(state.trouble, Some(Trouble::NodeNotReady(_))));
        let capacity = |each: u64, used| Capacity {
            allocatable: u64::from(state.nodes) * each,
            used: Some(used),
        };
        Some(Report {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            kubernetes_version: state.version.to_owned(),
            api_latency_ms: self.api_latency_ms(),
            nodes: NodeCounts { total: state.nodes, ready: state.nodes - lost },
            node_list: (0..state.nodes).map(|number| state.node(number)).collect(),
            pods: state.pods,
            cpu: capacity(NODE_MILLIS, state.cpu_used),
            memory: capacity(NODE_BYTES, state.memory_used),
            unhealthy_workloads: state.problems(),
            unreadable: Vec::new(),
        })
    }

    fn next_change(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    fn api_latency_ms(&self) -> Option<u32> {
        Some(3 + below(self.random, 20))
    }
}

fn trouble(shape: Shape, nodes: u32, random: &dyn Random) -> Option<Trouble> {
    if below(random, 100) >= shape.degraded_percent {
        return None;
    }
    Some(if below(random, 2) == 0 {
        Trouble::NodeNotReady(below(random, nodes))
    } else {
        Trouble::CrashLoop(pick(random, &WORKLOADS))
    })
}

fn pick(random: &dyn Random, from: &[&'static str]) -> &'static str {
    from[below(random, u32::try_from(from.len()).unwrap_or(1)) as usize]
}

/// A number below `bound`; the slight bias of the remainder does not matter here.
fn below(random: &dyn Random, bound: u32) -> u32 {
    u32::from_le_bytes(random_bytes(random)) % bound.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    const NOW: Timestamp = Timestamp::from_seconds(0);

    #[test]
    fn a_drawn_cluster_reports_what_could_be_true_whatever_happens_to_it() {
        for degraded_percent in [0, 50, 100] {
            let shape = Shape { degraded_percent, ..Shape::default() };
            let cluster = Plausible::draw(shape, &SystemRandom);
            for _ in 0..500 {
                let report = cluster.report(NOW).unwrap();
                assert_eq!(report.nodes.total as usize, report.node_list.len());
                let ready = report.node_list.iter().filter(|node| node.ready).count();
                assert_eq!(report.nodes.ready as usize, ready);
                assert!(report.cpu.used.unwrap() <= report.cpu.allocatable);
                assert!(report.memory.used.unwrap() <= report.memory.allocatable);
                assert!(report.pods.running >= report.nodes.total);
                let well = report.unhealthy_workloads.is_empty() && ready == report.node_list.len();
                match degraded_percent {
                    0 => assert!(well),
                    100 => assert!(!well),
                    _ => {}
                }
                cluster.change();
            }
        }
    }

    #[test]
    fn about_as_many_clusters_are_in_trouble_as_asked_for() {
        let shape = Shape { degraded_percent: 20, ..Shape::default() };
        let degraded = (0..2_000)
            .filter(|_| {
                let report = Plausible::draw(shape, &SystemRandom).report(NOW).unwrap();
                report.nodes.ready < report.nodes.total || !report.unhealthy_workloads.is_empty()
            })
            .count();
        assert!((300..500).contains(&degraded), "{degraded} of 2000");
    }

    #[test]
    fn no_size_of_cluster_breaks_the_draw() {
        for nodes in [0, 1, 1_000] {
            Plausible::draw(Shape { nodes, ..Shape::default() }, &SystemRandom);
        }
    }
}

//! The report: what the tables say about the health of the cluster.
//!
//! Owns: counting, folding pods in trouble into the workload that owns them,
//! the words for what is wrong, and whether a report says something new.
//! Must not know: Kubernetes' wire format, the bus, or the time except as an argument.
//!
//! Two rules keep a report from crying wolf. A pod that was never running is
//! trouble only when it is pending for over a minute. A failed pod is trouble
//! only as long as its owner has not made up for it: left-overs of evictions
//! and of retried jobs stay around for days in a cluster that is well.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use super::tables::{ObjectKey, Phase, PodDetail, PodRow, Rows, Tables, Trouble, WorkloadRow};
use crate::{
    bus::message::{
        Capacity, LONGEST_CAUSE, MAX_NODES, MAX_WORKLOADS, NodeCounts, NodeState, PodCounts,
        Report, Unreadable, WorkloadProblem,
    },
    clock::Timestamp,
};

/// How long a pod may be pending before it counts as trouble.
pub const PENDING_GRACE: Duration = Duration::from_mins(1);

/// The state of the cluster at `now`.
pub fn report(tables: &Tables, agent_version: &str, now: Timestamp) -> Report {
    let nodes = || tables.nodes.iter().map(|(_, node)| node);
    Report {
        agent_version: agent_version.to_owned(),
        kubernetes_version: tables.kubernetes_version.clone(),
        api_latency_ms: tables.api_latency_ms,
        nodes: NodeCounts {
            total: count(nodes().count()),
            ready: count(nodes().filter(|node| node.ready).count()),
        },
        node_list: node_list(tables),
        pods: pod_counts(&tables.pods),
        cpu: Capacity {
            allocatable: nodes().map(|node| node.cpu_millis).fold(0, u64::saturating_add),
            used: tables.usage.map(|usage| usage.cpu_millis),
        },
        memory: Capacity {
            allocatable: nodes().map(|node| node.memory_bytes).fold(0, u64::saturating_add),
            used: tables.usage.map(|usage| usage.memory_bytes),
        },
        unhealthy_workloads: problems(tables, now),
        unreadable: unreadable(tables),
    }
}

/// When the report changes by the mere passing of time: the next moment at
/// which a pending pod has been pending for too long.
pub fn next_change(tables: &Tables, now: Timestamp) -> Option<Timestamp> {
    let details = tables.pods.iter().filter_map(|(_, pod)| pod.detail.as_ref());
    let deadlines = details.filter_map(|detail| match detail.trouble {
        Trouble::PendingSince(since) => Some(since.plus(PENDING_GRACE)),
        Trouble::Container | Trouble::Failed => None,
    });
    deadlines.filter(|deadline| *deadline > now).min()
}

/// Whether `new` says something that `old` did not. Latency travels in every
/// heartbeat and never counts; usage moves all the time and counts when it
/// moved by a hundredth of what there is.
pub fn is_news(old: &Report, new: &Report) -> bool {
    let moved = |old: Capacity, new: Capacity| match (old.used, new.used) {
        (Some(before), Some(after)) => before.abs_diff(after) > new.allocatable / 100,
        (before, after) => before != after,
    };
    let without_noise = |report: &Report| Report {
        api_latency_ms: None,
        cpu: Capacity { used: None, ..report.cpu },
        memory: Capacity { used: None, ..report.memory },
        ..report.clone()
    };
    moved(old.cpu, new.cpu)
        || moved(old.memory, new.memory)
        || without_noise(old) != without_noise(new)
}

fn unreadable(tables: &Tables) -> Vec<Unreadable> {
    let entries = tables.unreadable.iter();
    entries
        .map(|(what, cause)| Unreadable {
            what: (*what).to_owned(),
            cause: cause.chars().take(LONGEST_CAUSE).collect(),
        })
        .collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The nodes by name; when there are too many, those that are not ready first.
fn node_list(tables: &Tables) -> Vec<NodeState> {
    let mut nodes: Vec<_> = tables.nodes.iter().map(|(_, node)| node).collect();
    nodes.sort_by(|a, b| (a.ready, &a.name).cmp(&(b.ready, &b.name)));
    nodes.truncate(MAX_NODES);
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let states = nodes.into_iter().map(|node| NodeState {
        name: node.name.to_string(),
        ready: node.ready,
        schedulable: node.schedulable,
        reason: node.reason.to_string(),
        version: node.version.to_string(),
    });
    states.collect()
}

fn pod_counts(pods: &Rows<PodRow>) -> PodCounts {
    let mut counts = PodCounts::default();
    for (_, pod) in pods.iter() {
        match pod.phase {
            Phase::Pending => counts.pending += 1,
            Phase::Running => counts.running += 1,
            Phase::Succeeded => counts.succeeded += 1,
            Phase::Failed => counts.failed += 1,
            Phase::Unknown => counts.unknown += 1,
        }
    }
    counts
}

/// The reasons of the pods in trouble under one owner, and how many pods give each.
#[derive(Default)]
struct Reasons(BTreeMap<String, u32>);

impl Reasons {
    fn pods(&self) -> u32 {
        self.0.values().sum()
    }

    /// The one or two reasons that most pods give.
    fn text(&self) -> String {
        let mut by_weight: Vec<_> = self.0.iter().collect();
        by_weight.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
        let texts: Vec<_> = by_weight.iter().take(2).map(|(reason, _)| reason.as_str()).collect();
        texts.join("; ")
    }
}

/// Whom a pod's trouble is folded into.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Blamed {
    /// A deployment, stateful set or daemon set.
    Workload(ObjectKey),
    /// A controller that we do not watch, or the pod itself.
    Other(ObjectKey),
}

fn problems(tables: &Tables, now: Timestamp) -> Vec<WorkloadProblem> {
    let mut found = Vec::new();
    let (mut workload_reasons, others) = fold_pods(tables, now);
    for (kind, rows, noun) in [
        ("Deployment", &tables.deployments, "replicas"),
        ("StatefulSet", &tables.stateful_sets, "replicas"),
        ("DaemonSet", &tables.daemon_sets, "pods"),
    ] {
        for (key, row) in rows.iter() {
            let reasons = workload_reasons.remove(&key).unwrap_or_default();
            if row.ready < row.desired || reasons.pods() > 0 {
                found.push((row.ready, workload_problem(kind, row, noun, &reasons)));
            }
        }
    }
    found.extend(others.into_values().map(|(detail, reasons)| (0, pod_problem(detail, &reasons))));
    let order = |(ready, problem): &(u32, WorkloadProblem)| {
        (*ready > 0, problem.namespace.clone(), problem.name.clone(), problem.kind.clone())
    };
    // Where not all can be named, those that do not work at all come first.
    found.sort_by_cached_key(order);
    found.truncate(MAX_WORKLOADS);
    found.into_iter().map(|(_, problem)| problem).collect()
}

type Others<'a> = HashMap<ObjectKey, (&'a PodDetail, Reasons)>;

/// The reasons of all pods in trouble, by workload and by whoever else is to blame.
fn fold_pods(tables: &Tables, now: Timestamp) -> (HashMap<ObjectKey, Reasons>, Others<'_>) {
    let mut workloads: HashMap<ObjectKey, Reasons> = HashMap::new();
    let mut others: Others<'_> = HashMap::new();
    let replaced = owners_that_made_up_for_failures(tables);
    for (key, pod) in tables.pods.iter() {
        let Some(detail) = pod.detail.as_deref() else { continue };
        let blamed = blamed(tables, key, pod);
        let reason = match detail.trouble {
            Trouble::PendingSince(since) if now.since(since) < PENDING_GRACE => continue,
            Trouble::PendingSince(_) => format!("pending for over a minute, {}", detail.reason),
            Trouble::Failed if replaced.contains(&blamed) => continue,
            Trouble::Container | Trouble::Failed => detail.reason.to_string(),
        };
        let reasons = match blamed {
            Blamed::Workload(workload) => workloads.entry(workload).or_default(),
            Blamed::Other(other) => {
                &mut others.entry(other).or_insert_with(|| (detail, Reasons::default())).1
            }
        };
        *reasons.0.entry(reason).or_default() += 1;
    }
    (workloads, others)
}

fn blamed(tables: &Tables, key: ObjectKey, pod: &PodRow) -> Blamed {
    let Some(owner) = pod.owner else { return Blamed::Other(key) };
    let workload = tables.replica_sets.get(owner).copied().unwrap_or(owner);
    match find_workload(tables, workload) {
        Some(_) => Blamed::Workload(workload),
        None => Blamed::Other(owner),
    }
}

fn find_workload(tables: &Tables, key: ObjectKey) -> Option<&WorkloadRow> {
    let tables = [&tables.deployments, &tables.stateful_sets, &tables.daemon_sets];
    tables.into_iter().find_map(|rows| rows.get(key))
}

/// Owners of failed pods that have all their replicas, or, where we do not
/// know how many they want, another pod that runs or ended well.
fn owners_that_made_up_for_failures(tables: &Tables) -> HashSet<Blamed> {
    let failed = tables.pods.iter().filter(|(_, pod)| pod.phase == Phase::Failed);
    let failed: HashSet<Blamed> = failed.map(|(key, pod)| blamed(tables, key, pod)).collect();
    if failed.is_empty() {
        return failed;
    }
    let mut replaced: HashSet<Blamed> = HashSet::new();
    for blamed in &failed {
        if let Blamed::Workload(key) = blamed
            && find_workload(tables, *key).is_some_and(|row| row.ready >= row.desired)
        {
            replaced.insert(*blamed);
        }
    }
    for (key, pod) in tables.pods.iter() {
        if matches!(pod.phase, Phase::Running | Phase::Succeeded)
            && let other @ Blamed::Other(_) = blamed(tables, key, pod)
            && failed.contains(&other)
        {
            replaced.insert(other);
        }
    }
    replaced
}

fn workload_problem(
    kind: &str,
    row: &WorkloadRow,
    noun: &str,
    reasons: &Reasons,
) -> WorkloadProblem {
    let counts = format!("{} of {} {noun} are ready", row.ready, row.desired);
    let reason = match reasons.pods() {
        0 => counts,
        _ if row.ready < row.desired => format!("{counts}: {}", reasons.text()),
        1 => format!("{counts}, but 1 pod is in trouble: {}", reasons.text()),
        pods => format!("{counts}, but {pods} pods are in trouble: {}", reasons.text()),
    };
    WorkloadProblem {
        kind: kind.to_owned(),
        namespace: row.namespace.to_string(),
        name: row.name.to_string(),
        reason,
    }
}

fn pod_problem(detail: &PodDetail, reasons: &Reasons) -> WorkloadProblem {
    let reason = match reasons.pods() {
        0 | 1 => reasons.text(),
        pods => format!("{pods} pods are in trouble: {}", reasons.text()),
    };
    WorkloadProblem {
        kind: detail.kind.to_string(),
        namespace: detail.namespace.to_string(),
        name: detail.name.to_string(),
        reason,
    }
}

#[cfg(test)]
mod tests;

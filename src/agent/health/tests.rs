use serde_json::{Value, json};

use super::*;
use crate::agent::{
    objects::{DaemonSet, Deployment, Node, Pod, ReplicaSet, StatefulSet},
    tables::{Tabled, Usage},
};

const NOW: Timestamp = Timestamp::from_seconds(1_000);

/// A cluster built from the JSON of its objects.
#[derive(Default)]
struct Cluster(Tables);

impl Cluster {
    fn with<V: Tabled>(mut self, object: Value) -> Self {
        let uid = object["metadata"]["uid"].as_str().expect("a uid").to_owned();
        if let Some(row) = V::row(&serde_json::from_value(object).unwrap()) {
            V::rows(&mut self.0).put(ObjectKey::of(&uid), row);
        }
        self
    }

    fn node(self, name: &str, ready: &str) -> Self {
        self.with::<Node>(json!({"metadata": {"name": name, "uid": name}, "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi"},
            "conditions": [{"type": "Ready", "status": ready, "reason": "KubeletNotReady",
                "message": "network plugin is not ready"}]}}))
    }

    /// A deployment `name` whose replica set has the uid `name-rs`.
    fn deployment(self, name: &str, desired: u32, ready: u32) -> Self {
        let set = format!("{name}-rs");
        self.with::<Deployment>(
            json!({"metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {"replicas": desired}, "status": {"readyReplicas": ready}}),
        )
        .with::<ReplicaSet>(json!({"metadata": {"name": set, "uid": set, "ownerReferences": [
                {"kind": "Deployment", "name": name, "uid": name, "controller": true}]}}))
    }

    fn pod(self, name: &str, owner: Option<(&str, &str)>, status: &Value) -> Self {
        let owners = owner.map(|(kind, uid)| {
            json!([{"kind": kind, "name": format!("{uid}-name"), "uid": uid, "controller": true}])
        });
        self.with::<Pod>(json!({"metadata": {"name": name, "namespace": "shop", "uid": name,
            "creationTimestamp": "1970-01-01T00:16:00Z", "ownerReferences": owners},
            "status": status}))
    }

    fn problems(&self) -> Vec<(String, String, String)> {
        let report = report(&self.0, "0.1.0", NOW);
        let found = report.unhealthy_workloads.into_iter();
        found.map(|problem| (problem.kind, problem.name, problem.reason)).collect()
    }
}

fn crashing() -> Value {
    json!({"phase": "Running", "containerStatuses": [
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})
}

fn problem(kind: &str, name: &str, reason: &str) -> (String, String, String) {
    (kind.to_owned(), name.to_owned(), reason.to_owned())
}

#[test]
fn an_empty_cluster_has_nothing_to_report() {
    let report = report(&Tables::default(), "0.1.0", NOW);
    assert_eq!(report, Report { agent_version: "0.1.0".to_owned(), ..Report::default() });
}

#[test]
fn nodes_are_counted_listed_by_name_and_summed() {
    let mut cluster = Cluster::default().node("b", "True").node("a", "False");
    cluster.0.usage = Some(Usage { cpu_millis: 1_500, memory_bytes: 3 << 30 });

    let report = report(&cluster.0, "0.1.0", NOW);

    assert_eq!(report.nodes, NodeCounts { total: 2, ready: 1 });
    assert_eq!(report.cpu, Capacity { allocatable: 8_000, used: Some(1_500) });
    assert_eq!(report.memory, Capacity { allocatable: 16 << 30, used: Some(3 << 30) });
    let names: Vec<_> = report.node_list.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(report.node_list[0].reason, "KubeletNotReady: network plugin is not ready");
    assert_eq!(report.node_list[1].reason, "");
}

#[test]
fn a_report_names_the_nodes_that_are_not_ready_when_it_cannot_name_all() {
    let mut cluster = Cluster::default();
    for number in 0..MAX_NODES {
        cluster = cluster.node(&format!("a{number:04}"), "True");
    }
    let report = report(&cluster.node("z", "False").0, "0.1.0", NOW);
    assert_eq!(report.node_list.len(), MAX_NODES);
    assert_eq!(report.node_list.last().unwrap().name, "z");
    assert_eq!(report.nodes.total as usize, MAX_NODES + 1);
}

#[test]
fn pods_are_counted_by_phase() {
    let mut cluster = Cluster::default();
    for (number, phase) in
        ["Running", "Running", "Pending", "Succeeded", "Failed", "Unknown"].iter().enumerate()
    {
        cluster = cluster.pod(&format!("p{number}"), None, &json!({"phase": phase}));
    }
    let counts = PodCounts { running: 2, pending: 1, succeeded: 1, failed: 1, unknown: 1 };
    assert_eq!(report(&cluster.0, "0.1.0", NOW).pods, counts);
}

#[test]
fn a_workload_that_lacks_replicas_is_a_problem_even_without_a_pod() {
    let set = json!({"metadata": {"name": "db", "uid": "db"}, "spec": {"replicas": 3},
        "status": {"readyReplicas": 1}});
    let daemon = json!({"metadata": {"name": "log", "uid": "log"},
        "status": {"desiredNumberScheduled": 5, "numberReady": 4}});
    let cluster = Cluster::default()
        .deployment("web", 2, 2)
        .deployment("off", 0, 0)
        .with::<StatefulSet>(set)
        .with::<DaemonSet>(daemon);

    assert_eq!(
        cluster.problems(),
        [
            problem("StatefulSet", "db", "1 of 3 replicas are ready"),
            problem("DaemonSet", "log", "4 of 5 pods are ready"),
        ]
    );
}

#[test]
fn pods_in_trouble_are_folded_through_the_replica_set_into_their_deployment() {
    let owner = Some(("ReplicaSet", "web-rs"));
    let cluster = Cluster::default()
        .deployment("web", 3, 1)
        .pod("web-1", owner, &crashing())
        .pod("web-2", owner, &crashing())
        .pod("web-3", owner, &json!({"phase": "Running"}));

    let expected = problem("Deployment", "web", "1 of 3 replicas are ready: CrashLoopBackOff");
    assert_eq!(cluster.problems(), [expected]);
}

#[test]
fn a_crashing_pod_of_a_deployment_that_has_its_replicas_is_still_a_problem() {
    let cluster = Cluster::default().deployment("web", 3, 3).pod(
        "web-new",
        Some(("ReplicaSet", "web-rs")),
        &crashing(),
    );
    let reason = "3 of 3 replicas are ready, but 1 pod is in trouble: CrashLoopBackOff";
    assert_eq!(cluster.problems(), [problem("Deployment", "web", reason)]);
}

#[test]
fn the_reason_of_most_pods_comes_first_and_two_are_named() {
    let owner = Some(("ReplicaSet", "web-rs"));
    let waiting = |reason| json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": reason}}}]});
    let cluster = Cluster::default()
        .deployment("web", 4, 0)
        .pod("1", owner, &waiting("ErrImagePull"))
        .pod("2", owner, &waiting("ImagePullBackOff"))
        .pod("3", owner, &waiting("ImagePullBackOff"))
        .pod("4", owner, &waiting("InvalidImageName"));
    let reason = "0 of 4 replicas are ready: ImagePullBackOff; ErrImagePull";
    assert_eq!(cluster.problems(), [problem("Deployment", "web", reason)]);
}

#[test]
fn pods_without_a_known_owner_are_named_by_the_owner_or_by_themselves() {
    let job = Some(("Job", "import"));
    let cluster = Cluster::default().pod("a", job, &crashing()).pod("b", job, &crashing()).pod(
        "lonely",
        None,
        &crashing(),
    );
    assert_eq!(
        cluster.problems(),
        [
            problem("Job", "import-name", "2 pods are in trouble: CrashLoopBackOff"),
            problem("Pod", "lonely", "CrashLoopBackOff"),
        ]
    );
}

#[test]
fn a_pending_pod_becomes_a_problem_after_a_minute_and_not_before() {
    // It was created at second 960.
    let cluster = Cluster::default().pod("slow", None, &json!({"phase": "Pending"}));
    let at = |seconds| {
        let report = report(&cluster.0, "0.1.0", Timestamp::from_seconds(seconds));
        report.unhealthy_workloads.len()
    };
    assert_eq!((at(960), at(1_019), at(1_020), at(5_000)), (0, 0, 1, 1));
    assert_eq!(next_change(&cluster.0, NOW), Some(Timestamp::from_seconds(1_020)));
    assert_eq!(next_change(&cluster.0, Timestamp::from_seconds(1_020)), None);
}

#[test]
fn a_long_pending_pod_says_what_it_waits_for() {
    let mut cluster = Cluster::default();
    cluster = cluster.pod(
        "big",
        None,
        &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available"}]}),
    );
    let report = report(&cluster.0, "0.1.0", Timestamp::from_seconds(2_000));
    let reason = "pending for over a minute, Unschedulable: 0/3 nodes are available";
    assert_eq!(report.unhealthy_workloads[0].reason, reason);
}

#[test]
fn left_overs_of_failures_count_only_until_the_owner_has_made_up_for_them() {
    let evicted = || json!({"phase": "Failed", "reason": "Evicted"});
    let owner = Some(("ReplicaSet", "web-rs"));

    let lacking = Cluster::default().deployment("web", 2, 1).pod("w", owner, &evicted());
    let expected = problem("Deployment", "web", "1 of 2 replicas are ready: Evicted");
    assert_eq!(lacking.problems(), [expected]);
    let whole = Cluster::default().deployment("web", 2, 2).pod("w", owner, &evicted());
    assert_eq!(whole.problems(), []);

    let job = Some(("Job", "import"));
    let failed = Cluster::default().pod("j1", job, &evicted());
    assert_eq!(failed.problems(), [problem("Job", "import-name", "Evicted")]);
    let retried = failed.pod("j2", job, &json!({"phase": "Succeeded"}));
    assert_eq!(retried.problems(), []);

    let bare = Cluster::default().pod("one", None, &evicted()).pod(
        "other",
        None,
        &json!({"phase": "Running"}),
    );
    assert_eq!(bare.problems(), [problem("Pod", "one", "Evicted")]);
}

#[test]
fn a_report_names_at_most_fifty_workloads_and_those_that_are_down_first() {
    let mut cluster = Cluster::default();
    for number in 0..MAX_WORKLOADS {
        cluster = cluster.deployment(&format!("a{number:02}"), 3, 2);
    }
    let problems = cluster.deployment("z", 3, 0).problems();
    assert_eq!(problems.len(), MAX_WORKLOADS);
    assert_eq!(problems[0].1, "z");
}

#[test]
fn the_same_tables_give_the_same_report() {
    let build = || {
        let mut cluster = Cluster::default();
        for number in 0..40 {
            cluster = cluster.deployment(&format!("d{number}"), 2, number % 3);
        }
        report(&cluster.0, "0.1.0", NOW)
    };
    assert!(!is_news(&build(), &build()));
    assert_eq!(build(), build());
}

#[test]
fn latency_and_small_moves_of_usage_are_no_news_but_everything_else_is() {
    let old = Report {
        api_latency_ms: Some(3),
        cpu: Capacity { allocatable: 10_000, used: Some(5_000) },
        memory: Capacity { allocatable: 1_000, used: None },
        ..Report::default()
    };
    let with = |change: fn(&mut Report)| {
        let mut new = old.clone();
        change(&mut new);
        is_news(&old, &new)
    };
    assert!(!with(|_| ()));
    assert!(!with(|report| report.api_latency_ms = Some(9)));
    assert!(!with(|report| report.cpu.used = Some(5_100)));
    assert!(with(|report| report.cpu.used = Some(5_101)));
    assert!(with(|report| report.cpu.used = Some(4_899)));
    assert!(with(|report| report.cpu.used = None));
    assert!(with(|report| report.memory.used = Some(1)));
    assert!(with(|report| report.cpu.allocatable = 9_999));
    assert!(with(|report| report.pods.running = 1));
    assert!(with(|report| report.nodes.ready = 1));
    assert!(with(|report| report.kubernetes_version = "v1.34.0".to_owned()));
    assert!(with(|report| report.node_list.push(NodeState::default())));
}

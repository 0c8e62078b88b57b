use super::*;
use crate::bus::message::{NodeCounts, NodeState, Unreadable, WorkloadProblem};

const TIMEOUT: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

struct Given {
    earlier: Verdict,
    heard: Option<i64>,
    since: i64,
    report: Option<Report>,
    failing: u32,
}

impl Given {
    /// Heard at 1000 by a process that listens since 0.
    fn heard() -> Self {
        let earlier = Verdict::plain(Phase::Pending);
        Self { earlier, heard: Some(1_000), since: 0, report: None, failing: 0 }
    }

    fn with(report: Report) -> Self {
        Self { report: Some(report), ..Self::heard() }
    }

    fn decide(&self, now: i64) -> Verdict {
        let known = Known {
            earlier: &self.earlier,
            last_heard: self.heard.map(at),
            heard: self.heard.is_some_and(|heard| heard >= self.since),
            silence: at(now).since(at(self.heard.unwrap_or(0).max(self.since))),
            report: self.report.as_ref(),
            failing_probes: self.failing,
            timeout: TIMEOUT,
        };
        decide(&known)
    }
}

fn node(name: &str, ready: bool, reason: &str) -> NodeState {
    NodeState { name: name.into(), ready, reason: reason.into(), ..NodeState::default() }
}

fn nodes(list: Vec<NodeState>) -> Report {
    let count = |found: usize| u32::try_from(found).expect("a small number");
    let ready = count(list.iter().filter(|node| node.ready).count());
    let nodes = NodeCounts { total: count(list.len()), ready };
    Report { nodes, node_list: list, ..Report::default() }
}

fn workload(name: &str) -> WorkloadProblem {
    WorkloadProblem {
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: name.into(),
        reason: "1 of 3 replicas are ready".into(),
    }
}

#[test]
fn a_cluster_that_was_never_heard_is_pending_however_long() {
    let given = Given { heard: None, ..Given::heard() };
    assert_eq!(given.decide(1_000_000), Verdict::plain(Phase::Pending));
}

#[test]
fn a_heartbeat_without_a_report_is_healthy() {
    assert_eq!(Given::heard().decide(1_010), Verdict::plain(Phase::Healthy));
}

#[test]
fn silence_makes_a_cluster_unreachable_at_the_limit_and_not_before() {
    let given = Given::heard();
    assert_eq!(given.decide(1_029).phase, Phase::Healthy);
    let verdict = given.decide(1_030);
    assert_eq!(verdict.phase, Phase::Unreachable);
    assert_eq!(verdict.reasons[0].code, "no-heartbeat");
    assert!(verdict.reasons[0].message.contains("1970-01-01T00:16:40Z"), "{verdict:?}");
}

#[test]
fn the_reason_of_silence_does_not_change_while_it_lasts() {
    let given = Given::heard();
    assert_eq!(given.decide(1_040), given.decide(9_000));
}

#[test]
fn a_restart_keeps_the_phase_for_as_long_as_an_agent_may_be_silent() {
    let reasons = Arc::new([Reason::new("node-not-ready", "Node a is not ready.".into())]);
    let earlier = Verdict { phase: Phase::Degraded, reasons };
    let given = Given { earlier: earlier.clone(), since: 5_000, ..Given::heard() };
    assert_eq!(given.decide(5_029), earlier);
    assert_eq!(given.decide(5_030).phase, Phase::Unreachable);
}

#[test]
fn a_node_that_is_not_ready_is_named_with_its_reason() {
    let report = nodes(vec![node("a", true, ""), node("b", false, "KubeletNotReady")]);
    let verdict = Given::with(report).decide(1_001);
    assert_eq!(verdict.phase, Phase::Degraded);
    assert_eq!(verdict.reasons.len(), 1);
    assert_eq!(verdict.reasons[0].code, "node-not-ready");
    assert_eq!(verdict.reasons[0].message, "Node b is not ready: KubeletNotReady.");
}

#[test]
fn nodes_beyond_those_that_are_named_are_counted() {
    let mut report = nodes((0..25).map(|n| node(&format!("n{n}"), false, "down")).collect());
    report.nodes.total = 40;
    let verdict = Given::with(report).decide(1_001);
    assert_eq!(verdict.reasons.len(), 21);
    assert_eq!(verdict.reasons[20].message, "20 more nodes are not ready.");
}

#[test]
fn each_unhealthy_workload_is_a_reason() {
    let workloads = vec![workload("cart"), workload("front")];
    let report = Report { unhealthy_workloads: workloads, ..Report::default() };
    let verdict = Given::with(report).decide(1_001);
    assert_eq!(verdict.phase, Phase::Degraded);
    let messages: Vec<_> = verdict.reasons.iter().map(|reason| &*reason.message).collect();
    assert_eq!(
        messages,
        [
            "Deployment shop/cart: 1 of 3 replicas are ready.",
            "Deployment shop/front: 1 of 3 replicas are ready."
        ]
    );
}

#[test]
fn what_the_agent_cannot_read_is_a_reason() {
    let pods = Unreadable { what: "pods".to_owned(), cause: "pods is forbidden.".to_owned() };
    let report = Report { unreadable: vec![pods], ..Report::default() };
    let verdict = Given::with(report).decide(1_001);
    assert_eq!(verdict.phase, Phase::Degraded);
    assert_eq!(verdict.reasons[0].code, "cannot-read");
    assert_eq!(verdict.reasons[0].message, "The agent cannot read pods: pods is forbidden.");
}

#[test]
fn the_kubernetes_api_must_fail_three_times_in_a_row() {
    let twice = Given { failing: 2, ..Given::heard() };
    assert_eq!(twice.decide(1_001).phase, Phase::Healthy);
    let thrice = Given { failing: 3, ..Given::heard() };
    let verdict = thrice.decide(1_001);
    assert_eq!(verdict.phase, Phase::Degraded);
    assert_eq!(verdict.reasons[0].code, "api-failing");
}

#[test]
fn silence_counts_more_than_what_the_last_report_said() {
    let given = Given::with(nodes(vec![node("a", false, "down")]));
    let verdict = given.decide(1_100);
    assert_eq!((verdict.phase, verdict.reasons.len()), (Phase::Unreachable, 1));
}

#[test]
fn every_phase_survives_its_word() {
    for phase in Phase::ALL {
        assert_eq!(Phase::parse(phase.as_str()), Some(phase));
    }
    assert_eq!(Phase::parse("Healthy"), None);
}

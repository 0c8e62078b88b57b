use super::*;
use crate::{
    bus::message::{NodeCounts, NodeState},
    clock::{SystemRandom, TestClock},
    clusters::model::Verdict,
};

const START: i64 = 1_000;

struct Given {
    clock: Arc<TestClock>,
    registry: Registry,
    cluster: Cluster,
}

fn cluster(last_heartbeat_at: Option<Timestamp>, phase: Phase) -> Cluster {
    Cluster {
        tenant: TenantId::random(&SystemRandom),
        id: ClusterId::random(&SystemRandom),
        project: ProjectId::random(&SystemRandom),
        name: "edge".into(),
        verdict: Verdict::plain(phase),
        report: None,
        agent_version: None,
        api_latency_ms: None,
        last_heartbeat_at,
        has_kubeconfig: false,
        credential: Credential::AWAITING,
        created_at: Timestamp::from_seconds(1),
        version: 1,
    }
}

impl Given {
    fn new(cluster: Cluster) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(START)));
        let registry = Registry::new(clock.clone(), Duration::from_secs(30), vec![cluster.clone()]);
        Self { clock, registry, cluster }
    }

    fn pending() -> Self {
        Self::new(cluster(None, Phase::Pending))
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.registry.tick();
    }

    fn beat(&self, api_latency_ms: Option<u32>) {
        let heartbeat = Heartbeat {
            sequence: 1,
            sent_at: self.clock.now(),
            agent_version: "0.1.0".into(),
            api_latency_ms,
        };
        self.registry.heartbeat(self.cluster.tenant, self.cluster.id, &heartbeat);
    }

    fn report(&self, report: Report) -> bool {
        self.registry.report(self.cluster.tenant, self.cluster.id, report, true)
    }

    fn phase(&self) -> Phase {
        let found = self.registry.find(self.cluster.tenant, self.cluster.id);
        found.expect("known").verdict.phase
    }
}

fn one_node_down() -> Report {
    let node = NodeState { name: "a".into(), reason: "down".into(), ..NodeState::default() };
    Report { nodes: NodeCounts { total: 1, ready: 0 }, node_list: vec![node], ..Report::default() }
}

#[test]
fn a_cluster_goes_from_pending_to_healthy_to_unreachable_and_back() {
    let given = Given::pending();
    given.pass(3_600);
    assert_eq!(given.phase(), Phase::Pending);
    given.beat(Some(3));
    assert_eq!(given.phase(), Phase::Healthy);
    given.pass(29);
    assert_eq!(given.phase(), Phase::Healthy);
    given.pass(1);
    assert_eq!(given.phase(), Phase::Unreachable);
    given.beat(Some(3));
    assert_eq!(given.phase(), Phase::Healthy);
}

#[test]
fn after_a_restart_a_cluster_keeps_its_phase_until_its_agent_had_the_time_to_speak() {
    let given = Given::new(cluster(Some(Timestamp::from_seconds(10)), Phase::Degraded));
    given.pass(29);
    assert_eq!(given.phase(), Phase::Degraded);
    given.pass(1);
    assert_eq!(given.phase(), Phase::Unreachable);
}

#[test]
fn the_first_heartbeat_after_a_restart_decides_again() {
    let given = Given::new(cluster(Some(Timestamp::from_seconds(10)), Phase::Degraded));
    given.beat(Some(3));
    assert_eq!(given.phase(), Phase::Healthy);
}

#[test]
fn a_clock_that_is_set_changes_no_phase() {
    for to in [1, 40_000_000] {
        let given = Given::pending();
        given.beat(Some(3));
        given.clock.set(Timestamp::from_seconds(to));
        given.pass(29);
        assert_eq!(given.phase(), Phase::Healthy, "set to {to}");
        given.pass(1);
        assert_eq!(given.phase(), Phase::Unreachable, "set to {to}");
        given.beat(Some(3));
        assert_eq!(given.phase(), Phase::Healthy, "set to {to}");
    }
}

#[test]
fn while_the_bus_is_down_nobody_is_called_silent_and_afterwards_agents_have_time_to_come_back() {
    let given = Given::pending();
    given.beat(Some(3));
    given.registry.hearing(false);
    given.pass(3_600);
    assert_eq!(given.phase(), Phase::Healthy);
    given.registry.hearing(true);
    given.registry.hearing(true);
    given.pass(29);
    assert_eq!(given.phase(), Phase::Healthy);
    given.pass(1);
    assert_eq!(given.phase(), Phase::Unreachable);
}

#[test]
fn a_deleted_cluster_does_not_come_back_with_what_was_read_before() {
    let given = Given::pending();
    let read_at = given.registry.uptime();
    given.registry.remove(given.cluster.tenant, given.cluster.id);
    given.registry.put(given.cluster.clone());
    assert!(given.registry.find(given.cluster.tenant, given.cluster.id).is_none());
    let imported = cluster(None, Phase::Pending);
    given.registry.put(imported.clone());
    given.registry.retain(&HashSet::new(), read_at);
    assert!(given.registry.find(imported.tenant, imported.id).is_some());
}

#[test]
fn an_api_server_that_fails_three_probes_degrades_and_one_answer_heals() {
    let given = Given::pending();
    given.beat(None);
    given.beat(None);
    assert_eq!(given.phase(), Phase::Healthy);
    given.beat(None);
    assert_eq!(given.phase(), Phase::Degraded);
    given.beat(Some(2));
    assert_eq!(given.phase(), Phase::Healthy);
}

#[test]
fn the_agent_of_another_tenant_changes_nothing() {
    let given = Given::pending();
    let stranger = TenantId::random(&SystemRandom);
    assert!(!given.registry.report(stranger, given.cluster.id, one_node_down(), true));
    assert_eq!(given.phase(), Phase::Pending);
    assert!(given.registry.find(stranger, given.cluster.id).is_none());
}

#[test]
fn a_plain_heartbeat_makes_no_work_for_the_store_until_a_minute_has_passed() {
    let given = Given::pending();
    given.beat(Some(3));
    assert_eq!(given.registry.unwritten(true).len(), 1, "the phase changed");
    for _ in 0..5 {
        given.pass(10);
        given.beat(Some(3));
        assert!(given.registry.unwritten(true).is_empty());
    }
    given.pass(10);
    given.beat(Some(3));
    let written = given.registry.unwritten(true);
    assert_eq!(written[0].2.last_heartbeat_at, Some(given.clock.now()));
}

#[test]
fn a_report_is_written_once_and_again_when_writing_failed() {
    let given = Given::pending();
    assert!(given.report(one_node_down()));
    let written = given.registry.unwritten(true);
    assert_eq!(written[0].2.phase, "degraded");
    assert!(written[0].2.report.is_some());
    assert!(given.registry.unwritten(true).is_empty());
    given.registry.not_written(&written);
    assert!(given.registry.unwritten(true)[0].2.report.is_some());
    assert!(given.report(one_node_down()), "a repeated report is acknowledged");
    assert!(given.registry.unwritten(true).is_empty(), "and not written again");
}

#[test]
fn of_several_nodes_one_writes_phases_and_whoever_is_asked_writes_a_report() {
    let given = Given::pending();
    let (tenant, id) = (given.cluster.tenant, given.cluster.id);
    assert!(given.registry.report(tenant, id, one_node_down(), false), "overheard");
    assert_eq!(given.phase(), Phase::Degraded);
    assert!(given.registry.unwritten(false).is_empty(), "another node writes it");
    let written = given.registry.unwritten(true);
    assert_eq!(written[0].2.phase, "degraded");
    assert!(written[0].2.report.is_none(), "another node was asked to");

    // The same as it comes to the one that is asked, after it was overheard.
    assert!(given.registry.report(tenant, id, one_node_down(), true));
    let written = given.registry.unwritten(false);
    assert!(written[0].2.report.is_some());
    assert!(given.registry.unwritten(false).is_empty());
}

#[test]
fn a_report_that_another_node_has_stored_is_taken_unless_one_has_come_just_now() {
    let given = Given::pending();
    let stored = |report| Cluster { report: Some(Arc::new(report)), ..given.cluster.clone() };
    let nodes = || {
        let found = given.registry.find(given.cluster.tenant, given.cluster.id);
        found.expect("known").report.map(|report| report.nodes.total)
    };
    given.beat(Some(3));
    given.registry.put(stored(one_node_down()));
    assert_eq!(nodes(), Some(one_node_down().nodes.total), "missed");
    assert_eq!(given.phase(), Phase::Degraded);
    given.report(Report::default());
    given.registry.put(stored(one_node_down()));
    assert_eq!(nodes(), Some(0), "it was told after that one was stored");
    given.pass(40);
    given.beat(Some(3));
    given.registry.put(stored(one_node_down()));
    assert_eq!(nodes(), Some(one_node_down().nodes.total));
}

#[test]
fn listeners_hear_of_changes_and_of_nothing_else() {
    let given = Given::pending();
    let mut changes = given.registry.changes();
    given.beat(Some(3));
    given.beat(Some(4));
    given.registry.remove(given.cluster.tenant, given.cluster.id);
    let Ok(Change::Changed(first)) = changes.try_recv() else { panic!("no change") };
    assert_eq!(first.verdict.phase, Phase::Healthy);
    let Ok(Change::Deleted { cluster, .. }) = changes.try_recv() else { panic!("no deletion") };
    assert_eq!(cluster, given.cluster.id);
    assert!(changes.try_recv().is_err());
}

#[test]
fn what_the_store_says_does_not_undo_what_the_agent_said() {
    let given = Given::pending();
    given.report(one_node_down());
    given.registry.put(Cluster { name: "core".into(), version: 2, ..given.cluster.clone() });
    let found = given.registry.find(given.cluster.tenant, given.cluster.id).expect("known");
    assert_eq!((found.name.as_str(), found.verdict.phase), ("core", Phase::Degraded));
    assert!(found.report.is_some());
}

#[test]
fn only_clusters_within_reach_are_listed() {
    let given = Given::pending();
    let (tenant, project) = (given.cluster.tenant, given.cluster.project);
    let reach = |project| Reach::Projects([project].into());
    assert_eq!(given.registry.within(tenant, &Reach::Tenant).len(), 1);
    assert_eq!(given.registry.within(tenant, &reach(project)).len(), 1);
    let elsewhere = reach(ProjectId::random(&SystemRandom));
    assert!(given.registry.within(tenant, &elsewhere).is_empty());
    assert!(given.registry.within(TenantId::random(&SystemRandom), &Reach::Tenant).is_empty());
}

#[test]
fn ten_thousand_heartbeats_are_a_matter_of_milliseconds() {
    let clusters: Vec<_> = (0..10_000)
        .map(|_| cluster(Some(Timestamp::from_seconds(START)), Phase::Healthy))
        .collect();
    let clock = Arc::new(TestClock::at(Timestamp::from_seconds(START)));
    let registry = Registry::new(clock, Duration::from_secs(30), clusters.clone());
    let heartbeat = Heartbeat {
        sequence: 1,
        sent_at: Timestamp::from_seconds(START),
        agent_version: "0.1.0".into(),
        api_latency_ms: Some(3),
    };
    let started = std::time::Instant::now();
    for cluster in &clusters {
        registry.heartbeat(cluster.tenant, cluster.id, &heartbeat);
    }
    registry.tick();
    // Generous: this runs without optimisation on a busy machine.
    assert!(started.elapsed() < Duration::from_secs(2), "took {:?}", started.elapsed());
}

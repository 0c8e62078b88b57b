//! Brokers of several nodes that are one bus.

use super::{gateway::Pki, link::free_port, *};

/// A broker's place in a cluster, with a certificate of this CA.
fn member(directory: &TempDir, pki: &Pki, name: &str, own: u16, others: &[u16]) -> BusSettings {
    let (certificate, key) = pki.leaf_for("127.0.0.1");
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let cluster = ClusterSettings {
        name: name.to_owned(),
        listen: local(own),
        peers: others.iter().copied().map(local).collect(),
        tls: PeerTls {
            certificate: write("peer.crt", certificate.pem()),
            key: write("peer.key", key.serialize_pem()),
            authority: write("peers.crt", pki.ca_pem.clone()),
        },
    };
    BusSettings { cluster: Some(cluster), ..settings(directory) }
}

async fn rig(directory: TempDir, settings: &BusSettings) -> Rig {
    let (bus, inbound) = start(settings, &[tenant(1)]).await;
    Rig { bus, inbound, directory }
}

/// Whether a heartbeat of this agent arrives at that node within the patience.
async fn arrives(agent: &Agent, at: &mut Rig, patience: Duration) -> bool {
    let arrival = async {
        loop {
            // What is sent before the brokers know each other reaches its own node only.
            let beat = subject::heartbeat(cluster(1));
            agent.client.publish(beat, heartbeat(1)).await.expect("sent");
            let next = tokio::time::timeout(Duration::from_millis(100), at.inbound.recv()).await;
            if let Ok(inbound) = next {
                return inbound.expect("the bus is running");
            }
        }
    };
    let inbound = tokio::time::timeout(patience, arrival).await;
    inbound.is_ok_and(|inbound| (inbound.tenant, inbound.cluster) == (tenant(1), cluster(1)))
}

#[tokio::test]
async fn an_agent_of_one_node_reaches_the_management_of_another() {
    let (mut left, _right, agent) = pair().await;
    assert!(arrives(&agent, &mut left, PATIENCE).await);
}

/// Two nodes whose brokers know each other, and an agent of the right one.
async fn pair() -> (Rig, Rig, Agent) {
    let pki = Pki::new();
    let (left, right) = (TempDir::new().expect("one"), TempDir::new().expect("another"));
    let (left_port, right_port) = (free_port().await, free_port().await);
    let left_settings = member(&left, &pki, "n1", left_port, &[right_port]);
    let right_settings = member(&right, &pki, "n2", right_port, &[left_port]);
    let mut left = rig(left, &left_settings).await;
    let right = rig(right, &right_settings).await;
    let agent = right.agent(tenant(1), cluster(1)).await;
    assert!(arrives(&agent, &mut left, 2 * PATIENCE).await);
    (left, right, agent)
}

/// What a node hears of reports within a while: those to acknowledge, and the others.
async fn reports(at: &mut Rig) -> (usize, usize) {
    let (mut own, mut overheard) = (0, 0);
    while let Ok(inbound) = tokio::time::timeout(2 * SILENCE, at.inbound.recv()).await {
        match inbound.expect("the bus is running").kind {
            InboundKind::Report(_, reply) => {
                own += 1;
                reply.acknowledge().await;
            }
            InboundKind::Overheard(_) => overheard += 1,
            InboundKind::Heartbeat(_) | InboundKind::Other { .. } => {}
        }
    }
    (own, overheard)
}

#[tokio::test]
async fn a_report_is_acknowledged_by_one_node_and_known_to_both() {
    let (mut left, mut right, agent) = pair().await;
    let report = serde_json::to_vec(&message::Report::default()).expect("a report");
    let request = agent.client.request(subject::report(cluster(1)), report.into());
    let (answer, at_left, at_right) =
        tokio::join!(request, reports(&mut left), reports(&mut right));
    assert!(answer.expect("an acknowledgement").payload.is_empty());
    assert_eq!(at_left.0 + at_right.0, 1, "{at_left:?} {at_right:?}");
    assert_eq!((at_left.1, at_right.1), (1, 1));
}

#[tokio::test]
async fn an_agent_counts_where_it_is_connected() {
    let (left, right, agent) = pair().await;
    let mut agents = right.bus.agents();
    let there = agents.wait_for(|count| *count == 1);
    tokio::time::timeout(PATIENCE, there).await.expect("in time").expect("the bus is running");
    assert_eq!(left.bus.status().agents, 0);
    drop(agent);
}

#[tokio::test]
async fn what_one_node_revokes_is_cut_off_at_the_broker_of_another() {
    let (left, _right, mut agent) = pair().await;
    let key = agent.key.public_key();
    left.bus.revoke(tenant(1), &key, SystemClock.now()).await.expect("revoked");
    let cut = tokio::time::timeout(PATIENCE, agent.up.wait_for(|up| !up)).await;
    assert!(cut.is_ok(), "still connected");
}

#[tokio::test]
async fn a_broker_with_a_certificate_of_another_ca_is_not_let_in() {
    let (left, right) = (TempDir::new().expect("one"), TempDir::new().expect("another"));
    let (left_port, right_port) = (free_port().await, free_port().await);
    let left_settings = member(&left, &Pki::new(), "n1", left_port, &[right_port]);
    let right_settings = member(&right, &Pki::new(), "n2", right_port, &[left_port]);
    let mut left = rig(left, &left_settings).await;
    let mut right = rig(right, &right_settings).await;
    let agent = right.agent(tenant(1), cluster(1)).await;
    assert!(arrives(&agent, &mut right, PATIENCE).await, "its own node hears it");
    assert!(!arrives(&agent, &mut left, 5 * SILENCE).await);
}

#[tokio::test]
async fn settings_that_no_cluster_has_are_refused_by_their_names() {
    let directory = TempDir::new().expect("a directory");
    let good = member(&directory, &Pki::new(), "n1", 6222, &[6223]);
    let refusal = |change: fn(&mut ClusterSettings)| {
        let mut settings = good.clone();
        change(settings.cluster.as_mut().expect("a cluster"));
        let error = configuration(&settings, &trust(), None, SystemClock.now()).expect_err("no");
        error.fields()[0].field.clone()
    };
    assert_eq!(refusal(|cluster| cluster.name = "a\"b".to_owned()), "bus.cluster.name");
    assert_eq!(refusal(|cluster| cluster.name.clear()), "bus.cluster.name");
    assert_eq!(refusal(|cluster| cluster.peers.push(cluster.listen)), "bus.cluster.peers");
    let odd = refusal(|cluster| cluster.tls.key = "/tmp/\"key".into());
    assert_eq!(odd, "bus.cluster.tls");
}

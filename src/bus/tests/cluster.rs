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
    let pki = Pki::new();
    let (left, right) = (TempDir::new().expect("one"), TempDir::new().expect("another"));
    let (left_port, right_port) = (free_port().await, free_port().await);
    let left_settings = member(&left, &pki, "n1", left_port, &[right_port]);
    let right_settings = member(&right, &pki, "n2", right_port, &[left_port]);
    let mut left = rig(left, &left_settings).await;
    let right = rig(right, &right_settings).await;
    let agent = right.agent(tenant(1), cluster(1)).await;
    assert!(arrives(&agent, &mut left, 2 * PATIENCE).await);
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

//! Several servers at once on one PostgreSQL and one bus of several brokers.
//!
//! Every node is a whole application with a broker of its own; the brokers know
//! each other by certificates of one CA. All of it is on this machine.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use palisade::{
    bus::{
        AgentKey,
        agent::{AgentLink, BusAddress, Commands, LinkOptions, LinkState},
        dial::Tls,
        message::{Heartbeat, Report},
    },
    certificates::InternalCa,
    clock::{Clock, SystemClock, SystemRandom},
    keystore::{Keystore, SealMode, Unlock},
};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    app::{PASSWORD, TestApp, eventually},
    client::{Client, Reply},
    engines::authority,
    peers::free_port,
    postgres,
};

/// How long anything may take that is expected to happen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// So soon a revocation counts on every node, of a busy machine; a second of one
/// that does nothing else.
const REVOKED_WITHIN: Duration = Duration::from_secs(4);
/// So soon a node has the keystore of another.
const ADOPTED_WITHIN: Duration = Duration::from_secs(8);

/// Nodes of one management plane; the first one is set up.
struct Nodes {
    running: Vec<TestApp>,
    system: Client,
    url: String,
    authority: InternalCa,
    /// Where the brokers listen for each other.
    routes: Vec<u16>,
    with_bus: bool,
}

impl Nodes {
    /// So many nodes without a bus.
    async fn without_bus(count: usize) -> Self {
        Self::start(count, false).await
    }

    async fn with_bus(count: usize) -> Self {
        Self::start(count, true).await
    }

    async fn start(count: usize, with_bus: bool) -> Self {
        let url = postgres::migrated(|_| std::future::ready(())).await.url();
        let routes: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let authority = authority();
        let first = TempDir::new().expect("a directory");
        let first = start_node(first, 0, &url, &authority, &routes, with_bus).await;
        let system = first.set_up().await;
        let mut nodes = Self { running: vec![first], system, url, authority, routes, with_bus };
        for number in 1..count {
            let directory = TempDir::new().expect("a directory");
            copy_keys(nodes.running[0].directory.path(), directory.path());
            let node = nodes.start_again(directory, number).await;
            nodes.running.push(node);
        }
        nodes
    }

    /// Starts a node in its directory.
    async fn start_again(&self, directory: TempDir, number: usize) -> TestApp {
        let Self { url, authority, routes, .. } = self;
        start_node(directory, number, url, authority, routes, self.with_bus).await
    }

    /// The same caller at another node.
    fn at(&self, number: usize, caller: &Client) -> Client {
        self.running[number].anonymous().with_token(caller.token())
    }

    fn generation(&self, number: usize) -> u64 {
        self.running[number].app.ledger().vault().keystore().status().generation
    }

    async fn stop(self) {
        for node in self.running {
            node.stop().await;
        }
    }
}

async fn start_node(
    directory: TempDir,
    number: usize,
    url: &str,
    authority: &InternalCa,
    routes: &[u16],
    with_bus: bool,
) -> TestApp {
    let settings = settings(directory.path(), number, url, authority, routes, with_bus);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    TestApp::start_in(directory, &settings).await
}

fn settings(
    directory: &Path,
    number: usize,
    url: &str,
    authority: &InternalCa,
    routes: &[u16],
    with_bus: bool,
) -> Vec<(&'static str, String)> {
    let mut settings =
        vec![("storage.database", "postgres".to_owned()), ("storage.postgres.url", url.to_owned())];
    if !with_bus {
        return settings;
    }
    let name = format!("n{}", number + 1);
    let host = name.parse().expect("a host name");
    let own = authority.issue_node(&host, [127, 0, 0, 1].into(), SystemClock.now(), &SystemRandom);
    let own = own.expect("issued");
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        palisade::files::replace(&path, text.as_bytes(), palisade::files::PRIVATE)
            .expect("written");
        path.to_str().expect("a plain path").to_owned()
    };
    let local = |port: &u16| format!("127.0.0.1:{port}");
    let others = routes.iter().enumerate().filter(|(other, _)| *other != number);
    let others: Vec<_> = others.map(|(_, port)| local(port)).collect();
    settings.extend([
        ("bus.mode", "managed".to_owned()),
        ("bus.websocket_listen", "127.0.0.1:0".to_owned()),
        ("bus.cluster.name", name),
        ("bus.cluster.listen", local(&routes[number])),
        ("bus.cluster.peers", others.join(",")),
        ("bus.cluster.certificate", write("node.crt", own.certificate_pem())),
        ("bus.cluster.key", write("node.key", own.key_pem().expose())),
        ("bus.cluster.authority", write("authority.crt", authority.certificate_pem())),
    ]);
    settings
}

/// Gives a new node the keystore, as joining does.
fn copy_keys(from: &Path, to: &Path) {
    let (from, to) = (from.join("var/keys"), to.join("var/keys"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&to).expect("a directory");
    for name in ["keystore.json", "seal.key"] {
        fs::copy(from.join(name), to.join(name)).expect("copied");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(to.join(name), private).expect("private");
    }
}

/// An agent that does what the test says.
struct Agent {
    link: AgentLink,
    _commands: Commands,
}

impl Agent {
    async fn dial(port: u16, trusts: &TestApp, cluster: &str, key: AgentKey, jwt: &str) -> Self {
        let anchors = trusts.app.certificates().agent_anchors();
        let options = LinkOptions {
            address: BusAddress::WebSocket { host: "localhost".into(), port },
            tls: Tls::new(Some(&anchors)).expect("a CA"),
            proxy: None,
            cluster: cluster.parse().expect("a uid"),
            key,
            jwt: jwt.to_owned(),
            random: Arc::new(SystemRandom),
        };
        let (link, commands) = AgentLink::connect(options).await.expect("begun");
        Self { link, _commands: commands }
    }

    async fn until_connected(&self) {
        let mut state = self.link.state();
        let connected = state.wait_for(|state| *state == LinkState::Connected);
        tokio::time::timeout(PATIENCE, connected).await.expect("in time").expect("a link");
    }

    async fn beat(&self) {
        let heartbeat = Heartbeat {
            sequence: 1,
            sent_at: SystemClock.now(),
            agent_version: "0.1.0".into(),
            api_latency_ms: Some(3),
        };
        self.link.heartbeat(&heartbeat).await;
    }

    async fn report(&self) {
        let report = Report { agent_version: "0.1.0".into(), ..Report::default() };
        let acknowledged = tokio::time::timeout(PATIENCE, self.link.report(&report)).await;
        acknowledged.expect("in time").expect("acknowledged");
    }
}

fn port(node: &TestApp) -> u16 {
    node.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

/// Imports a cluster, and answers its uid and the token for its agent.
async fn import(admin: &Client) -> (String, String) {
    let project = admin.post("/v1/projects", json!({"name": "Web"})).await;
    let body = json!({"name": "plant-1", "project": project.text("/uid")});
    let created = admin.post("/v1/clusters", body).await;
    created.assert_status(201);
    let token = created.text("/import/manifestUrl").rsplit('/').next().expect("a token");
    (created.text("/cluster/uid").to_owned(), token.to_owned())
}

async fn enrol(at: &Client, token: &str, key: &AgentKey) -> Reply {
    let key = key.public_key();
    let body = json!({"token": token, "publicKey": key.as_str(), "agentVersion": "0.1.0"});
    at.post("/v1/agent/enrol", body).await
}

/// How many healthy clusters the live view of this node has.
async fn healthy(caller: &Client) -> i64 {
    caller.get("/v1/overview").await.number("/clusters/healthy")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_and_a_request_are_the_same_on_every_node() {
    let nodes = Nodes::without_bus(2).await;
    let acme = nodes.running[0].tenant(&nodes.system, "acme").await;
    let there = nodes.at(1, &acme);
    there.get("/v1/auth/me").await.assert_status(200);

    let make = async |at: &Client| {
        let request = at.request(Method::POST, "/v1/projects").header("idempotency-key", "once");
        at.send(request.json(&json!({"name": "Web"}))).await
    };
    let (first, again) = (make(&acme).await, make(&there).await);
    first.assert_status(201);
    again.assert_status(201);
    assert_eq!(first.text("/uid"), again.text("/uid"));
    assert_eq!(again.headers["idempotency-replayed"], "true");

    acme.post("/v1/auth/logout", json!({})).await.assert_status(204);
    let ended = Instant::now();
    eventually(REVOKED_WITHIN, || async {
        (there.get("/v1/auth/me").await.status.as_u16() == 401).then_some(())
    })
    .await;
    assert!(ended.elapsed() <= REVOKED_WITHIN, "{:?}", ended.elapsed());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_key_that_another_node_has_just_made_is_not_refused() {
    let nodes = Nodes::without_bus(2).await;
    let acme = nodes.running[0].tenant(&nodes.system, "acme").await;
    for _ in 0..3 {
        nodes.system.post("/v1/keys/jwt/rotate", json!({})).await.assert_status(200);
        let fresh = nodes.running[0].log_in("admin@acme.example.com").await;
        nodes.at(1, &fresh).get("/v1/auth/me").await.assert_status(200);
    }
    nodes.at(1, &acme).get("/v1/auth/me").await.assert_status(200);
    let forged = acme.token().replacen("eyJ", "eyK", 1);
    let refused = nodes.running[1].anonymous().with_token(&forged).get("/v1/auth/me").await;
    refused.assert_problem(401, "session-ended");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_two_nodes_change_at_once_are_changed_one_after_the_other() {
    let nodes = Nodes::without_bus(2).await;
    let before = nodes.generation(0);
    let other = nodes.at(1, &nodes.system);
    let rotate = async |at: &Client| {
        for _ in 0..3 {
            at.post("/v1/keys/jwt/rotate", json!({})).await.assert_status(200);
        }
    };
    tokio::join!(rotate(&nodes.system), rotate(&other));
    eventually(ADOPTED_WITHIN, || async {
        let generations = (nodes.generation(0), nodes.generation(1));
        (generations == (before + 6, before + 6)).then_some(())
    })
    .await;
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sealed_while_the_root_key_rotates_elsewhere_opens_on_every_node() {
    let nodes = Nodes::without_bus(2).await;
    let other = nodes.at(1, &nodes.system);
    for (number, slug) in ["acme", "rival", "third"].iter().enumerate() {
        nodes.system.post("/v1/keys/root/rotate", json!({})).await.assert_status(200);
        // This node does not know of the new root key yet.
        let there = nodes.running[1].tenant(&other, slug).await;
        let here = nodes.at(0, &there);
        other.post("/v1/keys/root/rotate", json!({})).await.assert_status(200);
        for admin in [here, there] {
            let users = admin.get("/v1/users").await;
            assert_eq!(users.text("/items/0/name"), format!("Admin of {slug}"), "{number}");
        }
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_takes_the_keystore_of_the_others_unless_it_went_its_own_way() {
    let mut nodes = Nodes::without_bus(2).await;
    let away = nodes.running.pop().expect("the second").stop().await;
    nodes.system.post("/v1/keys/jwt/rotate", json!({})).await.assert_status(200);
    nodes.system.post("/v1/keys/root/rotate", json!({})).await.assert_status(200);
    let back = nodes.start_again(away, 1).await;
    nodes.running.push(back);
    assert_eq!(nodes.generation(1), nodes.generation(0));
    let fresh = nodes.running[1].try_log_in("root@example.com", PASSWORD, "system").await;
    fresh.assert_status(200);

    let away = nodes.running.pop().expect("the second").stop().await;
    let keys = away.path().join("var/keys");
    let own = Keystore::open(&keys, Unlock::Unattended).expect("it opens");
    own.rotate_jwt(&SystemClock, &SystemRandom).expect("rotated");
    nodes.system.post("/v1/keys/jwt/rotate", json!({})).await.assert_status(200);
    let refused = start_alone(&away, &nodes).await;
    assert_eq!(refused.code(), "keystore-rolled-back");

    // The same for one that is sealed in its own way.
    copy_keys(nodes.running[0].directory.path(), away.path());
    let own = Keystore::open(&keys, Unlock::Unattended).expect("it opens");
    own.change_seal(SealMode::Unattended, &SystemRandom).expect("sealed anew");
    for _ in 0..2 {
        nodes.system.post("/v1/keys/jwt/rotate", json!({})).await.assert_status(200);
    }
    let refused = start_alone(&away, &nodes).await;
    assert_eq!(refused.code(), "keystore-rolled-back");
    nodes.stop().await;
}

/// Why the application does not start in a directory.
async fn start_alone(directory: &TempDir, nodes: &Nodes) -> palisade::error::Error {
    let data = directory.path().join("var");
    let settings = [
        ("storage.data_dir", data.to_str().expect("a plain path")),
        ("bus.mode", "off"),
        ("storage.database", "postgres"),
        ("storage.postgres.url", &nodes.url),
    ];
    let sources = palisade::config::Sources::only(settings);
    let parts = palisade::app::Parts {
        config: palisade::config::Config::load(sources).expect("valid settings"),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        metrics: None,
    };
    palisade::app::App::start(parts).await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_at_one_node_is_known_to_all_and_any_node_cuts_it_off() {
    let nodes = Nodes::with_bus(3).await;
    let acme = nodes.running[0].tenant(&nodes.system, "acme").await;
    let (cluster, token) = import(&acme).await;

    // Two agents with one token, at two nodes: one wins.
    let keys = [AgentKey::generate(&SystemRandom), AgentKey::generate(&SystemRandom)];
    let (at_b, at_c) = (nodes.running[1].anonymous(), nodes.running[2].anonymous());
    let answers = tokio::join!(enrol(&at_b, &token, &keys[0]), enrol(&at_c, &token, &keys[1]));
    let won = [answers.0.status.as_u16(), answers.1.status.as_u16()];
    assert!(won == [200, 409] || won == [409, 200], "{won:?}");
    let [first, second] = keys;
    let (key, answer) = if won[0] == 200 { (first, answers.0) } else { (second, answers.1) };

    let (jwt, node) = (answer.text("/jwt"), &nodes.running[1]);
    let seed = key.seed();
    let agent = Agent::dial(port(node), node, &cluster, key, jwt).await;
    agent.until_connected().await;
    let callers: Vec<_> = (0..3).map(|number| nodes.at(number, &acme)).collect();
    for caller in &callers {
        eventually(PATIENCE, || async {
            agent.beat().await;
            (healthy(caller).await == 1).then_some(())
        })
        .await;
    }
    agent.report().await;
    for (number, caller) in callers.iter().enumerate() {
        let path = format!("/v1/clusters/{cluster}");
        eventually(PATIENCE, || async {
            (!caller.get(&path).await.json["summary"].is_null()).then_some(())
        })
        .await;
        let ready = caller.get("/readyz").await;
        ready.assert_status(200);
        let connected = nodes.running[number].app.clusters().bus_status().expect("a bus").agents;
        assert_eq!(connected, usize::from(number == 1), "agents of node {number}");
    }

    let path = format!("/v1/clusters/{cluster}");
    nodes.at(2, &acme).delete(&path).await.assert_status(204);
    let mut state = agent.link.state();
    let cut = state.wait_for(|state| *state != LinkState::Connected);
    tokio::time::timeout(REVOKED_WITHIN, cut).await.expect("in time").expect("a link");
    for caller in &callers {
        eventually(PATIENCE, || async { (healthy(caller).await == 0).then_some(()) }).await;
    }
    drop(agent);
    let key = AgentKey::from_seed(&seed).expect("a key");
    let again = Agent::dial(port(&nodes.running[0]), node, &cluster, key, jwt).await;
    let mut state = again.link.state();
    let let_in = state.wait_for(|state| *state == LinkState::Connected);
    tokio::time::timeout(Duration::from_secs(3), let_in).await.expect_err("let in again");
    drop(again);
    nodes.stop().await;
}

/// One name for all nodes: whatever comes in goes to the node that it is set to.
struct VirtualAddress {
    port: u16,
    to: Arc<AtomicU16>,
}

impl VirtualAddress {
    async fn of(node: &TestApp) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let to = Arc::new(AtomicU16::new(self::port(node)));
        let target = Arc::clone(&to);
        tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                let target = target.load(Ordering::Relaxed);
                tokio::spawn(async move {
                    if let Ok(mut node) =
                        tokio::net::TcpStream::connect(("127.0.0.1", target)).await
                    {
                        let _ = tokio::io::copy_bidirectional(&mut inside, &mut node).await;
                    }
                });
            }
        });
        Self { port, to }
    }

    fn lead_to(&self, node: &TestApp) {
        self.to.store(port(node), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_of_a_node_that_stops_come_back_at_another() {
    let mut nodes = Nodes::with_bus(2).await;
    let acme = nodes.running[0].tenant(&nodes.system, "acme").await;
    let (cluster, token) = import(&acme).await;
    let key = AgentKey::generate(&SystemRandom);
    let enrolled = enrol(&acme, &token, &key).await;
    enrolled.assert_status(200);
    let address = VirtualAddress::of(&nodes.running[0]).await;
    let first = &nodes.running[0];
    let agent = Agent::dial(address.port, first, &cluster, key, enrolled.text("/jwt")).await;
    agent.until_connected().await;
    let caller = nodes.at(1, &acme);
    eventually(PATIENCE, || async {
        agent.beat().await;
        (healthy(&caller).await == 1).then_some(())
    })
    .await;

    address.lead_to(&nodes.running[1]);
    nodes.running.remove(0).stop().await;
    eventually(PATIENCE, || async {
        let there = nodes.running[0].app.clusters().bus_status().expect("a bus").agents;
        (there == 1).then_some(())
    })
    .await;
    agent.report().await;
    assert_eq!(healthy(&caller).await, 1, "nobody was silent for long");
    caller.get("/readyz").await.assert_status(200);
    drop(agent);
    nodes.stop().await;
}

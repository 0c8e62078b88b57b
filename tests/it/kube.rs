//! The whole way with real peers: a Kubernetes API, the commands that an
//! administrator types, the agent with the rights that the manifest gives it,
//! a broker, and proxies between them.

mod cluster;
mod pod;
mod population;
mod proxy;
mod screen;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use palisade::{
    agent::state::SavedState,
    bus::{
        AgentKey,
        agent::{AgentLink, LinkOptions, LinkState, is_refusal},
        dial::Tls,
        message::RenewRequest,
    },
    clock::{Clock, SystemClock, SystemRandom},
    secret::Secret,
};
use serde_json::{Value, json};

use self::{
    cluster::Kubernetes,
    pod::{NAMESPACE, Pod},
    population::{give_up_the_pending_pod, node_is, populate},
    proxy::Proxy,
    screen::Screen,
};
use crate::{
    app::{TestApp, eventually},
    cli::Shell,
    client::{Client, Reply},
    peers::free_port,
};

/// How long a change in the cluster may take until it shows.
const SEEN_WITHIN: Duration = Duration::from_secs(15);
/// How long the connection of a removed cluster may live.
const CUT_WITHIN: Duration = Duration::from_secs(5);
/// How long anything else may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// The default of `agents.heartbeat_timeout_seconds`.
const SILENCE: Duration = Duration::from_secs(30);
/// The shortest that the settings allow.
const SHORT_SILENCE: Duration = Duration::from_secs(15);
/// Heartbeats are so far apart.
const HEARTBEAT: Duration = Duration::from_secs(10);

const EMAIL: &str = "admin@acme.example.com";
const NAME: &str = "plant-1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_is_imported_watched_lost_found_and_removed() {
    let s = Scene::start("direct", None, SILENCE).await;
    let phases = ["Pending", "Healthy", "Degraded", "Healthy", "Unreachable", "Healthy"];
    let mut screen = Screen::watch(&s.t, EMAIL, NAME, &phases).await;
    screen.shows("Pending", PATIENCE).await;

    let agent = s.first_agent().await;
    assert_eq!(screen.shows("Healthy", SEEN_WITHIN).await, "");
    let shell = Shell::new(&s.t, "ada");
    shell.log_in(EMAIL, "tenant").await;
    s.command_line_says(&shell, "healthy").await;
    let ports = agent.connected_ports();
    assert!(ports.contains(&s.port), "the agent holds no connection to {}: {ports:?}", s.port);

    s.node_fails_and_recovers(async |phase| {
        let reasons = screen.shows(phase, SEEN_WITHIN).await;
        assert_eq!(reasons.contains("edge-2"), phase == "Degraded", "{reasons}");
        s.command_line_says(&shell, &phase.to_lowercase()).await;
    })
    .await;
    let agent = s.agent_dies_and_comes_back(agent).await;
    screen.shows("Unreachable", SEEN_WITHIN).await;
    screen.shows("Healthy", SEEN_WITHIN).await;
    screen.ends_well().await;
    s.goes_for_good(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_behind_an_http_proxy_with_a_password_works_as_well() {
    behind_a_proxy("tinyproxy", proxy::Kind::Http).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_behind_a_socks_proxy_with_a_password_works_as_well() {
    behind_a_proxy("microsocks", proxy::Kind::Socks5).await;
}

async fn behind_a_proxy(way: &'static str, kind: proxy::Kind) {
    let s = Scene::start(way, Some(kind), SHORT_SILENCE).await;
    s.wrong_proxy_credentials_are_named().await;
    let agent = s.first_agent().await;
    s.everything_goes_through_the_proxy(&agent);
    s.node_fails_and_recovers(async |_| {}).await;
    let agent = s.agent_dies_and_comes_back(agent).await;
    s.everything_goes_through_the_proxy(&agent);
    s.goes_for_good(agent).await;
}

/// An appliance and a cluster that has applied its manifest.
struct Scene {
    way: &'static str,
    t: TestApp,
    /// Of the appliance's one HTTPS listener.
    port: u16,
    silence: Duration,
    admin: Client,
    kubernetes: Kubernetes,
    /// The cluster's uid.
    cluster: String,
    /// For the service account of the manifest.
    kubeconfig: PathBuf,
    proxy: Option<Proxy>,
}

impl Scene {
    async fn start(way: &'static str, proxy: Option<proxy::Kind>, silence: Duration) -> Self {
        let begun = Instant::now();
        let port = free_port();
        let (listen, seconds) = (format!("127.0.0.1:{port}"), silence.as_secs().to_string());
        let settings = [
            ("server.listen", &*listen),
            ("bus.mode", "managed"),
            ("bus.websocket_listen", "127.0.0.1:0"),
            ("agents.heartbeat_timeout_seconds", &*seconds),
        ];
        let (t, kubernetes) = tokio::join!(TestApp::start_with(&settings), Kubernetes::start());
        tell(way, "appliance and Kubernetes are ready", begun);
        let system = t.set_up().await;
        let admin = t.tenant(&system, "acme").await;
        let project = admin.post("/v1/projects", json!({"name": "Factories"})).await;
        let body = json!({"name": NAME, "project": project.text("/uid")});
        let created = admin.post("/v1/clusters", body).await;
        created.assert_status(201);

        // The command as it is shown, on a machine that trusts the appliance's CA.
        let ca = t.directory.path().join("ca.pem");
        std::fs::write(&ca, t.app.certificates().current().anchor_pem()).expect("written");
        let command = created.text("/import/command");
        assert_eq!(command, format!("kubectl apply -f {}", created.text("/import/manifestUrl")));
        let applied = kubernetes.shell(command, &[("SSL_CERT_FILE", &ca)]).await;
        assert_eq!(applied.matches(" created").count(), 6, "{applied}");
        populate(&kubernetes).await;
        tell(way, "the manifest is applied", begun);

        let token = kubernetes.token_of("palisade-system", "palisade-agent").await;
        let kubeconfig = kubernetes.kubeconfig("palisade-agent", &token);
        let proxy = proxy.map(|kind| Proxy::start(kind, kubernetes.directory()));
        let cluster = created.text("/cluster/uid").to_owned();
        let s = Self { way, t, port, silence, admin, kubernetes, cluster, kubeconfig, proxy };
        s.rights_are_exactly_enough().await;
        s
    }

    /// What the agent needs, and nothing that would be of use to an intruder.
    async fn rights_are_exactly_enough(&self) {
        for (allowed, what) in [
            (true, "list nodes"),
            (true, "watch pods --all-namespaces"),
            (true, "list deployments.apps --all-namespaces"),
            (true, "patch configmaps --namespace palisade-system"),
            (false, "get secrets --namespace palisade-system"),
            (false, "list secrets --all-namespaces"),
            (false, "create pods --namespace palisade-system"),
            (false, "create pods/exec --all-namespaces"),
            (false, "delete nodes"),
            (false, "patch nodes"),
            (false, "patch deployments.apps --namespace palisade-system"),
            (false, "create serviceaccounts/token --namespace palisade-system"),
            (false, "bind clusterroles"),
            (false, "impersonate users"),
        ] {
            assert_eq!(self.kubernetes.may(&self.kubeconfig, what).await, allowed, "{what}");
        }
    }

    async fn agent(&self, name: &str) -> Pod {
        Pod::start(&self.kubernetes, name, &self.kubeconfig).await
    }

    async fn look(&self) -> Reply {
        self.admin.get(&format!("/v1/clusters/{}", self.cluster)).await
    }

    /// Waits until the cluster is in this phase.
    async fn until(&self, phase: &str, limit: Duration) -> Reply {
        let deadline = Instant::now() + limit;
        loop {
            let seen = self.look().await;
            if seen.json["phase"] == phase {
                return seen;
            }
            assert!(Instant::now() < deadline, "not {phase} within {limit:?}: {}", seen.body);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Tells the agent's Deployment to use the proxy, as an administrator does.
    async fn use_proxy(&self, credentials: &str) {
        let Some(proxy) = &self.proxy else { return };
        let line = format!(
            "kubectl --namespace palisade-system set env deployment/palisade-agent \
             PALISADE_PROXY={} \
             PALISADE_PROXY_CREDENTIALS_FILE=/etc/palisade/proxy-credentials",
            proxy.url()
        );
        self.kubernetes.shell(&line, &[]).await;
        let secret = json!({"stringData": {"proxy-credentials": credentials}});
        self.kubernetes.merge(&format!("{NAMESPACE}/secrets/palisade-agent"), secret).await;
    }

    async fn wrong_proxy_credentials_are_named(&self) {
        self.use_proxy("agent:guessed").await;
        let agent = self.agent("misled").await;
        let line = agent.until_it_says("refused the user name or password", PATIENCE).await;
        assert!(!line.to_string().contains("guessed"), "{line}");
        assert!(!agent.connected_ports().contains(&self.port), "the agent went past the proxy");
        let passages = self.proxy.as_ref().map(|proxy| proxy.passages("localhost"));
        assert_eq!(passages, Some(0));
        let seen = self.look().await;
        assert_eq!((seen.text("/phase"), seen.text("/credential/state")), ("pending", "awaiting"));
        agent.kill();
        self.use_proxy(&Proxy::credentials()).await;
    }

    fn everything_goes_through_the_proxy(&self, agent: &Pod) {
        let proxy = self.proxy.as_ref().expect("a proxy");
        let ports = agent.connected_ports();
        assert!(ports.contains(&proxy.port()), "not through the proxy: {ports:?}");
        assert!(!ports.contains(&self.port), "past the proxy: {ports:?}");
        assert!(proxy.passages("localhost") > 0, "the proxy knows of nothing");
    }

    /// The agent enrols, and what it says of the cluster is right.
    async fn first_agent(&self) -> Pod {
        assert_eq!(self.look().await.text("/phase"), "pending");
        let begun = Instant::now();
        let agent = self.agent("agent").await;
        let seen = self.until("healthy", PATIENCE).await;
        tell(self.way, "Healthy after the agent's start", begun);
        assert_eq!(seen.json["reasons"], json!([]));
        assert_eq!(seen.text("/credential/state"), "enrolled");
        assert_eq!(seen.text("/kubernetesVersion"), "v1.20.2");
        assert_eq!(seen.text("/agentVersion"), env!("CARGO_PKG_VERSION"));
        let summary = &seen.json["summary"];
        assert_eq!(summary["nodes"], json!({"total": 3, "ready": 3}), "{summary}");
        let pods = json!({"running": 2, "pending": 1, "failed": 1, "succeeded": 1, "unknown": 0});
        assert_eq!(summary["pods"], pods, "{summary}");
        assert_eq!(summary["cpu"], json!({"allocatableMillis": 11_700, "usedMillis": null}));
        assert_eq!(summary["memory"]["allocatableBytes"], 3 * (8_i64 << 30));
        // Filters go by what is stored, half a second later.
        eventually(PATIENCE, || async {
            let list = self.admin.get("/v1/clusters?phase=healthy").await;
            list.items().first().map(|first| assert_eq!(first["uid"], self.cluster))
        })
        .await;
        give_up_the_pending_pod(&self.kubernetes).await;
        eventually(SEEN_WITHIN, || async {
            (self.look().await.json["summary"]["pods"]["pending"] == 0).then_some(())
        })
        .await;
        agent
    }

    async fn command_line_says(&self, shell: &Shell, phase: &str) {
        let text = shell.good(&["get", "clusters", "-o", "json"]).await;
        let list: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(list["total"], 1, "{text}");
        let cluster = &list["items"][0];
        assert_eq!(cluster["uid"], self.cluster);
        assert_eq!((&cluster["name"], &cluster["phase"]), (&json!(NAME), &json!(phase)));
        let table = shell.good(&["get", "clusters"]).await.to_lowercase();
        let row = table.lines().find(|line| line.contains(NAME)).expect("a row");
        assert!(row.contains(phase) && row.contains("v1.20.2"), "{table}");
    }

    /// `shows` is called with each phase that was seen in the API.
    async fn node_fails_and_recovers(&self, mut shows: impl AsyncFnMut(&str)) {
        let begun = Instant::now();
        let down = ("KubeletNotReady", "the container runtime is down");
        node_is(&self.kubernetes, "edge-2", false, down).await;
        let seen = self.until("degraded", SEEN_WITHIN).await;
        tell(self.way, "Degraded after the node's failure", begun);
        let reasons = seen.json["reasons"].as_array().expect("reasons");
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert_eq!(reasons[0]["code"], "node-not-ready");
        let message = reasons[0]["message"].as_str().expect("text");
        assert!(message.contains("edge-2") && message.contains(down.1), "{message}");
        assert_eq!(seen.json["summary"]["nodes"], json!({"total": 3, "ready": 2}));
        shows("Degraded").await;

        let begun = Instant::now();
        let up = ("KubeletReady", "kubelet is posting ready status");
        node_is(&self.kubernetes, "edge-2", true, up).await;
        let seen = self.until("healthy", SEEN_WITHIN).await;
        tell(self.way, "Healthy after the node's recovery", begun);
        assert_eq!(seen.json["summary"]["nodes"], json!({"total": 3, "ready": 3}));
        shows("Healthy").await;
    }

    async fn agent_dies_and_comes_back(&self, agent: Pod) -> Pod {
        let key = self.kept_identity().await.public_key;
        assert_eq!(agent.lines("forbidden"), Vec::<Value>::new(), "the agent lacks a right");
        let begun = Instant::now();
        agent.kill();
        let seen = self.until("unreachable", self.silence + PATIENCE).await;
        tell(self.way, "Unreachable after the agent's end", begun);
        // The last heartbeat was at most one interval before the end.
        assert!(begun.elapsed() + HEARTBEAT + Duration::from_secs(1) >= self.silence);
        assert_eq!(seen.text("/reasons/0/code"), "no-heartbeat");

        let begun = Instant::now();
        let agent = self.agent("again").await;
        agent.until_it_says("enrolled in an earlier run", PATIENCE).await;
        self.until("healthy", PATIENCE).await;
        tell(self.way, "Healthy after the agent's return", begun);
        assert_eq!(self.kept_identity().await.public_key, key, "the agent has a new identity");
        agent
    }

    /// What the agent keeps in the cluster.
    async fn kept_identity(&self) -> SavedState {
        let path = format!("{NAMESPACE}/configmaps/palisade-agent-state");
        let state = self.kubernetes.get(&path).await;
        let data: BTreeMap<String, String> =
            serde_json::from_value(state["data"].clone()).expect("entries");
        SavedState::from_data(&data).expect("an identity")
    }

    /// A second connection with the agent's own key and credentials.
    async fn impostor(&self, key: &AgentKey, jwt: &str) -> AgentLink {
        let ca = self.t.app.certificates().current().anchor_pem().to_owned();
        let options = LinkOptions {
            address: format!("wss://localhost:{}/bus", self.port).parse().expect("an address"),
            tls: Tls::new(Some(&ca)).expect("a CA"),
            proxy: None,
            cluster: self.cluster.parse().expect("a uid"),
            key: AgentKey::from_seed(&key.seed()).expect("a seed"),
            jwt: jwt.to_owned(),
            random: Arc::new(SystemRandom),
        };
        AgentLink::connect(options).await.expect("a link").0
    }

    async fn goes_for_good(self, agent: Pod) {
        let secret = self.kubernetes.get(&format!("{NAMESPACE}/secrets/palisade-agent")).await;
        let token = secret["data"]["token"].as_str().expect("a token");
        let token = data_encoding::BASE64.decode(token.as_bytes()).expect("base64");
        let token = Secret::new(String::from_utf8(token).expect("text"));
        let kept = self.kept_identity().await;
        let seed = kept.unseal(&token).expect("the token opens the agent's key");
        let key = AgentKey::from_seed(&seed).expect("a seed");
        let jwt = kept.enrolment.expect("enrolled").jwt;
        let link = self.impostor(&key, &jwt).await;
        until_link(&link, PATIENCE, |state| *state == LinkState::Connected).await;
        let bus = || self.t.app.clusters().bus().expect("a bus");
        let uid = self.cluster.parse().expect("a uid");
        assert!(bus().is_connected(uid), "the broker does not know the agent");

        let begun = Instant::now();
        let path = format!("/v1/clusters/{}", self.cluster);
        self.admin.delete(&path).await.assert_status(204);
        tokio::join!(
            async {
                agent.until_it_says("refused these credentials", CUT_WITHIN).await;
                tell(self.way, "the agent is cut off after the deletion", begun);
            },
            async {
                until_link(&link, CUT_WITHIN, refused).await;
                tell(self.way, "a second connection is cut off after the deletion", begun);
            },
            async {
                let gone = || async { (!bus().is_connected(uid)).then_some(()) };
                eventually(CUT_WITHIN, gone).await;
                tell(self.way, "the broker has no connection after the deletion", begun);
            },
        );
        drop(link);

        let refusal = agent.until_it_says("management refuses to renew", PATIENCE).await;
        assert_eq!(refusal["code"], "credential-revoked", "{refusal}");
        let ports = agent.connected_ports();
        let way = self.proxy.as_ref().map_or(self.port, Proxy::port);
        assert!(!ports.contains(&way), "still connected: {ports:?}");
        assert_eq!(agent.lines("async_nats"), Vec::<Value>::new());

        let link = self.impostor(&key, &jwt).await;
        until_link(&link, PATIENCE, refused).await;
        let renewed = self.renew(&key).await;
        renewed.assert_problem(403, "credential-revoked");
        self.look().await.assert_status(404);
        drop(link);
        agent.kill();
        self.t.stop().await;
    }

    async fn renew(&self, key: &AgentKey) -> Reply {
        let (public_key, at) = (key.public_key().to_string(), SystemClock.now());
        let text = RenewRequest::signed_text(&self.cluster, &public_key, at);
        let signature = data_encoding::BASE64URL_NOPAD.encode(&key.sign(text.as_bytes()));
        let request = RenewRequest { cluster: self.cluster.clone(), public_key, at, signature };
        let body = serde_json::to_value(request).expect("JSON");
        self.t.anonymous().post("/v1/agent/renew", body).await
    }
}

fn refused(state: &LinkState) -> bool {
    matches!(state, LinkState::Connecting { cause: Some(cause) } if is_refusal(cause))
}

async fn until_link(link: &AgentLink, limit: Duration, wanted: fn(&LinkState) -> bool) {
    let mut state = link.state();
    let outcome = tokio::time::timeout(limit, state.wait_for(wanted)).await;
    assert!(outcome.is_ok(), "after {limit:?} the link is {:?}", link.state().borrow());
}

/// For whoever runs the tests with `--nocapture`.
#[expect(clippy::print_stderr, reason = "durations are what these tests are asked for")]
fn tell(way: &str, what: &str, begun: Instant) {
    eprintln!("{way:>10}: {what}: {:.1} s", begun.elapsed().as_secs_f64());
}

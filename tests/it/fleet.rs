//! Clusters over the real bus: import, reports, silence, removal.

use std::{process::Stdio, time::Duration};

use palisade::{
    agent::Transport,
    secret::Secret,
    simulate::{self, Shape, SimulateSettings},
};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::oneshot,
};

use crate::{
    app::{TestApp, eventually},
    process::Installation,
};

/// Two ports that are free now.
fn free_ports() -> (String, String) {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let (one, other) = (bind(), bind());
    let text = |listener: &std::net::TcpListener| listener.local_addr().expect("bound").to_string();
    (text(&one), text(&other))
}

async fn with_bus() -> TestApp {
    let (tls, websocket) = free_ports();
    TestApp::start_with(&[
        ("bus.mode", "managed"),
        ("bus.listen", &tls),
        ("bus.websocket_listen", &websocket),
        ("agents.heartbeat_timeout_seconds", "15"),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_clusters_become_healthy_and_unreachable_when_they_fall_silent() {
    let t = with_bus().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let key = acme.post("/v1/api-keys", json!({"name": "fleet"})).await.text("/secret").to_owned();
    let ca = t.directory.path().join("ca.pem");
    std::fs::write(&ca, t.app.certificates().current().anchor_pem()).expect("written");
    let settings = SimulateSettings {
        management_url: t.url.clone(),
        api_key: Secret::new(key),
        ca_file: Some(ca),
        transport: Transport::WebSocket,
        clusters: 3,
        project: "Factories".to_owned(),
        name_prefix: "plant".to_owned(),
        duration: None,
        shape: Shape { degraded_percent: 0, ..Shape::default() },
        cleanup: false,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let fleet = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut out = Vec::new();
        let stopped = async {
            let _ = stopped.await;
        };
        let run = simulate::run(settings, &mut out, stopped);
        runtime.expect("a runtime").block_on(run).map(drop)
    });
    eventually(Duration::from_secs(40), || async {
        let list = acme.get("/v1/clusters?phase=healthy").await;
        (list.number("/total") == 3).then_some(())
    })
    .await;
    let overview = acme.get("/v1/overview").await;
    assert_eq!(overview.number("/clusters/healthy"), 3, "{}", overview.body);

    stop.send(()).expect("the simulation listens");
    let ended = tokio::task::spawn_blocking(|| fleet.join()).await.expect("no panic");
    ended.expect("no panic").expect("a clean end");
    eventually(Duration::from_secs(40), || async {
        let list = acme.get("/v1/clusters?phase=unreachable").await;
        (list.number("/total") == 3).then_some(())
    })
    .await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_servers_key_exists_only_while_the_brokers_own_port_is_open() {
    let (tls, _) = free_ports();
    let (mode, websocket) = (("bus.mode", "managed"), ("bus.websocket_listen", "127.0.0.1:0"));
    let t = TestApp::start_with(&[mode, websocket, ("bus.listen", &tls)]).await;
    let key = t.directory.path().join("var/bus/server.key");
    let permissions = std::fs::metadata(&key).expect("a key for the broker").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, 0o600);
    assert!(tokio::net::TcpStream::connect(&tls).await.is_ok());

    let t = TestApp::start_in(t.stop().await, &[mode, websocket]).await;
    assert!(!key.exists(), "the copy was left behind");
    assert!(!key.with_file_name("server.crt").exists());
    assert!(tokio::net::TcpStream::connect(&tls).await.is_err());
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_token_enrols_one_agent_and_the_manifest_shows_nothing_afterwards() {
    let t = with_bus().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let project = acme.post("/v1/projects", json!({"name": "Web"})).await.text("/uid").to_owned();
    let body = json!({"name": "plant-1", "project": project});
    let created = acme.post("/v1/clusters", body).await;
    created.assert_status(201);
    assert!(created.text("/import/command").starts_with("kubectl apply -f https://"));
    let token = created.text("/import/manifestUrl").rsplit('/').next().expect("a token").to_owned();
    let manifest = t.anonymous().get(&format!("/v1/agent/manifest/{token}")).await;
    manifest.assert_status(200);
    assert!(manifest.body.contains("kind: Deployment"), "{}", manifest.body);

    let key = palisade::bus::AgentKey::generate(&palisade::clock::SystemRandom);
    let body = |key: &palisade::bus::AgentKey| json!({"token": token, "publicKey": key.public_key().as_str(), "agentVersion": "0.1.0"});
    t.anonymous().post("/v1/agent/enrol", body(&key)).await.assert_status(200);
    // Its answer may have been lost; nobody else gets one.
    t.anonymous().post("/v1/agent/enrol", body(&key)).await.assert_status(200);
    let thief = palisade::bus::AgentKey::generate(&palisade::clock::SystemRandom);
    t.anonymous().post("/v1/agent/enrol", body(&thief)).await.assert_problem(409, "token-used");
    t.anonymous().get(&format!("/v1/agent/manifest/{token}")).await.assert_status(404);
    let rival = t.tenant(&system, "rival").await;
    let path = format!("/v1/clusters/{}", created.text("/cluster/uid"));
    rival.get(&path).await.assert_problem(404, "not-found");
    acme.delete(&path).await.assert_status(204);
    t.stop().await;
}

#[tokio::test]
async fn a_container_engine_finds_the_agents_image_here_and_every_digest_is_right() {
    let t = TestApp::start().await;
    let client = t.anonymous();
    client.get("/v2/").await.assert_status(200);
    let version = env!("CARGO_PKG_VERSION");
    let manifest = client.get(&format!("/v2/palisade/agent/manifests/{version}")).await;
    manifest.assert_status(200);
    let promised = manifest.headers["docker-content-digest"].to_str().expect("text");
    assert_eq!(digest(manifest.body.as_bytes()), promised);
    let by_digest = client.get(&format!("/v2/palisade/agent/manifests/{promised}")).await;
    assert_eq!(by_digest.body, manifest.body);
    for part in [&manifest.json["config"], &manifest.json["layers"][0]] {
        let wanted = part["digest"].as_str().expect("a digest");
        let path = format!("/v2/palisade/agent/blobs/{wanted}");
        let head = client.request(reqwest::Method::HEAD, &path).send().await.expect("an answer");
        assert_eq!(head.headers()["content-length"], part["size"].to_string());
        let blob = client.request(reqwest::Method::GET, &path).send().await.expect("an answer");
        assert_eq!(digest(&blob.bytes().await.expect("all of it")), wanted);
    }
    client.get("/v2/palisade/agent/manifests/latest").await.assert_status(404);
    client.get("/v2/palisade/agent/blobs/sha256:00").await.assert_status(404);
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(bytes);
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demonstration_fills_a_fresh_appliance_and_can_be_repeated() {
    let installation = Installation::with_bus(&[]);
    let running = installation.start().await;
    for _ in 0..2 {
        let mut demo = tokio::process::Command::new(env!("CARGO_BIN_EXE_palisade"));
        demo.args(["demo", "--url", &installation.url(), "--data-dir"]).arg(installation.data());
        demo.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut demo = demo.spawn().expect("the program starts");
        let mut lines = BufReader::new(demo.stderr.take().expect("piped")).lines();
        let said = lines.next_line().await.expect("readable").expect("a line");
        let (_, password) = said.rsplit_once(" is ").unwrap_or_else(|| panic!("{said}"));
        let body = json!({"email": "admin@demo.example.com", "password": password, "bearer": true});
        let session = installation.anonymous().post("/v1/auth/login", body).await;
        session.assert_status(200);
        let admin = installation.anonymous().with_token(session.text("/tokens/accessToken"));
        eventually(Duration::from_secs(40), || async {
            let overview = admin.get("/v1/overview").await;
            let (healthy, degraded) =
                (overview.number("/clusters/healthy"), overview.number("/clusters/degraded"));
            (healthy + degraded == 12).then_some(())
        })
        .await;
        demo.kill().await.expect("killable");
    }
    running.stop().await;
}

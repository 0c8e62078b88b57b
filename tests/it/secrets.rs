//! Planted secrets: where they must not be found, and that the search works.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use palisade::{bus::AgentKey, clock::SystemRandom};
use reqwest::Method;
use serde_json::json;

use crate::{
    app::PASSWORD,
    client::Client,
    process::{Installation, children},
};

/// A place and its bytes.
type Place = (String, Vec<u8>);

/// Every file below a folder.
fn files(folder: &Path) -> Vec<Place> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(file(&path));
            }
        }
    }
    found
}

fn file(path: &Path) -> Place {
    (path.display().to_string(), fs::read(path).expect("readable"))
}

/// What everybody on the machine can see of a process, and what its owner can.
fn process(pid: u32) -> Vec<Place> {
    let of = |name: &str| file(&PathBuf::from(format!("/proc/{pid}/{name}")));
    vec![of("cmdline"), of("environ")]
}

/// Which secret stands where.
fn found(places: &[Place], secrets: &[(&str, String)]) -> Vec<String> {
    let mut leaks = Vec::new();
    for (place, bytes) in places {
        for (what, secret) in secrets {
            assert!(secret.len() >= 8, "{what} is too short to be looked for");
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                leaks.push(format!("{what} stands in {place}"));
            }
        }
    }
    leaks
}

/// Seeds of the broker's keys, which begin like this and are 58 characters long.
fn seeds(places: &[Place]) -> Vec<String> {
    let is_seed = |word: &[u8]| {
        ["SO", "SA", "SU", "SN", "SC"].iter().any(|kind| word.starts_with(kind.as_bytes()))
            && word.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
            && word.len() == 58
    };
    let words = |bytes: &[u8]| bytes.split(|byte| !byte.is_ascii_alphanumeric()).any(is_seed);
    let leaks = places.iter().filter(|(_, bytes)| words(bytes));
    leaks.map(|(place, _)| format!("the seed of a key stands in {place}")).collect()
}

fn last_segment(url: &str) -> String {
    url.rsplit(['/', '=']).next().expect("a segment").to_owned()
}

type Secrets = Vec<(&'static str, String)>;

/// A password, a wrong one, a changed one, links and sessions.
async fn of_people(anonymous: &Client, acme: &Client) -> Secrets {
    let new = json!({"email": "canarymail@acme.example.com", "name": "Canaryname Person",
        "password": "canarypassword-meadow-71"});
    let user = acme.post("/v1/users", new).await.text("/user/uid").to_owned();
    let try_in = |password: &'static str| {
        let body =
            json!({"email": "canarymail@acme.example.com", "password": password, "bearer": true});
        anonymous.post("/v1/auth/login", body)
    };
    try_in("wrongcanary-meadow-71").await.assert_status(401);
    let session = try_in("canarypassword-meadow-71").await;
    session.assert_status(200);
    let refresh = session.text("/tokens/refreshToken").to_owned();
    let body = json!({"refreshToken": refresh, "bearer": true});
    let refreshed = anonymous.post("/v1/auth/refresh", body).await;
    refreshed.assert_status(200);
    let person = anonymous.clone().with_token(refreshed.text("/tokens/accessToken"));
    let body = json!({"current": "canarypassword-meadow-71", "new": "nextcanary-harbour-35"});
    person.post("/v1/auth/password", body).await.assert_status(204);
    let link = acme.post(&format!("/v1/users/{user}/invite"), json!({})).await;
    link.assert_status(200);
    let invited = acme
        .post("/v1/users", json!({"email": "guest@canary.example.com", "name": "Canaryguest"}))
        .await;
    let bad = json!({"email": "badmail@canary.example.com", "name": "", "password": "badcanary-1"});
    acme.post("/v1/users", bad).await.assert_status(422);
    vec![
        ("a name", "Canaryname".to_owned()),
        ("an e-mail address", "canarymail".to_owned()),
        ("a password", "canarypassword".to_owned()),
        ("a wrong password", "wrongcanary".to_owned()),
        ("a changed password", "nextcanary".to_owned()),
        ("a refused password", "badcanary-1".to_owned()),
        ("a refused e-mail address", "badmail@canary".to_owned()),
        ("an access token", session.text("/tokens/accessToken").to_owned()),
        ("a refresh token", refresh),
        ("an access token", refreshed.text("/tokens/accessToken").to_owned()),
        ("a refresh token", refreshed.text("/tokens/refreshToken").to_owned()),
        ("the token of a reset link", last_segment(link.text("/url"))),
        ("the token of an invitation", last_segment(invited.text("/invite/url"))),
        ("an e-mail address", "guest@canary".to_owned()),
    ]
}

/// Import tokens, the credentials of an agent, a kubeconfig.
async fn of_clusters(anonymous: &Client, acme: &Client) -> Secrets {
    let project = acme.post("/v1/projects", json!({"name": "Web"})).await.text("/uid").to_owned();
    let body = json!({"name": "plant-1", "project": project});
    let created = acme.post("/v1/clusters", body).await;
    created.assert_status(201);
    let cluster = format!("/v1/clusters/{}", created.text("/cluster/uid"));
    let renewed = acme.post(&format!("{cluster}/import-token"), json!({})).await;
    let token = last_segment(renewed.text("/manifestUrl"));
    anonymous.get(&format!("/v1/agent/manifest/{token}")).await.assert_status(200);
    let key = AgentKey::generate(&SystemRandom);
    let body = json!({"token": token, "publicKey": key.public_key().as_str(),
        "agentVersion": "0.1.0"});
    let enrolled = anonymous.post("/v1/agent/enrol", body).await;
    enrolled.assert_status(200);
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {server: \
        https://canaryserver:6443}\nusers:\n- name: u\n  user: {token: canarykubetoken}\n\
        contexts:\n- name: x\n  context: {cluster: c, user: u}\ncurrent-context: x\n";
    let put = acme.request(Method::PUT, &format!("{cluster}/kubeconfig"));
    let put = put.json(&json!({"kubeconfig": kubeconfig}));
    acme.send(put).await.assert_status(204);
    let fetched = acme.get(&format!("{cluster}/kubeconfig")).await;
    assert!(fetched.body.contains("canarykubetoken"), "{}", fetched.body);
    vec![
        ("an import token", last_segment(created.text("/import/manifestUrl"))),
        ("an import token", token),
        ("an agent's credentials", enrolled.text("/jwt").to_owned()),
        ("an agent's seed", key.seed().expose().clone()),
        ("a kubeconfig", "canarykubetoken".to_owned()),
        ("a kubeconfig", "canaryserver".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_its_log_and_nothing_else_on_disk_show_a_planted_secret() {
    let installation = Installation::with_bus(&[("log.filter", "debug"), ("log.format", "json")]);
    let server = installation.start().await;
    let code = fs::read_to_string(installation.data().join("setup-code")).expect("a code");
    let system = installation.set_up().await;
    let acme = installation.tenant(&system, "acme").await;
    let anonymous = installation.anonymous();
    let mut secrets = vec![
        ("an e-mail address", "root@example.com".to_owned()),
        ("an e-mail address", "admin@acme.example.com".to_owned()),
        ("a password", PASSWORD.to_owned()),
        ("an access token", system.token().to_owned()),
        ("an access token", acme.token().to_owned()),
    ];

    secrets.extend(of_people(&anonymous, &acme).await);
    secrets.extend(of_clusters(&anonymous, &acme).await);
    // an API key, made twice with the same idempotency key
    for _ in 0..2 {
        let request = acme.request(Method::POST, "/v1/api-keys").header("idempotency-key", "once");
        let key = acme.send(request.json(&json!({"name": "pipeline"}))).await;
        key.assert_status(201);
        secrets.push(("an API key", key.text("/secret").to_owned()));
    }
    let mut rotated = system.post("/v1/keys/jwt/rotate", json!({})).await;
    rotated.assert_status(200);
    rotated = system.post("/v1/keys/root/rotate", json!({})).await;
    rotated.assert_status(200);

    // when: it runs, and after it has ended
    let log = file(&installation.log());
    assert!(log.1.len() > 5_000, "the log at debug is suspiciously short");
    let mut places = files(&installation.data());
    let brokers = children(server.id());
    assert_eq!(brokers.len(), 1, "there is one broker");
    for pid in brokers.into_iter().chain([server.id()]) {
        places.extend(process(pid));
    }
    places.push(log);
    server.stop().await;
    places.extend(files(&installation.data()));
    places.push(file(&installation.log()));

    // then
    let names: Vec<_> = places.iter().map(|(place, _)| place.as_str()).collect();
    for part in ["palisade.db", "palisade.db-wal", "/bus/", "/keys/", "serve.log", "/environ"] {
        assert!(names.iter().any(|name| name.contains(part)), "{part} was not searched: {names:?}");
    }
    assert_eq!(found(&places, &secrets), Vec::<String>::new());
    assert_eq!(seeds(&places), Vec::<String>::new());
    // The broker reads its key from a file: the only one that is not sealed, for its owner alone.
    let pem = [("a private key", "PRIVATE KEY".to_owned())];
    let key = installation.data().join("bus/server.key");
    let open = format!("a private key stands in {}", key.display());
    assert_eq!(found(&files(&installation.data()), &pem), [open]);
    let mode = fs::metadata(&key).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The console shows the code; nothing keeps it once it is used.
    let code = [("the set-up code", code.trim().to_owned())];
    places.retain(|(place, _)| !place.ends_with("serve.log"));
    assert_eq!(found(&places, &code), Vec::<String>::new());
}

#[test]
fn the_search_finds_a_secret_wherever_one_is_planted() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).expect("made");
    fs::write(deep.join("x.db-wal"), b"\0\xff\x01canarysecret\0").expect("written");
    let seed = "SUAGHIM6HTCDVRZRI3RFAZJUUW6EOBPNVJ3G5PWYQ7OJWTG6WWEWWWXPUM";
    fs::write(folder.path().join("user.creds"), format!("-----\n{seed}\n-----")).expect("written");
    let mut child = Command::new("/bin/sleep")
        .arg("30")
        .env("PLANTED", "canaryenvironment")
        .stdin(Stdio::null())
        .spawn()
        .expect("a process");
    let mut places = files(folder.path());
    // The kernel shows a new program's variables a moment after it has begun.
    let id = child.id();
    let shown = || process(id).into_iter().all(|(_, bytes)| !bytes.is_empty());
    while !shown() {
        assert!(child.try_wait().expect("a state").is_none(), "it has ended");
        std::thread::yield_now();
    }
    places.extend(process(child.id()));
    child.kill().expect("killable");
    child.wait().expect("gone");

    let secrets =
        [("a file", "canarysecret".to_owned()), ("a variable", "canaryenvironment".to_owned())];
    let leaks = found(&places, &secrets);
    assert_eq!(leaks.len(), 2, "{leaks:?}");
    assert!(leaks.iter().any(|leak| leak.contains("x.db-wal")), "{leaks:?}");
    assert!(leaks.iter().any(|leak| leak.contains("environ")), "{leaks:?}");
    assert_eq!(seeds(&places).len(), 1);
}

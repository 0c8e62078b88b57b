//! The nodes of the cluster through the API. A stand-in for the node daemon
//! answers what each state needs; the real one says that a node is alone.

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use palisade::node::{
    daemon::{self, Options},
    paths::Paths,
    protocol::{ClusterView, Envelope, EventList, Failure, Progress, Reply, Request},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{TestApp, eventually},
    client::{Client, Reply as Answer},
};

const NODES: &str = "/v1/platform/nodes";
const CODE: &str = "K7QM-2XWD-9RTB-HN4V";

/// What the stand-in does for one request.
enum Step {
    Say(Reply),
    /// Until the test lets it go on.
    Wait,
}

/// What the stand-in and the test share.
struct Shared {
    view: Mutex<ClusterView>,
    next: Mutex<VecDeque<Vec<Step>>>,
    asked: Mutex<Vec<Value>>,
    go_on: Semaphore,
}

/// An appliance whose node daemon says what the test wants.
struct Given {
    t: TestApp,
    shared: Arc<Shared>,
}

impl Given {
    async fn new(view: Value) -> Self {
        let directory = TempDir::new().expect("a directory");
        let paths = Paths::below(directory.path());
        fs::create_dir_all(paths.run()).expect("made");
        let shared = Arc::new(Shared {
            view: Mutex::new(serde_json::from_value(view).expect("a view")),
            next: Mutex::default(),
            asked: Mutex::default(),
            go_on: Semaphore::new(0),
        });
        let listener = UnixListener::bind(paths.socket()).expect("a socket");
        tokio::spawn(stand_in(listener, Arc::clone(&shared)));
        let data = paths.data().display().to_string();
        let t = TestApp::start_in(directory, &[("storage.data_dir", &data)]).await;
        Self { t, shared }
    }

    /// The next request that changes something is answered like this.
    fn next(&self, steps: Vec<Step>) {
        self.shared.next.lock().expect("whole").push_back(steps);
    }

    fn asked(&self) -> Vec<Value> {
        self.shared.asked.lock().expect("whole").clone()
    }

    fn shows(&self, view: Value) {
        *self.shared.view.lock().expect("whole") = serde_json::from_value(view).expect("a view");
    }
}

async fn stand_in(listener: UnixListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a caller");
        tokio::spawn(answer(stream, Arc::clone(&shared)));
    }
}

async fn answer(stream: UnixStream, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("a line");
    let Ok(envelope) = serde_json::from_str::<Envelope>(&line) else { return };
    let steps = match &envelope.request {
        Request::ClusterState(_) => {
            vec![done(json!(*shared.view.lock().expect("whole")))]
        }
        Request::Events(_) => {
            vec![done(json!(EventList { outbox: "none".to_owned(), events: Vec::new() }))]
        }
        _ => {
            let asked = serde_json::from_str(&line).expect("JSON");
            shared.asked.lock().expect("whole").push(asked);
            shared.next.lock().expect("whole").pop_front().expect("the test has foreseen it")
        }
    };
    for step in steps {
        match step {
            Step::Wait => shared.go_on.acquire().await.expect("open").forget(),
            Step::Say(reply) => {
                let mut line = serde_json::to_vec(&reply).expect("JSON");
                line.push(b'\n');
                stream.write_all(&line).await.expect("written");
            }
        }
    }
}

fn done(answer: Value) -> Step {
    Step::Say(Reply::Done(answer))
}

fn progress(text: &str, percent: u8) -> Step {
    Step::Say(Reply::Progress(Progress { text: text.to_owned(), percent: Some(percent) }))
}

fn failed(kind: &str, code: &str, message: &str) -> Step {
    Step::Say(Reply::Failed(Failure {
        kind: kind.to_owned(),
        code: code.to_owned(),
        message: message.to_owned(),
        hint: Some("Do this next.".to_owned()),
        fields: Vec::new(),
    }))
}

fn node(number: u8, role: &str) -> Value {
    json!({
        "name": format!("n{number}"), "own": number == 1, "address": format!("192.0.2.1{number}"),
        "joined": "2026-11-22T05:00:00Z", "version": "0.1.0", "ready": true,
        "database": {"role": role, "state": "streaming", "timeline": 3,
            "lagBytes": if role == "leader" { Value::Null } else { json!(0) }},
        "etcd": {"leader": number == 1, "version": "3.5.16", "bytes": 131_072},
        "clockAheadMs": 12, "certificateUntil": "2027-02-20T05:00:00Z",
        "ifStopped": "Nothing would stop. Another failure after it would.",
    })
}

fn alone() -> Value {
    json!({"nodes": [], "warnings": []})
}

fn running() -> Value {
    json!({
        "own": "n1", "phase": "running", "virtualAddress": "192.0.2.20",
        "nodes": [node(1, "leader"), node(2, "synchronous"), node(3, "synchronous")],
        "quorum": {"present": 3, "members": 3, "needed": 2},
        "lastFailover": {"at": "2026-11-22T05:28:26Z", "leader": "n1", "why": "no recovery target specified"},
        "warnings": [],
    })
}

fn one_silent() -> Value {
    let mut view = running();
    view["nodes"][2] = json!({
        "name": "n3", "own": false, "address": "192.0.2.13", "joined": "2026-11-22T05:00:00Z",
        "silent": "192.0.2.13 does not answer: no route to host.", "ifStopped": "Nothing would stop.",
    });
    view["quorum"]["present"] = json!(2);
    view
}

fn forming(failure: Option<&str>) -> Value {
    let joined = |number: u8| {
        let mut node = node(number, "replica");
        node["database"] = Value::Null;
        node["etcd"] = Value::Null;
        node
    };
    json!({
        "own": "n1", "phase": "forming", "nodes": [joined(1), joined(2), joined(3)],
        "progress": {"step": "Starting etcd on every node", "percent": 15,
            "running": failure.is_none(), "failure": failure},
        "warnings": [],
    })
}

async fn remove(client: &Client, name: &str) -> Answer {
    client.delete(&format!("{NODES}/{name}")).await
}

async fn switch_over(client: &Client, body: Value) -> Answer {
    client.post("/v1/platform/nodes/switch-over", body).await
}

/// The newest record of an action: outcome and detail.
async fn newest(client: &Client, action: &str) -> (String, Value) {
    let patience = Duration::from_secs(20);
    let record = eventually(patience, || async {
        let records = client.get(&format!("/v1/audit?action={action}")).await;
        records.items().first().cloned()
    });
    let record = record.await;
    (record["outcome"].as_str().expect("a word").to_owned(), record["detail"].clone())
}

/// What was asked for, when it has ended.
async fn ended(client: &Client) -> Value {
    eventually(Duration::from_secs(20), || async {
        let work = client.get(NODES).await.json["work"].clone();
        (!work["endedAt"].is_null()).then_some(work)
    })
    .await
}

#[tokio::test]
async fn without_a_node_daemon_there_are_no_nodes() {
    let t = TestApp::start().await;
    let root = t.set_up().await;
    root.get(NODES).await.assert_problem(409, "not-an-appliance");
    let invite = root.post("/v1/platform/nodes/invite", json!({"begin": true})).await;
    invite.assert_problem(409, "not-an-appliance");
    let complete = root.post("/v1/platform/nodes/complete", json!({})).await;
    complete.assert_problem(409, "not-an-appliance");
    switch_over(&root, json!({})).await.assert_problem(409, "not-an-appliance");
    remove(&root, "n3").await.assert_problem(409, "not-an-appliance");
    for action in [
        "platform.invite",
        "platform.completeCluster",
        "platform.switchOver",
        "platform.removeNode",
    ] {
        let (outcome, detail) = newest(&root, action).await;
        assert_eq!(outcome, "failed", "{action}");
        assert_eq!(detail["reason"], "not-an-appliance", "{action}");
    }
}

#[tokio::test]
async fn the_daemon_of_a_node_that_is_alone_says_so() {
    let directory = TempDir::new().expect("a directory");
    let (root, paths) = (directory.path().to_owned(), Paths::below(directory.path()));
    for path in ["etc", "var/lib/palisade-node", "run/palisade-node"] {
        fs::create_dir_all(root.join(path)).expect("made");
    }
    // This process is the management plane.
    let own = fs::metadata(&root).expect("there");
    let user = format!("palisade:x:{}:{}::/:/bin/false\n", own.uid(), own.gid());
    fs::write(root.join("etc/passwd"), user).expect("written");
    let stopping = CancellationToken::new();
    let _stops = stopping.clone().drop_guard();
    let options = Options { paths: paths.clone(), notify: None, stopping };
    tokio::spawn(daemon::run(options));
    while !paths.socket().exists() {
        tokio::task::yield_now().await;
    }
    let data = paths.data().display().to_string();
    let t = TestApp::start_in(directory, &[("storage.data_dir", &data)]).await;
    let root = t.set_up().await;

    let nodes = root.get(NODES).await;
    nodes.assert_status(200);
    assert_eq!((nodes.text("/standing"), nodes.text("/phase")), ("alone", "none"));
    assert_eq!(nodes.text("/sentence"), "This node works alone.");
    let complete = root.post("/v1/platform/nodes/complete", json!({})).await;
    complete.assert_problem(409, "no-cluster");
    root.post("/v1/platform/nodes/invite", json!({})).await.assert_problem(409, "no-cluster");
    remove(&root, "n2").await.assert_problem(409, "no-cluster");
    switch_over(&root, json!({})).await.assert_problem(409, "no-cluster");
    assert_eq!(root.get(NODES).await.json["work"], Value::Null, "the callers have heard it");
    assert_eq!(
        newest(&root, "platform.removeNode").await.1,
        json!({"node": "n2", "reason": "no-cluster"})
    );
}

#[tokio::test]
async fn a_cluster_that_runs_shows_every_node_in_plain_words() {
    let given = Given::new(running()).await;
    let root = given.t.set_up().await;
    let nodes = root.get(NODES).await;
    nodes.assert_status(200);
    assert_eq!((nodes.text("/standing"), nodes.text("/phase")), ("good", "running"));
    assert_eq!(
        nodes.text("/sentence"),
        "Highly available: any one node can fail, and nothing is lost."
    );
    assert_eq!(nodes.text("/virtualAddress"), "192.0.2.20");
    assert_eq!(nodes.json["quorum"], json!({"present": 3, "members": 3, "needed": 2}));
    assert_eq!(nodes.text("/lastFailover/leader"), "n1");
    assert_eq!(nodes.text("/nodes/0/database/words"), "leads");
    assert_eq!(nodes.text("/nodes/1/database/words"), "has everything");
    assert_eq!(nodes.text("/nodes/1/database/role"), "synchronous");
    assert_eq!(nodes.text("/nodes/2/etcd/version"), "3.5.16");
    assert_eq!(nodes.number("/nodes/2/clockAheadMs"), 12);
}

#[tokio::test]
async fn a_node_that_is_silent_is_named_and_the_cluster_is_not_highly_available() {
    let given = Given::new(one_silent()).await;
    let root = given.t.set_up().await;
    let nodes = root.get(NODES).await;
    assert_eq!(nodes.text("/standing"), "degraded", "{}", nodes.body);
    assert_eq!(nodes.text("/sentence"), "Not highly available: n3 does not answer.");
    assert!(nodes.text("/nodes/2/silent").contains("no route"), "{}", nodes.body);
    for unknown in ["ready", "version", "database", "etcd", "clockAheadMs", "certificateUntil"] {
        assert_eq!(nodes.json["nodes"][2][unknown], Value::Null, "{unknown}");
    }
}

#[tokio::test]
async fn steps_that_have_failed_say_why_and_are_begun_again() {
    let why = "No etcd agrees. Look at the logs of n2.";
    let given = Given::new(forming(Some(why))).await;
    let root = given.t.set_up().await;
    let nodes = root.get(NODES).await;
    assert_eq!((nodes.text("/standing"), nodes.text("/phase")), ("bad", "forming"));
    assert_eq!(nodes.text("/progress/failure"), why);
    assert_eq!(nodes.json["quorum"], Value::Null);
    given.next(vec![done(json!({}))]);
    root.post("/v1/platform/nodes/complete", json!({})).await.assert_status(202);
    assert_eq!(newest(&root, "platform.completeCluster").await.0, "success");
    given.shows(forming(None));
    let nodes = root.get(NODES).await;
    assert_eq!((nodes.text("/standing"), nodes.number("/progress/percent")), ("forming", 15));
    given.next(vec![failed("conflict", "cluster-busy", "The steps are going on already.")]);
    let again = root.post("/v1/platform/nodes/complete", json!({})).await;
    again.assert_problem(409, "cluster-busy");
}

fn contains(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("readable").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return contains(&path, text);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn the_code_of_an_invitation_is_in_its_answer_and_nowhere_else() {
    let given = Given::new(alone()).await;
    let root = given.t.set_up().await;
    given.next(vec![
        progress("Making the certificates of this node", 10),
        done(json!({"code": CODE, "address": "192.0.2.11", "seconds": 600})),
    ]);
    let body = json!({"begin": true, "virtualAddress": "192.0.2.20"});
    let invited = root.post("/v1/platform/nodes/invite", body).await;
    invited.assert_status(200);
    assert_eq!((invited.text("/code"), invited.text("/address")), (CODE, "192.0.2.11"));
    assert_eq!(invited.headers["cache-control"], "no-store");
    let asked = &given.asked()[0];
    assert_eq!(asked["request"]["invite"], json!({"begin": true, "virtualAddress": "192.0.2.20"}));
    assert!(asked["onBehalfOf"].is_string(), "{asked}");
    let (outcome, detail) = newest(&root, "platform.invite").await;
    assert_eq!(outcome, "success");
    assert_eq!(detail, json!({"begin": true, "address": "192.0.2.11"}));
    assert!(!contains(given.t.directory.path(), CODE), "the code lies on the disk");

    given.next(vec![failed("conflict", "cluster-complete", "The cluster has 3 nodes already.")]);
    let more = root.post("/v1/platform/nodes/invite", json!({})).await;
    more.assert_problem(409, "cluster-complete");
    assert_eq!(more.text("/hint"), "Do this next.");
    let wrong = json!({"virtualAddress": "not an address"});
    root.post("/v1/platform/nodes/invite", wrong).await.assert_problem(400, "malformed");
}

#[tokio::test]
async fn taking_a_node_out_goes_on_without_its_caller_and_says_how_it_ended() {
    let given = Given::new(one_silent()).await;
    let root = given.t.set_up().await;
    given.next(vec![
        progress("Taking it out of etcd", 50),
        Step::Wait,
        failed("unavailable", "engines", "etcd did not do it."),
    ]);
    remove(&root, "n3").await.assert_status(202);
    let work = root.get(NODES).await.json["work"].clone();
    assert_eq!((&work["what"], &work["node"]), (&json!("removeNode"), &json!("n3")));
    assert_eq!((&work["step"], &work["percent"]), (&json!("Taking it out of etcd"), &json!(50)));
    assert_eq!(work["endedAt"], Value::Null);
    switch_over(&root, json!({})).await.assert_problem(409, "nodes-busy");
    assert_eq!(given.asked().len(), 1, "what is refused is not asked for");

    given.shared.go_on.add_permits(1);
    let work = ended(&root).await;
    assert_eq!(work["failure"], "etcd did not do it.");
    assert_eq!(work["hint"], "Do this next.");
    let (outcome, detail) = newest(&root, "platform.removeNode").await;
    assert_eq!(outcome, "failed");
    assert_eq!(detail, json!({"node": "n3", "reason": "engines"}));

    given.next(vec![done(json!({}))]);
    remove(&root, "n3").await.assert_status(202);
    let work = ended(&root).await;
    assert_eq!(work["failure"], Value::Null);
    assert_eq!(given.asked()[1]["request"], json!({"removeNode": {"name": "n3"}}));
    given.next(vec![failed("notFound", "no-such-node", "No node is called n9.")]);
    remove(&root, "n9").await.assert_problem(404, "no-such-node");
    remove(&root, "No Name").await.assert_status(404);
}

#[tokio::test]
async fn another_database_leads_and_the_record_names_it() {
    let given = Given::new(running()).await;
    let root = given.t.set_up().await;
    given.next(vec![failed("conflict", "no-leader", "No database leads at the moment.")]);
    switch_over(&root, json!({})).await.assert_problem(409, "no-leader");
    assert_eq!(root.get(NODES).await.json["work"], Value::Null);
    let (outcome, detail) = newest(&root, "platform.switchOver").await;
    assert_eq!((outcome.as_str(), detail), ("failed", json!({"reason": "no-leader"})));

    given.next(vec![done(json!({"leader": "n2"}))]);
    switch_over(&root, json!({})).await.assert_status(202);
    let work = ended(&root).await;
    assert_eq!((&work["what"], &work["node"]), (&json!("switchOver"), &json!("n2")));
    eventually(Duration::from_secs(20), || async {
        let (outcome, detail) = newest(&root, "platform.switchOver").await;
        (outcome == "success" && detail == json!({"node": "n2"})).then_some(())
    })
    .await;
    switch_over(&root, json!({"to": "Not A Name"})).await.assert_problem(400, "malformed");
    switch_over(&root, json!({"to": "n2", "force": true})).await.assert_problem(400, "malformed");
}

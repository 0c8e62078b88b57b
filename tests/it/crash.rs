//! `kill -9` of the real server at random instants, with changes under way.
//!
//! The short runs belong to the suite. The long ones are started by
//! `tests/faults/run`, which also says on what.

use std::{
    collections::{HashMap, HashSet},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use palisade::clock::{Random, SystemRandom};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    app::eventually,
    client::Client,
    postgres,
    process::{Installation, children, is_alive, program, say},
};

/// How soon the server has to be ready again.
const READY_LIMIT: Duration = Duration::from_secs(2);
/// The pace of the load: one new change each.
const PACE: Duration = Duration::from_millis(10);
/// More than these are not under way at once.
const MOST_OPEN: usize = 200;

/// Everything that was acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    /// uid and name of projects that must exist…
    projects: HashMap<String, String>,
    /// …of API keys…
    keys: HashMap<String, String>,
    /// …and of projects that must not exist any more.
    deleted: HashSet<String>,
}

/// A client that never gives up: it sends the same request again until it is answered.
struct Load {
    client: Client,
    acknowledged: Mutex<Acknowledged>,
    stop: AtomicBool,
    numbers: AtomicU64,
    repeated: AtomicU64,
}

impl Load {
    /// The answer, however often the server dies meanwhile.
    async fn insist(&self, make: impl Fn() -> reqwest::RequestBuilder) -> (u16, Value) {
        let mut first = true;
        loop {
            if !first {
                self.repeated.fetch_add(1, Ordering::Relaxed);
            }
            first = false;
            if let Ok(response) = make().send().await {
                let status = response.status().as_u16();
                // 409: the same request is still being worked on.
                let again = status >= 500 || status == 429 || status == 409;
                if let (false, Ok(text)) = (again, response.text().await) {
                    return (status, serde_json::from_str(&text).unwrap_or_default());
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn create(&self, path: &str, name: &str) -> Value {
        let body = json!({"name": name});
        let key = format!("key-of-{name}");
        let make = || {
            let request = self.client.request(Method::POST, path);
            request.header("idempotency-key", &key).json(&body)
        };
        let (status, answer) = self.insist(make).await;
        assert_eq!(status, 201, "{name}: {answer}");
        answer
    }

    /// One change after another kind: projects, API keys, and the end of some projects.
    async fn change(&self, number: u64) {
        let name = format!("c{number}");
        let lock = || self.acknowledged.lock().expect("no panic");
        if number % 4 == 3 {
            let answer = self.create("/v1/api-keys", &name).await;
            let uid = answer["apiKey"]["uid"].as_str().expect("a uid").to_owned();
            lock().keys.insert(uid, name);
            return;
        }
        let answer = self.create("/v1/projects", &name).await;
        let uid = answer["uid"].as_str().expect("a uid").to_owned();
        if number % 4 != 2 {
            lock().projects.insert(uid, name);
            return;
        }
        let path = format!("/v1/projects/{uid}");
        let (status, answer) = self.insist(|| self.client.request(Method::DELETE, &path)).await;
        // 404: it was done when its answer got lost.
        assert!(status == 204 || status == 404, "{name}: {status} {answer}");
        lock().deleted.insert(uid);
    }

    async fn run(self: Arc<Self>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut open = JoinSet::new();
        while !self.stop.load(Ordering::Relaxed) {
            pace.tick().await;
            while let Some(ended) = open.try_join_next() {
                ended.expect("an answer as it should be");
            }
            if open.len() < MOST_OPEN {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                let load = Arc::clone(&self);
                open.spawn(async move { load.change(number).await });
            }
        }
        while let Some(ended) = open.join_next().await {
            ended.expect("an answer as it should be");
        }
    }
}

/// Kills the server `kills` times under load and checks everything.
async fn kill_again_and_again(installation: Installation, kills: u32, limit: Duration) {
    let mut server = installation.start().await;
    let system = installation.set_up().await;
    let client = installation.tenant(&system, "acme").await;
    let load = Arc::new(Load {
        client: client.clone(),
        acknowledged: Mutex::default(),
        stop: AtomicBool::new(false),
        numbers: AtomicU64::new(0),
        repeated: AtomicU64::new(0),
    });
    let began = std::time::Instant::now();
    let working = tokio::spawn(Arc::clone(&load).run());
    let mut waits = Vec::new();
    let mut checked = HashSet::new();
    for _ in 0..kills {
        tokio::time::sleep(random_pause()).await;
        let brokers = children(server.id());
        server.kill();
        server = installation.start().await;
        waits.push(server.ready_after);
        if server.ready_after > limit {
            say(&format!("slow start: {:?}\n{}", server.ready_after, installation.last_start()));
        }
        for broker in brokers {
            eventually(Duration::from_secs(5), || async { (!is_alive(broker)).then_some(()) })
                .await;
        }
        everything_acknowledged_is_there(&client, &load, &mut checked).await;
    }
    load.stop.store(true, Ordering::Relaxed);
    working.await.expect("every change was answered");
    let seconds = began.elapsed().as_secs_f64();

    everything_acknowledged_is_there(&client, &load, &mut checked).await;
    let acknowledged = std::mem::take(&mut *load.acknowledged.lock().expect("no panic"));
    let wanted = changes(&acknowledged);
    let records = whole_trail(&installation, &client, wanted).await;
    whole_trail(&installation, &system, 0).await;
    no_gap_and_nothing_twice(&client, &acknowledged, &records).await;
    server.stop().await;

    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    let repeated = load.repeated.load(Ordering::Relaxed);
    let line = format!(
        "{kills} kills in {seconds:.0} s: {wanted} changes acknowledged ({:.0}/s), {repeated} \
         requests repeated; ready again after {:?} (least), {:?} (half), {:?} (95 %), {:?} (most)",
        wanted as f64 / seconds,
        waits[0],
        at(50),
        at(95),
        at(100),
    );
    say(&line);
    assert!(at(100) <= limit, "ready again only after {:?}", at(100));
}

fn changes(all: &Acknowledged) -> usize {
    all.projects.len() + all.keys.len() + 2 * all.deleted.len()
}

/// What the load does, as records name it.
const OF_LOAD: [&str; 3] = ["project.create", "project.delete", "apiKey.create"];

fn is_of_load(record: &Value) -> bool {
    record["outcome"] == "success" && OF_LOAD.iter().any(|action| record["action"] == **action)
}

/// Between nothing and 1.2 s: in the middle of anything.
fn random_pause() -> Duration {
    let mut bytes = [0; 2];
    SystemRandom.fill(&mut bytes);
    Duration::from_micros(u64::from(u16::from_le_bytes(bytes)) * 18)
}

/// Looks at every object whose change was acknowledged since the last look.
async fn everything_acknowledged_is_there(
    client: &Client,
    load: &Load,
    checked: &mut HashSet<String>,
) {
    let (projects, deleted) = {
        let all = load.acknowledged.lock().expect("no panic");
        (all.projects.clone(), all.deleted.clone())
    };
    for (uid, name) in projects {
        if checked.insert(uid.clone()) {
            let path = format!("/v1/projects/{uid}");
            let (status, found) = load.insist(|| client.request(Method::GET, &path)).await;
            assert_eq!((status, &found["name"]), (200, &json!(name)), "{path}");
        }
    }
    for uid in deleted {
        if checked.insert(uid.clone()) {
            let path = format!("/v1/projects/{uid}");
            let (status, _) = load.insist(|| client.request(Method::GET, &path)).await;
            assert_eq!(status, 404, "{path}");
        }
    }
}

/// The records of a scope, once the last of the load has joined the chain (less
/// than a second) and the program itself has found the export to be whole.
async fn whole_trail(installation: &Installation, client: &Client, wanted: usize) -> Vec<Value> {
    let records = |export: &str| -> Vec<Value> {
        let lines = export.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        lines.filter(|line: &Value| line["type"] == "record").collect()
    };
    let export = eventually(Duration::from_secs(10), || async {
        let reply = client.get("/v1/audit/export.jsonl").await;
        reply.assert_status(200);
        let of_load = records(&reply.body).iter().filter(|record| is_of_load(record)).count();
        (of_load >= wanted).then_some(reply.body)
    })
    .await;
    let file = installation.path().join("export.jsonl");
    std::fs::write(&file, &export).expect("written");
    let verified = Command::new(program()).args(["audit", "verify"]).arg(&file).output();
    let verified = verified.expect("the program runs");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    let complained = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.contains("whole"), "{said}{complained}");
    records(&export)
}

/// Every acknowledged change has one record, every record of a change an object,
/// and what was repeated has made nothing twice.
async fn no_gap_and_nothing_twice(client: &Client, all: &Acknowledged, records: &[Value]) {
    let mut counts: HashMap<(&str, &str), u32> = HashMap::new();
    for record in records.iter().filter(|record| is_of_load(record)) {
        let action = record["action"].as_str().expect("an action");
        let object = record["object"].as_str().expect("an object");
        *counts.entry((action, object)).or_default() += 1;
    }
    let mut expected: HashMap<(&str, &str), u32> = HashMap::new();
    for uid in all.projects.keys().chain(&all.deleted) {
        expected.insert(("project.create", uid), 1);
    }
    for uid in &all.deleted {
        expected.insert(("project.delete", uid), 1);
    }
    for uid in all.keys.keys() {
        expected.insert(("apiKey.create", uid), 1);
    }
    assert_eq!(counts, expected, "records and acknowledged changes differ");

    assert_eq!(everything(client, "/v1/projects").await, all.projects);
    assert_eq!(everything(client, "/v1/api-keys").await, all.keys);
}

/// uid and name of every object in a list.
async fn everything(client: &Client, path: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}?limit=200{cursor}")).await;
        page.assert_status(200);
        for item in page.items() {
            let text = |name: &str| item[name].as_str().expect("a text").to_owned();
            found.insert(text("uid"), text("name"));
        }
        match page.json["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// An empty database on the PostgreSQL server of these tests.
async fn postgres_settings() -> String {
    postgres::migrated(|_| std::future::ready(())).await.url()
}

fn on_postgres(url: &str) -> Installation {
    Installation::new(&[
        ("bus.mode", "off"),
        ("storage.database", "postgres"),
        ("storage.postgres.url", url),
    ])
}

/// In the suite many other tests run at the same time, so how soon the server is
/// ready is for the long runs to say.
const UNHURRIED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_server_loses_nothing_that_it_acknowledged() {
    let installation = Installation::new(&[("bus.mode", "off")]);
    kill_again_and_again(installation, 4, UNHURRIED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_the_server_takes_its_broker_along_and_starts_another() {
    kill_again_and_again(Installation::with_bus(&[]), 2, UNHURRIED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/faults/run"]
async fn fault_fifty_kills_on_sqlite() {
    let installation = Installation::new(&[("bus.mode", "off")]);
    kill_again_and_again(installation, 50, READY_LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/faults/run"]
async fn fault_ten_kills_with_the_bus() {
    kill_again_and_again(Installation::with_bus(&[]), 10, READY_LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/faults/run"]
async fn fault_ten_kills_on_postgresql() {
    let url = postgres_settings().await;
    kill_again_and_again(on_postgres(&url), 10, READY_LIMIT).await;
}

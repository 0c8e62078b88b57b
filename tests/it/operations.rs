//! Random operations of several people, and the trail that they must leave:
//! one record for each change and each refusal, and none for anything else.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use palisade::clock::{Random, SystemRandom};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{PASSWORD, eventually},
    client::{Client, Reply},
    process::{Installation, say},
};

const TENANT_VIEWER: &str = "0000000000b1";
/// People who work at the same time.
const WORKERS: usize = 12;

/// How many records there are to be of an action and outcome.
type Counts = BTreeMap<(String, String), u32>;

/// Splitmix64: the same operations again for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Somebody who is signed in for longer than an access token lives.
#[derive(Clone)]
struct Session(Arc<Mutex<(Client, String)>>);

impl Session {
    async fn begin(anonymous: &Client, email: &str) -> Self {
        let body = json!({"email": email, "password": PASSWORD, "bearer": true});
        let reply = anonymous.post("/v1/auth/login", body).await;
        reply.assert_status(200);
        Self(Arc::new(Mutex::new(Self::tokens(anonymous, &reply))))
    }

    fn tokens(anonymous: &Client, reply: &Reply) -> (Client, String) {
        let client = anonymous.clone().with_token(reply.text("/tokens/accessToken"));
        (client, reply.text("/tokens/refreshToken").to_owned())
    }

    fn now(&self) -> Client {
        self.0.lock().expect("no panic").0.clone()
    }

    /// For ever: a new token while the one before is still good.
    async fn keep(self, anonymous: Client) {
        loop {
            tokio::time::sleep(Duration::from_mins(5)).await;
            let refresh = self.0.lock().expect("no panic").1.clone();
            let body = json!({"refreshToken": refresh, "bearer": true});
            let reply = anonymous.post("/v1/auth/refresh", body).await;
            reply.assert_status(200);
            *self.0.lock().expect("no panic") = Self::tokens(&anonymous, &reply);
        }
    }
}

/// One person with things of its own, so that every answer is known beforehand.
struct Worker {
    name: String,
    dice: Dice,
    admin: Session,
    viewer: Session,
    /// uid and version.
    projects: Vec<(String, i64)>,
    keys: Vec<String>,
    made: u32,
    expected: Counts,
}

impl Worker {
    fn expect(&mut self, action: &str, outcome: &str) {
        *self.expected.entry((action.to_owned(), outcome.to_owned())).or_default() += 1;
    }

    fn next_name(&mut self) -> String {
        self.made += 1;
        format!("{}-{}", self.name, self.made)
    }

    fn any(&mut self) -> Option<usize> {
        let all = self.projects.len() as u64;
        (all > 0).then(|| usize::try_from(self.dice.roll(all)).expect("small"))
    }

    async fn operate(&mut self) {
        match self.dice.roll(100) {
            0..25 => self.create(false).await,
            25..30 => self.create(true).await,
            30..50 => self.rename().await,
            50..62 => self.delete().await,
            62..70 => self.be_refused().await,
            70..76 => self.be_wrong().await,
            76..82 => self.make_key().await,
            82..86 => self.end_key().await,
            86..98 => self.look().await,
            _ => {
                self.admin.now().get("/v1/audit?limit=1").await.assert_status(200);
                self.expect("audit.list", "success");
            }
        }
    }

    async fn create(&mut self, twice: bool) {
        let name = self.next_name();
        let admin = self.admin.now();
        let send = || {
            let request = admin.request(Method::POST, "/v1/projects");
            let request = request.header("idempotency-key", &name).json(&json!({"name": name}));
            admin.send(request)
        };
        let created = send().await;
        created.assert_status(201);
        if twice {
            let again = send().await;
            again.assert_status(201);
            assert_eq!(again.json["uid"], created.json["uid"]);
        }
        self.projects.push((created.text("/uid").to_owned(), 1));
        self.expect("project.create", "success");
    }

    async fn rename(&mut self) {
        let Some(index) = self.any() else { return };
        let name = self.next_name();
        let (uid, version) = &mut self.projects[index];
        let path = format!("/v1/projects/{uid}");
        let body = json!({"name": name});
        self.admin.now().patch(&path, *version, body.clone()).await.assert_status(200);
        self.admin.now().patch(&path, *version, body).await.assert_problem(412, "stale");
        *version += 1;
        self.expect("project.update", "success");
    }

    async fn delete(&mut self) {
        let Some(index) = self.any() else { return };
        let (uid, _) = self.projects.swap_remove(index);
        let path = format!("/v1/projects/{uid}");
        self.admin.now().delete(&path).await.assert_status(204);
        self.admin.now().delete(&path).await.assert_status(404);
        self.expect("project.delete", "success");
    }

    async fn be_refused(&mut self) {
        let path = match self.any() {
            Some(index) => format!("/v1/projects/{}", self.projects[index].0),
            None => return,
        };
        self.viewer.now().delete(&path).await.assert_problem(403, "forbidden");
        self.expect("project.delete", "denied");
        let name = json!({"name": "never"});
        self.viewer.now().post("/v1/teams", name).await.assert_problem(403, "forbidden");
        self.expect("team.create", "denied");
    }

    /// What changes nothing and is nobody's fault but the program's is not recorded.
    async fn be_wrong(&mut self) {
        self.admin.now().post("/v1/projects", json!({"name": ""})).await.assert_status(422);
        self.admin.now().post("/v1/projects", json!({"name": 5})).await.assert_status(400);
        self.admin.now().delete("/v1/projects/00000000beef").await.assert_status(404);
    }

    async fn make_key(&mut self) {
        let name = self.next_name();
        let made = self.admin.now().post("/v1/api-keys", json!({"name": name})).await;
        made.assert_status(201);
        self.keys.push(made.text("/apiKey/uid").to_owned());
        self.expect("apiKey.create", "success");
    }

    async fn end_key(&mut self) {
        let Some(uid) = self.keys.pop() else { return };
        self.admin.now().delete(&format!("/v1/api-keys/{uid}")).await.assert_status(204);
        self.expect("apiKey.delete", "success");
    }

    async fn look(&mut self) {
        self.viewer.now().get("/v1/projects?limit=5").await.assert_status(200);
        self.viewer.now().get("/v1/overview").await.assert_status(200);
    }
}

/// What the trail has of the actions in `wanted`.
fn recorded(export: &str, wanted: &Counts) -> Counts {
    let mut found = Counts::new();
    for line in export.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let known = wanted.keys().any(|(action, _)| *action == text("action"));
        if line["type"] == "record" && known {
            *found.entry((text("action"), text("outcome"))).or_default() += 1;
        }
    }
    found
}

async fn operations_and_their_records(count: usize) {
    let installation = Installation::new(&[("bus.mode", "off")]);
    let server = installation.start().await;
    let system = installation.set_up().await;
    let acme = installation.tenant(&system, "acme").await;
    let new = json!({"email": "v@acme.example.com", "name": "Viewer", "password": PASSWORD});
    let user = acme.post("/v1/users", new).await.text("/user/uid").to_owned();
    let body = json!({"role": TENANT_VIEWER, "user": user});
    acme.post("/v1/assignments", body).await.assert_status(201);
    let anonymous = installation.anonymous();
    let login = |password: &'static str| {
        let body = json!({"email": "v@acme.example.com", "password": password, "bearer": true});
        anonymous.post("/v1/auth/login", body)
    };
    let mut expected = Counts::new();
    for _ in 0..5 {
        login("not-the-password-at-all").await.assert_problem(401, "wrong-credentials");
        *expected.entry(("auth.login".to_owned(), "failed".to_owned())).or_default() += 1;
    }
    let viewer = Session::begin(&anonymous, "v@acme.example.com").await;
    let admin = Session::begin(&anonymous, "admin@acme.example.com").await;
    // Those two, and the administrator once before.
    expected.insert(("auth.login".to_owned(), "success".to_owned()), 3);
    let keepers = [&viewer, &admin].map(|one| tokio::spawn(one.clone().keep(anonymous.clone())));
    let mut bytes = [0; 8];
    SystemRandom.fill(&mut bytes);
    let seed = u64::from_le_bytes(bytes);
    let left = Arc::new(AtomicUsize::new(count));
    let began = std::time::Instant::now();
    let workers = (0..WORKERS).map(|number| {
        let mut worker = Worker {
            name: format!("w{number}"),
            dice: Dice(seed.wrapping_add(number as u64)),
            admin: admin.clone(),
            viewer: viewer.clone(),
            projects: Vec::new(),
            keys: Vec::new(),
            made: 0,
            expected: Counts::new(),
        };
        let left = Arc::clone(&left);
        tokio::spawn(async move {
            let one_less = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                worker.operate().await;
            }
            worker.expected
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        for (what, times) in worker.await.unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
            *expected.entry(what).or_default() += times;
        }
    }
    let took = began.elapsed();
    let total: u32 = expected.values().sum();
    let found = eventually(Duration::from_secs(30), || async {
        let export = admin.now().get("/v1/audit/export.jsonl").await;
        export.assert_status(200);
        let found = recorded(&export.body, &expected);
        (found.values().sum::<u32>() >= total).then_some((found, export.body))
    })
    .await;
    assert_eq!(found.0, expected, "seed {seed}");
    let verdict = palisade::audit::verify_export(found.1.as_bytes(), None).expect("readable");
    assert_eq!(verdict.first_bad, None);
    say(&format!(
        "{count} random operations in {took:.0?}: {total} records expected and found (seed {seed})"
    ));
    for keeper in keepers {
        keeper.abort();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_operations_leave_exactly_their_records() {
    operations_and_their_records(800).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/faults/run"]
async fn fault_a_hundred_thousand_operations_leave_exactly_their_records() {
    operations_and_their_records(100_000).await;
}

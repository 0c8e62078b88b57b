//! Several PostgreSQL servers: changes follow the primary, and nothing else.
//!
//! Real servers on loopback ports: a primary and a standby made from it. The
//! store that is tested is told of both.

use std::{
    fs::File,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use palisade::{
    certificates::{ClusterUser, InternalCa},
    clock::{Clock as _, SystemClock},
    error::{Error, Kind, chain},
    store::{ClientCertificate, Failure, PostgresSettings, ServerRole, Store, StoreSettings},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    app::{TestApp, eventually},
    peers::{free_port, peer},
    process::{children, say},
};

const PATIENCE: Duration = Duration::from_mins(1);
/// So long after a standby was promoted, changes go to it, and so long a caller
/// waits to hear that there is no primary. The limits are of a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(8);
const TOLD_WITHIN: Duration = Duration::from_secs(6);

/// A server of PostgreSQL, perhaps running. It ends with the test.
struct Node {
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

/// A folder of servers.
struct Cluster {
    folder: TempDir,
}

impl Cluster {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).expect("the folder is ours");
        Self { folder }
    }

    /// A first server, which runs.
    fn primary(&self) -> Node {
        let mut node = self.node("one");
        let data = node.folder.to_str().expect("a plain path");
        let auth = ["--username", "palisade", "--auth", "trust", "--no-sync"];
        run(as_postgres("initdb").args(["--pgdata", data, "--encoding", "UTF8"]).args(auth));
        node.start(&[]);
        node
    }

    /// A standby of `primary`, which runs and has all of its changes.
    fn standby(&self, primary: &Node) -> Node {
        let mut node = self.node("two");
        let port = primary.port.to_string();
        let from = ["--host", "127.0.0.1", "--port", &port, "--username", "palisade"];
        let how = ["--write-recovery-conf", "--checkpoint", "fast", "--no-sync", "--pgdata"];
        run(as_postgres("pg_basebackup").args(from).args(how).arg(&node.folder));
        node.start(&[]);
        node
    }

    fn node(&self, name: &str) -> Node {
        Node { folder: self.folder.path().join(name), port: free_port(), child: None }
    }
}

impl Node {
    /// Starts it, with further settings, and waits until it answers.
    fn start(&mut self, settings: &[&str]) {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log");
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(&self.folder).args(["-p", &self.port.to_string()]);
        let own = ["unix_socket_directories=", "listen_addresses=127.0.0.1", "fsync=off"];
        let quick = ["shared_buffers=16MB", "wal_retrieve_retry_interval=200ms"];
        for setting in own.iter().chain(&quick).chain(settings) {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().expect("a handle")).stderr(log).stdin(Stdio::null());
        let child = self.child.insert(command.spawn().expect("PostgreSQL starts"));
        let began = Instant::now();
        // A session that was just beginning outlives a killed server for a moment.
        let orphans = "pre-existing shared memory block";
        loop {
            let mut ask = Command::new(peer("PG_BIN").join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            if ask.status().expect("pg_isready runs").success() {
                return;
            }
            let ended = child.try_wait().expect("a child");
            let log = std::fs::read_to_string(self.folder.with_extension("log"));
            let waits = |log: &String| log.lines().rev().take(2).any(|line| line.contains(orphans));
            if ended.is_some() && log.as_ref().is_ok_and(waits) && began.elapsed() < PATIENCE {
                *child = command.spawn().expect("PostgreSQL starts");
                continue;
            }
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{log:?}");
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    /// `kill -9` of the server and everything that belongs to it.
    fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let parts = children(child.id());
        child.kill().expect("killable");
        for part in parts {
            let part = i32::try_from(part).ok().and_then(Pid::from_raw).expect("a process");
            let _ = kill_process(part, Signal::KILL); // it may have ended with its parent
        }
        child.wait().expect("gone");
    }

    /// The answer to one statement.
    fn sql(&self, statement: &str) -> String {
        let mut psql = Command::new(peer("PG_BIN").join("psql"));
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "palisade", "-d", "postgres"]);
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", statement]);
        run(&mut psql).trim().to_owned()
    }

    /// Changes a setting while it runs.
    fn set(&self, change: &str) {
        self.sql(&format!("ALTER SYSTEM {change}"));
        self.sql("SELECT pg_reload_conf()");
    }

    async fn until(&self, statement: &str, answer: &str) {
        let asked = || std::future::ready((self.sql(statement) == answer).then_some(()));
        eventually(PATIENCE, asked).await;
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(20).collect();
            say(&lines.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

/// A program of PostgreSQL, which refuses to run as root. It ends with the test's thread.
fn as_postgres(program: &str) -> Command {
    let root = std::fs::metadata("/proc/self").expect("look at this process").uid() == 0;
    let mut command = Command::new("setpriv");
    if root {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(peer("PG_BIN").join(program));
    command.current_dir("/");
    command
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn url(hosts: &[&str]) -> String {
    format!("postgresql://palisade@{}/postgres", hosts.join(","))
}

fn settings(hosts: &[&str]) -> StoreSettings {
    StoreSettings::Postgres(PostgresSettings {
        url: url(hosts),
        password: None,
        ca_file: None,
        client: None,
        max_connections: 8,
        statement_timeout: Duration::from_secs(8),
    })
}

/// Writes a number. Written again, it changes nothing.
async fn write(store: &Store, number: i64) -> Result<(), palisade::store::StoreError> {
    let mut tx = store.begin().await?;
    let insert = "INSERT INTO mark (number) VALUES ($1) ON CONFLICT DO NOTHING";
    tx.execute(insert, (number,)).await?;
    tx.commit().await
}

/// Somebody who writes one number after the other, each until it is acknowledged.
struct Writer {
    acknowledged: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Written>,
}

#[derive(Default)]
struct Written {
    longest_gap: Duration,
    longest_refusal: Duration,
    refused: u32,
}

impl Writer {
    fn start(store: Store) -> Self {
        let (acknowledged, stop) = (Arc::<AtomicI64>::default(), Arc::<AtomicBool>::default());
        let (reached, stopped) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut written = Written::default();
            let mut last = Instant::now();
            let mut number = 1;
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                if let Err(error) = write(&store, number).await {
                    let known = [Failure::Unavailable, Failure::Unknown];
                    assert!(known.contains(&error.failure()), "{}", chain(&error));
                    written.refused += 1;
                    written.longest_refusal = written.longest_refusal.max(asked.elapsed());
                } else {
                    reached.store(number, Ordering::Relaxed);
                    number += 1;
                    written.longest_gap = written.longest_gap.max(last.elapsed());
                    last = Instant::now();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            written
        });
        Self { acknowledged, stop, task }
    }

    /// Waits until so many more were acknowledged.
    async fn goes_on(&self, more: i64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + more;
        let reached = || self.acknowledged.load(Ordering::Relaxed) >= goal;
        eventually(PATIENCE, || std::future::ready(reached().then_some(()))).await;
    }

    async fn stop(self) -> (i64, Written) {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.task.await.expect("no failure of another kind");
        (self.acknowledged.load(Ordering::Relaxed), written)
    }
}

/// A primary with a table, and a standby that has everything that is acknowledged.
async fn replicated(cluster: &Cluster) -> (Node, Node) {
    let primary = cluster.primary();
    primary.sql("CREATE TABLE mark (number BIGINT PRIMARY KEY)");
    let standby = cluster.standby(&primary);
    primary.set("SET synchronous_standby_names = '*'");
    primary.until("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "1").await;
    (primary, standby)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_go_on_at_a_promoted_standby_and_the_former_primary_gets_none() {
    let cluster = Cluster::new();
    let (mut first, second) = replicated(&cluster).await;
    // A third is cut off: one can connect to it, and hears nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let third = silent.local_addr().expect("bound").to_string();
    let all = settings(&[&first.host(), &second.host(), &third]);
    let store = Store::open(&all).await.expect("there is a primary");
    let mut servers = store.servers().expect("there are several");
    assert_eq!(servers.borrow().primary, Some(0));
    let writer = Writer::start(store.clone());
    writer.goes_on(20).await;

    // One that was started again is used again, once all were asked anew.
    first.kill();
    first.start(&[]);
    writer.goes_on(20).await;
    assert_eq!((servers.borrow().primary, servers.borrow().reigns), (Some(0), 2));

    first.kill();
    second.sql("SELECT pg_promote()");
    let promoted = Instant::now();
    writer.goes_on(20).await;
    let back = promoted.elapsed();
    say(&format!("changes go to the promoted standby after {back:?}"));
    assert!(back < BACK_WITHIN, "only after {back:?}");

    // The former primary comes back as itself and would take changes.
    first.start(&["synchronous_standby_names="]);
    let before = first.sql("SELECT max(number) FROM mark");
    let former = servers.wait_for(|now| now.servers[0].role == ServerRole::FormerPrimary);
    let now = tokio::time::timeout(PATIENCE, former).await.expect("in time").expect("a store");
    assert_eq!(now.primary, Some(1));
    assert!(now.reason.contains("it was replaced"), "{}", now.reason);
    drop(now);
    writer.goes_on(20).await;
    // Whoever starts only now decides alike.
    let fresh = Store::open_within(&all, PATIENCE).await.expect("there is a primary");
    assert_eq!(fresh.servers().expect("several").borrow().primary, Some(1));
    write(&fresh, -1).await.expect("a change");
    fresh.close().await;

    let (acknowledged, written) = writer.stop().await;
    say(&format!(
        "{acknowledged} acknowledged, {} refused, {:?} without, refused after at most {:?}",
        written.refused, written.longest_gap, written.longest_refusal
    ));
    assert!(written.longest_refusal < TOLD_WITHIN, "{:?}", written.longest_refusal);
    let all = format!("SELECT count(*) FROM mark WHERE number BETWEEN 1 AND {acknowledged}");
    assert_eq!(second.sql(&all), acknowledged.to_string(), "acknowledged and lost");
    assert_eq!(first.sql("SELECT max(number) FROM mark"), before, "the former one was written to");
    assert_eq!(first.sql("SELECT count(*) FROM mark WHERE number < 0"), "0");

    // The former primary alone is no primary for whoever knows better.
    drop(second);
    let gone = servers.wait_for(|now| now.primary.is_none());
    let gone = tokio::time::timeout(PATIENCE, gone).await.expect("in time").expect("a store");
    assert!(gone.reason.contains("restart Palisade"), "{}", gone.reason);
    drop(gone);
    let refused = write(&store, -2).await.expect_err("there is no primary");
    assert_eq!(refused.failure(), Failure::Unavailable);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_alone_is_read_and_changes_are_refused_in_time_until_it_is_promoted() {
    let cluster = Cluster::new();
    let (mut first, second) = replicated(&cluster).await;
    let hosts = (first.host(), second.host());
    let urls = url(&[&hosts.0, &hosts.1]);
    let on_both = [("storage.database", "postgres"), ("storage.postgres.url", &*urls)];
    let app = TestApp::start_with(&on_both).await;
    let system = app.set_up().await;
    let admin = app.tenant(&system, "acme").await;
    let duty = || std::future::ready(app.app.duty().is_held().then_some(()));
    eventually(PATIENCE, duty).await;

    first.kill();
    let create = async |name: &str| {
        let asked = Instant::now();
        let request = admin.request(reqwest::Method::POST, "/v1/projects");
        let request = request.header("idempotency-key", name).json(&json!({"name": name}));
        let answer = request.send().await.expect("an answer");
        let after = answer.headers().get("retry-after").cloned();
        (answer.status().as_u16(), after, asked.elapsed())
    };
    // At first the answer to a commit may be what is missing; soon it is the primary.
    for _ in 0..2 {
        let (status, retry_after, took) = create("edge").await;
        assert_eq!(status, 503);
        assert!(retry_after.is_some(), "nobody says when to try again");
        assert!(took < TOLD_WITHIN, "told after {took:?}");
    }
    // Who is logged in stays so, and sees what there is.
    for target in ["/v1/auth/me", "/v1/projects", "/v1/clusters"] {
        let asked = Instant::now();
        let answer = admin.request(reqwest::Method::GET, target).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{target} is not read from the standby");
        assert!(asked.elapsed() < TOLD_WITHIN, "{target} took {:?}", asked.elapsed());
    }
    let ready = admin.request(reqwest::Method::GET, "/readyz").send().await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 503, "ready without a database that takes changes");
    let asked = Instant::now();
    let refused =
        Store::open_within(&settings(&[&hosts.0, &hosts.1]), Duration::from_secs(2)).await;
    let refused = refused.expect_err("there is no primary");
    assert!(asked.elapsed() < TOLD_WITHIN, "told after {:?}", asked.elapsed());
    assert_eq!(refused.failure(), Failure::Unavailable);
    let told = chain(&refused);
    for said in [format!("{} is down", first.host()), format!("{} is a standby", second.host())] {
        assert!(told.contains(&said), "{told}");
    }
    assert_eq!(Error::from(refused).kind(), Kind::Unavailable);

    second.sql("SELECT pg_promote()");
    let again = async || (create("edge").await.0 == 201).then_some(());
    eventually(PATIENCE, again).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_waits_for_a_standby_is_never_cancelled() {
    const LIMIT: Duration = Duration::from_millis(500);
    let cluster = Cluster::new();
    let node = cluster.primary();
    node.sql("CREATE TABLE mark (number BIGINT PRIMARY KEY)");
    let StoreSettings::Postgres(settings) = settings(&[&node.host()]) else {
        unreachable!("PostgreSQL")
    };
    let settings =
        StoreSettings::Postgres(PostgresSettings { statement_timeout: LIMIT, ..settings });
    let store = Store::open(&settings).await.expect("it answers").with_statement_limit(LIMIT);
    write(&store, 0).await.expect("nothing to wait for");
    node.set("SET synchronous_standby_names = 'nobody'");
    node.until("SHOW synchronous_standby_names", "nobody").await;

    // One caller waits as long as it may, another goes away.
    let asked = Instant::now();
    let told = write(&store, 1).await.expect_err("no standby has it");
    assert_eq!(told.failure(), Failure::Unknown);
    assert!(asked.elapsed() >= LIMIT && asked.elapsed() < TOLD_WITHIN, "{:?}", asked.elapsed());
    let error = Error::from(told);
    assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "outcome-unknown"));
    assert!(error.hint().is_some_and(|hint| hint.contains("same Idempotency-Key")));
    assert!(error.retry_after().is_some());
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let leaving = tokio::spawn({
        let store = store.clone();
        async move { write(&store, 2).await }
    });
    node.until(waiting, "2").await;
    leaving.abort();
    assert!(leaving.await.is_err_and(|ended| ended.is_cancelled()));

    // Both go on waiting, longer than any statement may take, and are not there.
    let overdue = format!("{waiting} AND clock_timestamp() - query_start > interval '2 seconds'");
    node.until(&overdue, "2").await;
    assert_eq!(node.sql("SELECT count(*) FROM mark"), "1");
    node.set("RESET synchronous_standby_names");
    node.until("SELECT count(*) FROM mark", "3").await;
    let log = std::fs::read_to_string(node.log()).expect("a log");
    assert!(!log.contains("canceling"), "{log}");
    write(&store, 3).await.expect("nothing to wait for");
    store.close().await;
}

/// Lets a user into the database `sealed` by a certificate of `authority` only.
fn seal(node: &Node, authority: &InternalCa) {
    let owner = std::fs::metadata(&node.folder).expect("a folder").uid();
    let write = |name: &str, text: &str| {
        let path = node.folder.join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("private");
        std::os::unix::fs::chown(&path, Some(owner), None).expect("given");
    };
    let name = "n1".parse().expect("a host name");
    let own = authority.issue_node(
        &name,
        [127, 0, 0, 1].into(),
        SystemClock.now(),
        &palisade::clock::SystemRandom,
    );
    let own = own.expect("issued");
    write("server.crt", own.certificate_pem());
    write("server.key", own.key_pem().expose());
    write("authority.crt", authority.certificate_pem());
    let rules = "hostssl sealed palisade 127.0.0.1/32 cert\nhost postgres all 127.0.0.1/32 trust\n";
    write("pg_hba.conf", rules);
    node.sql("CREATE DATABASE sealed");
    node.set("SET ssl_ca_file = 'authority.crt'");
    node.set("SET ssl = on");
}

#[tokio::test]
async fn a_certificate_opens_the_database_and_a_changed_file_counts_for_new_connections() {
    // Fails when another test of this process was first: as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = Cluster::new();
    let node = cluster.primary();
    let authority = crate::engines::authority();
    seal(&node, &authority);
    node.until("SHOW ssl", "on").await;

    let file = |name: &str| cluster.folder.path().join(name);
    let write = |name: &str, text: &str| {
        palisade::files::replace(&file(name), text.as_bytes(), palisade::files::PRIVATE)
            .expect("written");
    };
    let show = |user: ClusterUser| {
        let random = palisade::clock::SystemRandom;
        let own = authority.issue_user(user, SystemClock.now(), &random).expect("issued");
        write("own.crt", own.certificate_pem());
        write("own.key", own.key_pem().expose());
    };
    write("authority.crt", authority.certificate_pem());
    show(ClusterUser::Palisade);
    let sealed = PostgresSettings {
        url: format!("postgresql://palisade@{}/sealed", node.host()),
        password: None,
        ca_file: Some(file("authority.crt")),
        client: Some(ClientCertificate { certificate: file("own.crt"), key: file("own.key") }),
        max_connections: 8,
        statement_timeout: Duration::from_secs(8),
    };
    let without = PostgresSettings { client: None, ..sealed.clone() };
    Store::open(&StoreSettings::Postgres(without)).await.expect_err("nobody without a certificate");
    let store = Store::open(&StoreSettings::Postgres(sealed)).await.expect("by the certificate");

    // Each of these is a connection of its own, as the ones before are in use.
    let _first = store.begin().await.expect("the first");
    show(ClusterUser::Replicator);
    store.begin().await.expect_err("the certificate of another user");
    show(ClusterUser::Palisade);
    let _second = store.begin().await.expect("by the newest certificate");
}

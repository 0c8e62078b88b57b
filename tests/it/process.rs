//! The real program as a process: started, killed, and started again.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    app::{PASSWORD, eventually},
    client::Client,
};

/// Longer than any start takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test: the one that `PALISADE_BINARY` names (a release
/// build), else the one that was built with these tests.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses the program")]
pub(crate) fn program() -> PathBuf {
    std::env::var_os("PALISADE_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_palisade").into(), PathBuf::from)
}

/// An address on loopback that was free a moment ago.
pub(crate) fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").to_string()
}

/// A directory with everything that `palisade serve` needs to start.
pub(crate) struct Installation {
    directory: TempDir,
    listen: String,
    settings: Vec<(String, String)>,
}

/// `palisade serve`, running.
pub(crate) struct Running {
    child: Child,
    /// From the start of the process until it said that it is ready.
    pub(crate) ready_after: Duration,
}

impl Installation {
    /// A fresh one on an address of its own, with further settings.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let all = [
            ("limits.per_address_per_second", "100000"),
            ("limits.per_address_burst", "100000"),
            ("limits.per_tenant_per_second", "100000"),
            ("limits.per_tenant_burst", "100000"),
        ];
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self {
            directory: TempDir::new().expect("a temporary directory"),
            listen: free_address(),
            settings: all.iter().chain(settings).map(owned).collect(),
        }
    }

    /// Settings for a bus with listeners of its own.
    pub(crate) fn with_bus(settings: &[(&str, &str)]) -> Self {
        let (tls, websocket) = (free_address(), free_address());
        let bus =
            [("bus.mode", "managed"), ("bus.listen", &*tls), ("bus.websocket_listen", &*websocket)];
        Self::new(&[&bus, settings].concat())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("var")
    }

    /// What the process has written to standard output and standard error, all runs together.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("serve.log")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self) -> String {
        let port = self.listen.rsplit(':').next().expect("a port");
        format!("https://localhost:{port}")
    }

    /// A client that trusts this installation and has not signed in.
    pub(crate) fn anonymous(&self) -> Client {
        let ca = std::fs::read_to_string(self.data().join("ca.pem")).expect("the CA is there");
        Client::new(&self.url(), &ca)
    }

    /// Starts the program and waits until `/readyz` says yes.
    pub(crate) async fn start(&self) -> Running {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let mut command = Command::new(program());
        command.current_dir(self.path()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.args(["serve", "--listen", &self.listen, "--data-dir"]).arg(self.data());
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a handle")).stdout(log);
        let began = Instant::now();
        let child = command.spawn().expect("the program starts");
        // From here on it ends with the test, also when the test fails.
        let mut running = Running { child, ready_after: Duration::ZERO };
        let ca = self.data().join("ca.pem");
        while !ca.exists() && began.elapsed() < PATIENCE {
            self.refuse_ended(&mut running.child);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let client = self.anonymous();
        while !is_ready(&client).await {
            self.refuse_ended(&mut running.child);
            assert!(began.elapsed() < PATIENCE, "not ready: {}", self.last_words());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.ready_after = began.elapsed();
        running
    }

    #[track_caller]
    fn refuse_ended(&self, child: &mut Child) {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended with {ended:?}: {}", self.last_words());
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The beginning of what the running process has written.
    pub(crate) fn last_start(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let (_, last) = log.rsplit_once("Palisade ").unwrap_or_default();
        last.lines().take(30).collect::<Vec<_>>().join("\n")
    }

    /// Completes the set-up with the code that the console shows.
    pub(crate) async fn set_up(&self) -> Client {
        let code = std::fs::read_to_string(self.data().join("setup-code")).expect("a code");
        let body = json!({
            "code": code.trim(),
            "admin": {"email": "root@example.com", "name": "Root", "password": PASSWORD},
            "bearer": true,
        });
        let reply = self.anonymous().post("/v1/setup", body).await;
        reply.assert_status(201);
        self.anonymous().with_token(reply.text("/tokens/accessToken"))
    }

    /// A tenant with an administrator, who is the client.
    pub(crate) async fn tenant(&self, system: &Client, slug: &str) -> Client {
        let email = format!("admin@{slug}.example.com");
        let admin = json!({"email": email, "name": "Admin", "password": PASSWORD});
        let body = json!({"name": slug, "slug": slug, "admin": admin});
        system.post("/v1/tenants", body).await.assert_status(201);
        let body = json!({"email": email, "password": PASSWORD, "bearer": true});
        let reply = self.anonymous().post("/v1/auth/login", body).await;
        reply.assert_status(200);
        self.anonymous().with_token(reply.text("/tokens/accessToken"))
    }
}

async fn is_ready(client: &Client) -> bool {
    let asked = client.request(reqwest::Method::GET, "/readyz").send().await;
    asked.is_ok_and(|reply| reply.status() == 200)
}

/// When a test fails, what the server complained about helps.
impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let serious = |line: &&str| line.contains("WARN") || line.contains("ERROR");
            let lines: Vec<_> = log.lines().filter(serious).rev().take(30).collect();
            say(&lines.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

/// For whoever runs the long tests with `--nocapture`.
#[expect(clippy::print_stderr, reason = "the result of a measurement")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killable");
        self.child.wait().expect("gone");
    }

    /// `kill`, and the exit that follows it.
    pub(crate) async fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a process");
        let child = &mut self.child;
        eventually(PATIENCE, || std::future::ready(child.try_wait().expect("a child"))).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the process still runs. One that has ended may wait for its
/// parent, here the init of the machine, to take note.
pub(crate) fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

/// The processes that `parent` has started and that still run.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let found = std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let of = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
        (of.parse() == Ok(parent)).then_some(pid)
    });
    found.collect()
}

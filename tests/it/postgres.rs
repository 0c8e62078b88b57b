//! A real PostgreSQL server for the tests of one process.
//!
//! Owns: starting Debian's PostgreSQL in a folder of its own, ending it with
//! the process however that ends, and a fresh database for each test, copied
//! from one that was migrated once.
//! Must not know: the program under test. The unit tests of the store include
//! this file by its path; the integration tests use it as a module.

use std::{
    future::Future,
    io::{BufRead, BufReader, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::sync::OnceCell;

impl Database {
    /// Where it is, as settings take it.
    pub(crate) fn url(&self) -> String {
        let socket = self.socket.display().to_string().replace('/', "%2F");
        format!("postgresql://palisade@{socket}:5432/{}", self.name)
    }
}

/// Runs as a user that may run PostgreSQL. The sort order of the server is a
/// linguistic one, so that a column without `COLLATE "C"` shows.
/// The end of standard input is the end of the test process.
const SUPERVISOR: &str = r#"
set -eu
folder=$(mktemp -d /tmp/palisade-postgres.XXXXXX)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' TERM INT HUP
cd "$folder"
"$1/initdb" --pgdata data --username palisade --auth trust --encoding UTF8 --no-sync \
  --locale C.UTF-8 --locale-provider icu --icu-locale en-US >log 2>&1 || { cat log >&2; exit 1; }
"$1/postgres" -D data -k "$folder" -c listen_addresses= -c fsync=off -c max_connections=400 \
  -c shared_buffers=64MB >>log 2>&1 </dev/null &
server=$!
trap 'kill -QUIT $server 2>/dev/null; wait $server; rm -rf "$folder"' EXIT
until "$1/pg_isready" -q -h "$folder"; do
  kill -0 $server 2>/dev/null || { cat log >&2; exit 1; }
  sleep 0.05
done
echo "$folder"
cat >/dev/null
"#;

static SERVER: OnceCell<Server> = OnceCell::const_new();

/// A database that belongs to one test. It goes with the server.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// The folder of the server's Unix socket.
    pub(crate) socket: PathBuf,
    /// The database's name. The user is `palisade`, the port 5432, without a password.
    pub(crate) name: String,
}

/// A fresh copy of the database that `migrate` has prepared once per process.
/// `migrate` must close its connections.
pub(crate) async fn migrated<F: Future<Output = ()>>(
    migrate: impl FnOnce(Database) -> F,
) -> Database {
    let server = SERVER
        .get_or_init(|| async {
            let server = blocking(Server::start).await;
            server.create("migrated", "template0");
            migrate(server.database("migrated")).await;
            server
        })
        .await;
    fresh(server, "migrated").await
}

async fn fresh(server: &'static Server, template: &'static str) -> Database {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    blocking(move || {
        server.create(&name, template);
        server.database(&name)
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("PostgreSQL for the tests")
}

#[derive(Debug)]
struct Server {
    programs: PathBuf,
    folder: PathBuf,
    /// Its standard input ends with this process.
    _supervisor: Child,
}

impl Server {
    fn start() -> Self {
        let programs = newest_programs();
        let mut supervisor = supervise(&programs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start a shell that runs PostgreSQL");
        let mut folder = String::new();
        let stdout = supervisor.stdout.take().expect("its output is a pipe");
        BufReader::new(stdout).read_line(&mut folder).expect("read where PostgreSQL is");
        if folder.is_empty() {
            let mut reason = String::new();
            let mut stderr = supervisor.stderr.take().expect("its errors are a pipe");
            stderr.read_to_string(&mut reason).expect("read why PostgreSQL did not start");
            panic!("PostgreSQL did not start: {reason}");
        }
        Self { programs, folder: folder.trim_end().into(), _supervisor: supervisor }
    }

    fn create(&self, name: &str, template: &str) {
        let made = Command::new(self.programs.join("createdb"))
            .arg("--host")
            .arg(&self.folder)
            .args(["--username", "palisade", "--template", template, name])
            .output()
            .expect("run createdb");
        assert!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn database(&self, name: &str) -> Database {
        Database { socket: self.folder.clone(), name: name.to_owned() }
    }
}

/// Where Debian keeps the programs of the newest PostgreSQL.
fn newest_programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .map(|version| version.path())
        .filter(|version| version.join("bin/initdb").exists())
        .max_by_key(|version| {
            version.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok())
        })
        .expect("PostgreSQL is not on this machine: run tests/peers, which installs it")
        .join("bin")
}

fn supervise(programs: &Path) -> Command {
    let root = std::fs::metadata("/proc/self").expect("look at this process").uid() == 0;
    let mut command = Command::new(if root { "setpriv" } else { "sh" });
    if root {
        // PostgreSQL refuses to run as root.
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "sh"]);
    }
    command.args(["-c", SUPERVISOR, "sh"]).arg(programs);
    command
}

//! A PostgreSQL server that syncs to disk, in a folder of its own.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Signal, geteuid};

use crate::process::{Folder, Server, program};

/// A running server with the database `palisade`.
pub(crate) struct Postgres {
    _server: Server,
    socket: PathBuf,
    programs: PathBuf,
    _folder: Folder,
}

/// It refuses to run as root, so root lends it the user of Debian's package.
fn as_its_user(command: &mut Command) -> Result<Option<(u32, u32)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.context("there is no user postgres")?.split(':').skip(2);
    let mut number = || -> Result<u32> { Ok(fields.next().context("no number")?.parse()?) };
    let (user, group) = (number()?, number()?);
    command.uid(user).gid(group);
    Ok(Some((user, group)))
}

impl Postgres {
    pub(crate) async fn start() -> Result<Self> {
        let folder = Folder::new()?;
        let programs = program("PG_BIN", "/usr/lib/postgresql/15/bin");
        let socket = folder.path().join("pg");
        fs::create_dir(&socket)?;
        let mut make = Command::new(programs.join("initdb"));
        if let Some((user, group)) = as_its_user(&mut make)? {
            chown(&socket, Some(user), Some(group))?;
        }
        make.current_dir(&socket);
        make.args(["--pgdata", "data", "--username", "palisade", "--auth", "trust"]);
        make.args(["--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]);
        let made = make.stdout(Stdio::null()).output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let mut serve = Command::new(programs.join("postgres"));
        as_its_user(&mut serve)?;
        serve.current_dir(&socket).args(["-D", "data", "-k"]).arg(&socket);
        serve.args(["-c", "listen_addresses=", "-c", "max_connections=100"]);
        serve.args(["-c", "shared_buffers=128MB"]);
        let log = folder.path().join("postgres.log");
        let server = Server::start_with(&mut serve, log, Signal::INT)?;
        let postgres = Self { _server: server, socket, programs, _folder: folder };
        let begun = Instant::now();
        while postgres.psql("postgres", "SELECT 1").is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                bail!("PostgreSQL does not answer");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        postgres.psql("postgres", "CREATE DATABASE palisade")?;
        Ok(postgres)
    }

    /// As `storage.postgres.url` takes it.
    pub(crate) fn url(&self) -> String {
        let socket = self.socket.display().to_string().replace('/', "%2F");
        format!("postgresql://palisade@{socket}:5432/palisade")
    }

    /// Runs SQL in a database.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> Result<()> {
        let mut command = self.client("psql", database);
        let done = command.args(["-q", "-v", "ON_ERROR_STOP=1", "-c", sql]).output()?;
        ensure!(done.status.success(), "psql: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    /// Transactions per second of a pgbench script with prepared statements.
    pub(crate) fn pgbench(&self, script: &Path, clients: usize, seconds: u64) -> Result<f64> {
        let mut command = self.client("pgbench", "palisade");
        command.args(["-n", "-M", "prepared", "-j", "2", "-c"]).arg(clients.to_string());
        let output = command.arg("-T").arg(seconds.to_string()).arg("-f").arg(script).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        let failed = || format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(rate.with_context(failed)?.parse()?)
    }

    fn client(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("-h").arg(&self.socket).args(["-U", "palisade", "-d", database]);
        command
    }
}

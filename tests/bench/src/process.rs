//! Servers that a benchmark starts: their folder, their ports and their end.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("palisade-bench.{}.{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and answers where.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.0.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server of ours or a peer. Dropping it ends it and waits for its end.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stop: Signal,
    log: PathBuf,
}

impl Server {
    /// Starts `command` with what it says in `log`.
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        Self::start_with(&mut command, log, Signal::TERM)
    }

    /// Starts a server that ends at another signal.
    pub(crate) fn start_with(command: &mut Command, log: PathBuf, stop: Signal) -> Result<Self> {
        let said = File::options().create(true).append(true).open(&log)?;
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child, stop, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The server and everything that it has started.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        let mut all = vec![self.id()];
        all.extend(crate::measure::children(self.id())?);
        Ok(all)
    }

    /// An error that says what the server said, if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            let from = said.len().saturating_sub(2_000);
            let tail = said.get(from..).unwrap_or(&said);
            bail!("a server has ended ({status}); its last words: {tail}");
        }
        Ok(())
    }

    /// Waits until somebody listens at `address`.
    pub(crate) async fn until_it_listens(&mut self, address: SocketAddr) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            self.check()?;
            if begun.elapsed() > PATIENCE {
                bail!("nobody listens at {address}; see {}", self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, self.stop);
        }
        let _ = self.child.wait();
    }
}

/// An address on loopback whose port is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program: named by a variable that `tests/peers --env` prints, or in `PATH`.
pub(crate) fn program(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| name.into(), Into::into)
}

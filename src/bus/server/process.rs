//! One run of the broker's process.
//!
//! Owns: starting it so that it dies with us, its output, its signals, its end,
//! and brokers that an earlier run of ours has left behind.
//! Must not know: when to start one, or what is in its configuration.

use std::{
    collections::VecDeque,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    sync::{oneshot, watch},
};
use tracing::{debug, warn};

/// The last lines that are kept for error messages.
const KEPT_LINES: usize = 12;
/// A line of output beyond this is cut.
const LINE_LIMIT: usize = 2_000;
/// How long a broker may take to obey SIGTERM.
const TERM_PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait for the output of a broker that has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often we look whether a process of an earlier run is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running broker. Dropping it stops it.
pub(super) struct Process {
    handle: Arc<OwnedFd>,
    ready: watch::Receiver<bool>,
    ended: watch::Receiver<Option<String>>,
    lines: LastLines,
}

impl Process {
    /// Starts `binary` with `config`.
    pub(super) async fn start(binary: &Path, config: &Path) -> io::Result<Self> {
        let command = command(binary, config);
        let (started_tx, started) = oneshot::channel();
        let (ended_tx, ended) = watch::channel(None);
        // The kernel sends the parent-death signal when the *thread* that
        // started the process ends, so that thread lives as long as the process.
        std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || run(command, started_tx, &ended_tx))?;
        let (handle, stderr) =
            started.await.map_err(|_| io::Error::other("the starting thread ended"))??;
        let lines = LastLines::default();
        let (ready_tx, ready) = watch::channel(false);
        let stderr = tokio::process::ChildStderr::from_std(stderr)?;
        tokio::spawn(read_output(stderr, lines.clone(), ready_tx));
        Ok(Self { handle: Arc::new(handle), ready, ended, lines })
    }

    /// Waits until the broker serves. `Err` has its last words when it ended
    /// instead or took too long.
    pub(super) async fn until_ready(&mut self, patience: Duration) -> Result<(), String> {
        let mut ended = self.ended.clone();
        let outcome = tokio::select! {
            biased;
            ready = self.ready.wait_for(|ready| *ready) => ready.is_ok().then_some(()).ok_or(None),
            end = ended.wait_for(Option::is_some) => Err(end.ok().and_then(|end| end.clone())),
            () = tokio::time::sleep(patience) => Err(Some(format!("not ready after {patience:?}"))),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(reason) => {
                let reason = match reason {
                    Some(reason) => reason,
                    None => self.until_ended().await,
                };
                // What it wrote last may still be on its way to us; the reader
                // lets go of `ready` when it has read everything.
                let read = self.ready.wait_for(|_| false);
                let _ = tokio::time::timeout(LAST_WORDS, read).await;
                Err(format!("{reason}; its last words: {}", self.lines.text()))
            }
        }
    }

    /// Waits until the process has ended, and says how.
    pub(super) async fn until_ended(&self) -> String {
        let mut ended = self.ended.clone();
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|end| end.clone()).unwrap_or_else(|| "it could not be watched".into())
    }

    /// The last lines of its output in one line.
    pub(super) fn last_lines(&self) -> String {
        self.lines.text()
    }

    /// Makes it read its configuration and certificates again.
    pub(super) fn reload(&self) -> io::Result<()> {
        Ok(pidfd_send_signal(self.handle.as_fd(), Signal::HUP)?)
    }

    /// Stops it: first asking, then by force.
    pub(super) async fn stop(self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(TERM_PATIENCE, self.until_ended()).await.is_err() {
            warn!("the message broker did not stop when asked; killing it");
            self.signal(Signal::KILL);
            self.until_ended().await;
        }
    }

    fn signal(&self, signal: Signal) {
        // It fails only if the process is gone, which is what we want anyway.
        let _ = pidfd_send_signal(self.handle.as_fd(), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
    }
}

/// The command, wrapped so that the kernel stops the broker when we die, even by SIGKILL.
fn command(binary: &Path, config: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut command = if setpriv.exists() {
        let mut command = Command::new(setpriv);
        command.arg("--pdeathsig=TERM").arg("--").arg(binary);
        command
    } else {
        // Then a left-over is found at the next start.
        Command::new(binary)
    };
    command.arg("-c").arg(config);
    // Ctrl-C is for us: the broker goes when the last agent has been told.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

type Started = io::Result<(OwnedFd, std::process::ChildStderr)>;

fn run(
    mut command: Command,
    started: oneshot::Sender<Started>,
    ended: &watch::Sender<Option<String>>,
) {
    let spawned = command.spawn().and_then(|mut child| {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process id out of range"))?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("no pipe"))?;
        Ok((pidfd_open(pid, PidfdFlags::empty())?, stderr, child))
    });
    match spawned {
        Ok((handle, stderr, mut child)) => {
            let _ = started.send(Ok((handle, stderr)));
            let end = child.wait().map_or_else(|error| error.to_string(), describe);
            ended.send_replace(Some(end));
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}

fn describe(end: ExitStatus) -> String {
    format!("it ended with {end}")
}

#[derive(Clone, Default)]
struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() { "(none)".into() } else { Vec::from(lines.clone()).join(" | ") }
    }
}

async fn read_output(
    stderr: tokio::process::ChildStderr,
    lines: LastLines,
    ready: watch::Sender<bool>,
) {
    let mut reader = BufReader::new(stderr);
    let mut raw = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut raw).await {
        raw.truncate(LINE_LIMIT);
        let text = String::from_utf8_lossy(&raw);
        let text = text.trim_end();
        // `[pid] [LEVEL] text`
        let text = text.split_once("] ").map_or(text, |(_, rest)| rest);
        log(text);
        if text.ends_with("Server is ready") {
            ready.send_replace(true);
        }
        lines.push(text.to_owned());
        raw.clear();
    }
}

fn log(text: &str) {
    // What concerns a single connection is its peer's doing and may be frequent.
    let of_a_connection = text.contains(" - cid:") || text.contains(" - wid:");
    // The WebSocket listener is on loopback; TLS is the gateway's.
    let expected = text.contains("Websocket not configured with TLS");
    let serious =
        text.starts_with("[WRN]") || text.starts_with("[ERR]") || text.starts_with("[FTL]");
    if serious && !of_a_connection && !expected {
        warn!("message broker: {text}");
    } else {
        debug!("message broker: {text}");
    }
}

/// Another process of ours is alive and uses the same directory.
#[derive(Debug)]
pub(super) struct InUse {
    pub(super) pid: i32,
}

/// Stops every broker that still runs with `config`: an earlier run of ours
/// was killed so hard that it could not take its broker along.
pub(super) async fn stop_leftovers(config: &Path) -> Result<(), InUse> {
    for pid in brokers_with(config) {
        // The handle comes first: it stays with this process even if the number is given to another.
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if !is_broker_with(pid, config) {
            continue;
        }
        if let Some(pid) = living_owner(pid) {
            return Err(InUse { pid });
        }
        warn!("stopping the message broker of an earlier run (process {})", pid.as_raw_nonzero());
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = pidfd_send_signal(&handle, signal);
            let gone = async {
                while is_broker_with(pid, config) {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            };
            if tokio::time::timeout(Duration::from_secs(1), gone).await.is_ok() {
                break;
            }
        }
    }
    Ok(())
}

/// The parent of a broker, if it is another running process of this program.
fn living_owner(broker: Pid) -> Option<i32> {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", broker.as_raw_nonzero())).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    let own = std::fs::read_link("/proc/self/exe").ok()?;
    let theirs = std::fs::read_link(format!("/proc/{parent}/exe")).ok()?;
    let parent: i32 = parent.parse().ok()?;
    let is_us = u32::try_from(parent).is_ok_and(|parent| parent == std::process::id());
    (same_program(&own, &theirs) && !is_us).then_some(parent)
}

/// The name counts, because the program may have been replaced by a newer one;
/// the kernel marks the old one as deleted then.
fn same_program(one: &Path, other: &Path) -> bool {
    let name = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
    };
    name(one).is_some() && name(one) == name(other)
}

fn brokers_with(config: &Path) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
        .filter(|pid| is_broker_with(*pid, config))
        .collect()
}

/// Whether the process is `… -c <config>`. A zombie has no command line any more.
fn is_broker_with(pid: Pid, config: &Path) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) else {
        return false;
    };
    let mut tail = line.split(|byte| *byte == 0).rev().filter(|argument| !argument.is_empty());
    tail.next() == Some(config.as_os_str().as_encoded_bytes()) && tail.next() == Some(b"-c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_still_the_same_program() {
        let same = |one: &str, other: &str| same_program(Path::new(one), Path::new(other));
        assert!(same("/usr/bin/palisade", "/usr/bin/palisade (deleted)"));
        assert!(same("/usr/bin/palisade", "/opt/palisade"));
        assert!(!same("/usr/bin/palisade", "/usr/bin/bash"));
        assert!(!same("/", "/"));
    }
}

//! The message broker that `serve` runs itself.
//!
//! Owns: finding `nats-server`, its ports, its configuration, and keeping it running.
//! Must not know: tenants or messages.
//!
//! Start at [`Supervisor::start`]. A broker that cannot start is one clear
//! error; a broker that crashes later is started again, with a growing pause.

mod config;
mod process;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

pub use config::MAX_PAYLOAD;
use process::Process;

use super::trust::Trust;
use crate::{
    clock::{Clock, Timestamp},
    error::{Error, Kind, Result},
};

/// The oldest broker that has what we need: full resolvers that forget accounts.
const OLDEST: (u32, u32) = (2, 9);
/// How long the broker may take to serve.
const READY_PATIENCE: Duration = Duration::from_secs(10);
/// Where Debian keeps servers; only root looks for programs there.
const SERVERS: &str = "/usr/sbin";
/// The pause before the first restart; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A broker that ran this long has recovered; the next pause is short again.
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// How the broker is run.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// Where the broker's configuration and accounts are; created if missing, private to us.
    pub directory: PathBuf,
    /// Whether we start the broker. If not, somebody else runs one at
    /// [`BusSettings::websocket`] with [`configuration`].
    pub managed: bool,
    /// The program; a bare name is looked up in `PATH`.
    pub binary: PathBuf,
    /// The TLS listener for agents that do not come through the gateway; `None` for none.
    pub listen: Option<SocketAddr>,
    /// The WebSocket listener for the gateway's tunnel and for ourselves;
    /// loopback only. Port 0 takes any free port and keeps it.
    pub websocket: SocketAddr,
    /// The broker's own HTTP monitoring; loopback only, `None` for none.
    pub monitoring: Option<SocketAddr>,
    /// The most connections at once.
    pub max_connections: u32,
    /// The brokers of the other nodes; `None` for a broker on its own.
    pub cluster: Option<ClusterSettings>,
}

/// How the brokers of a cluster find each other, and know each other by
/// certificates.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// What this broker is called; no two have the same name.
    pub name: String,
    /// Where it listens for the others.
    pub listen: SocketAddr,
    /// Where the others listen.
    pub peers: Vec<SocketAddr>,
    /// What it shows the others and expects of them.
    pub tls: PeerTls,
}

/// Certificate, key and CA of the connections between brokers, as PEM files.
/// The certificate is a server's and a client's, for the address that the
/// others dial. They are read again at [`Supervisor::reload`].
#[derive(Clone, Debug)]
pub struct PeerTls {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The CA that has issued the certificates of all brokers.
    pub authority: PathBuf,
}

impl BusSettings {
    /// The defaults of an appliance: everything below `directory`, agents
    /// through the gateway only.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            managed: true,
            binary: "nats-server".into(),
            listen: None,
            websocket: SocketAddr::from(([127, 0, 0, 1], 4280)),
            monitoring: None,
            max_connections: 20_000,
            cluster: None,
        }
    }

    /// `Invalid` when a listener without TLS is not on loopback.
    pub(super) fn check(&self) -> Result<()> {
        let mut loopback = vec![("bus.websocket", self.websocket)];
        loopback.extend(self.monitoring.map(|address| ("bus.monitoring", address)));
        for (field, address) in loopback {
            if !address.ip().is_loopback() {
                return Err(Error::invalid(
                    field,
                    "this listener has no TLS and must be on loopback",
                ));
            }
        }
        self.cluster.as_ref().map_or(Ok(()), ClusterSettings::check)
    }
}

impl ClusterSettings {
    fn check(&self) -> Result<()> {
        let fits = !self.name.is_empty()
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !fits {
            return Err(Error::invalid(
                "bus.cluster.name",
                "a broker's name has letters, digits, '-' and '_' only",
            ));
        }
        if self.peers.contains(&self.listen) {
            return Err(Error::invalid(
                "bus.cluster.peers",
                format!("{} is this broker itself", self.listen),
            ));
        }
        Ok(())
    }
}

/// Certificate and key of the TLS listener, as PEM files. They are read again
/// at [`Supervisor::reload`].
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What the broker is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// It serves.
    Ready,
    /// It has ended and is started again.
    Restarting {
        /// Why it ended.
        reason: String,
    },
    /// It was stopped.
    Stopped,
    /// Somebody else runs it.
    External,
}

/// Keeps one broker running. Dropping it stops the broker without waiting.
pub struct Supervisor {
    websocket: SocketAddr,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<(BrokerState, u64)>,
}

enum Order {
    Reload,
    Stop,
}

impl Supervisor {
    /// Starts the broker and waits until it serves.
    ///
    /// [`Kind::Unavailable`] with a hint when the program is missing or too old,
    /// a port is taken, or it does not come up.
    pub async fn start(
        settings: &BusSettings,
        trust: &Trust,
        tls: Option<&TlsFiles>,
        clock: &dyn Clock,
    ) -> Result<Self> {
        settings.check()?;
        let binary = located(&settings.binary, Path::new(SERVERS)).await;
        check_version(&binary).await?;
        let config = config::config_file(settings);
        process::stop_leftovers(&config).await.map_err(|process::InUse { pid }| {
            let directory = settings.directory.display();
            startup_error(
                "bus-directory-in-use",
                format!("Process {pid} already runs a message broker from {directory}."),
            )
            .with_hint("Stop the other palisade, or give this one a directory of its own.")
        })?;
        let websocket = take_ports(settings)?;
        let text = config::render(settings, websocket, tls, trust, clock.now())?;
        write_config(settings, &config, &text)?;

        let run = Run { binary, config };
        let process = run.start().await.map_err(|reason| {
            startup_error(
                "bus-not-starting",
                format!("The message broker does not start: {reason}."),
            )
        })?;
        let (orders, inbox) = mpsc::channel(4);
        let (state_tx, state) = watch::channel((BrokerState::Ready, 0));
        tokio::spawn(supervise(run, process, inbox, state_tx));
        info!(websocket = %websocket, "the message broker is ready");
        Ok(Self { websocket, orders, state })
    }

    /// Where the WebSocket listener is.
    pub fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    /// What the broker is doing, and how often it was started again.
    pub fn state(&self) -> watch::Receiver<(BrokerState, u64)> {
        self.state.clone()
    }

    /// Reads certificates again; no connection is dropped.
    pub async fn reload(&self) {
        // Fails only after a stop, when there is nothing to reload.
        let _ = self.orders.send(Order::Reload).await;
    }

    /// Stops the broker and waits for its end.
    pub async fn stop(&self) {
        let _ = self.orders.send(Order::Stop).await;
        let _ = self.state.clone().wait_for(|(state, _)| *state == BrokerState::Stopped).await;
    }
}

/// The configuration for a broker that somebody else runs, e.g. systemd.
/// `Invalid` when the settings do not go together.
pub fn configuration(
    settings: &BusSettings,
    trust: &Trust,
    tls: Option<&TlsFiles>,
    now: Timestamp,
) -> Result<String> {
    settings.check()?;
    config::render(settings, settings.websocket, tls, trust, now)
}

/// How to start the broker once more.
struct Run {
    binary: PathBuf,
    config: PathBuf,
}

impl Run {
    async fn start(&self) -> Result<Process, String> {
        let started = Process::start(&self.binary, &self.config).await;
        let mut process = started
            .map_err(|error| format!("{} cannot be started: {error}", self.binary.display()))?;
        process.until_ready(READY_PATIENCE).await?;
        Ok(process)
    }
}

enum Wake {
    Ended(String),
    Order(Option<Order>),
}

async fn supervise(
    run: Run,
    mut process: Process,
    mut orders: mpsc::Receiver<Order>,
    state: watch::Sender<(BrokerState, u64)>,
) {
    let mut pause = FIRST_PAUSE;
    let mut since = tokio::time::Instant::now();
    loop {
        let wake = tokio::select! {
            reason = process.until_ended() => Wake::Ended(reason),
            order = orders.recv() => Wake::Order(order),
        };
        let mut reason = match wake {
            Wake::Order(Some(Order::Reload)) => {
                if let Err(error) = process.reload() {
                    warn!(%error, "the message broker could not be told to read its certificates");
                }
                continue;
            }
            Wake::Order(Some(Order::Stop) | None) => {
                process.stop().await;
                break;
            }
            Wake::Ended(reason) => format!("{reason}; its last words: {}", process.last_lines()),
        };
        if since.elapsed() >= HEALTHY_AFTER {
            pause = FIRST_PAUSE;
        }
        process = loop {
            warn!("the message broker is down ({reason}); starting it again in {pause:?}");
            state.send_modify(|(state, _)| {
                *state = BrokerState::Restarting { reason: reason.clone() };
            });
            let stop = async { while let Some(Order::Reload) = orders.recv().await {} };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop => {
                    state.send_modify(|(state, _)| *state = BrokerState::Stopped);
                    return;
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            match run.start().await {
                Ok(process) => break process,
                Err(why) => reason = why,
            }
        };
        since = tokio::time::Instant::now();
        info!("the message broker is ready again");
        state.send_modify(|(state, restarts)| {
            *state = BrokerState::Ready;
            *restarts += 1;
        });
    }
    state.send_modify(|(state, _)| *state = BrokerState::Stopped);
}

/// The program that is meant: a bare name that the search path does not have is
/// looked for in `servers` too.
pub(super) async fn located(binary: &Path, servers: &Path) -> PathBuf {
    let is_bare = binary.components().count() == 1 && !binary.is_absolute();
    let among_servers = servers.join(binary);
    if !is_bare || !among_servers.exists() {
        return binary.to_owned();
    }
    let found = tokio::process::Command::new(binary).arg("--version").output().await;
    match found {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => among_servers,
        _ => binary.to_owned(),
    }
}

/// Checks that the broker is there and not too old.
async fn check_version(binary: &Path) -> Result<()> {
    let shown = binary.display();
    let output = tokio::process::Command::new(binary).arg("--version").output().await;
    let output = output.map_err(|error| {
        startup_error("bus-binary-missing", format!("The message broker {shown} cannot be run."))
            .with_hint(format!("Install nats-server {}.{} or newer (Debian: apt install nats-server), or name it in bus.binary.", OLDEST.0, OLDEST.1))
            .caused_by(error)
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse_version(&text) {
        Some(found) if found >= OLDEST => Ok(()),
        Some((major, minor)) => Err(startup_error(
            "bus-binary-old",
            format!("The message broker {shown} has version {major}.{minor}, which is too old."),
        )
        .with_hint(format!("Install nats-server {}.{} or newer.", OLDEST.0, OLDEST.1))),
        None => Err(startup_error(
            "bus-binary-unknown",
            format!("{shown} does not say a version as nats-server does."),
        )
        .with_hint("Name the right program in bus.binary.")),
    }
}

/// Reads `nats-server: v2.9.10`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Checks that every port is free, and answers the address of the WebSocket listener.
fn take_ports(settings: &BusSettings) -> Result<SocketAddr> {
    let take = |field: &str, address: SocketAddr| {
        let taken = TcpListener::bind(address).and_then(|listener| listener.local_addr());
        taken.map_err(|error| {
            startup_error(
                "bus-port-taken",
                format!("The message broker cannot listen on {address} ({field}): {error}."),
            )
            .with_hint(format!(
                "Stop what uses port {} (ss -ltnp shows it), or choose another port in {field}.",
                address.port()
            ))
        })
    };
    if let Some(address) = settings.listen {
        take("bus.listen", address)?;
    }
    if let Some(address) = settings.monitoring {
        take("bus.monitoring", address)?;
    }
    if let Some(cluster) = &settings.cluster {
        take("bus.cluster.listen", cluster.listen)?;
    }
    take("bus.websocket", settings.websocket)
}

fn write_config(settings: &BusSettings, file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let private = |path: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    private(&settings.directory)
        .and_then(|()| private(&config::resolver_directory(settings)))
        .and_then(|()| std::fs::write(file, text))
        .map_err(|error| {
            startup_error(
                "bus-directory",
                format!("The message broker's configuration {} cannot be written.", file.display()),
            )
            .caused_by(error)
        })
}

fn startup_error(code: &'static str, message: String) -> Error {
    Error::new(Kind::Unavailable, code, message)
}

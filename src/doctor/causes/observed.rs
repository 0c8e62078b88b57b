//! What was observed, without any judgement.

use std::net::IpAddr;

use serde::Deserialize;

use crate::{certificates::CertificateInfo, clock::Timestamp};

/// Everything that was observed. What was not is `None`, or empty, with a line
/// in `unseen`.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When it was looked.
    pub now: Timestamp,
    /// When this program was built: no clock can be earlier.
    pub built: Option<Timestamp>,
    /// Whether this is the appliance: then there is a console.
    pub appliance: bool,
    /// Why the settings cannot be used.
    pub settings: Option<String>,
    /// Wrong answers of the operator.
    pub mistakes: Vec<MistakeOf>,
    /// The clock.
    pub clock: ClockState,
    /// Network interfaces except the loopback.
    pub links: Vec<Link>,
    /// The ways out.
    pub gateways: Vec<Gateway>,
    /// Whether something beyond the gateway has answered.
    pub beyond_answers: bool,
    /// Name servers.
    pub servers: Vec<Server>,
    /// What the name servers say of our own name.
    pub own_name: Option<OwnName>,
    /// File systems that we write to.
    pub disks: Vec<Disk>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Our own port.
    pub port: Option<OwnPort>,
    /// Certificates that are shown in our name.
    pub certificates: Certificates,
    /// The proxy, if there is one.
    pub proxy: Option<ProxyState>,
    /// The mirror and why it cannot be used, if there is one.
    pub mirror: Option<(String, Result<(), String>)>,
    /// Failed units.
    pub units: Vec<Unit>,
    /// Why the keys cannot be opened.
    pub sealed: Option<String>,
    /// The broker should run here, and does.
    pub broker: Option<bool>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

/// A wrong answer of the operator, as first boot has written it down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MistakeOf {
    /// The property.
    pub key: String,
    /// What was given; nothing when it is a secret.
    #[serde(default)]
    pub given: Option<String>,
    /// What is wrong, as the second half of a sentence.
    pub wrong: String,
    /// What to write instead.
    #[serde(default)]
    pub instead: String,
}

/// The clock and those who set it.
#[derive(Clone, Debug, Default)]
pub struct ClockState {
    /// Whether it is set from the network.
    pub synchronised: Option<bool>,
    /// By how much it differs from a time server, in seconds; positive when
    /// it is slow.
    pub offset: Option<f64>,
    /// Time servers and whether they answer.
    pub servers: Vec<(String, Result<(), String>)>,
}

/// A network interface.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Whether something is at the other end.
    pub up: bool,
}

/// A way out of the local network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its address.
    pub address: IpAddr,
    /// The interface.
    pub link: String,
    /// Whether it answers in the local network; `None` if that is not known.
    pub answers: Option<bool>,
}

/// A name server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// It is reached through a gateway.
    pub beyond: bool,
    /// Whether it answers.
    pub answer: Result<(), String>,
}

/// Our own name in the DNS.
#[derive(Clone, Debug)]
pub struct OwnName {
    /// The name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The addresses of this machine.
    pub own: Vec<IpAddr>,
}

/// A file system.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Where it is.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// What is left for us, in bytes.
    pub free: u64,
    /// How many files it can hold; 0 when there is no limit.
    pub files: u64,
    /// How many more.
    pub files_free: u64,
    /// Nothing can be written.
    pub read_only: bool,
}

/// Memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// In bytes.
    pub size: u64,
    /// What is left, in bytes.
    pub available: u64,
    /// Processes that the kernel has ended for want of memory since the start.
    pub kills: u64,
    /// What the kernel said of them.
    pub victims: Vec<String>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its program.
    pub name: String,
}

/// Who has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// The management plane.
    Us,
    /// Another process, if it can be seen which.
    Other(Option<Process>),
}

/// Our own port.
#[derive(Clone, Debug)]
pub struct OwnPort {
    /// The address of the settings.
    pub address: String,
    /// Who has it.
    pub holder: Holder,
    /// What our server says it needs: name, whether it works, detail.
    pub checks: Option<Vec<(String, bool, String)>>,
}

/// Certificates that are shown in our name.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// By our own port.
    pub own: Option<CertificateInfo>,
    /// By whatever our name leads to.
    pub by_name: Option<CertificateInfo>,
    /// Names that it has to cover.
    pub names: Vec<String>,
}

/// A proxy.
#[derive(Clone, Debug)]
pub struct ProxyState {
    /// `host:port`.
    pub address: String,
    /// It is named, not addressed.
    pub by_name: bool,
    /// How it behaves.
    pub answer: ProxyAnswer,
}

/// How a proxy behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAnswer {
    /// As it should.
    Works,
    /// It cannot be reached.
    Unreachable(String),
    /// It wants a user and a password, or others.
    WantsCredentials,
    /// It does not pass us on, with its answer.
    Refuses(String),
    /// It shows a certificate of its own, with the issuer.
    Intercepts(String),
}

/// A failed unit.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// How it ended, e.g. `exit-code` or `oom-kill`.
    pub result: String,
    /// The last lines of its log.
    pub last: Vec<String>,
}

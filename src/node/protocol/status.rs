//! How the node does, as its screen shows it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How does the node do?
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRequest {}

/// How the node does. What cannot be found out is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version of the image, or of the program outside of an image.
    pub version: String,
    /// The host's name.
    pub host: String,
    /// `standalone`, `ha-first`, `ha-join` or `pcg`, once it is known.
    pub role: Option<String>,
    /// The node's clock.
    pub now: Timestamp,
    /// Whether a time server has set it.
    pub clock_synchronised: Option<bool>,
    /// How long the machine has been up.
    pub uptime_seconds: u64,
    /// Where the management plane is reached, by name first.
    pub urls: Vec<String>,
    /// The network.
    pub interfaces: Vec<Interface>,
    /// SHA-256 of the certificate that the management plane shows.
    pub fingerprint: Option<String>,
    /// Whether set-up was completed.
    pub set_up: SetUp,
    /// How the management plane does.
    pub health: Health,
    /// The services of the node.
    pub units: Vec<UnitState>,
    /// Why the machine does not carry out its role, if it does not, as a sentence.
    #[serde(default)]
    pub waiting: Option<String>,
    /// What is wrong with the operator's answers.
    pub mistakes: Vec<Mistake>,
    /// Processors.
    pub processors: u16,
    /// Processes that wanted to run, on average over the last minute.
    pub load: Option<f64>,
    /// Memory.
    pub memory: Option<Share>,
    /// The data partition.
    pub data_disk: Option<Share>,
    /// What pairs a private cloud gateway, while it waits for that.
    pub pairing: Option<Pairing>,
}

/// Whether set-up was completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SetUp {
    /// Not yet; it takes this code, once the management plane has made one.
    Open {
        /// In groups, as a person types it.
        code: Option<String>,
    },
    /// It was.
    Done,
}

/// How the management plane does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// It answers.
    Answers {
        /// Whether everything works.
        ready: bool,
        /// Each thing that is needed.
        checks: Vec<Check>,
    },
    /// It does not answer, for this reason.
    Silent {
        /// As a short sentence.
        reason: String,
    },
}

/// One thing that the management plane needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// How it does.
    pub detail: String,
}

/// One interface of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// Whether it has a link.
    pub up: bool,
    /// Its addresses in CIDR notation.
    pub addresses: Vec<String>,
}

/// A service of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Its unit, e.g. `palisade.service`.
    pub unit: String,
    /// systemd's word, e.g. `active` or `failed`.
    pub state: String,
}

/// One answer that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// The name of the property.
    pub property: String,
    /// What is wrong, as a sentence without a capital and full stop.
    pub message: String,
}

/// How much there is of something, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// All.
    pub total: u64,
    /// Not free.
    pub used: u64,
}

/// What pairs a private cloud gateway with its management plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pairing {
    /// What a person types.
    pub code: String,
    /// What the picture holds.
    pub url: String,
    /// When the next code comes.
    pub expires_at: Timestamp,
}

//! The bytes of the messages. Pure.
//!
//! Owns: what each message is made of, and taking what arrived apart again.
//! Must not know: what the messages prove.
//!
//! A message is one byte for its kind and a body. `Hello` and `Answer` begin
//! with the number of the protocol, which stays where it is in all versions, so
//! that any two can tell each other that they do not fit.

use std::net::Ipv4Addr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Refusal;
use crate::{
    node::ha::members::{NodeName, is_host},
    release::{Build, Version},
};

/// The form of these messages.
pub const PROTOCOL: u16 = 1;
/// The most bytes of every message but the hand-over.
pub(super) const SMALL: usize = 8 * 1024;
/// The bytes of a proof.
pub(super) const PROOF: usize = 32;

/// The first byte of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Refusal = 0,
    Hello = 1,
    Answer = 2,
    ProofOfJoining = 3,
    ProofOfMember = 4,
    HandOver = 5,
    Receipt = 6,
}

/// What the nodes tell each other about themselves before either is sure of
/// the other. Both proofs cover every byte of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Introduction {
    /// The release that it runs.
    pub version: Version,
    /// The oldest release that can work on what this one writes.
    pub oldest: Version,
    /// What it is called, or wants to be called.
    pub name: NodeName,
    /// Its address on the network between the nodes.
    pub address: Ipv4Addr,
    /// The host that it runs on, when somebody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Introduction {
    /// Of this build.
    pub fn new(name: NodeName, address: Ipv4Addr, host: Option<String>) -> Self {
        let Build { version, oldest } = Build::own();
        Self { version, oldest, name, address, host }
    }
}

/// Whether two releases can work on the same data: neither is older than what
/// the other can be followed by.
pub(super) fn versions_fit(joining: &Introduction, cluster: &Introduction) -> Result<(), Refusal> {
    if joining.version >= cluster.oldest && cluster.version >= joining.oldest {
        return Ok(());
    }
    Err(Refusal::Versions { joining: joining.version.clone(), cluster: cluster.version.clone() })
}

/// The body of `Hello` and `Answer` behind the number of the protocol.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Greeting {
    of: Introduction,
    share: String,
}

/// `Hello` or `Answer`.
pub(super) fn greeting(kind: Kind, of: &Introduction, share: &[u8]) -> Vec<u8> {
    let body = Greeting { of: of.clone(), share: BASE64.encode(share) };
    let body = serde_json::to_vec(&body).expect("names and addresses have a text");
    [&[kind as u8][..], &PROTOCOL.to_be_bytes(), &body].concat()
}

/// What is in `Hello` or `Answer`: who speaks, and its share.
pub(super) fn read_greeting(
    kind: Kind,
    message: &[u8],
) -> Result<(Introduction, Vec<u8>), Refusal> {
    let body = body(kind, message)?;
    let (protocol, body) = body.split_first_chunk().ok_or(Refusal::Malformed)?;
    let theirs = u16::from_be_bytes(*protocol);
    if theirs != PROTOCOL {
        return Err(match kind {
            Kind::Hello => Refusal::Protocol { joining: theirs, cluster: PROTOCOL },
            _ => Refusal::Protocol { joining: PROTOCOL, cluster: theirs },
        });
    }
    let greeting: Greeting = json(body)?;
    if greeting.of.host.as_deref().is_some_and(|host| !is_host(host)) {
        return Err(Refusal::Malformed);
    }
    let share = BASE64.decode(greeting.share.as_bytes()).map_err(|_| Refusal::Malformed)?;
    Ok((greeting.of, share))
}

/// A message with a plain body.
pub(super) fn plain(kind: Kind, body: &[u8]) -> Vec<u8> {
    [&[kind as u8][..], body].concat()
}

/// The body of a message that has to be of this kind. When it is a refusal
/// instead, that is the refusal.
pub(super) fn body(kind: Kind, message: &[u8]) -> Result<&[u8], Refusal> {
    match message.split_first() {
        Some((first, body)) if *first == kind as u8 => Ok(body),
        Some((first, body)) if *first == Kind::Refusal as u8 => {
            Err(Refusal::Told(Box::new(json::<Refusal>(body)?.shown())))
        }
        _ => Err(Refusal::Malformed),
    }
}

/// A proof of this kind.
pub(super) fn read_proof(kind: Kind, message: &[u8]) -> Result<[u8; PROOF], Refusal> {
    body(kind, message)?.try_into().map_err(|_| Refusal::Malformed)
}

/// What the other side is told of a refusal.
pub(super) fn refusal(refusal: &Refusal) -> Vec<u8> {
    let body = serde_json::to_vec(refusal).expect("a refusal has a text");
    plain(Kind::Refusal, &body)
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if bytes.len() > SMALL {
        return Err(Refusal::Malformed);
    }
    serde_json::from_slice(bytes).map_err(|_| Refusal::Malformed)
}

impl Refusal {
    /// The same without what would disturb a terminal: anybody can send one.
    fn shown(self) -> Self {
        let clean =
            |why: String| why.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
        match self {
            Self::NotAMember { why } => Self::NotAMember { why: clean(why) },
            Self::Failed { why } => Self::Failed { why: clean(why) },
            other => other,
        }
    }
}

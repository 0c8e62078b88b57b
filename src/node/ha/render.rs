//! The configuration of the engines, as it follows from the members. Pure.
//!
//! Owns: which files there are and what is in them; which settings each engine
//! gets, and why.
//! Must not know: how files are written, or how an engine is started. The
//! broker's configuration is rendered where the broker is known, in `bus`.
//!
//! No file holds a secret: certificates and keys are named by their paths. What
//! is YAML to its reader is written as JSON, which is YAML too: a node named
//! `no` stays a name in every version of the language.

mod etcd;
mod patroni;
mod ports;
mod virtual_address;

use std::path::PathBuf;

pub use patroni::AFTER_FIRST_STANDBY;
pub use virtual_address::VirtualAddress;

use super::members::{Member, MemberFault, Members, NodeName};
use crate::{
    files::PUBLIC,
    node::{paths::Paths, properties::Interface},
};

/// etcd's port for its clients.
pub const ETCD_CLIENTS: u16 = 2379;
/// etcd's port for its peers.
pub const ETCD_PEERS: u16 = 2380;
/// PostgreSQL's port.
pub const POSTGRES: u16 = 5432;
/// The port of Patroni's REST interface.
pub const PATRONI: u16 = 8008;
/// The broker's port for its peers.
pub const ROUTES: u16 = 6222;
/// The node daemon's port for the other nodes.
pub const DAEMONS: u16 = 7444;

/// An engine, or whatever else reads a rendered file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// etcd.
    Etcd,
    /// Patroni, and PostgreSQL below it.
    Patroni,
    /// keepalived.
    VirtualAddress,
    /// nftables.
    Ports,
}

/// What etcd is told of the others when it starts for the first time. Later
/// starts look at its data and not at this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtcdStart {
    /// All members start together and have no data.
    New,
    /// The others run already and have been told of this one.
    Existing,
}

/// What depends on the machine and not on the members.
#[derive(Clone, Debug)]
pub struct Engines {
    /// Where PostgreSQL's programs are: `/usr/lib/postgresql/17/bin` in the image.
    pub postgres_programs: PathBuf,
    /// Whether the kernel's watchdog may stop a machine whose Patroni hangs.
    pub watchdog: bool,
    /// How etcd starts.
    pub start: EtcdStart,
    /// The address that moves, when there is one.
    pub virtual_address: Option<VirtualAddress>,
    /// The network between the nodes, while an invitation is open: who joins
    /// has an address that nobody here knows yet.
    pub join_from: Option<Interface>,
}

impl Engines {
    /// What the image has.
    pub fn of_image(start: EtcdStart) -> Self {
        Self {
            postgres_programs: PathBuf::from("/usr/lib/postgresql/17/bin"),
            watchdog: true,
            start,
            virtual_address: None,
            join_from: None,
        }
    }
}

/// A file as it has to be. All of them may be read by everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFile {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub content: String,
    /// Its mode.
    pub mode: u32,
    /// Who reads it.
    pub engine: Engine,
}

/// Why nothing can be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderFault {
    /// This node is no member.
    #[error(transparent)]
    Member(#[from] MemberFault),
    /// A path or the name of a network card that some file cannot hold.
    #[error("{0:?} cannot stand in a configuration file; use letters, digits, '.', '_', '-', '/'")]
    Text(String),
}

/// Where a program finds its certificate, the key, and the CA's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key, which its reader alone may read.
    pub key: PathBuf,
    /// The CA's certificate.
    pub authority: PathBuf,
}

/// A program that has keys of its own: each runs as a user of its own, and
/// neither takes a key that others may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyReader {
    /// etcd.
    Etcd,
    /// PostgreSQL and Patroni.
    Postgres,
    /// The management plane and the broker, which it runs.
    Palisade,
}

/// The keys of a program: the node's (`node`), or a user's by its name.
pub fn keys(paths: &Paths, reader: KeyReader, of: &str) -> Keys {
    let directory = paths.state().join("cluster-keys").join(match reader {
        KeyReader::Etcd => "etcd",
        KeyReader::Postgres => "postgres",
        KeyReader::Palisade => "palisade",
    });
    Keys {
        certificate: directory.join(format!("{of}.crt")),
        key: directory.join(format!("{of}.key")),
        authority: directory.join("authority.crt"),
    }
}

/// Where the files of the engines are, if they are there.
pub fn places(paths: &Paths) -> [(PathBuf, Engine); 5] {
    let at = |name: &str| paths.run().join("cluster").join(name);
    [
        (at("etcd.yml"), Engine::Etcd),
        (at("patroni.yml"), Engine::Patroni),
        (at("first-database"), Engine::Patroni),
        (paths.run().join("nftables/cluster.nft"), Engine::Ports),
        (at("keepalived.conf"), Engine::VirtualAddress),
    ]
}

/// All files of the engines on one node.
pub fn files(
    paths: &Paths,
    members: &Members,
    own: &NodeName,
    engines: &Engines,
) -> Result<Vec<EngineFile>, RenderFault> {
    let plan = Plan { paths, members, own: members.get(own)?, engines };
    let [etcd, patroni, first_database, ports, keepalived] = places(paths);
    let file = |(path, engine), content| EngineFile { path, content, mode: PUBLIC, engine };
    let for_patroni = patroni::render(&plan, &first_database.0)?;
    let mut files = vec![
        file(etcd, etcd::render(&plan)),
        file(patroni, for_patroni),
        file(first_database, patroni::first_database(&plan)?),
        file(ports, ports::render(&plan)),
    ];
    if let Some(address) = &engines.virtual_address {
        files.push(file(keepalived, virtual_address::render(&plan, address)?));
    }
    Ok(files)
}

/// What everything is rendered from.
struct Plan<'a> {
    paths: &'a Paths,
    members: &'a Members,
    own: &'a Member,
    engines: &'a Engines,
}

impl Plan<'_> {
    fn others(&self) -> impl Iterator<Item = &Member> {
        self.members.others(&self.own.name)
    }
}

/// A document for a reader of YAML.
fn yaml(document: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(document).expect("a document of texts and numbers");
    format!("# Rendered from the cluster's members; changes are lost.\n{text}\n")
}

/// A text that means the same with and without quotes everywhere.
fn harmless(text: &str) -> Result<&str, RenderFault> {
    let fits =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    if fits { Ok(text) } else { Err(RenderFault::Text(text.to_owned())) }
}

#[cfg(test)]
mod tests;

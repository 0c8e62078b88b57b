//! What a node's place in a cluster makes of this machine.
//!
//! Owns: whether the management plane runs alone, among others or not yet, and
//! why not; which files of the engines belong on this machine; what the
//! management plane is told of its database and of the other brokers.
//! Must not know: what is in the engines' files, or who changes the place.
//!
//! A place counts more than the answers: a node whose answers were lost or are
//! wrong still comes back as the member that it is.

use std::path::{Path, PathBuf};

use super::{Reader, Wanted};
use crate::{
    files::PUBLIC,
    node::{
        ha::{
            place::{FileFault, Phase, Place},
            render::{
                self, Engine, EngineFile, Engines, EtcdStart, KeyReader, Keys, POSTGRES, ROUTES,
                RenderFault, VirtualAddress, keys,
            },
        },
        network::{self, Card},
        paths::Paths,
        properties::{Answers, Role, Salvaged},
    },
};

/// The database of the management plane, and its user there.
const DATABASE: &str = "palisade";

/// What this machine is among others.
#[derive(Clone, Debug)]
pub enum Standing {
    /// It belongs to no cluster.
    Alone,
    /// It belongs to one.
    Member {
        /// Where.
        place: Place,
        /// What its engines read.
        files: Vec<EngineFile>,
    },
    /// It belongs to one, and cannot tell where: why, as a sentence.
    Unknown(String),
}

/// How the management plane runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane<'a> {
    /// With a database of its own.
    Alone,
    /// With the database and the brokers of a cluster.
    Among(&'a Place),
}

impl Standing {
    /// What follows from the place that was kept.
    pub fn of(
        paths: &Paths,
        kept: Result<Option<Place>, FileFault>,
        answers: &Answers,
        cards: &[Card],
    ) -> Self {
        match kept {
            Ok(None) => Self::Alone,
            Ok(Some(place)) => match engine_files(paths, &place, answers, cards) {
                Ok(files) => Self::Member { place, files },
                Err(fault) => Self::unknown(&fault),
            },
            Err(fault) => Self::unknown(&fault),
        }
    }

    fn unknown(fault: &dyn std::fmt::Display) -> Self {
        Self::Unknown(format!("This node does not know its place in its cluster: {fault}."))
    }

    /// How the management plane of this machine runs, or why it does not yet,
    /// as a sentence.
    pub fn plane(&self, salvaged: &Salvaged) -> Result<Plane<'_>, String> {
        match self {
            Self::Alone => match salvaged.role()? {
                Role::HaJoin => Err("This node waits to join a cluster: type the code that the \
                                     first node shows."
                    .to_owned()),
                Role::Standalone | Role::HaFirst | Role::Pcg => Ok(Plane::Alone),
            },
            Self::Member { place, .. } => match place.phase {
                Phase::Running => Ok(Plane::Among(place)),
                // It goes on as before until the others can take over what it has.
                Phase::Forming if place.is_founder() => Ok(Plane::Alone),
                Phase::Forming => Err("This node is joining a cluster; its management plane \
                                       starts when the cluster runs."
                    .to_owned()),
            },
            Self::Unknown(why) => Err(why.clone()),
        }
    }

    /// Whether the engines are to run from the start of this machine on. While a
    /// cluster forms, the node daemon starts them one after the other: an etcd
    /// that begins with the members of yesterday would be another cluster.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Member { place, .. } if place.phase == Phase::Running)
    }

    /// The files of the engines as they have to be. Nobody touches those of a
    /// node that does not know its place.
    pub(super) fn wanted(&self, paths: &Paths) -> Vec<Wanted> {
        let files: &[EngineFile] = match self {
            Self::Alone => &[],
            Self::Member { files, .. } => files,
            Self::Unknown(_) => return Vec::new(),
        };
        let wanted = |(path, engine): (PathBuf, Engine)| {
            let content = files.iter().find(|file| file.path == path);
            let content = content.map(|file| file.content.clone());
            Wanted { path, content, mode: PUBLIC, reader: reader(engine) }
        };
        render::places(paths).into_iter().map(wanted).collect()
    }
}

fn reader(engine: Engine) -> Reader {
    match engine {
        Engine::Etcd => Reader::Etcd,
        Engine::Patroni => Reader::Patroni,
        Engine::VirtualAddress => Reader::VirtualAddress,
        Engine::Ports => Reader::Ports,
    }
}

fn engine_files(
    paths: &Paths,
    place: &Place,
    answers: &Answers,
    cards: &[Card],
) -> Result<Vec<EngineFile>, RenderFault> {
    let running = place.phase == Phase::Running;
    let start = if running { EtcdStart::Existing } else { EtcdStart::New };
    let image = Engines::of_image(start);
    let moving = place.virtual_address.filter(|_| running).zip(cards.first());
    let engines = Engines {
        postgres_programs: paths.at(&image.postgres_programs),
        // Its network is that of the card already.
        virtual_address: moving.map(|(address, card)| VirtualAddress {
            address: network::alone(address),
            card: card.name.clone(),
            cluster_card: answers.cluster_ipv4.and(cards.get(1)).unwrap_or(card).name.clone(),
        }),
        ..image
    };
    render::files(paths, &place.members, &place.own, &engines)
}

/// The settings of the database that all nodes share.
pub(super) fn database(paths: &Paths, place: &Place) -> toml::Table {
    let members = place.members.all().iter();
    let servers: Vec<_> = members.map(|it| format!("{}:{POSTGRES}", it.address)).collect();
    let Keys { certificate, key, authority } = keys(paths, KeyReader::Palisade, DATABASE);
    let mut settings = toml::Table::new();
    let url = format!("postgresql://{DATABASE}@{}/{DATABASE}", servers.join(","));
    settings.insert("url".into(), url.into());
    settings.insert("ca_file".into(), text(&authority));
    settings.insert("cert_file".into(), text(&certificate));
    settings.insert("key_file".into(), text(&key));
    settings
}

/// The settings of the brokers of all nodes; nothing for the last node that is left.
pub(super) fn brokers(paths: &Paths, place: &Place) -> Option<toml::Table> {
    let others = place.members.others(&place.own);
    let peers: Vec<_> = others.map(|it| format!("{}:{ROUTES}", it.address)).collect();
    if peers.is_empty() {
        return None;
    }
    let Keys { certificate, key, authority } = keys(paths, KeyReader::Palisade, "node");
    let mut settings = toml::Table::new();
    settings.insert("name".into(), place.own.as_str().into());
    settings.insert("listen".into(), format!("{}:{ROUTES}", place.own_member().address).into());
    settings.insert("peers".into(), peers.into());
    settings.insert("certificate".into(), text(&certificate));
    settings.insert("key".into(), text(&key));
    settings.insert("authority".into(), text(&authority));
    Some(settings)
}

fn text(path: &Path) -> toml::Value {
    path.to_string_lossy().into_owned().into()
}

#[cfg(test)]
pub(super) mod tests;

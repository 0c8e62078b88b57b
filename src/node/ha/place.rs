//! What a node keeps of the cluster that it belongs to.
//!
//! Owns: the file, and which of two nodes knows more.
//! Must not know: how nodes tell each other.
//!
//! The file is written as one step, so a power cut leaves what was known before
//! or after. Every change has a number of its own ([`Place::epoch`]); a node
//! that was away takes what has the higher one.

use std::{io, net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::members::{Member, MemberFault, Members, NodeName};
use crate::{files, node::paths::Paths};

/// The form of the file.
const VERSION: u32 = 1;

/// How far a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nodes join. The one that founded it works alone, as before.
    Forming,
    /// The engines run, and every node serves.
    Running,
}

/// What all members have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Common {
    /// Grows with every change.
    pub epoch: u64,
    /// How far the cluster is.
    pub phase: Phase,
    /// The address that is always at a node that works, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_address: Option<IpAddr>,
    /// Who belongs to it.
    pub members: Members,
}

/// A node and its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What this node is called.
    pub own: NodeName,
    /// Grows with every change.
    pub epoch: u64,
    /// How far the cluster is.
    pub phase: Phase,
    /// The address that is always at a node that works, if there is one.
    pub virtual_address: Option<IpAddr>,
    /// Who belongs to it.
    pub members: Members,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It cannot be read or written.
    #[error("the file of the cluster cannot be used ({0}); check the disk of this node")]
    Disk(#[from] io::Error),
    /// A newer version of Palisade wrote it.
    #[error(
        "the file of the cluster has the form {found}, and this version knows form {VERSION}; \
         start the version that wrote it"
    )]
    Version {
        /// The form of the file.
        found: u64,
    },
    /// It is damaged, or says what cannot be.
    #[error("the file of the cluster is damaged ({0}); take this node out and let it join again")]
    Damaged(#[from] serde_json::Error),
    /// This node is not among its members.
    #[error("the file of the cluster is not this node's; take this node out and let it join again")]
    Stranger(#[from] MemberFault),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    own: NodeName,
    common: Common,
}

#[derive(Deserialize)]
struct Form {
    version: u64,
}

impl Place {
    /// What this node knows when it takes over what all have in common.
    pub fn of(own: NodeName, common: Common) -> Result<Self, MemberFault> {
        common.members.get(&own)?;
        let Common { epoch, phase, virtual_address, members } = common;
        Ok(Self { own, epoch, phase, virtual_address, members })
    }

    /// What it has in common with the others.
    pub fn common(&self) -> Common {
        Common {
            epoch: self.epoch,
            phase: self.phase,
            virtual_address: self.virtual_address,
            members: self.members.clone(),
        }
    }

    /// The same with other members, as the next change.
    #[must_use]
    pub fn with_members(&self, members: Members) -> Self {
        Self { epoch: self.epoch + 1, members, ..self.clone() }
    }

    /// The same in another phase, as the next change.
    #[must_use]
    pub fn in_phase(&self, phase: Phase) -> Self {
        Self { epoch: self.epoch + 1, phase, ..self.clone() }
    }

    /// This node among the members.
    ///
    /// # Panics
    /// Never: a place without its own node cannot be made.
    pub fn own_member(&self) -> &Member {
        self.members.get(&self.own).expect("the node is a member of its own cluster")
    }

    /// Whether this node founded the cluster.
    pub fn is_founder(&self) -> bool {
        self.members.all().first().is_some_and(|first| first.name == self.own)
    }

    /// What this node has kept; nothing when it belongs to no cluster.
    pub fn load(paths: &Paths) -> Result<Option<Self>, FileFault> {
        let Some(text) = files::read_text(&file(paths))? else { return Ok(None) };
        let form: Form = serde_json::from_str(&text)?;
        if form.version != u64::from(VERSION) {
            return Err(FileFault::Version { found: form.version });
        }
        let written: Written = serde_json::from_str(&text)?;
        Ok(Some(Self::of(written.own, written.common)?))
    }

    /// Keeps it, as one step.
    pub fn save(&self, paths: &Paths) -> Result<(), FileFault> {
        let written = Written { version: VERSION, own: self.own.clone(), common: self.common() };
        let text = serde_json::to_string_pretty(&written)?;
        Ok(files::replace(&file(paths), text.as_bytes(), files::PUBLIC)?)
    }

    /// The node belongs to no cluster any more.
    pub fn forget(paths: &Paths) -> Result<(), FileFault> {
        files::remove(&file(paths))?;
        Ok(())
    }
}

/// Where it is kept.
fn file(paths: &Paths) -> PathBuf {
    paths.state().join("cluster.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ha::members::tests::{cluster, name};

    fn place(nodes: u8) -> Place {
        Place {
            own: name("n1"),
            epoch: u64::from(nodes),
            phase: Phase::Forming,
            virtual_address: (nodes > 2).then(|| "192.0.2.20".parse().expect("an address")),
            members: cluster(nodes),
        }
    }

    #[test]
    fn what_is_kept_is_what_is_read() {
        let home = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(home.path());
        assert_eq!(Place::load(&paths).expect("looked"), None);
        for nodes in 1..=3 {
            place(nodes).save(&paths).expect("kept");
            assert_eq!(Place::load(&paths).expect("read"), Some(place(nodes)));
        }
        Place::forget(&paths).expect("forgotten");
        assert_eq!(Place::load(&paths).expect("looked"), None);
    }

    #[test]
    fn a_damaged_newer_or_strange_file_is_refused_with_what_to_do() {
        let home = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(home.path());
        place(2).save(&paths).expect("kept");
        let good = files::read_text(&file(&paths)).expect("read").expect("there");
        let refused = |text: &str| {
            files::replace(&file(&paths), text.as_bytes(), files::PUBLIC).expect("written");
            Place::load(&paths).expect_err("refused")
        };
        assert!(matches!(refused(&good[..good.len() - 3]), FileFault::Damaged(_)));
        assert!(matches!(refused("{\"version\":2,\"x\":1}"), FileFault::Version { found: 2 }));
        let stranger = refused(&good.replace("\"own\": \"n1\"", "\"own\": \"n7\""));
        assert!(matches!(stranger, FileFault::Stranger(_)), "{stranger}");
        assert!(stranger.to_string().contains("join again"), "{stranger}");
    }

    #[test]
    fn every_change_has_a_higher_number() {
        let first = place(2);
        let more = first.with_members(cluster(3));
        assert_eq!((more.epoch, more.members.all().len()), (first.epoch + 1, 3));
        let running = more.in_phase(Phase::Running);
        assert_eq!((running.epoch, running.phase), (first.epoch + 2, Phase::Running));
        assert!(running.is_founder() && running.own_member().name == name("n1"));
    }
}

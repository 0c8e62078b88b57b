//! The cluster that this node belongs to: forming it, watching it, looking after it.
//!
//! Owns: the order of the steps, what is remembered of them, and which node
//! does them.
//! Must not know: how messages of a join are made, or what the engines do with
//! their files.
//!
//! ```text
//! invite   a code, and the door at which it counts        (first node)
//! join     coming in by it                                (second, third)
//! form     the steps that make three nodes one cluster    (first node)
//! steps    what one node does when another one asks
//! watch    what all nodes tell each other, every few seconds
//! view     what people see of it
//! maintain taking a node out, another leader, the last one left
//! ```

mod form;
mod invite;
mod join;
mod local;
mod maintain;
mod steps;
mod until;
mod view;
mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

pub(super) use form::complete;
pub(super) use invite::invite;
pub(super) use join::{join, join_by_answers};
pub(super) use maintain::{recover_alone, remove, switch_over};
pub(super) use steps::{report, step};
pub(super) use view::state;
pub(super) use watch::watch;

use crate::{
    error::{Error, Kind, Result},
    node::{
        ha::{
            join::Invitation,
            place::{FileFault, Place},
        },
        paths::Paths,
        protocol::ClusterProgress,
    },
};

/// What the daemon remembers of the cluster while it runs.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    /// The open invitation, if there is one.
    invitation: Mutex<Option<Invitation>>,
    /// What both nodes show while one joins.
    fingerprint: Mutex<Option<String>>,
    /// Ends the door of the open invitation.
    door: Mutex<Option<CancellationToken>>,
    /// How far forming is, or why it failed.
    progress: Mutex<Option<ClusterProgress>>,
    /// What all nodes have told.
    seen: Mutex<watch::Seen>,
    /// Joining by the operator's answers, while that goes on.
    joining: Mutex<Option<AbortHandle>>,
    /// Held by whoever changes who belongs to the cluster, or makes it run.
    changing: tokio::sync::Mutex<()>,
    /// Held by whoever takes over what another node knows.
    taking: tokio::sync::Mutex<()>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this node has kept. `Conflict` when that cannot be used.
fn place(paths: &Paths) -> Result<Option<Place>> {
    Place::load(paths).map_err(|fault| unusable(&fault))
}

/// The same, for what only a member can do. `Conflict` (`no-cluster`).
fn own_place(paths: &Paths) -> Result<Place> {
    place(paths)?.ok_or_else(|| {
        let message = "This node belongs to no cluster.";
        Error::new(Kind::Conflict, "no-cluster", message)
            .with_hint("Begin one with `palisade node init --ha`, or on the page Nodes.")
    })
}

fn unusable(fault: &FileFault) -> Error {
    let message = format!("What this node knows of its cluster cannot be used: {fault}.");
    Error::new(Kind::Conflict, "cluster-file", message)
}

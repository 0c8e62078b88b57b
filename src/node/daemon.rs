//! The node daemon: everything that needs root after the machine has started.
//!
//! Owns: the socket, who may ask what, the limits, the programs that are run,
//! and the record of what was changed.
//! Must not know: how the screen looks, or how the management plane works.
//!
//! ```text
//! socket   -> serve      accept, one task for each connection
//! peers                  who asks, and may he
//! credentials            a person at the screen proves who he is
//! dispatch -> a group    status logs answers power recovery events cluster …
//! ```
//!
//! How to add a request: see [`crate::node::protocol`].

mod answers;
mod bundle;
mod cluster;
mod credentials;
mod dispatch;
mod doctor;
mod events;
mod logs;
mod notify;
mod peers;
mod plane;
mod power;
mod recovery;
mod serve;
mod socket;
mod status;
mod update;

use std::{ffi::OsString, sync::Arc, time::Duration};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use credentials::Tries;
pub use peers::{Accounts, Peer};

use crate::{
    clock::{Clock, Random, SystemClock, SystemRandom},
    error::Result,
    node::{
        outbox::Outbox,
        paths::Paths,
        programs::Programs,
        protocol::{Progress, Status},
    },
};

/// What the daemon takes from outside.
#[derive(Debug)]
pub struct Options {
    /// The layout.
    pub paths: Paths,
    /// The content of `$NOTIFY_SOCKET`.
    pub notify: Option<OsString>,
    /// Ends the daemon.
    pub stopping: CancellationToken,
}

/// What all requests share.
#[derive(Debug)]
pub struct Node {
    /// The layout.
    pub paths: Paths,
    /// Other programs.
    pub programs: Programs,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    accounts: Accounts,
    outbox: Outbox,
    status: Mutex<Option<(Duration, Status)>>,
    tries: Tries,
    proving: Mutex<()>,
    recovering: Mutex<()>,
    cluster: cluster::Cluster,
}

/// One request on its way: what it may use.
#[derive(Clone, Debug)]
pub struct Context {
    node: Arc<Node>,
    peer: Peer,
    progress: mpsc::Sender<Progress>,
}

impl Context {
    /// The layout.
    pub fn paths(&self) -> &Paths {
        &self.node.paths
    }

    /// Other programs.
    pub fn programs(&self) -> &Programs {
        &self.node.programs
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.node.clock
    }

    /// Randomness.
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.node.random
    }

    /// Who asks.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Tells the caller how far it is. A slow reader misses some.
    pub fn progress(&self, text: impl Into<String>, percent: Option<u8>) {
        let _ = self.progress.try_send(Progress { text: text.into(), percent });
    }
}

/// Serves the socket until `stopping`. Requests that change something are
/// finished first.
pub async fn run(options: Options) -> Result<()> {
    let Options { paths, notify, stopping } = options;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let accounts = Accounts::read(&paths);
    let outbox = Outbox::open(&paths.state(), &*clock, &*random)?;
    let listener = socket::listen(&paths.socket(), accounts.group)?;
    let programs = Programs::of(&paths);
    let node = Arc::new(Node {
        paths,
        programs,
        clock,
        random,
        accounts,
        outbox,
        status: Mutex::default(),
        tries: Tries::default(),
        proving: Mutex::default(),
        recovering: Mutex::default(),
        cluster: cluster::Cluster::default(),
    });
    update::tidy(&node);
    recovery::resume(&node).await;
    let watching = tokio::spawn(cluster::watch(Arc::clone(&node), stopping.clone()));
    notify::ready(notify.as_deref());
    tracing::info!(socket = %node.paths.socket().display(), "the node daemon listens");
    serve::serve(&node, &listener, &stopping).await;
    notify::stopping(notify.as_deref());
    watching.await.map_err(crate::error::Error::internal)
}

#[cfg(test)]
mod tests;

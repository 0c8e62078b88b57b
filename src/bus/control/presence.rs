//! Which agents are connected to our broker.
//!
//! Owns: the set of connected clusters, kept by the broker's events and
//! compared with the broker's own list now and then. Other brokers of the same
//! bus tell of theirs too; those count where they are connected.
//! Must not know: heartbeats; a connected agent may still be stuck.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{Client, Message};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{error::Result, ids::ClusterId};

/// Connections asked for at a time; a page must fit into one message.
const PAGE: usize = 512;
/// How often the set is compared with the broker's list.
const COMPARE_EVERY: Duration = Duration::from_mins(5);
/// The pause before a failed comparison is tried again.
const COMPARE_AGAIN: Duration = Duration::from_secs(2);

/// One connection: the identity of this run of the broker, and its number there.
type Connection = (String, u64);

/// The connected agents.
#[derive(Clone)]
pub(super) struct Presence {
    set: Arc<Mutex<Set>>,
    count: Arc<watch::Sender<usize>>,
}

#[derive(Default)]
struct Set {
    /// The identity of our broker since it was started last.
    own: String,
    clusters: HashMap<Connection, ClusterId>,
    /// How many connections a cluster has; more than one while it reconnects.
    connections: HashMap<ClusterId, usize>,
    /// What has gone while a list is on its way, which may still name it.
    gone: Option<HashSet<Connection>>,
}

impl Set {
    fn add(&mut self, connection: Connection, cluster: ClusterId) {
        if self.clusters.insert(connection, cluster).is_none() {
            *self.connections.entry(cluster).or_default() += 1;
        }
    }

    fn remove(&mut self, connection: Connection) {
        if let Some(cluster) = self.clusters.remove(&connection)
            && let Some(left) = self.connections.get_mut(&cluster)
        {
            *left -= 1;
            if *left == 0 {
                self.connections.remove(&cluster);
            }
        }
        if let Some(gone) = &mut self.gone {
            gone.insert(connection);
        }
    }

    /// Takes the broker's list for the truth, but for what has changed since it was asked for.
    fn replace(&mut self, listed: HashMap<Connection, ClusterId>, before: &HashSet<Connection>) {
        let gone = self.gone.take().unwrap_or_default();
        let stale: Vec<Connection> =
            before.iter().filter(|connection| !listed.contains_key(*connection)).cloned().collect();
        for connection in stale {
            self.remove(connection);
        }
        for (connection, cluster) in listed {
            if !gone.contains(&connection) {
                self.add(connection, cluster);
            }
        }
    }
}

impl Presence {
    pub(super) fn new() -> Self {
        Self { set: Arc::default(), count: Arc::new(watch::Sender::new(0)) }
    }

    /// How many clusters are connected.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Whether the agent of a cluster is connected.
    pub(super) fn is_connected(&self, cluster: ClusterId) -> bool {
        self.lock().connections.contains_key(&cluster)
    }

    /// Follows the broker until `stop`. `up` tells whether `system` is connected.
    pub(super) async fn follow(
        self,
        system: Client,
        mut up: watch::Receiver<bool>,
        stop: CancellationToken,
    ) {
        let Ok(mut came) = system.subscribe("$SYS.ACCOUNT.*.CONNECT").await else { return };
        let Ok(mut went) = system.subscribe("$SYS.ACCOUNT.*.DISCONNECT").await else { return };
        let compare = self.keep_compared(&system, &mut up);
        let listen = async {
            loop {
                tokio::select! {
                    Some(message) = came.next() => self.change(&message, Set::add),
                    Some(message) = went.next() => {
                        self.change(&message, |set, connection, _| set.remove(connection));
                    }
                    else => break,
                }
            }
        };
        tokio::select! {
            () = listen => {}
            () = compare => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep_compared(&self, system: &Client, up: &mut watch::Receiver<bool>) {
        while up.wait_for(|up| *up).await.is_ok() {
            let pause = match self.compare(system).await {
                Ok(()) => COMPARE_EVERY,
                Err(error) => {
                    warn!(error = %error.chain(), "the list of connected agents was not read");
                    COMPARE_AGAIN
                }
            };
            let lost = async { up.wait_for(|up| !up).await.is_ok() };
            if let Ok(true) = tokio::time::timeout(pause, lost).await {
                // Whoever was connected is so no more, or will be listed again.
                let mut set = self.lock();
                *set = Set::default();
                self.publish(&set);
            }
        }
    }

    async fn compare(&self, system: &Client) -> Result<()> {
        let own = system.server_info().server_id;
        let list = format!("$SYS.REQ.SERVER.{own}.CONNZ");
        let before: HashSet<Connection> = {
            let mut set = self.lock();
            set.own = own;
            set.gone = Some(HashSet::new());
            set.clusters.keys().cloned().collect()
        };
        let mut listed = HashMap::new();
        let mut offset = 0;
        loop {
            let request = format!(r#"{{"auth":true,"limit":{PAGE},"offset":{offset}}}"#);
            let reply = super::accounts::ask(system, list.clone(), &request).await?;
            let Page { server, data } =
                serde_json::from_slice(&reply).map_err(crate::error::Error::internal)?;
            offset += data.connections.len();
            let is_last = data.connections.len() < PAGE || offset >= data.total;
            for one in data.connections {
                if let Ok(cluster) = one.name_tag.parse() {
                    listed.insert((server.id.clone(), one.cid), cluster);
                }
            }
            if is_last {
                break;
            }
        }
        let mut set = self.lock();
        set.replace(listed, &before);
        self.publish(&set);
        Ok(())
    }

    fn change(&self, message: &Message, change: impl FnOnce(&mut Set, Connection, ClusterId)) {
        // Our own connections have other names.
        let Ok(event) = serde_json::from_slice::<Event>(&message.payload) else { return };
        let Ok(cluster) = event.client.name_tag.parse() else { return };
        let mut set = self.lock();
        if event.server.id != set.own {
            return;
        }
        change(&mut set, (event.server.id, event.client.id), cluster);
        self.publish(&set);
    }

    fn publish(&self, set: &Set) {
        let now = set.connections.len();
        self.count.send_if_modified(|count| std::mem::replace(count, now) != now);
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Event {
    server: Broker,
    client: EventClient,
}

#[derive(Deserialize)]
struct Broker {
    id: String,
}

#[derive(Deserialize)]
struct EventClient {
    id: u64,
    /// The name in the credentials, which is the cluster's identifier.
    #[serde(default)]
    name_tag: String,
}

#[derive(Deserialize)]
struct Page {
    server: Broker,
    data: PageData,
}

#[derive(Deserialize)]
struct PageData {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    connections: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    cid: u64,
    #[serde(default)]
    name_tag: String,
}

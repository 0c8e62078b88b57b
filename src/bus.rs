//! The bus: everything that names NATS.
//!
//! Owns: subjects, messages, the operator/account/user credentials, the
//! supervised `nats-server`, our client on it, the tunnel that brings agents to
//! it, and the agent's side.
//! Must not know: the store, HTTP routes or what a heartbeat means for a cluster.
//!
//! Management starts at [`Bus::start`].

pub mod agent;
pub mod claims;
pub mod control;
pub mod dial;
mod forwarder;
mod head;
pub mod keys;
pub mod message;
pub mod server;
mod subject;
pub mod trust;
pub mod tunnel;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

pub use claims::Revocations;
pub use control::{Inbound, InboundKind, InboundTotals, Reply};
pub use dial::AGENT_ALPN;
pub use keys::{AgentKey, AgentPublicKey};
pub use server::{BrokerState, BusSettings, ClusterSettings, PeerTls, TlsFiles, configuration};
pub use trust::Trust;

use crate::{
    clock::{Clock, Random, Timestamp},
    error::Result,
    ids::{ClusterId, TenantId},
};
use control::Control;
use server::Supervisor;

/// The longest life of an agent's credentials. Revocations older than this are
/// forgotten, because what they revoke has expired.
pub const LONGEST_LIFETIME: Duration = Duration::from_hours(30 * 24);

/// A tenant that may be on the bus.
#[derive(Clone, Debug)]
pub struct TenantAccount {
    /// The tenant.
    pub tenant: TenantId,
    /// Keys of its agents whose credentials issued up to that moment are void.
    pub revocations: Revocations,
}

/// How the bus is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusStatus {
    /// Whether messages of agents reach us now.
    pub connected: bool,
    /// What the broker is doing.
    pub broker: BrokerState,
    /// How often the broker was started again since our start.
    pub restarts: u64,
    /// How many clusters have their agent connected to this node's broker.
    pub agents: usize,
    /// What became of agents' messages.
    pub inbound: InboundTotals,
}

/// The bus as management sees it.
pub struct Bus {
    trust: Arc<Trust>,
    clock: Arc<dyn Clock>,
    control: Control,
    websocket: SocketAddr,
    supervisor: Option<Supervisor>,
}

impl Bus {
    /// Starts the broker, gives it the tenants' accounts and begins to receive.
    ///
    /// `tls` is needed when [`BusSettings::listen`] is set. The receiver gets
    /// what agents send; while it is full, messages are counted in
    /// [`BusStatus::inbound`] and dropped, and reports come again.
    /// [`crate::error::Kind::Unavailable`] when the broker cannot be started.
    pub async fn start(
        settings: &BusSettings,
        trust: Trust,
        tenants: Vec<TenantAccount>,
        tls: Option<&TlsFiles>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Self, mpsc::Receiver<Inbound>)> {
        let (supervisor, websocket) = if settings.managed {
            let supervisor = Supervisor::start(settings, &trust, tls, clock.as_ref()).await?;
            let websocket = supervisor.websocket();
            (Some(supervisor), websocket)
        } else {
            settings.check()?;
            (None, settings.websocket)
        };
        let trust = Arc::new(trust);
        let now = clock.now();
        let wanted = tenants
            .into_iter()
            .map(|account| (account.tenant, current(account.revocations, now)))
            .collect();
        let connected = Control::connect(
            websocket,
            Arc::clone(&trust),
            wanted,
            Arc::clone(&clock),
            random,
            settings.cluster.is_some(),
        );
        let (control, receiver) = Box::pin(connected).await?;
        Ok((Self { trust, clock, control, websocket, supervisor }, receiver))
    }

    /// Lets the agents of a tenant in, from now on and on every later start of
    /// the broker. [`crate::error::Kind::Unavailable`] while the broker is away; it is done all
    /// the same when it is back.
    pub async fn add_tenant(&self, account: TenantAccount) -> Result<()> {
        let revocations = current(account.revocations, self.clock.now());
        self.control.put_tenant(account.tenant, revocations).await
    }

    /// Cuts the agents of a tenant off, for good.
    pub async fn remove_tenant(&self, tenant: TenantId) -> Result<()> {
        self.control.remove_tenant(tenant).await
    }

    /// Voids all credentials of an agent's key that were issued up to `at`, and
    /// cuts its live connections. Write it down first: the next
    /// [`Bus::start`] needs it again.
    pub async fn revoke(
        &self,
        tenant: TenantId,
        key: &AgentPublicKey,
        at: Timestamp,
    ) -> Result<()> {
        let now = self.clock.now();
        self.control
            .change_revocations(tenant, |revocations| {
                revocations.retain(|_, at| is_current(*at, now));
                revocations.insert(key.clone(), at);
            })
            .await
    }

    /// Issues the credentials of an agent and says when they expire. The
    /// lifetime is cut to [`LONGEST_LIFETIME`].
    pub fn issue_agent(
        &self,
        tenant: TenantId,
        cluster: ClusterId,
        key: &AgentPublicKey,
        now: Timestamp,
        lifetime: Duration,
    ) -> (String, Timestamp) {
        // Tokens carry whole seconds.
        let expires = now.plus(lifetime.min(LONGEST_LIFETIME)).as_seconds();
        let expires = Timestamp::from_seconds(expires);
        (claims::agent(&self.trust, tenant, cluster, key, now, expires), expires)
    }

    /// Asks an agent and waits for its answer. `verb` is one or more tokens of
    /// letters, digits, `-` and `_`, joined by dots. [`crate::error::Kind::Unavailable`] with
    /// code `agent-not-connected` at once, or `agent-silent` after `timeout`.
    pub async fn request(
        &self,
        tenant: TenantId,
        cluster: ClusterId,
        verb: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes> {
        self.control.request(tenant, cluster, verb, payload, timeout).await
    }

    /// How the bus is doing now.
    pub fn status(&self) -> BusStatus {
        let (broker, restarts) = match &self.supervisor {
            Some(supervisor) => supervisor.state().borrow().clone(),
            None => (BrokerState::External, 0),
        };
        BusStatus {
            connected: *self.control.connected().borrow(),
            broker,
            restarts,
            agents: *self.control.agents().borrow(),
            inbound: self.control.totals(),
        }
    }

    /// Whether messages of agents reach us, to be watched.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.control.connected()
    }

    /// How many clusters have their agent connected to this node's broker, to be watched.
    pub fn agents(&self) -> watch::Receiver<usize> {
        self.control.agents()
    }

    /// Whether the agent of a cluster is connected to this node's broker. It may
    /// still be stuck: only heartbeats say that it works.
    pub fn is_connected(&self, cluster: ClusterId) -> bool {
        self.control.is_connected(cluster)
    }

    /// Where the gateway's tunnel finds the broker.
    pub fn websocket_address(&self) -> SocketAddr {
        self.websocket
    }

    /// Makes our own broker read its certificate again; no connection is dropped.
    pub async fn reload_certificate(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.reload().await;
        }
    }

    /// Stops the broker, if it is ours. Agents dial again until another one answers.
    pub async fn shutdown(self) {
        drop(self.control);
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop().await;
        }
    }
}

fn current(mut revocations: Revocations, now: Timestamp) -> Revocations {
    revocations.retain(|_, at| is_current(*at, now));
    revocations
}

fn is_current(revoked_at: Timestamp, now: Timestamp) -> bool {
    now.since(revoked_at) <= LONGEST_LIFETIME
}

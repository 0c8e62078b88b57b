//! Our own two clients of the broker.
//!
//! Owns: the connection on the control account, where agents speak to us, and
//! the one on the system account, where accounts are managed.
//! Must not know: how the broker is run, or what agents' messages mean.

mod accounts;
mod inbound;
mod presence;
mod requests;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use async_nats::{Auth, Client, ConnectOptions, Event, Message};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{BoxStream, SelectAll},
};
use nkeys::KeyPair;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use accounts::Reconciled;
pub use inbound::{Inbound, InboundKind, InboundTotals, Reply, Room};

use super::{
    claims::{self, Revocations},
    subject,
    trust::Trust,
};
use crate::{
    clock::{Clock, Random, Timestamp},
    error::{Error, Result},
    ids::{ClusterId, TenantId},
};
use accounts::Accounts;
use inbound::{InboundCounts, Pump, Way};
use presence::Presence;
use requests::Requests;

/// Messages that one subscription may hold before the client drops some. The
/// pump never waits, so this is for moments when the process gets no CPU.
const SUBSCRIPTION_CAPACITY: usize = 128 * 1024;
/// The nodes that share agents' reports among them.
const QUEUE: &str = "palisade";
/// How long a broker that somebody else runs may take to start.
const STARTING: Duration = Duration::from_secs(10);
/// How often silent agents are forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// The pause between attempts to bring accounts up to date.
const RECONCILE_AGAIN: Duration = Duration::from_secs(1);

/// Both connections. Dropping it closes them.
pub struct Control {
    client: Client,
    accounts: Arc<Accounts>,
    requests: Requests,
    counts: Arc<InboundCounts>,
    presence: Presence,
    connected: watch::Receiver<bool>,
    stop: CancellationToken,
    first: Reconciled,
}

impl Control {
    /// Connects to the broker's WebSocket listener, waiting up to ten seconds for
    /// a broker that is still starting, brings its accounts up to
    /// date, and begins to receive. With `has_peers` other nodes on other brokers
    /// hear the same agents: all of them hear everything, and one of them
    /// acknowledges a report. [`crate::error::Kind::Unavailable`] if the broker cannot be
    /// reached or does not let us in.
    pub async fn connect(
        websocket: SocketAddr,
        trust: Arc<Trust>,
        wanted: HashMap<TenantId, Revocations>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        has_peers: bool,
    ) -> Result<(Self, mpsc::Receiver<Inbound>)> {
        let stop = CancellationToken::new();
        let (system, system_up) = connect(websocket, Role::System, &trust, &clock).await?;
        let presence = Presence::new();
        tokio::spawn(presence.clone().follow(system.clone(), system_up.clone(), stop.clone()));
        let (of_accounts, for_accounts) = (Arc::clone(&trust), Arc::clone(&clock));
        let accounts = Accounts::new(system, of_accounts, for_accounts, wanted, has_peers);
        let accounts = Arc::new(accounts);
        let first = accounts.reconcile().await?;
        info!(?first, "the message broker's accounts are up to date");
        tokio::spawn(keep_reconciled(Arc::clone(&accounts), system_up, stop.clone()));

        let (client, connected) = connect(websocket, Role::Control, &trust, &clock).await?;
        let requests = Requests::new(random);
        let counts = Arc::new(InboundCounts::default());
        let (pump, receiver) = Pump::new(client.clone(), Arc::clone(&counts));
        let subscribe = async |prefix| client.subscribe(format!("{prefix}.*.>")).await;
        let up = subscribe(subject::UP).await.map_err(Error::internal)?;
        let ctl = subscribe(subject::CTL).await.map_err(Error::internal)?;
        let mut sources = vec![
            up.map(|message| (Way::Up, message)).boxed(),
            ctl.map(move |message| (if has_peers { Way::Overheard } else { Way::Ctl }, message))
                .boxed(),
        ];
        if has_peers {
            let reports = format!("{}.*.*.{}", subject::CTL, subject::REPORT);
            let shared = client.queue_subscribe(reports, QUEUE.to_owned()).await;
            let shared = shared.map_err(Error::internal)?;
            sources.push(shared.map(|message| (Way::Shared, message)).boxed());
        }
        client.flush().await.map_err(Error::internal)?;
        let messages = futures_util::stream::select_all(sources);
        tokio::spawn(receive(pump, requests.clone(), messages, stop.clone()));
        Ok((
            Self { client, accounts, requests, counts, presence, connected, stop, first },
            receiver,
        ))
    }

    /// What had to be done to the broker's accounts when we connected.
    pub fn first_reconciliation(&self) -> Reconciled {
        self.first
    }

    /// Compares the broker's accounts with the wanted ones once more.
    pub async fn reconcile(&self) -> Result<Reconciled> {
        self.accounts.reconcile().await
    }

    /// Adds a tenant, or replaces its revocations.
    pub async fn put_tenant(&self, tenant: TenantId, revocations: Revocations) -> Result<()> {
        self.accounts.put(tenant, revocations).await
    }

    /// Removes a tenant and cuts its agents off.
    pub async fn remove_tenant(&self, tenant: TenantId) -> Result<()> {
        self.accounts.remove(tenant).await
    }

    /// Changes the revocations of a tenant.
    pub async fn change_revocations(
        &self,
        tenant: TenantId,
        change: impl FnOnce(&mut Revocations),
    ) -> Result<()> {
        self.accounts.change(tenant, change).await
    }

    /// Asks an agent and waits for its answer. [`crate::error::Kind::Unavailable`] with code
    /// `agent-not-connected` at once, or `agent-silent` after `timeout`.
    pub async fn request(
        &self,
        tenant: TenantId,
        cluster: ClusterId,
        verb: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes> {
        self.requests.ask(&self.client, tenant, cluster, verb, payload, timeout).await
    }

    /// Whether agents' messages reach us now.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// How many clusters have their agent connected.
    pub fn agents(&self) -> watch::Receiver<usize> {
        self.presence.count()
    }

    /// Whether the agent of a cluster is connected.
    pub fn is_connected(&self, cluster: ClusterId) -> bool {
        self.presence.is_connected(cluster)
    }

    /// What became of agents' messages so far.
    pub fn totals(&self) -> InboundTotals {
        self.counts.totals()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Clone, Copy, Debug)]
enum Role {
    System,
    Control,
}

impl Role {
    fn key(self, trust: &Trust) -> &KeyPair {
        match self {
            Self::System => trust.system_user(),
            Self::Control => trust.control_user(),
        }
    }

    fn token(self, trust: &Trust, now: Timestamp) -> String {
        match self {
            Self::System => claims::system_user(trust, now),
            Self::Control => claims::control_user(trust, now),
        }
    }
}

/// Connects, and tells whether the connection stands.
async fn connect(
    websocket: SocketAddr,
    role: Role,
    trust: &Arc<Trust>,
    clock: &Arc<dyn Clock>,
) -> Result<(Client, watch::Receiver<bool>)> {
    let (up_tx, up) = watch::channel(false);
    let (trust, clock) = (Arc::clone(trust), Arc::clone(clock));
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        let jwt = role.token(&trust, clock.now());
        let signature = role.key(&trust).sign(&nonce).map_err(async_nats::AuthError::new);
        async move {
            let mut auth = Auth::new();
            auth.jwt = Some(jwt);
            auth.signature = Some(signature?);
            Ok(auth)
        }
    });
    let options = options
        .name(format!("palisade {role:?}"))
        .max_reconnects(None)
        .ignore_discovered_servers()
        .ping_interval(Duration::from_secs(10))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        // On loopback there is no crowd to keep apart; agents wait for us.
        .reconnect_delay_callback(|attempt| {
            Duration::from_millis(if attempt <= 1 { 0 } else { 100 })
        })
        .event_callback(move |event| {
            match event {
                Event::Connected => drop(up_tx.send_replace(true)),
                Event::Disconnected | Event::Closed => drop(up_tx.send_replace(false)),
                Event::SlowConsumer(_) => {
                    warn!("messages of agents were lost: this process gets too little CPU");
                }
                other => debug!("{role:?} connection to the message broker: {other}"),
            }
            std::future::ready(())
        });
    let given_up = Instant::now() + STARTING;
    loop {
        let connecting = options.clone().connect(format!("ws://{websocket}"));
        match Box::pin(connecting).await {
            Ok(client) => return Ok((client, up)),
            Err(error) if Instant::now() >= given_up => {
                return Err(Error::unavailable("The message broker cannot be reached.")
                    .with_hint(format!("It should listen on {websocket}; see its log."))
                    .caused_by(error));
            }
            Err(_) => tokio::time::sleep(STARTING / 50).await,
        }
    }
}

/// Compares accounts after every reconnection, as the broker may be another one.
async fn keep_reconciled(
    accounts: Arc<Accounts>,
    mut up: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let work = async {
        // The first connection was reconciled by whoever started us.
        while up.wait_for(|up| !up).await.is_ok() && up.wait_for(|up| *up).await.is_ok() {
            while *up.borrow_and_update() {
                match accounts.reconcile().await {
                    Ok(done) => {
                        info!(?done, "the message broker's accounts are up to date again");
                        break;
                    }
                    Err(error) => warn!(
                        error = %error.chain(),
                        "the message broker's accounts could not be compared; trying again"
                    ),
                }
                tokio::time::sleep(RECONCILE_AGAIN).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

async fn receive(
    mut pump: Pump,
    requests: Requests,
    mut messages: SelectAll<BoxStream<'static, (Way, Message)>>,
    stop: CancellationToken,
) {
    let mut tidy = tokio::time::interval(TIDY_EVERY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some((way, message)) = messages.next() => {
                let message = match way {
                    Way::Up | Way::Shared => Some(message),
                    Way::Ctl | Way::Overheard => requests.settle(message),
                };
                if let Some(message) = message {
                    pump.take(way, message, Instant::now());
                }
            }
            now = tidy.tick() => pump.forget_silent(now),
            () = stop.cancelled() => break,
            else => break,
        }
    }
}

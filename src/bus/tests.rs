//! The bus against a real `nats-server`.

mod accounts;
mod broker;
mod cluster;
mod flow;
mod gateway;
mod isolation;
mod link;
mod presence;
mod proxies;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Auth, Client, ConnectOptions, Event};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::{
    clock::{SystemClock, SystemRandom},
    secret::Secret,
};

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long we wait for something that must not happen.
const SILENCE: Duration = Duration::from_millis(300);

/// A running bus with its directory.
struct Rig {
    bus: Bus,
    inbound: mpsc::Receiver<Inbound>,
    directory: TempDir,
}

fn trust() -> Trust {
    Trust::derive(&Secret::new([42; 64]))
}

fn settings(directory: &TempDir) -> BusSettings {
    let mut settings = BusSettings::in_directory(directory.path());
    settings.binary = broker_binary();
    settings.listen = None;
    settings.websocket = SocketAddr::from(([127, 0, 0, 1], 0));
    settings
}

fn broker_binary() -> PathBuf {
    let found = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists());
    found.expect("these tests need nats-server: apt install nats-server")
}

async fn start(settings: &BusSettings, tenants: &[TenantId]) -> (Bus, mpsc::Receiver<Inbound>) {
    let tenants = tenants
        .iter()
        .map(|tenant| TenantAccount { tenant: *tenant, revocations: Revocations::new() })
        .collect();
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    Bus::start(settings, trust(), tenants, None, clock, random).await.expect("the bus starts")
}

impl Rig {
    async fn start(tenants: &[TenantId]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let (bus, inbound) = start(&settings(&directory), tenants).await;
        Self { bus, inbound, directory }
    }

    /// A connected agent of a cluster, with nothing between it and the broker.
    async fn agent(&self, tenant: TenantId, cluster: ClusterId) -> Agent {
        let key = AgentKey::generate(&SystemRandom);
        let (jwt, _) = self.bus.issue_agent(
            tenant,
            cluster,
            &key.public_key(),
            SystemClock.now(),
            Duration::from_mins(10),
        );
        Agent::connect(&self.bus, cluster, key, jwt).await.expect("the agent connects")
    }

    /// The next thing that an agent sent.
    async fn next(&mut self) -> Inbound {
        let next = tokio::time::timeout(PATIENCE, self.inbound.recv()).await;
        next.expect("something arrives in time").expect("the bus is running")
    }
}

/// A client as an agent has it, but free to try what an agent must not do.
struct Agent {
    client: Client,
    key: AgentKey,
    up: watch::Receiver<bool>,
}

impl Agent {
    async fn connect(
        bus: &Bus,
        cluster: ClusterId,
        key: AgentKey,
        jwt: String,
    ) -> Result<Self, async_nats::ConnectError> {
        let signer = AgentKey::from_seed(&key.seed()).expect("own seed");
        let (up_tx, up) = watch::channel(true);
        let client = ConnectOptions::with_auth_callback(move |nonce| {
            let mut auth = Auth::new();
            auth.jwt = Some(jwt.clone());
            auth.signature = Some(signer.sign(&nonce));
            std::future::ready(Ok(auth))
        })
        .custom_inbox_prefix(subject::inbox(cluster))
        .event_callback(move |event| {
            if event == Event::Disconnected {
                up_tx.send_replace(false);
            }
            std::future::ready(())
        })
        .connect(format!("ws://{}", bus.websocket_address()))
        .await?;
        Ok(Self { client, key, up })
    }

    /// Waits until the broker has dealt with everything sent so far.
    async fn settle(&self) {
        self.client.flush().await.expect("a flush");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn tenant(n: u8) -> TenantId {
    TenantId(format!("0000000000a{n}").parse().expect("a uid"))
}

fn cluster(n: u8) -> ClusterId {
    ClusterId(format!("0000000000c{n}").parse().expect("a uid"))
}

fn heartbeat(sequence: u64) -> Bytes {
    let heartbeat = message::Heartbeat {
        sequence,
        sent_at: SystemClock.now(),
        agent_version: "0.1.0".into(),
        api_latency_ms: Some(3),
    };
    serde_json::to_vec(&heartbeat).expect("a heartbeat").into()
}

//! Heartbeats of a thousand agents: over `wss` through our port, the broker and
//! the ingest, beside the same bytes over TLS to a bare broker with one
//! subscriber that discards them. And what a connection costs in memory.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use palisade::{
    bus::{
        AgentKey,
        agent::{AgentLink, BusAddress, Commands, LinkOptions, LinkState},
        dial::Tls,
        message::{Enrolment, Heartbeat},
    },
    clock::{Clock, SystemClock, SystemRandom},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Size;
use crate::{
    appliance::{Appliance, Settings},
    measure::{Samples, cpu, memory, micros_each},
    peers::{By, Certificate},
    table::{Goal, Row},
};

const AGENTS: usize = 1_000;
/// Twice a second each: often enough to measure, seldom enough for the limit on
/// each agent, which drops what is beyond five a second.
const PER_MILLISECOND: usize = 2 * AGENTS / 1_000;
/// Enrolments and dials at the same time.
const AT_ONCE: usize = 16;
/// Until connections have said all that they say at first.
const SETTLING: Duration = Duration::from_secs(5);

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    let appliance = Appliance::new(Settings::new()?).await?;
    let identities = enrol(&appliance).await?;
    let processes = appliance.processes()?;
    ensure!(processes.len() == 2, "expected serve and its broker");
    sleep(SETTLING).await;
    let before = memory(&processes, "VmRSS")?;
    let links = dial(&appliance, identities).await?;
    sleep(SETTLING).await;
    let grown = (memory(&processes, "VmRSS")?.saturating_sub(before)) as f64 / AGENTS as f64;

    let certificate = Certificate::new(appliance.folder())?;
    let by = By { folder: appliance.folder(), certificate: &certificate };
    let (broker, address) = by.nats().await?;
    let peer = [broker.id()];
    let connect = || client(&certificate.pem, address.port());
    let discarding = connect().await?;
    let mut discarded = discarding.subscribe("up.>").await?;
    discarding.flush().await?;
    tokio::spawn(async move { while discarded.next().await.is_some() {} });
    let before = memory(&peer, "VmRSS")?;
    let clients: Vec<_> =
        stream::iter(0..AGENTS).map(|_| connect()).buffer_unordered(AT_ONCE).try_collect().await?;
    sleep(SETTLING).await;
    let bare = (memory(&peer, "VmRSS")?.saturating_sub(before)) as f64 / AGENTS as f64;

    let beats = size.of(8_000);
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for sequence in 0..size.rounds as u64 {
        let heartbeat = heartbeat(sequence);
        let before = cpu(&processes)?;
        evenly(beats, async |number| {
            let sent = links[number % AGENTS].0.heartbeat(&heartbeat).await;
            sent.then_some(()).context("a link is down")
        })
        .await?;
        ours.push(micros_each(cpu(&processes)?.saturating_sub(before), beats));

        let payload = Bytes::from(serde_json::to_vec(&heartbeat)?);
        let before = cpu(&peer)?;
        evenly(beats, async |number| {
            // As long as the subject of a real agent.
            let subject = "up.0123456789ab.heartbeat";
            Ok(clients[number % AGENTS].publish(subject, payload.clone()).await?)
        })
        .await?;
        theirs.push(micros_each(cpu(&peer)?.saturating_sub(before), beats));
    }
    all_heard(&appliance).await?;
    let [grown, bare] = [grown, bare].map(|value| Samples::from_iter([value]));
    let peer = "nats-server TLS, discarding";
    Ok(vec![
        Row::beside(
            "heartbeat of one of 1,000 agents over wss",
            "µs CPU",
            &ours,
            peer,
            &theirs,
            Goal::AtMost(1.7),
        ),
        Row::alone(
            "agent's connection, broker and gateway",
            "KiB RSS",
            &grown,
            Some(Goal::AtMost(42.0)),
        ),
        Row::alone("agent's connection, bare nats-server TLS", "KiB RSS", &bare, None),
    ])
}

/// Calls `send` so many times, a few every millisecond, and waits a moment for
/// what is still on its way.
async fn evenly(total: usize, mut send: impl AsyncFnMut(usize) -> Result<()>) -> Result<()> {
    let mut every = interval(Duration::from_millis(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..total {
        if number % PER_MILLISECOND == 0 {
            every.tick().await;
        }
        send(number).await?;
    }
    sleep(Duration::from_millis(200)).await;
    Ok(())
}

fn heartbeat(sequence: u64) -> Heartbeat {
    Heartbeat {
        sequence,
        sent_at: SystemClock.now(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        api_latency_ms: Some(7),
    }
}

type Identity = (AgentKey, Enrolment);

async fn enrol(appliance: &Appliance) -> Result<Vec<Identity>> {
    let token = &appliance.token().await?;
    let project = &appliance.project(token, "Factories").await?;
    let one = async |number: usize| -> Result<Identity> {
        let name = format!("plant-{number:04}");
        let (_, import) = appliance.cluster(token, project, &name).await?;
        let key = AgentKey::generate(&SystemRandom);
        let body = json!({
            "token": import, "publicKey": key.public_key().as_str(), "agentVersion": "0.1.0",
        });
        let made = appliance.call("POST", "/v1/agent/enrol", None, Some(body)).await?;
        Ok((key, serde_json::from_value(made)?))
    };
    stream::iter(0..AGENTS).map(one).buffer_unordered(AT_ONCE).try_collect().await
}

async fn dial(
    appliance: &Appliance,
    identities: Vec<Identity>,
) -> Result<Vec<(AgentLink, Commands)>> {
    let anchors = std::fs::read_to_string(appliance.ca_file())?;
    let tls = &Tls::new(Some(&anchors))?;
    let port = appliance.target.address.port();
    let one = async |(key, enrolment): Identity| {
        let options = LinkOptions {
            address: BusAddress::WebSocket { host: "localhost".to_owned(), port },
            tls: tls.clone(),
            proxy: None,
            cluster: enrolment.cluster.parse()?,
            key,
            jwt: enrolment.jwt,
            random: Arc::new(SystemRandom),
        };
        let link = AgentLink::connect(options)
            .await
            .map_err(|error| anyhow::anyhow!("an agent cannot dial: {}", error.chain()))?;
        let mut state = link.0.state();
        let connected = state.wait_for(|state| *state == LinkState::Connected);
        timeout(Duration::from_secs(20), connected)
            .await
            .context("an agent does not connect")??;
        Ok(link)
    };
    stream::iter(identities).map(one).buffer_unordered(AT_ONCE).try_collect().await
}

/// A client of the bare broker with the settings of our link.
async fn client(anchor: &str, port: u16) -> Result<async_nats::Client> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(anchor.as_bytes()) {
        roots.add(certificate?)?;
    }
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let options = async_nats::ConnectOptions::new()
        .tls_client_config(tls)
        .require_tls(true)
        .ping_interval(Duration::from_secs(5))
        .subscription_capacity(64)
        .client_capacity(32)
        .read_buffer_capacity(4 * 1024);
    Ok(options.connect(format!("tls://localhost:{port}")).await?)
}

/// The heartbeats have arrived where they count.
async fn all_heard(appliance: &Appliance) -> Result<()> {
    let token = appliance.token().await?;
    let now = SystemClock.now();
    let path = "/v1/clusters?limit=200";
    let page = appliance.call("GET", path, Some(&token), None).await?;
    let items = page["items"].as_array().context("no items")?;
    ensure!(page["total"] == AGENTS && items.len() == 200, "not all clusters are there");
    for item in items {
        let heard = item["lastHeartbeatAt"].as_str().context("a cluster was never heard")?;
        let ago = now.since(heard.parse()?);
        ensure!(ago < Duration::from_secs(30), "a cluster was last heard {ago:?} ago");
    }
    Ok(())
}

//! Sessions against a real broker.

use std::sync::Mutex;

use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};

use super::*;
use crate::{
    agent::{
        settings::{AgentSettings, TokenSource, Transport},
        testing::Pki,
    },
    bus::{
        Bus, BusSettings, Inbound, InboundKind, Reply, Revocations, TenantAccount, TlsFiles, Trust,
        message::Enrolment,
    },
    clock::{SystemClock, SystemRandom},
    ids::{ClusterId, TenantId},
    secret::Secret,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Management's side of the bus, and an agent that may dial it.
struct Rig {
    bus: Bus,
    inbound: mpsc::Receiver<Inbound>,
    management: Management,
    identity: Identity,
    tenant: TenantId,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new("Example CA");
        let path = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let ca_file = Some(path("ca.crt", &pki.ca));
        let files = TlsFiles {
            certificate: path("tls.crt", &pki.certificate),
            key: path("tls.key", &pki.private_key),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut settings = BusSettings::in_directory(folder.path());
        settings.binary = "/usr/sbin/nats-server".into();
        settings.listen = Some(address);
        settings.websocket = ([127, 0, 0, 1], 0).into();
        let tenant = TenantId::random(&SystemRandom);
        let tenants = vec![TenantAccount { tenant, revocations: Revocations::new() }];
        let trust = Trust::derive(&Secret::new([42; 64]));
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let (bus, inbound) =
            Bus::start(&settings, trust, tenants, Some(&files), clock, random).await.unwrap();

        let token = TokenSource::Value("t".to_owned().into());
        let settings = AgentSettings {
            ca_file,
            transport: Transport::Tls { address: format!("localhost:{}", address.port()) },
            ..AgentSettings::new("https://localhost", token)
        };
        let management = Management::from_settings(&settings).unwrap();
        let (key, cluster) = (AgentKey::generate(&SystemRandom), ClusterId::random(&SystemRandom));
        let now = SystemClock.now();
        let (jwt, expires_at) =
            bus.issue_agent(tenant, cluster, &key.public_key(), now, Duration::from_mins(5));
        let enrolment =
            Enrolment { cluster: cluster.to_string(), jwt, expires_at, server_time: now };
        let identity = Identity { key, enrolment };
        Self { bus, inbound, management, identity, tenant, _folder: folder }
    }

    /// The next report, or `None` if there is none for a while.
    async fn report(
        inbound: &mut mpsc::Receiver<Inbound>,
        within: Duration,
    ) -> Option<(Report, Reply)> {
        let next = async {
            loop {
                match inbound.recv().await.expect("the bus runs").kind {
                    InboundKind::Report(report, reply) => return (*report, reply),
                    InboundKind::Heartbeat(_)
                    | InboundKind::Overheard(_)
                    | InboundKind::Other { .. } => {}
                }
            }
        };
        timeout(within, next).await.ok()
    }
}

/// A cluster whose running pods are counted by hand.
#[derive(Default)]
struct Counted {
    running: Mutex<Option<u32>>,
    changed: Notify,
}

impl Counted {
    fn set(&self, running: u32) {
        *self.running.lock().unwrap() = Some(running);
        self.changed.notify_one();
    }
}

impl Source for Counted {
    async fn changed(&self) {
        self.changed.notified().await;
    }

    fn report(&self, _now: Timestamp) -> Option<Report> {
        let mut report = Report::default();
        report.pods.running = (*self.running.lock().unwrap())?;
        Some(report)
    }

    fn next_change(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    fn api_latency_ms(&self) -> Option<u32> {
        Some(7)
    }
}

async fn session(management: &Management, identity: &Identity, source: &Counted) -> Refused {
    let (link, commands) = dial(management, identity, Arc::new(SystemRandom)).await.unwrap();
    let (clock, random) = (&SystemClock, &SystemRandom);
    Session { link: &link, source, tally: &(), clock, random }.run(commands).await
}

#[tokio::test]
async fn a_report_is_sent_on_change_until_it_is_acknowledged_and_at_most_every_two_seconds() {
    let mut rig = Rig::start().await;
    let source = Counted::default();
    let running = session(&rig.management, &rig.identity, &source);
    let management = async {
        let inbound = &mut rig.inbound;
        // Nothing is sent before the state is known.
        assert!(Rig::report(inbound, Duration::from_secs(3)).await.is_none());
        source.set(1);
        let (report, reply) = Rig::report(inbound, PATIENCE).await.expect("a first report");
        assert_eq!(report.pods.running, 1);
        reply.acknowledge().await;
        let first = Instant::now();

        // Many changes at once are one report, and it comes after the pause.
        for running in 2..10 {
            source.set(running);
        }
        let (report, reply) = Rig::report(inbound, PATIENCE).await.expect("a second report");
        assert_eq!(report.pods.running, 9);
        assert!(first.elapsed() > Duration::from_millis(1_500), "{:?}", first.elapsed());

        // One that is not acknowledged comes again.
        drop(reply);
        let (report, reply) =
            Rig::report(inbound, Duration::from_secs(20)).await.expect("it comes again");
        assert_eq!(report.pods.running, 9);
        reply.acknowledge().await;

        // And after that there is nothing to say.
        source.set(9);
        assert!(Rig::report(inbound, Duration::from_secs(5)).await.is_none());
    };
    tokio::select! {
        refused = running => panic!("{refused:?}"),
        () = management => {}
    }
}

#[tokio::test]
async fn heartbeats_come_with_the_latency_of_the_api() {
    let mut rig = Rig::start().await;
    let source = Counted::default();
    let running = session(&rig.management, &rig.identity, &source);
    let heartbeat = async {
        loop {
            if let InboundKind::Heartbeat(heartbeat) = rig.inbound.recv().await.unwrap().kind {
                return heartbeat;
            }
        }
    };
    tokio::select! {
        refused = running => panic!("{refused:?}"),
        heartbeat = timeout(Duration::from_secs(25), heartbeat) => {
            assert_eq!(heartbeat.expect("a heartbeat").api_latency_ms, Some(7));
        }
    }
}

#[tokio::test]
async fn a_session_ends_when_the_credentials_are_revoked() {
    let rig = Rig::start().await;
    let source = Counted::default();
    let running = session(&rig.management, &rig.identity, &source);
    let revoke = async {
        sleep(Duration::from_secs(2)).await;
        let key = rig.identity.key.public_key();
        rig.bus.revoke(rig.tenant, &key, SystemClock.now()).await.unwrap();
        sleep(PATIENCE).await;
    };
    tokio::select! {
        refused = running => assert!(refused.was_connected, "{refused:?}"),
        () = revoke => panic!("the session goes on"),
    }
}

//! The agent's side, through the tunnel and straight to the broker.

use tokio::net::TcpListener;

use super::{gateway::*, *};
use crate::bus::{
    agent::{AgentLink, BusAddress, Commands, LinkOptions, LinkState},
    dial::{Proxy, Tls},
    tunnel::{self, TunnelError},
};

/// Credentials and the way to a gateway.
pub(super) fn options(rig: &Rig, gateway: &Gateway, proxy: Option<&str>) -> LinkOptions {
    let address = BusAddress::WebSocket { host: "localhost".into(), port: gateway.port };
    let proxy = proxy.map(|url| Proxy::parse(url).expect("a proxy"));
    LinkOptions { proxy, ..direct(rig, address, gateway.pki.tls()) }
}

pub(super) fn direct(rig: &Rig, address: BusAddress, tls: Tls) -> LinkOptions {
    let key = AgentKey::generate(&SystemRandom);
    let lifetime = Duration::from_mins(1);
    let now = SystemClock.now();
    let (jwt, _) = rig.bus.issue_agent(tenant(1), cluster(1), &key.public_key(), now, lifetime);
    let random = Arc::new(SystemRandom);
    LinkOptions { address, tls, proxy: None, cluster: cluster(1), key, jwt, random }
}

pub(super) async fn connected(link: &AgentLink) {
    let mut state = link.state();
    let up = state.wait_for(|state| *state == LinkState::Connected);
    let last = tokio::time::timeout(Duration::from_secs(20), up).await.map(drop);
    assert!(last.is_ok(), "not connected: {:?}", link.state().borrow());
}

/// The cause that the link gives while it is down.
pub(super) async fn cause(link: &AgentLink) -> String {
    let mut state = link.state();
    let down = state.wait_for(|state| matches!(state, LinkState::Connecting { cause: Some(_) }));
    let down = tokio::time::timeout(Duration::from_secs(20), down).await.expect("in time");
    match &*down.expect("a state") {
        LinkState::Connecting { cause: Some(cause) } => cause.clone(),
        state => panic!("{state:?}"),
    }
}

/// Heartbeat, report and command, as an agent uses them.
pub(super) async fn talks(rig: &mut Rig, link: &AgentLink, commands: &mut Commands) {
    let heartbeat = message::Heartbeat {
        sequence: 1,
        sent_at: SystemClock.now(),
        agent_version: "0.1.0".into(),
        api_latency_ms: None,
    };
    assert!(link.heartbeat(&heartbeat).await);
    let inbound = rig.next().await;
    assert_eq!((inbound.tenant, inbound.cluster), (tenant(1), cluster(1)));
    assert!(matches!(inbound.kind, InboundKind::Heartbeat(got) if got == heartbeat));

    let report = message::Report { agent_version: "0.1.0".into(), ..Default::default() };
    let take = async {
        let InboundKind::Report(got, reply) = rig.next().await.kind else { panic!("no report") };
        reply.acknowledge().await;
        got
    };
    let (sent, got) = tokio::join!(link.report(&report), take);
    sent.expect("acknowledged");
    assert_eq!(*got, report);

    let ask = rig.bus.request(tenant(1), cluster(1), "pack.apply", "x".into(), PATIENCE);
    let obey = async {
        let command = commands.next().await.expect("a command");
        assert_eq!((command.verb.as_str(), &command.payload[..]), ("pack.apply", &b"x"[..]));
        command.answer("done".into()).await;
    };
    let (answer, ()) = tokio::join!(ask, obey);
    assert_eq!(answer.expect("an answer"), "done");
}

#[tokio::test]
async fn a_link_works_through_the_gateways_tunnel() {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let (link, mut commands) =
        AgentLink::connect(options(&rig, &gateway, None)).await.expect("a link");
    connected(&link).await;
    talks(&mut rig, &link, &mut commands).await;
}

#[tokio::test]
async fn a_link_works_straight_to_the_brokers_tls_listener() {
    let directory = TempDir::new().expect("a directory");
    let pki = Pki::new();
    let files = pki.write_leaf(&directory);
    let port = free_port().await;
    let mut settings = settings(&directory);
    settings.listen = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let tenants = vec![TenantAccount { tenant: tenant(1), revocations: Revocations::new() }];
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let started = Bus::start(&settings, trust(), tenants, Some(&files), clock, random).await;
    let (bus, inbound) = started.expect("the bus starts");
    let mut rig = Rig { bus, inbound, directory };

    let address = BusAddress::Tls { host: "localhost".into(), port };
    let (link, mut commands) =
        AgentLink::connect(direct(&rig, address.clone(), pki.tls())).await.expect("a link");
    connected(&link).await;
    talks(&mut rig, &link, &mut commands).await;

    // A certificate of another CA is not believed.
    let doubting = direct(&rig, address, Pki::new().tls());
    let (link, _commands) = AgentLink::connect(doubting).await.expect("a link");
    let cause = cause(&link).await;
    assert!(cause.contains("not signed by a CA that this agent trusts"), "{cause}");
}

#[tokio::test]
async fn a_link_says_in_words_why_it_is_down() {
    let rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let nobody = free_port().await;
    let here = |host: &str, port| BusAddress::WebSocket { host: host.into(), port };
    for (what, address, tls, expected) in [
        ("nobody listens", here("localhost", nobody), gateway.pki.tls(), "refuses connections"),
        ("no such name", here("nowhere.invalid", 443), gateway.pki.tls(), "cannot be resolved"),
        ("another CA", here("localhost", gateway.port), Pki::new().tls(), "not signed by a CA"),
        ("another name", here("127.0.0.1", gateway.port), gateway.pki.tls(), "for another name"),
    ] {
        let (link, _) = AgentLink::connect(direct(&rig, address, tls)).await.expect("a link");
        let cause = cause(&link).await;
        assert!(cause.contains(expected), "{what}: {cause}");
    }

    let mut refused = options(&rig, &gateway, None);
    refused.jwt = options(&rig, &gateway, None).jwt;
    let (link, _commands) = AgentLink::connect(refused).await.expect("a link");
    assert!(crate::bus::agent::is_refusal(&cause(&link).await), "someone else's credentials");
}

#[tokio::test]
async fn a_link_comes_back_after_the_broker_was_away_and_takes_new_credentials() {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let options = options(&rig, &gateway, None);
    let public = options.key.public_key();
    let (link, mut commands) = AgentLink::connect(options).await.expect("a link");
    connected(&link).await;

    // The broker moves to another place.
    let directory = TempDir::new().expect("a directory");
    let (bus, inbound) = start(&settings(&directory), &[tenant(1)]).await;
    *gateway.backend.lock().expect("not poisoned") = bus.websocket_address();
    let old = std::mem::replace(&mut rig, Rig { bus, inbound, directory });
    old.bus.shutdown().await;
    let mut state = link.state();
    state.wait_for(|state| *state != LinkState::Connected).await.expect("a state");
    connected(&link).await;
    talks(&mut rig, &link, &mut commands).await;

    // Revoked, and later let in again with new credentials.
    let now = SystemClock.now();
    rig.bus.revoke(tenant(1), &public, now).await.expect("revoked");
    let refused = state.wait_for(|state| {
        matches!(state, LinkState::Connecting { cause: Some(cause) } if crate::bus::agent::is_refusal(cause))
    });
    tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .expect("in time")
        .expect("a state");
    let account = TenantAccount { tenant: tenant(1), revocations: Revocations::new() };
    rig.bus.add_tenant(account).await.expect("let in again");
    let lifetime = Duration::from_mins(1);
    let (jwt, _) = rig.bus.issue_agent(tenant(1), cluster(1), &public, now, lifetime);
    link.replace_credentials(jwt).await;
    connected(&link).await;
    talks(&mut rig, &link, &mut commands).await;
}

#[tokio::test]
async fn an_acknowledgement_that_another_agent_sent_astray_is_no_command() {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let (link, mut commands) =
        AgentLink::connect(options(&rig, &gateway, None)).await.expect("a link");
    connected(&link).await;
    let villain = rig.agent(tenant(1), cluster(2)).await;
    let astray = format!("dn.{}.pack.apply", cluster(1));
    let report = serde_json::to_vec(&message::Report::default()).expect("a report");
    let to = subject::report(cluster(2));
    villain.client.publish_with_reply(to, astray, report.into()).await.expect("sent");
    let InboundKind::Report(_, reply) = rig.next().await.kind else { panic!("no report") };
    reply.answer("delete everything".into()).await;
    let command = tokio::time::timeout(SILENCE, commands.next()).await;
    assert!(command.is_err(), "{command:?}");
}

#[tokio::test]
async fn the_tunnel_says_what_is_wrong_at_the_other_end() {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let peer = "203.0.113.9".parse().expect("an address");
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port().await));
    assert!(matches!(tunnel::open(nobody, key, peer).await, Err(TunnelError::Unreachable(_))));
    for bad in ["", "short", "dGhlIHNhbXBsZSBub25jZQ==\r\nX: y", "dGhlIHNhbXBsZQ=="] {
        assert!(matches!(tunnel::open(nobody, bad, peer).await, Err(TunnelError::BadKey)));
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.expect("written");
        tokio::time::sleep(PATIENCE).await;
    });
    let refused = tunnel::open(address, key, peer).await.expect_err("no broker");
    assert!(matches!(&refused, TunnelError::Refused(why) if why == "404 Not Found"), "{refused:?}");
}

#[tokio::test]
async fn a_splice_moves_much_both_ways_at_once_and_ends_with_either_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    const MUCH: usize = 3_000_000;
    let (mut left, mut left_inner) = duplex(1_000);
    let (mut right, mut right_inner) = duplex(70_000);
    let splice =
        tokio::spawn(async move { tunnel::splice(&mut left_inner, &mut right_inner).await });
    let (mut left_reader, mut left_writer) = tokio::io::split(&mut left);
    let (mut right_reader, mut right_writer) = tokio::io::split(&mut right);
    let pattern = |step: u8| {
        (0..MUCH)
            .scan(0u8, |at, _| Some(std::mem::replace(at, at.wrapping_add(step))))
            .collect::<Vec<_>>()
    };
    let (there, back) = (pattern(7), pattern(11));
    let (mut got_there, mut got_back) = (vec![0; MUCH], vec![0; MUCH]);
    let (a, b, c, d) = tokio::join!(
        left_writer.write_all(&there),
        right_writer.write_all(&back),
        right_reader.read_exact(&mut got_there),
        left_reader.read_exact(&mut got_back),
    );
    a.and(b).expect("written");
    c.and(d).expect("read");
    assert!(there == got_there && back == got_back, "bytes were changed on the way");
    left.shutdown().await.expect("closed");
    tokio::time::timeout(PATIENCE, splice)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("well");
    assert_eq!(right.read(&mut [0; 8]).await.expect("the end"), 0);
}

pub(super) async fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    listener.local_addr().expect("an address").port()
}

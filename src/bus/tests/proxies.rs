//! Links through real proxies: tinyproxy (HTTP CONNECT) and microsocks (SOCKS 5).

use std::process::{Child, Command, Stdio};

use super::{
    gateway::Gateway,
    link::{cause, connected, free_port, options, talks},
    *,
};
use crate::bus::agent::AgentLink;

/// A proxy of the test. Dropping it ends it.
struct RunningProxy {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn run(binary: &str, arguments: impl Fn(u16, &TempDir) -> Vec<String>) -> RunningProxy {
    assert!(
        std::path::Path::new(binary).exists(),
        "these tests need {binary}: apt install tinyproxy-bin microsocks"
    );
    let (port, directory) = (free_port().await, TempDir::new().expect("a directory"));
    let child = Command::new(binary)
        .args(arguments(port, &directory))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the proxy starts");
    let proxy = RunningProxy { child, port, _directory: directory };
    let up = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, up).await.expect("the proxy listens");
    proxy
}

async fn tinyproxy(password: Option<&str>) -> RunningProxy {
    run("/usr/bin/tinyproxy", |port, directory| {
        let file = directory.path().join("tinyproxy.conf");
        let authentication =
            password.map_or_else(String::new, |password| format!("BasicAuth agent {password}\n"));
        let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\n{authentication}");
        std::fs::write(&file, text).expect("written");
        vec!["-d".into(), "-c".into(), file.display().to_string()]
    })
    .await
}

async fn microsocks(password: Option<&str>) -> RunningProxy {
    run("/usr/bin/microsocks", |port, _| {
        let mut arguments = vec!["-i".into(), "127.0.0.1".into(), "-p".into(), port.to_string()];
        if let Some(password) = password {
            arguments.extend(["-u".into(), "agent".into(), "-P".into(), password.into()]);
        }
        arguments
    })
    .await
}

async fn works(proxy_url: &str) {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let (link, mut commands) =
        AgentLink::connect(options(&rig, &gateway, Some(proxy_url))).await.expect("a link");
    connected(&link).await;
    talks(&mut rig, &link, &mut commands).await;
}

async fn fails(proxy_url: &str) -> String {
    let rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let (link, _commands) =
        AgentLink::connect(options(&rig, &gateway, Some(proxy_url))).await.expect("a link");
    let cause = cause(&link).await;
    assert!(!cause.contains("hunter2"), "{cause}");
    cause
}

#[tokio::test]
async fn a_link_works_through_an_http_proxy() {
    let proxy = tinyproxy(None).await;
    works(&format!("http://127.0.0.1:{}", proxy.port)).await;
}

#[tokio::test]
async fn a_link_works_through_an_http_proxy_with_a_password() {
    let proxy = tinyproxy(Some("hunter2x")).await;
    works(&format!("http://agent:hunter2x@127.0.0.1:{}", proxy.port)).await;
}

#[tokio::test]
async fn a_link_works_through_a_socks_proxy() {
    let proxy = microsocks(None).await;
    works(&format!("socks5://127.0.0.1:{}", proxy.port)).await;
}

#[tokio::test]
async fn a_link_works_through_a_socks_proxy_with_a_password() {
    let proxy = microsocks(Some("p@ss:word")).await;
    works(&format!("socks5://agent:p%40ss%3Aword@127.0.0.1:{}", proxy.port)).await;
}

#[tokio::test]
async fn a_refused_password_is_named_as_the_cause() {
    let (http, socks) = tokio::join!(tinyproxy(Some("right")), microsocks(Some("right")));
    for (url, expected) in [
        (
            format!("http://agent:hunter2@127.0.0.1:{}", http.port),
            "refused the user name or password",
        ),
        (format!("http://127.0.0.1:{}", http.port), "wants a user name and password"),
        (
            format!("socks5://agent:hunter2@127.0.0.1:{}", socks.port),
            "refused the user name or password",
        ),
        (format!("socks5://127.0.0.1:{}", socks.port), "wants a user name and password"),
    ] {
        let cause = fails(&url).await;
        assert!(cause.contains(expected), "{cause}");
    }
}

#[tokio::test]
async fn a_missing_proxy_is_named_as_the_cause() {
    let port = free_port().await;
    let cause = fails(&format!("http://127.0.0.1:{port}")).await;
    assert!(cause.contains(&format!("the proxy 127.0.0.1:{port} cannot be reached")), "{cause}");
}

#[tokio::test]
async fn a_proxy_is_not_trusted_with_the_identity_of_management() {
    let proxy = tinyproxy(None).await;
    let rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let mut options = options(&rig, &gateway, Some(&url));
    options.tls = super::gateway::Pki::new().tls();
    let (link, _commands) = AgentLink::connect(options).await.expect("a link");
    let cause = cause(&link).await;
    assert!(cause.contains("did not prove its identity"), "{cause}");
}

#[tokio::test]
async fn other_programs_on_the_machine_cannot_use_the_forwarder() {
    let proxy = tinyproxy(None).await;
    let rig = Rig::start(&[tenant(1)]).await;
    let gateway = Gateway::start(rig.bus.websocket_address()).await;
    let proxy = dial::Proxy::parse(&format!("http://127.0.0.1:{}", proxy.port)).expect("a proxy");
    let forwarder = forwarder::Forwarder::start(
        proxy,
        "localhost".into(),
        gateway.port,
        gateway.pki.tls(),
        &SystemRandom,
    );
    let forwarder = forwarder.await.expect("a forwarder");
    let url = forwarder.url();
    let (without_token, _) = url.rsplit_once('/').expect("a path");
    for wrong in [without_token.to_owned(), format!("{without_token}/guess"), format!("{url}0")] {
        assert!(async_nats::connect(wrong).await.is_err());
    }
    assert_eq!(forwarder.last_failure().get(), None);
}

//! Forward proxies that want a user and a password: tinyproxy and microsocks.

use std::path::Path;

use crate::peers::{Running, free_port, peer};

/// The kinds of proxies that an agent can go through.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Http,
    Socks5,
}

/// A running proxy.
pub(crate) struct Proxy {
    running: Running,
    kind: Kind,
    port: u16,
}

/// Whom the proxy lets through.
const USER: &str = "agent";
const PASSWORD: &str = "tulip7harbour";

impl Proxy {
    /// Starts it; its files go to `directory`.
    pub(crate) fn start(kind: Kind, directory: &Path) -> Self {
        let port = free_port();
        let running = match kind {
            Kind::Http => tinyproxy(port, directory),
            Kind::Socks5 => Running::start(
                peer("MICROSOCKS"),
                |command| {
                    command
                        .args(["-i", "127.0.0.1", "-p", &port.to_string()])
                        .args(["-u", USER, "-P", PASSWORD]);
                },
                &directory.join("microsocks.log"),
            ),
        };
        Self { running, kind, port }
    }

    /// As the agent's settings take it, without credentials.
    pub(crate) fn url(&self) -> String {
        match self.kind {
            Kind::Http => format!("http://127.0.0.1:{}", self.port),
            Kind::Socks5 => format!("socks5://127.0.0.1:{}", self.port),
        }
    }

    /// As the agent's settings take them.
    pub(crate) fn credentials() -> String {
        format!("{USER}:{PASSWORD}")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How often the proxy says that it has opened a way to `host`.
    pub(crate) fn passages(&self, host: &str) -> usize {
        let sign = match self.kind {
            Kind::Http => format!("Established connection to host \"{host}\""),
            Kind::Socks5 => format!("connected to {host}:"),
        };
        self.running.log().matches(&sign).count()
    }
}

fn tinyproxy(port: u16, directory: &Path) -> Running {
    let file = directory.join("tinyproxy.conf");
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 600\nLogLevel Connect\nBasicAuth {USER} {PASSWORD}\n"
    );
    std::fs::write(&file, text).expect("written");
    Running::start(
        peer("TINYPROXY"),
        |command| {
            command.args(["-d", "-c"]).arg(&file);
        },
        &directory.join("tinyproxy.log"),
    )
}

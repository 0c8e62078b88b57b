//! Where an agent finds the bus.

use std::{fmt, str::FromStr};

use crate::bus::{dial::split_port, forwarder::BUS_PATH};

/// The two ways to reach the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// A WebSocket through the gateway: `wss://host[:port]/bus`.
    WebSocket {
        /// The name on the gateway's certificate.
        host: String,
        /// Usually 443.
        port: u16,
    },
    /// Straight to the broker with TLS: `tls://host[:port]`.
    Tls {
        /// The name on the broker's certificate.
        host: String,
        /// Usually 4222.
        port: u16,
    },
}

/// The text is no address of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected wss://host[:port]/bus or tls://host[:port]")]
pub struct NotABusAddress;

impl BusAddress {
    /// The name that the other end must prove to have.
    pub fn host(&self) -> &str {
        match self {
            Self::WebSocket { host, .. } | Self::Tls { host, .. } => host,
        }
    }

    pub(super) fn url(&self) -> String {
        let bracketed = |host: &str| {
            if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
        };
        match self {
            Self::WebSocket { host, port } => format!("wss://{}:{port}{BUS_PATH}", bracketed(host)),
            Self::Tls { host, port } => format!("tls://{}:{port}", bracketed(host)),
        }
    }
}

impl fmt::Display for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl FromStr for BusAddress {
    type Err = NotABusAddress;

    fn from_str(text: &str) -> Result<Self, NotABusAddress> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(NotABusAddress)?;
        let (address, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (host, port) = split_port(address).ok_or(NotABusAddress)?;
        let usable = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        if host.is_empty() || !host.chars().all(usable) {
            return Err(NotABusAddress);
        }
        let host = host.to_owned();
        match (scheme, path) {
            ("wss", "" | "/" | BUS_PATH) => Ok(Self::WebSocket { host, port: port.unwrap_or(443) }),
            ("tls", "" | "/") => Ok(Self::Tls { host, port: port.unwrap_or(4222) }),
            _ => Err(NotABusAddress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_default_port() {
        for (text, url) in [
            ("wss://m.test", "wss://m.test:443/bus"),
            ("wss://m.test:8443/bus", "wss://m.test:8443/bus"),
            ("tls://m.test", "tls://m.test:4222"),
            ("tls://[fd00::1]:4223", "tls://[fd00::1]:4223"),
        ] {
            assert_eq!(text.parse::<BusAddress>().map(|a| a.to_string()), Ok(url.to_owned()));
        }
    }

    #[test]
    fn an_address_without_encryption_or_with_more_than_a_host_is_refused() {
        for text in [
            "ws://m.test/bus",
            "nats://m.test",
            "m.test",
            "wss://",
            "wss://u:p@m.test/bus",
            "wss://m.test/x",
            "tls://m.test/bus",
        ] {
            assert_eq!(text.parse::<BusAddress>(), Err(NotABusAddress), "{text}");
        }
    }
}

//! Settings of the HTTPS server.

use std::net::SocketAddr;

use super::{HostName, Network, setting::section, value::Seconds};

section! {
    /// Where and under which names the appliance is reached.
    pub struct Server in "server";

    /// The address and port of the HTTPS server: API, web interface, registry and agents.
    listen: SocketAddr = "127.0.0.1:8443";
    /// The DNS name by which browsers and agents reach the appliance.
    fqdn: HostName = "localhost";
    /// Further names and addresses that the certificate covers.
    extra_names: Vec<HostName> = ["127.0.0.1", "::1"];
    /// The port that browsers and agents use, if it differs from the one of `listen`
    /// because a firewall or load balancer translates it.
    public_port: u16 as 443 where 1..=65_535;
    /// How long open requests may take to finish when the server stops.
    drain_seconds: Seconds = 20 where 0..=600;
    /// Load balancers in front of us whose `Forwarded` and `X-Forwarded-For` headers
    /// are believed. From anybody else these headers are ignored.
    trusted_proxies: Vec<Network> = [];
    /// The e-mail address that set-up offers for the first administrator.
    admin_email: Option<String> as "ada@example.com";
}

impl Server {
    /// The name and, unless it is 443, the port: what follows `https://` in links.
    pub fn authority(&self) -> String {
        let host = match self.fqdn.address() {
            Some(std::net::IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.fqdn.to_string(),
        };
        if self.public_port == 443 { host } else { format!("{host}:{}", self.public_port) }
    }

    /// The beginning of every link to this appliance, e.g. `https://palisade.example.com`.
    pub fn origin(&self) -> String {
        format!("https://{}", self.authority())
    }

    /// All names that the server certificate must cover.
    pub fn names(&self) -> Vec<HostName> {
        let mut names = vec![self.fqdn.clone()];
        names.extend(self.extra_names.iter().filter(|name| **name != self.fqdn).cloned());
        names
    }
}

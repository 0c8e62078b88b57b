//! Settings of the message bus.

use std::{net::SocketAddr, path::PathBuf};

use super::{Listen, SecretFile, setting::section, value::choice};

choice! {
    /// Who runs the broker.
    pub enum BusMode {
        /// We start `nats-server` and watch over it.
        Managed = "managed",
        /// Somebody else, e.g. systemd, at the same addresses.
        External = "external",
        /// Nobody: no agents can connect.
        Off = "off",
    }
}

section! {
    /// The message bus between management and agents.
    pub struct Bus in "bus";

    /// `managed` starts a nats-server and watches over it, `external` uses one that runs
    /// at the addresses below, `off` does without agents.
    mode: BusMode = "managed";
    /// The nats-server program: a path, or a name that is looked up in PATH.
    nats_server: PathBuf = "nats-server";
    /// The broker's own port for agents with TLS, e.g. "0.0.0.0:4222", or "off". Agents do
    /// not need it: they come through the HTTPS port. The broker reads the server's private
    /// key from a file, so while this is on, `data_dir`/bus holds a copy of it.
    listen: Listen = "off";
    /// The broker's WebSocket port, to which the HTTPS server passes agents on. It is not
    /// encrypted and must be an address of this machine only.
    websocket_listen: SocketAddr = "127.0.0.1:4280";
    /// Connections that the broker accepts.
    max_connections: u32 = 20_000 where 16..=1_000_000;
}

section! {
    /// The brokers of the other nodes, when several nodes are one management plane. All of
    /// these settings or none of them.
    pub struct BusCluster in "bus.cluster";

    /// What this node's broker is called: letters, digits, '-' and '_'. No two have the same name.
    name: Option<String> as "n1";
    /// The address and port where the other brokers reach this one.
    listen: Option<SocketAddr> as "192.0.2.1:6222";
    /// Where the other brokers listen.
    peers: Vec<SocketAddr> = [];
    /// The certificate (PEM) that this broker shows the others, for the address of `listen`. A
    /// changed file is used from then on.
    certificate: Option<PathBuf> as "/etc/palisade/node.crt";
    /// The private key of that certificate (PEM), readable by nobody else.
    key: Option<SecretFile> as "/etc/palisade/node.key";
    /// The CA that has issued the certificates of all brokers (PEM).
    authority: Option<PathBuf> as "/etc/palisade/authority.crt";
}

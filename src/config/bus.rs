//! Settings of the message bus.

use std::{net::SocketAddr, path::PathBuf};

use super::{Listen, setting::section, value::choice};

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

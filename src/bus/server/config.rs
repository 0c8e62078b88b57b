//! The configuration file of the broker.
//!
//! Owns: which options `nats-server` gets, and why.
//! Must not know: how the process is run.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{BusSettings, PeerTls, TlsFiles};
use crate::{
    bus::{claims, trust::Trust},
    clock::Timestamp,
    error::{Error, Result},
};

/// The largest message; the broker's default, written down because agents rely on it.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// The most bytes that wait for one receiver before it is cut off. It is the
/// control connection that needs this much, when every agent reports at once.
const MAX_PENDING: usize = 64 * 1024 * 1024;

/// Where the broker keeps the account tokens that it was given.
pub(super) fn resolver_directory(settings: &BusSettings) -> PathBuf {
    settings.directory.join("accounts")
}

/// Where the configuration is written; also how we know our own broker by its command line.
pub(super) fn config_file(settings: &BusSettings) -> PathBuf {
    let path = settings.directory.join("nats-server.conf");
    // By its whole path a broker that an earlier run has left behind is found.
    std::path::absolute(&path).unwrap_or(path)
}

/// The text of the configuration.
pub(super) fn render(
    settings: &BusSettings,
    websocket: SocketAddr,
    tls: Option<&TlsFiles>,
    trust: &Trust,
    now: Timestamp,
) -> Result<String> {
    let mut text = String::from("# Written by palisade at every start; changes are lost.\n");
    let mut line = |content: std::fmt::Arguments<'_>| {
        text.write_fmt(content).expect("writing to a string cannot fail");
        text.push('\n');
    };
    // The name has been checked: it has nothing that would end the quotes.
    let name = settings.cluster.as_ref().map_or("palisade", |cluster| &cluster.name);
    line(format_args!("server_name: \"{name}\""));
    if let Some(address) = settings.listen {
        let tls = tls.ok_or_else(|| {
            Error::invalid("bus.listen", "this listener needs a certificate and a key")
        })?;
        line(format_args!("listen: \"{address}\""));
        // The broker itself refuses TLS below 1.2 and suites without forward secrecy.
        line(format_args!(
            "tls {{ cert_file: {}, key_file: {}, timeout: 5 }}",
            quoted("bus.listen", &tls.certificate)?,
            quoted("bus.listen", &tls.key)?
        ));
    } else {
        // The broker cannot do without this listener; nobody is told its port.
        line(format_args!("listen: \"127.0.0.1:-1\""));
    }
    line(format_args!(
        "websocket {{ listen: \"{websocket}\", no_tls: true, compression: false, handshake_timeout: \"5s\" }}"
    ));
    if let Some(cluster) = &settings.cluster {
        let PeerTls { certificate, key, authority } = &cluster.tls;
        line(format_args!("cluster {{"));
        line(format_args!("  name: palisade\n  listen: \"{}\"", cluster.listen));
        // Agents come through the gateway; they are not told of other brokers' ports.
        line(format_args!("  no_advertise: true"));
        // Both ends show a certificate of the CA, and the address dialled is in it.
        line(format_args!(
            "  tls {{ cert_file: {}, key_file: {}, ca_file: {}, verify: true, timeout: 5 }}",
            quoted("bus.cluster.tls", certificate)?,
            quoted("bus.cluster.tls", key)?,
            quoted("bus.cluster.tls", authority)?
        ));
        line(format_args!("  routes: ["));
        for peer in &cluster.peers {
            line(format_args!("    \"tls://{peer}\""));
        }
        line(format_args!("  ]\n}}"));
    }
    if let Some(address) = settings.monitoring {
        line(format_args!("http: \"{address}\""));
    }
    line(format_args!("operator: {}", claims::operator(trust, now)));
    line(format_args!("system_account: {}", trust.system().public_key()));
    line(format_args!(
        "resolver {{ type: full, dir: {}, allow_delete: true, interval: \"1m\" }}",
        quoted("bus.directory", &resolver_directory(settings))?
    ));
    line(format_args!(
        "resolver_preload {{\n  {}: {}\n  {}: {}\n}}",
        trust.system().public_key(),
        claims::system_account(trust, now),
        trust.control().public_key(),
        claims::control_account(trust, now),
    ));
    line(format_args!("max_payload: {MAX_PAYLOAD}"));
    line(format_args!("max_pending: {MAX_PENDING}"));
    // Whoever does not read for this long is cut off instead of holding up others.
    line(format_args!("write_deadline: \"5s\""));
    line(format_args!("max_connections: {}", settings.max_connections));
    // A silent peer is noticed within a minute.
    line(format_args!("ping_interval: \"20s\"\nping_max: 2"));
    // Its lines go through our own log, which has the time.
    line(format_args!("logtime: false"));
    Ok(text)
}

fn quoted(field: &str, path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\\', '\n', '\r', '\0', '$']));
    text.map(|text| format!("\"{text}\"")).ok_or_else(|| {
        Error::invalid(field, format!("{} cannot stand in a configuration file", path.display()))
    })
}

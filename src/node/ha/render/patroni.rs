//! Patroni: which PostgreSQL leads, and what follows it.
//!
//! The times are those that were measured: Patroni takes no `ttl` below 20 s,
//! and an acknowledged write survives the loss of any one node.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    ETCD_CLIENTS, KeyReader, Keys, PATRONI, POSTGRES, Plan, RenderFault, harmless, keys, yaml,
};

/// The body of `PATCH /config` once the first standby follows: any one of them
/// may then acknowledge a write. Patroni cannot begin in this mode: without a
/// standby it asks PostgreSQL for one that has no name.
pub const AFTER_FIRST_STANDBY: &str = r#"{"synchronous_mode":"quorum"}"#;

/// The database of the management plane, and who owns it.
const DATABASE: &str = "palisade";

pub(super) fn render(plan: &Plan<'_>, first_database: &Path) -> Result<String, RenderFault> {
    let own = plan.own.address;
    let node = keys(plan.paths, KeyReader::Postgres, "node");
    let Keys { certificate, key, authority } = &node;
    let sockets = sockets(plan)?;
    let watchdog = if plan.engines.watchdog {
        let device = plan.paths.at("/dev/watchdog");
        json!({ "mode": "automatic", "device": device, "safety_margin": 5 })
    } else {
        json!({ "mode": "off" })
    };
    Ok(yaml(&json!({
        "scope": format!("palisade-{}", plan.members.cluster()),
        "namespace": "/palisade/",
        "name": plan.own.name,
        "restapi": {
            "listen": format!("{own}:{PATRONI}"),
            "connect_address": format!("{own}:{PATRONI}"),
            "certfile": certificate,
            "keyfile": key,
            "cafile": authority,
            // Looking is free, changing needs a certificate.
            "verify_client": "optional",
        },
        "ctl": { "cacert": authority, "certfile": certificate, "keyfile": key },
        // Each to its own member only: over a list it waits for one that is cut off.
        "etcd3": {
            "hosts": [format!("{own}:{ETCD_CLIENTS}")],
            "use_proxies": true,
            "protocol": "https",
            "cacert": authority,
            "cert": certificate,
            "key": key,
        },
        "bootstrap": {
            "dcs": dynamic(),
            "initdb": [{ "encoding": "UTF8" }, { "locale": "C.UTF-8" }, "data-checksums"],
            "post_bootstrap": format!("/bin/sh {}", path(first_database)?),
        },
        "postgresql": {
            "listen": format!("{own}:{POSTGRES}"),
            "connect_address": format!("{own}:{POSTGRES}"),
            "data_dir": plan.paths.at("/var/lib/postgresql/palisade"),
            "bin_dir": plan.engines.postgres_programs,
            "pgpass": plan.paths.at("/var/lib/postgresql/palisade.pgpass"),
            "use_unix_socket": true,
            "authentication": {
                "superuser": user(plan, "postgres"),
                "replication": user(plan, "replicator"),
                "rewind": user(plan, "rewind"),
            },
            "parameters": {
                "unix_socket_directories": sockets,
                "ssl_cert_file": certificate,
                "ssl_key_file": key,
                "ssl_ca_file": authority,
            },
            "pg_hba": access(plan),
            // Without it a standby waits for the next checkpoint by itself, minutes away.
            "basebackup": [{ "checkpoint": "fast" }],
        },
        "watchdog": watchdog,
    })))
}

/// What Patroni writes into etcd once and all nodes share from then on.
fn dynamic() -> Value {
    json!({
        "ttl": 20,
        "loop_wait": 2,
        "retry_timeout": 3,
        "maximum_lag_on_failover": 1_048_576,
        "synchronous_mode": true,
        "synchronous_mode_strict": true,
        "synchronous_node_count": 1,
        "check_timeline": true,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            "parameters": {
                "max_connections": 100,
                "shared_buffers": "128MB",
                "wal_level": "replica",
                "max_wal_senders": 8,
                "max_replication_slots": 8,
                "wal_keep_size": "256MB",
                "wal_log_hints": "on",
                "ssl": "on",
                "ssl_min_protocol_version": "TLSv1.3",
                "wal_sender_timeout": "3s",
                "wal_receiver_timeout": "3s",
                "tcp_user_timeout": 3000,
                "tcp_keepalives_idle": 2,
                "tcp_keepalives_interval": 1,
                "tcp_keepalives_count": 3,
            },
        },
    })
}

/// How Patroni and PostgreSQL call another node's PostgreSQL.
fn user(plan: &Plan<'_>, name: &str) -> Value {
    let Keys { certificate, key, authority } = keys(plan.paths, KeyReader::Postgres, name);
    json!({
        "username": name,
        "sslmode": "verify-full",
        "sslcert": certificate,
        "sslkey": key,
        "sslrootcert": authority,
    })
}

/// Who may open which database: members by certificate, the superuser on the
/// node itself. Everybody else is refused.
fn access(plan: &Plan<'_>) -> Vec<String> {
    let mut lines = vec!["local all postgres peer".to_owned()];
    for member in plan.members.all() {
        let address = member.address;
        lines.push(format!("hostssl replication replicator {address}/32 cert"));
        lines.push(format!("hostssl postgres rewind {address}/32 cert"));
        lines.push(format!("hostssl {DATABASE} {DATABASE} {address}/32 cert"));
    }
    lines
}

/// What makes the database of the management plane, once, when the first node
/// has made an empty one.
pub(super) fn first_database(plan: &Plan<'_>) -> Result<String, RenderFault> {
    let programs = path(&plan.engines.postgres_programs)?;
    let at = format!("--host={} --username=postgres --no-password", sockets(plan)?);
    Ok(format!(
        "#!/bin/sh\n\
         # Rendered from the cluster's members; Patroni runs it once.\n\
         set -eu\n\
         {programs}/createuser {at} {DATABASE}\n\
         {programs}/createdb {at} --owner={DATABASE} {DATABASE}\n"
    ))
}

fn sockets(plan: &Plan<'_>) -> Result<String, RenderFault> {
    path(&plan.paths.at("/run/postgresql"))
}

fn path(path: &Path) -> Result<String, RenderFault> {
    harmless(&path.to_string_lossy()).map(str::to_owned)
}

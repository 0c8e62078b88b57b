//! etcd: where Patroni agrees on who leads.

use serde_json::{Value, json};

use super::{ETCD_CLIENTS, ETCD_PEERS, EtcdStart, KeyReader, Keys, Plan, keys, yaml};

/// What Patroni keeps is a few kilobytes; more is a mistake that is to be seen.
const MOST_BYTES: u32 = 128 * 1024 * 1024;

pub(super) fn render(plan: &Plan<'_>) -> String {
    let url = |address, port| format!("https://{address}:{port}");
    let (clients, peers) = (url(plan.own.address, ETCD_CLIENTS), url(plan.own.address, ETCD_PEERS));
    let all = plan.members.all().iter();
    let all: Vec<_> =
        all.map(|member| format!("{}={}", member.name, url(member.address, ETCD_PEERS))).collect();
    let tls = tls(&keys(plan.paths, KeyReader::Etcd, "node"));
    yaml(&json!({
        "name": plan.own.name,
        "data-dir": plan.paths.at("/var/lib/etcd/palisade"),
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "initial-cluster": all.join(","),
        "initial-cluster-token": format!("palisade-{}", plan.members.cluster()),
        "initial-cluster-state": match plan.engines.start {
            EtcdStart::New => "new",
            EtcdStart::Existing => "existing",
        },
        "client-transport-security": tls,
        "peer-transport-security": tls,
        // What Patroni speaks to. On the command line it is the default, in a file it is not.
        "enable-grpc-gateway": true,
        // A node that comes back from a cut link must not unseat the leader.
        "pre-vote": true,
        "heartbeat-interval": 100,
        "election-timeout": 1000,
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
        "quota-backend-bytes": MOST_BYTES,
    }))
}

/// Who calls without a certificate of the CA is not heard.
fn tls(keys: &Keys) -> Value {
    json!({
        "cert-file": keys.certificate,
        "key-file": keys.key,
        "trusted-ca-file": keys.authority,
        "client-cert-auth": true,
    })
}

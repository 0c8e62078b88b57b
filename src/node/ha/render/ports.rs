//! nftables: who reaches the engines, for the chain that the image's rules
//! leave for what was asked for.

use std::fmt::Write as _;

use super::{DAEMONS, ETCD_CLIENTS, ETCD_PEERS, PATRONI, POSTGRES, Plan, ROUTES};
use crate::node::ha::join;

pub(super) fn render(plan: &Plan<'_>) -> String {
    let own = plan.own.address;
    let mut text = String::from(
        "# Rendered from the cluster's members; included by the rules of the image.\n",
    );
    let mut accept = |from: &str, what: &str| {
        let _ = writeln!(
            text,
            "add rule inet palisade more ip saddr {from} ip daddr {own} {what} accept"
        );
    };
    let others: Vec<_> = plan.others().map(|member| member.address.to_string()).collect();
    if !others.is_empty() {
        let others = format!("{{ {} }}", others.join(", "));
        let ports = [ETCD_CLIENTS, ETCD_PEERS, POSTGRES, PATRONI, ROUTES, DAEMONS];
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        accept(&others, &format!("tcp dport {{ {} }}", ports.join(", ")));
        // What keepalived says to its peers.
        accept(&others, "ip protocol 112");
    }
    if let Some(network) = &plan.engines.join_from {
        let from = format!("{}/{}", network.network(), network.prefix);
        accept(&from, &format!("tcp dport {}", join::PORT));
    }
    text
}

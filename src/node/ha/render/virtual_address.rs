//! keepalived: which node answers at the virtual address.
//!
//! Whoever has the address keeps it for as long as it works, so a node that
//! comes back moves nobody. The nodes speak over their own network, and each
//! gives up the address when its management plane does not run or the card
//! behind the address has no link: at once; when it cannot serve all: after a
//! while. For the twenty seconds that the others need to agree on a new primary
//! no node can write, and every one still answers what it can.

use std::{fmt::Write as _, net::IpAddr};

use super::{Plan, RenderFault, harmless};
use crate::node::properties::Interface;

/// The address that is always at one node that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    /// The address, in the network of the card.
    pub address: Interface,
    /// The card of browsers and agents.
    pub card: String,
    /// The card between the nodes.
    pub cluster_card: String,
}

/// Who runs the checks: whoever may read the certificate of the management plane.
const USER: &str = "palisade";
/// Answers whether the management plane runs, by its exit code.
const RUNS: &str = "/usr/bin/systemctl is-active --quiet palisade.service";
/// Answers whether it can serve all.
const READY: &str = "/usr/bin/palisade node healthy";
/// Seconds between two checks.
const INTERVAL: u32 = 3;
/// How often it may be found not ready: 36 seconds.
const NOT_READY: u32 = 12;
/// The priority of the node that founded the cluster; the others follow.
const FIRST_PRIORITY: usize = 150;
const PRIORITY_STEP: usize = 10;

pub(super) fn render(plan: &Plan<'_>, address: &VirtualAddress) -> Result<String, RenderFault> {
    let place = plan.members.all().iter().position(|member| member.name == plan.own.name);
    let priority = FIRST_PRIORITY - PRIORITY_STEP * place.unwrap_or(0);
    let (card, cluster_card) = (harmless(&address.card)?, harmless(&address.cluster_card)?);
    let mut peers = String::new();
    for other in plan.others() {
        let _ = writeln!(peers, "        {}", other.address);
    }
    // IPv6 addresses have no room in what nodes tell each other over IPv4;
    // keepalived warns that there is nothing else, and moves them all the same.
    let list = match address.address.address {
        IpAddr::V4(_) => "virtual_ipaddress",
        IpAddr::V6(_) => "virtual_ipaddress_excluded",
    };
    Ok(format!(
        "# Rendered from the cluster's members; changes are lost.\n\
         global_defs {{\n    \
             router_id {name}\n    \
             enable_script_security\n    \
             script_user {USER}\n\
         }}\n\
         {runs}\
         {ready}\
         vrrp_instance palisade {{\n    \
             state BACKUP\n    \
             nopreempt\n    \
             interface {cluster_card}\n    \
             virtual_router_id {router}\n    \
             priority {priority}\n    \
             advert_int 1\n    \
             unicast_src_ip {own}\n    \
             unicast_peer {{\n{peers}    }}\n    \
             {list} {{\n        {virtual_address} dev {card}\n    }}\n    \
             track_interface {{\n        {card}\n    }}\n    \
             track_script {{\n        runs\n        ready\n    }}\n\
         }}\n",
        name = plan.own.name,
        runs = check("runs", RUNS, 2),
        ready = check("ready", READY, NOT_READY),
        router = router(address.address.address),
        own = plan.own.address,
        virtual_address = address.address,
    ))
}

/// A check that gives the address up when it has failed so often in a row.
fn check(name: &str, script: &str, fall: u32) -> String {
    format!(
        "vrrp_script {name} {{\n    \
             script \"{script}\"\n    \
             interval {INTERVAL}\n    \
             timeout 8\n    \
             fall {fall}\n    \
             rise 2\n    \
             init_fail\n\
         }}\n"
    )
}

/// A number from 1 to 255 that two clusters in one network do not share, since
/// they do not share the address.
fn router(address: IpAddr) -> u8 {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    last.max(1)
}

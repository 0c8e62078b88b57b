//! What the network can reach, and what the machine believes of it.

use serde_json::Value;

use super::{Check, Look, Seen, Verdict, looks::value_of};
use crate::doctor::{facts::Facts, sockets::Protocol};

/// The rules of the firewall.
pub(super) const RULES: &str = "nft -j list ruleset";

const SET: &str = "Part of the image: restart the appliance, which sets it again; until then \
                   `sysctl -w` it.";
const RULE: &str = "Restart nftables.service, which loads the image's rules; rules of one's own \
                    have no place here.";

pub(super) const CHECKS: &[Check] = &[
    Check {
        number: "4.1",
        title: "The machine passes nothing on",
        reason: "It is no router: it would connect networks that are apart for a reason.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.ip_forward", &["0"]),
            ("net.ipv4.conf.all.mc_forwarding", &["0"]),
            ("net.ipv4.conf.all.proxy_arp", &["0"]),
            ("net.ipv4.conf.all.bootp_relay", &["0"]),
            ("net.ipv6.conf.all.forwarding", &["0"]),
        ]),
    },
    Check {
        number: "4.2",
        title: "The machine sends no redirects",
        reason: "Only routers do; others would take it for one.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.conf.all.send_redirects", &["0"]),
            ("net.ipv4.conf.default.send_redirects", &["0"]),
        ]),
    },
    Check {
        number: "4.3",
        title: "The machine believes no redirects (IPv4)",
        reason: "A neighbour could draw its traffic to itself.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.conf.all.accept_redirects", &["0"]),
            ("net.ipv4.conf.default.accept_redirects", &["0"]),
            ("net.ipv4.conf.all.secure_redirects", &["0"]),
            ("net.ipv4.conf.default.secure_redirects", &["0"]),
        ]),
    },
    Check {
        number: "4.4",
        title: "The machine believes no redirects (IPv6)",
        reason: "A neighbour could draw its traffic to itself.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv6.conf.all.accept_redirects", &["0"]),
            ("net.ipv6.conf.default.accept_redirects", &["0"]),
        ]),
    },
    Check {
        number: "4.5",
        title: "Senders do not choose the way of packets",
        reason: "Source routes go round firewalls.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.conf.all.accept_source_route", &["0"]),
            ("net.ipv4.conf.default.accept_source_route", &["0"]),
            ("net.ipv6.conf.all.accept_source_route", &["0"]),
            ("net.ipv6.conf.default.accept_source_route", &["0"]),
        ]),
    },
    Check {
        number: "4.6",
        title: "Packets with a forged sender are dropped",
        reason: "An answer would go elsewhere than the packet came from.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.conf.all.rp_filter", &["1"]),
            ("net.ipv4.conf.default.rp_filter", &["1"]),
        ]),
    },
    Check {
        number: "4.7",
        title: "Impossible senders are recorded",
        reason: "They show a mistake or an attack.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.conf.all.log_martians", &["1"]),
            ("net.ipv4.conf.default.log_martians", &["1"]),
        ]),
    },
    Check {
        number: "4.8",
        title: "The machine does not answer calls to all",
        reason: "It would help to flood somebody whose address was forged.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.icmp_echo_ignore_broadcasts", &["1"]),
            ("net.ipv4.icmp_ignore_bogus_error_responses", &["1"]),
        ]),
    },
    Check {
        number: "4.9",
        title: "Half-open connections do not use up the machine",
        reason: "A flood of them would keep everybody else out.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv4.tcp_syncookies", &["1"]),
            ("net.ipv4.tcp_rfc1337", &["1"]),
        ]),
    },
    Check {
        number: "4.10",
        title: "The kernel believes no router that it was not told of",
        reason: "Any neighbour could announce itself as the way out.",
        fix: SET,
        level: 1,
        look: Look::Sysctl(&[
            ("net.ipv6.conf.all.accept_ra", &["0"]),
            ("net.ipv6.conf.default.accept_ra", &["0"]),
        ]),
    },
    Check {
        number: "4.11",
        title: "What no rule allows is dropped",
        reason: "A service that opens a port by mistake must not be reached.",
        fix: RULE,
        level: 1,
        look: Look::Facts(default_deny),
    },
    Check {
        number: "4.12",
        title: "Only published ports are open",
        reason: "The port table is what firewalls and reviewers were told.",
        fix: RULE,
        level: 1,
        look: Look::Facts(open_ports),
    },
    Check {
        number: "4.13",
        title: "Ports between nodes are open to the cluster network only",
        reason: "The database and etcd trust whoever reaches them more than others.",
        fix: RULE,
        level: 1,
        look: Look::Facts(node_ports),
    },
    Check {
        number: "4.14",
        title: "Only published ports are listened on",
        reason: "The firewall must not be all that stands before a service.",
        fix: "Stop the program; `palisade doctor` names who listens on a port.",
        level: 1,
        look: Look::Facts(listening),
    },
    Check {
        number: "4.15",
        title: "Names are asked of DNS servers only",
        reason: "With LLMNR and multicast DNS any neighbour may answer.",
        fix: "Write LLMNR=no and MulticastDNS=no into a file below resolved.conf.d of the image.",
        level: 1,
        look: Look::Facts(no_llmnr),
    },
    Check {
        number: "4.16",
        title: "There is no radio",
        reason: "A wireless network would go round the firewall of the data centre.",
        fix: "Take the device out of the virtual machine.",
        level: 1,
        look: Look::Facts(no_radio),
    },
    Check {
        number: "4.17",
        title: "No interface listens to the traffic of others",
        reason: "It is how passwords are collected.",
        fix: "Find the program that does so and stop it; `ip link set DEV promisc off`.",
        level: 1,
        look: Look::Facts(not_promiscuous),
    },
];

/// TCP ports that everybody may reach; SSH and the broker's own port only
/// while they are switched on.
pub(super) const PUBLISHED: &[u16] = &[22, 443, 4222];
/// TCP ports between nodes: etcd, PostgreSQL, Patroni.
const BETWEEN_NODES: &[u16] = &[2379, 2380, 5432, 8008];
/// UDP ports of DHCP clients.
const DATAGRAMS: &[u16] = &[68, 546];

fn objects(facts: &Facts) -> Result<Vec<Value>, String> {
    let document: Value = serde_json::from_str(facts.output(RULES)?)
        .map_err(|error| format!("the rules of the firewall cannot be understood: {error}"))?;
    Ok(document["nftables"].as_array().cloned().unwrap_or_default())
}

fn default_deny(facts: &Facts) -> Seen {
    let objects = objects(facts)?;
    let mut wrong = Vec::new();
    for hook in ["input", "forward"] {
        let chains = objects.iter().map(|object| &object["chain"]);
        let mut of_hook = chains.filter(|chain| chain["hook"] == hook && chain["type"] == "filter");
        if !of_hook.any(|chain| chain["policy"] == "drop") {
            wrong.push(format!("nothing drops what no rule allows to {hook}"));
        }
    }
    Ok(Verdict::unless(&wrong, "input and forward drop"))
}

/// What a rule of the input lets in.
struct Opening {
    protocol: String,
    ports: Vec<(u16, u16)>,
    /// Only from some senders or interfaces.
    narrow: bool,
}

fn openings(facts: &Facts) -> Result<Vec<Opening>, String> {
    let objects = objects(facts)?;
    let inputs: Vec<_> = objects
        .iter()
        .map(|object| &object["chain"])
        .filter(|chain| chain["hook"] == "input")
        .map(|chain| (&chain["table"], &chain["name"]))
        .collect();
    let mut found = Vec::new();
    for rule in objects.iter().map(|object| &object["rule"]) {
        // Rules in other chains may be reached from the input by a jump.
        if rule.is_null() || inputs.is_empty() {
            continue;
        }
        let parts = rule["expr"].as_array().cloned().unwrap_or_default();
        if !parts.iter().any(|part| part.get("accept").is_some()) {
            continue;
        }
        let narrow = parts.iter().any(|part| {
            let left = &part["match"]["left"];
            left["payload"]["field"] == "saddr"
                || left["meta"]["key"].as_str().is_some_and(|key| key.starts_with("iif"))
        });
        for part in &parts {
            let left = &part["match"]["left"]["payload"];
            if left["field"] == "dport" {
                let protocol = left["protocol"].as_str().unwrap_or("th").to_owned();
                let open = ports(&part["match"]["right"], &objects);
                found.push(Opening { protocol, ports: open, narrow });
            }
        }
    }
    Ok(found)
}

/// A port, a range, a set of them, or the name of a set.
fn ports(value: &Value, objects: &[Value]) -> Vec<(u16, u16)> {
    let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    if let Some(port) = number(value) {
        return vec![(port, port)];
    }
    if let Some(name) = value.as_str().and_then(|name| name.strip_prefix('@')) {
        let mut sets = objects.iter().map(|object| &object["set"]);
        let elements = sets.find(|set| set["name"] == name).map(|set| &set["elem"]);
        return elements.map_or_else(|| vec![(0, u16::MAX)], |elements| list(elements, objects));
    }
    match (value["range"].as_array().map(Vec::as_slice), value.get("set")) {
        (Some([low, high]), _) => match (number(low), number(high)) {
            (Some(low), Some(high)) => vec![(low, high)],
            _ => vec![(0, u16::MAX)],
        },
        (_, Some(set)) => list(set, objects),
        // What is not understood is open.
        _ => vec![(0, u16::MAX)],
    }
}

fn list(values: &Value, objects: &[Value]) -> Vec<(u16, u16)> {
    match values.as_array() {
        Some(values) => values.iter().flat_map(|value| ports(value, objects)).collect(),
        None if values.is_null() => Vec::new(),
        None => ports(values, objects),
    }
}

fn open_ports(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for opening in openings(facts)? {
        for (low, high) in opening.ports {
            let known = match opening.protocol.as_str() {
                "udp" => low == high && DATAGRAMS.contains(&low),
                _ => low == high && (PUBLISHED.contains(&low) || BETWEEN_NODES.contains(&low)),
            };
            if !known {
                wrong.push(format!("{} {} is open", opening.protocol, range(low, high)));
            }
        }
    }
    Ok(Verdict::unless(&wrong, "none but those of the port table"))
}

fn node_ports(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for opening in openings(facts)?.iter().filter(|opening| !opening.narrow) {
        for (low, high) in &opening.ports {
            let between = BETWEEN_NODES.iter().any(|port| (low..=high).contains(&port));
            if opening.protocol != "udp" && between {
                wrong.push(format!("{} is open to everybody", range(*low, *high)));
            }
        }
    }
    Ok(Verdict::unless(&wrong, "closed to everybody else"))
}

fn range(low: u16, high: u16) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

fn listening(facts: &Facts) -> Seen {
    let strangers = facts.listeners()?.iter().filter(|listener| !listener.is_loopback());
    let wrong: Vec<_> = strangers
        .filter(|listener| {
            let port = listener.address.port();
            match listener.protocol {
                Protocol::Tcp => !PUBLISHED.contains(&port) && !BETWEEN_NODES.contains(&port),
                Protocol::Udp => !DATAGRAMS.contains(&port),
            }
        })
        .map(|listener| format!("{} {} is listened on", listener.protocol.name(), listener.address))
        .collect();
    Ok(Verdict::unless(&wrong, "none but those of the port table"))
}

fn no_llmnr(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    let texts = facts.texts_below(&[
        "/usr/lib/systemd/resolved.conf.d",
        "/etc/systemd/resolved.conf.d",
        "/run/systemd/resolved.conf.d",
    ])?;
    for name in ["LLMNR", "MulticastDNS"] {
        let value = texts.iter().filter_map(|(_, text)| value_of(text, name)).next_back();
        if !value.is_some_and(|value| matches!(value, "no" | "false" | "off" | "0")) {
            wrong.push(format!("{name} is {}", value.unwrap_or("left to its default")));
        }
    }
    let ports = facts.listeners()?.iter().map(|listener| listener.address.port());
    wrong.extend(
        ports
            .filter(|port| [5353, 5355].contains(port))
            .map(|port| format!("{port} is listened on")),
    );
    Ok(Verdict::unless(&wrong, "both are off"))
}

fn no_radio(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for list in ["/sys/class/ieee80211", "/sys/class/bluetooth"] {
        for name in facts.names(list)?.unwrap_or_default() {
            wrong.push(format!("there is {name}"));
        }
    }
    Ok(Verdict::unless(&wrong, "none"))
}

fn not_promiscuous(facts: &Facts) -> Seen {
    let mut wrong = Vec::new();
    for name in facts.names("/sys/class/net")?.ok_or("there is no /sys/class/net")? {
        let flags = facts.need(&format!("/sys/class/net/{name}/flags"))?.trim();
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16)
            .map_err(|_| format!("the flags of {name} are {flags}"))?;
        if flags & 0x100 != 0 {
            wrong.push(format!("{name} does"));
        }
    }
    Ok(Verdict::unless(&wrong, "none"))
}

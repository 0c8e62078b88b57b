//! What the network can reach, and what the machine believes of it.

use serde_json::{Value, json};

use super::{Check, IMAGE, Look, RESTART, Seen, Verdict, looks::value_of};
use crate::doctor::{facts::Facts, sockets::Protocol};

/// The rules of the firewall.
pub(super) const RULES: &str = "nft -j list ruleset";

pub(super) const CHECKS: &[Check] = &[
    Check {
        number: "4.1",
        title: "The machine passes nothing on",
        reason: "It is no router: it would connect networks that are apart for a reason.",
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
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
        fix: RESTART,
        level: 1,
        look: Look::Facts(default_deny),
    },
    Check {
        number: "4.12",
        title: "Only published ports are open",
        reason: "The port table is what firewalls and reviewers were told.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(open_ports),
    },
    Check {
        number: "4.13",
        title: "Ports between nodes are open to the cluster network only",
        reason: "The database and etcd trust whoever reaches them more than others.",
        fix: RESTART,
        level: 1,
        look: Look::Facts(node_ports),
    },
    Check {
        number: "4.14",
        title: "Only published ports are listened on",
        reason: "The firewall must not be all that stands before a service.",
        fix: "Restart the appliance (console F12). If it is still listened on, make a support bundle \
              (Appliance, Health), which names who listens, and report it.",
        level: 1,
        look: Look::Facts(listening),
    },
    Check {
        number: "4.15",
        title: "Names are asked of DNS servers only",
        reason: "With LLMNR and multicast DNS any neighbour may answer.",
        fix: IMAGE,
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
        fix: RESTART,
        level: 1,
        look: Look::Facts(not_promiscuous),
    },
];

/// TCP ports that everybody may reach; SSH and the broker's own port only
/// while they are switched on.
pub(super) const PUBLISHED: &[u16] = &[22, 443, 4222];
/// TCP ports between nodes: etcd, PostgreSQL, the broker, joining, the node
/// daemon, Patroni.
const BETWEEN_NODES: &[u16] = &[2379, 2380, 5432, 6222, 7443, 7444, 8008];
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
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opening {
    protocol: String,
    ports: Vec<(u16, u16)>,
    /// Only from some senders or interfaces.
    narrow: bool,
}

const ALL_PORTS: (u16, u16) = (0, u16::MAX);

impl Opening {
    /// Everything, to everybody: what is left of a packet before any rule.
    fn whole() -> Self {
        Self { protocol: "any".to_owned(), ports: vec![ALL_PORTS], narrow: false }
    }
}

fn openings(facts: &Facts) -> Result<Vec<Opening>, String> {
    let objects = objects(facts)?;
    let mut found = Vec::new();
    let chains = objects.iter().map(|object| &object["chain"]);
    for chain in chains.filter(|chain| chain["hook"] == "input") {
        follow(&objects, chain, &chain["name"], &Opening::whole(), 0, &mut found);
    }
    Ok(found)
}

/// As deep as the kernel lets rules jump.
const DEEPEST: usize = 16;

/// What the rules of the chain `name` in the table of `home` let in of `rest`,
/// with those of the chains that they jump to.
fn follow(
    objects: &[Value],
    home: &Value,
    name: &Value,
    rest: &Opening,
    depth: usize,
    found: &mut Vec<Opening>,
) {
    if depth > DEEPEST {
        // What is not understood is open.
        return found.push(rest.clone());
    }
    let of_chain = |rule: &&Value| {
        rule["chain"] == *name && rule["table"] == home["table"] && rule["family"] == home["family"]
    };
    for rule in objects.iter().map(|object| &object["rule"]).filter(of_chain) {
        let parts = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(reached) = parts.iter().try_fold(rest.clone(), |o, part| of(o, part, objects))
        else {
            continue;
        };
        for (reached, verdict) in parts.iter().flat_map(|part| verdicts(&reached, part, objects)) {
            if verdict.get("accept").is_some() {
                found.push(reached);
                continue;
            }
            let target = ["jump", "goto"].iter().find_map(|word| verdict.get(word)?.get("target"));
            if let Some(target) = target {
                follow(objects, home, target, &reached, depth + 1, found);
            }
        }
    }
}

/// What one condition of a rule leaves of an opening; nothing if only packets
/// pass that open no port: of this machine itself, answers, and ICMP.
fn of(mut opening: Opening, part: &Value, objects: &[Value]) -> Option<Opening> {
    let test = &part["match"];
    let (left, right) = (&test["left"], &test["right"]);
    if test.is_null() || !matches!(test["op"].as_str(), Some("==" | "in")) {
        return Some(opening);
    }
    let words = match right.get("set").unwrap_or(right) {
        Value::Array(words) => words.as_slice(),
        word => std::slice::from_ref(word),
    };
    let only = |good: &[&str]| {
        let is_good = |word: &Value| word.as_str().is_some_and(|word| good.contains(&word));
        !words.is_empty() && words.iter().all(is_good)
    };
    let (payload, meta) = (&left["payload"], left["meta"]["key"].as_str().unwrap_or_default());
    let protocol = payload["protocol"].as_str().unwrap_or_default();
    let field = payload["field"].as_str().unwrap_or_default();
    match (protocol, field) {
        _ if meta.starts_with("iif") && only(&["lo"]) => return None,
        _ if left["ct"]["key"] == "state" && only(&["established", "related"]) => return None,
        ("icmp" | "icmpv6", _) => return None,
        ("ip" | "ip6", "protocol" | "nexthdr") if only(ICMP) => return None,
        // What keepalived says to its peers has no ports; from strangers it would be too much.
        ("ip", "protocol") if opening.narrow && only(&["vrrp"]) => return None,
        _ if meta == "l4proto" && only(ICMP) => return None,
        _ if meta.starts_with("iif") => opening.narrow = true,
        (_, "saddr") => opening.narrow = true,
        (protocol, "dport") => {
            protocol.clone_into(&mut opening.protocol);
            opening.ports = ports(right, objects);
        }
        _ => {}
    }
    Some(opening)
}

const ICMP: &[&str] = &["icmp", "icmpv6", "ipv6-icmp"];

/// What a part of a rule decides, and of which packets: itself, or for each
/// value of a map.
fn verdicts(reached: &Opening, part: &Value, objects: &[Value]) -> Vec<(Opening, Value)> {
    let Some(map) = part.get("vmap") else { return vec![(reached.clone(), part.clone())] };
    let named = map["data"].as_str().and_then(|name| name.strip_prefix('@'));
    let pairs = match named {
        Some(name) => {
            let mut maps = objects.iter().map(|object| &object["map"]);
            maps.find(|map| map["name"] == name).map_or(&Value::Null, |map| &map["elem"])
        }
        None => &map["data"]["set"],
    };
    let Some(pairs) = pairs.as_array() else {
        return vec![(reached.clone(), json!({"accept": null}))];
    };
    let decided = pairs.iter().filter_map(|pair| {
        let test = json!({"match": {"op": "==", "left": map["key"], "right": pair[0]}});
        Some((of(reached.clone(), &test, objects)?, pair[1].clone()))
    });
    decided.collect()
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
        return elements.map_or_else(|| vec![ALL_PORTS], |elements| list(elements, objects));
    }
    match (value["range"].as_array().map(Vec::as_slice), value.get("set")) {
        (Some([low, high]), _) => match (number(low), number(high)) {
            (Some(low), Some(high)) => vec![(low, high)],
            _ => vec![ALL_PORTS],
        },
        (_, Some(set)) => list(set, objects),
        // What is not understood is open.
        _ => vec![ALL_PORTS],
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

//! What the operating system has to know of the network.
//!
//! Owns: the files for networkd, resolved and timesyncd, `hosts` and the host
//! name. Pure: text from answers.
//! Must not know: where the files go to or when they are read.
//!
//! Network cards are matched by their address, which names may follow or not.
//! Nothing is asked over the local network by name (LLMNR, mDNS), and no server
//! of anybody's is asked that the operator or DHCP has not named.

use std::{cmp::Ordering, fmt::Write as _, net::IpAddr};

use super::properties::{Answers, Interface};

/// The name of a machine that was given none.
pub const DEFAULT_HOSTNAME: &str = "palisade";
/// The longest name that the kernel takes.
const KERNEL_NAME: usize = 64;

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The kernel's or udev's name, e.g. `ens192`.
    pub name: String,
    /// The hardware address, six bytes in hexadecimal with colons.
    pub mac: String,
}

/// Cards in the order in which the virtual machine has them: `ens32` comes
/// before `ens192`.
pub fn in_order(mut cards: Vec<Card>) -> Vec<Card> {
    cards.sort_by(|a, b| natural(&a.name, &b.name));
    cards
}

fn natural(a: &str, b: &str) -> Ordering {
    let split = |name: &str| {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (letters, number) = name.split_at(name.len() - digits);
        (letters.to_owned(), number.parse::<u64>().unwrap_or(0))
    };
    split(a).cmp(&split(b)).then_with(|| a.cmp(b))
}

/// The full host name.
pub fn full_name(answers: &Answers) -> &str {
    answers.hostname.as_ref().map_or(DEFAULT_HOSTNAME, |name| name.as_str())
}

/// The host name as the kernel has it: the full name if it is short enough.
pub fn kernel_name(answers: &Answers) -> &str {
    let full = full_name(answers);
    if full.len() <= KERNEL_NAME { full } else { short_name(full) }
}

/// The part of a name before the first dot.
pub fn short_name(full: &str) -> &str {
    full.split('.').next().unwrap_or(full)
}

/// `/etc/hosts`.
pub fn hosts(answers: &Answers) -> String {
    let full = full_name(answers);
    let short = short_name(full);
    let names = if short == full { full.to_owned() } else { format!("{full} {short}") };
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {names}\n")
}

/// The file for the card to people and clusters. Without a card every
/// Ethernet card that may still appear is meant.
pub fn first_card(answers: &Answers, card: Option<&Card>) -> String {
    let mut text = matched(card);
    let dhcp = match (answers.ipv4, answers.ipv6) {
        (None, None) => "yes",
        (None, Some(_)) => "ipv4",
        (Some(_), _) => "no",
    };
    let announced = if dhcp == "yes" { "yes" } else { "no" };
    let _ = write!(text, "\n[Network]\nDHCP={dhcp}\nIPv6AcceptRA={announced}\n");
    let link_local = if answers.ipv4.is_some() && answers.ipv6.is_none() { "no" } else { "ipv6" };
    let _ = writeln!(text, "LinkLocalAddressing={link_local}");
    text.push_str("LLMNR=no\nMulticastDNS=no\nLLDP=no\nEmitLLDP=no\nIPv6PrivacyExtensions=no\n");
    for interface in [answers.ipv4, answers.ipv6].into_iter().flatten() {
        let _ = writeln!(text, "Address={interface}");
    }
    for server in &answers.dns {
        let _ = writeln!(text, "DNS={server}");
    }
    if !answers.search_domain.is_empty() {
        let _ = writeln!(text, "Domains={}", joined(&answers.search_domain));
    }
    for gateway in [answers.gateway, answers.gateway6].into_iter().flatten() {
        let _ = write!(text, "\n[Route]\nGateway={gateway}\n");
    }
    if dhcp != "no" {
        // What was answered wins over what a server in the network says.
        let dns = yes_unless(!answers.dns.is_empty());
        let ntp = yes_unless(!answers.ntp.is_empty());
        let common = format!("UseDNS={dns}\nUseNTP={ntp}\nUseHostname=no\n");
        let _ = write!(text, "\n[DHCPv4]\nClientIdentifier=mac\n{common}");
        if dhcp == "yes" {
            let _ = write!(text, "\n[DHCPv6]\n{common}");
            let _ = write!(text, "\n[IPv6AcceptRA]\nUseDNS={dns}\n");
        }
    }
    text
}

/// The file for the card to the other nodes, when there are others.
pub fn cluster_card(cluster: Interface, card: &Card) -> String {
    let mut text = matched(Some(card));
    let _ = write!(
        text,
        "RequiredForOnline=no\n\n[Network]\nAddress={cluster}\nDHCP=no\nIPv6AcceptRA=no\n\
         LinkLocalAddressing=no\nLLMNR=no\nMulticastDNS=no\nLLDP=no\nEmitLLDP=no\n"
    );
    text
}

fn matched(card: Option<&Card>) -> String {
    let which = match card {
        Some(card) => format!("MACAddress={}\n", card.mac),
        None => "Kind=!*\n".to_owned(),
    };
    format!(
        "# Rendered at every boot; the answers are changed on the console.\n[Match]\n{which}Type=ether\n\n[Link]\n"
    )
}

fn yes_unless(answered: bool) -> &'static str {
    if answered { "no" } else { "yes" }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Settings of resolved.
pub fn resolved() -> String {
    "[Resolve]\nLLMNR=no\nMulticastDNS=no\nFallbackDNS=\n".to_owned()
}

/// Settings of timesyncd.
pub fn timesyncd(answers: &Answers) -> String {
    let servers = joined(&answers.ntp);
    let named = if servers.is_empty() { String::new() } else { format!("NTP={servers}\n") };
    format!("[Time]\n{named}FallbackNTP=\n")
}

/// The address of this machine among the nodes of a cluster: the one of the
/// card that is for them, else the one that people use. Nothing when DHCP gives
/// it: the others have to find it again.
pub fn cluster_address(answers: &Answers) -> Option<Interface> {
    answers.cluster_ipv4.or(answers.ipv4)
}

/// An address without a network.
pub fn alone(address: IpAddr) -> Interface {
    Interface { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}

/// The addresses of this machine that are known before the network is up.
pub fn own_addresses(answers: &Answers) -> Vec<IpAddr> {
    let own = [answers.ipv4, answers.ipv6, answers.cluster_ipv4].into_iter().flatten();
    own.map(|interface| interface.address).chain(answers.virtual_ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::properties::{RawAnswers, check};

    fn answers(given: &[(&str, &str)]) -> Answers {
        check(&given.iter().copied().collect::<RawAnswers>()).expect("no mistake")
    }

    fn card(name: &str) -> Card {
        Card { name: name.to_owned(), mac: "00:50:56:01:02:03".to_owned() }
    }

    #[test]
    fn without_answers_the_first_card_asks_dhcp() {
        let text = first_card(&answers(&[]), Some(&card("ens192")));
        assert!(text.contains("MACAddress=00:50:56:01:02:03\nType=ether"), "{text}");
        assert!(text.contains("DHCP=yes\nIPv6AcceptRA=yes\n"), "{text}");
        assert!(text.contains("UseDNS=yes\nUseNTP=yes\nUseHostname=no"), "{text}");
        assert!(!text.contains("Gateway="), "{text}");
        assert!(first_card(&answers(&[]), None).contains("Kind=!*\nType=ether"));
    }

    #[test]
    fn a_static_address_asks_nobody() {
        let given = [
            ("ipv4", "192.0.2.10/24"),
            ("gateway", "192.0.2.1"),
            ("dns", "192.0.2.53 2001:db8::53"),
            ("search_domain", "example.com, corp.example.com"),
        ];
        let text = first_card(&answers(&given), Some(&card("ens192")));
        for line in [
            "DHCP=no",
            "IPv6AcceptRA=no",
            "LinkLocalAddressing=no",
            "Address=192.0.2.10/24",
            "DNS=192.0.2.53",
            "DNS=2001:db8::53",
            "Domains=example.com corp.example.com",
            "[Route]\nGateway=192.0.2.1",
            "LLMNR=no",
            "MulticastDNS=no",
        ] {
            assert!(text.contains(line), "{line} is missing:\n{text}");
        }
        assert!(!text.contains("[DHCP"), "{text}");
    }

    #[test]
    fn what_was_answered_wins_over_dhcp() {
        let given = [("dns", "192.0.2.53"), ("ntp", "192.0.2.123"), ("ipv6", "2001:db8::10/64")];
        let answers = answers(&given);
        let text = first_card(&answers, Some(&card("ens192")));
        assert!(text.contains("DHCP=ipv4\nIPv6AcceptRA=no"), "{text}");
        assert!(text.contains("UseDNS=no\nUseNTP=no"), "{text}");
        assert_eq!(timesyncd(&answers), "[Time]\nNTP=192.0.2.123\nFallbackNTP=\n");
    }

    #[test]
    fn nobody_is_asked_whom_nobody_has_named() {
        assert_eq!(timesyncd(&answers(&[])), "[Time]\nFallbackNTP=\n");
        assert!(resolved().contains("FallbackDNS=\n"));
        assert!(resolved().contains("LLMNR=no\nMulticastDNS=no"));
    }

    #[test]
    fn the_card_among_nodes_is_no_way_out() {
        let cluster = Interface { address: "10.9.0.11".parse().expect("one"), prefix: 24 };
        let text = cluster_card(cluster, &card("ens224"));
        assert!(text.contains("Address=10.9.0.11/24\nDHCP=no"), "{text}");
        assert!(!text.contains("Gateway="), "{text}");
        assert!(text.contains("[Link]\nRequiredForOnline=no\n"), "{text}");
    }

    #[test]
    fn nodes_speak_over_their_own_card_if_there_is_one() {
        let among = |given: &[_]| cluster_address(&answers(given)).map(|own| own.to_string());
        let (first, second) = (("ipv4", "192.0.2.10/24"), ("cluster_ipv4", "10.9.0.11/24"));
        assert_eq!(among(&[first, second]).as_deref(), Some("10.9.0.11/24"));
        assert_eq!(among(&[second]).as_deref(), Some("10.9.0.11/24"));
        assert_eq!(among(&[first]).as_deref(), Some("192.0.2.10/24"));
        assert_eq!(among(&[("ipv6", "2001:db8::10/64")]), None, "nodes speak IPv4");
        assert_eq!(among(&[]), None, "DHCP may give another one tomorrow");
    }

    #[test]
    fn cards_are_in_the_order_of_the_machine() {
        let names = ["ens224", "eth10", "ens32", "eth2", "ens192"];
        let ordered = in_order(names.into_iter().map(card).collect());
        let names: Vec<_> = ordered.iter().map(|card| card.name.as_str()).collect();
        assert_eq!(names, ["ens32", "ens192", "ens224", "eth2", "eth10"]);
    }

    #[test]
    fn a_name_that_is_too_long_for_the_kernel_is_shortened() {
        let long = format!("palisade.{}.example.com", "a".repeat(60));
        let answers = answers(&[("hostname", &long)]);
        assert_eq!(kernel_name(&answers), "palisade");
        assert!(hosts(&answers).contains(&format!("127.0.1.1 {long} palisade\n")));
        assert!(hosts(&super::tests::answers(&[])).ends_with("127.0.1.1 palisade\n"));
    }
}

//! Interfaces and their addresses, as the kernel lists them.
//!
//! IPv4 addresses come from the routing trie, which names no interface: the
//! routing table says which networks are on which interface.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use crate::node::protocol::Interface;

/// Every interface but the loopback, by name.
pub(super) fn interfaces() -> Vec<Interface> {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let kernel = |file: &str| read(&Path::new("/proc/net").join(file));
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let about = |file: &str| read(&entry.path().join(file)).trim().to_owned();
            // Type 772 is the loopback; what has no device is made by software.
            (about("type") != "772" && entry.path().is_dir()).then(|| Interface {
                mac: about("address"),
                up: about("carrier") == "1",
                addresses: Vec::new(),
                name,
            })
        })
        .collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    let local = local_v4(&kernel("fib_trie"));
    let networks = networks_v4(&kernel("route"));
    let of_v6 = addresses_v6(&kernel("if_inet6"));
    for interface in &mut found {
        interface.addresses = addresses_v4(&interface.name, &local, &networks);
        let v6 = of_v6.iter().filter(|(name, _)| *name == interface.name);
        interface.addresses.extend(v6.map(|(_, address)| address.clone()));
    }
    found
}

/// A network that is directly on an interface.
struct Network {
    interface: String,
    start: u32,
    mask: u32,
}

fn addresses_v4(interface: &str, local: &[Ipv4Addr], networks: &[Network]) -> Vec<String> {
    let mut found = Vec::new();
    for address in local {
        let on = |network: &&Network| u32::from(*address) & network.mask == network.start;
        // The narrowest network is the one that the address was given with.
        let nearest = networks.iter().filter(on).max_by_key(|network| network.mask);
        if let Some(network) = nearest.filter(|network| network.interface == interface) {
            found.push(format!("{address}/{}", network.mask.count_ones()));
        }
    }
    found
}

/// Addresses of this host in the text of `fib_trie`, without the loopback's.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("|-- ") {
            last = rest.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last
            && !address.is_loopback()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// Networks without a gateway in the text of `route`; numbers are in the
/// byte order of the machine.
fn networks_v4(table: &str) -> Vec<Network> {
    let number = |text: &str| {
        u32::from_str_radix(text, 16).ok().map(|raw| u32::from_be_bytes(raw.to_ne_bytes()))
    };
    let networks = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [interface, network, gateway, _, _, _, _, mask, ..] = fields[..] else { return None };
        let (network, gateway, mask) = (number(network)?, number(gateway)?, number(mask)?);
        (gateway == 0 && mask != 0).then(|| Network {
            interface: interface.to_owned(),
            start: network,
            mask,
        })
    });
    networks.collect()
}

/// Interface and address of each line of `if_inet6`, without the loopback's.
fn addresses_v6(table: &str) -> Vec<(String, String)> {
    let addresses = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [address, _, length, _, _, name] = fields[..] else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
        let length = u8::from_str_radix(length, 16).ok()?;
        (!address.is_loopback()).then(|| (name.to_owned(), format!("{address}/{length}")))
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
        \x20    +-- 10.1.2.0/24 2 0 2\n        |-- 10.1.2.0\n           /24 link UNICAST\n\
        \x20       |-- 10.1.2.7\n           /32 host LOCAL\n        |-- 10.1.2.255\n\
        \x20          /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
        Local:\n        |-- 10.1.2.7\n           /32 host LOCAL\n        |-- 192.168.9.4\n\
        \x20          /32 host LOCAL\n";
    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
        ens192\t00000000\t0102010A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        ens192\t0002010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        ens224\t0009A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";

    #[test]
    fn addresses_are_on_the_interface_of_their_network() {
        let (local, networks) = (local_v4(TRIE), networks_v4(ROUTES));
        assert_eq!(addresses_v4("ens192", &local, &networks), ["10.1.2.7/24"]);
        assert_eq!(addresses_v4("ens224", &local, &networks), ["192.168.9.4/24"]);
        assert_eq!(addresses_v4("ens256", &local, &networks), [""; 0]);
    }

    #[test]
    fn addresses_of_the_sixth_version_have_their_interface_and_length() {
        let table = "20010db8000000000000000000000003 02 40 00 80 ens192\n\
            00000000000000000000000000000001 01 80 10 80 lo\n";
        let wanted = [("ens192".to_owned(), "2001:db8::3/64".to_owned())];
        assert_eq!(addresses_v6(table), wanted);
    }
}

//! What the machine itself knows: routes, neighbours, disks, memory, processes.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use super::observed::{Disk, Gateway, Holder, Link, Memory, Process};
use crate::{
    doctor::{
        Answer, Machine,
        sockets::{Listener, Protocol, route_address},
    },
    node,
};

/// Network interfaces except the loopback and those that are made of others.
pub(super) fn links(machine: &Machine) -> Result<Vec<Link>, String> {
    let names = machine.list("/sys/class/net")?.ok_or("there is no /sys/class/net")?;
    let mut links = Vec::new();
    for name in names.into_iter().filter(|name| name != "lo") {
        // An interface that is switched off has no carrier to read.
        let carrier = machine.read(format!("/sys/class/net/{name}/carrier"));
        let up = matches!(carrier, Ok(Some(text)) if text.trim() == "1");
        links.push(Link { name, up });
    }
    Ok(links)
}

/// Default routes and whether their gateways are known in the local network.
pub(super) fn gateways(machine: &Machine) -> Result<Vec<Gateway>, String> {
    let mut found = Vec::new();
    for line in machine.read("/proc/net/route")?.unwrap_or_default().lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [link, "00000000", gateway, ..] = fields[..] else { continue };
        if let Some(address) = route_address(gateway).filter(|address| !address.is_unspecified()) {
            found.push(Gateway { address: address.into(), link: link.to_owned(), answers: None });
        }
    }
    for line in machine.read("/proc/net/ipv6_route")?.unwrap_or_default().lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [to, "00", _, _, gateway, _, _, _, _, link] = fields[..] else { continue };
        if to.bytes().any(|digit| digit != b'0') {
            continue;
        }
        if let Some(address) = v6(gateway).filter(|address| !address.is_unspecified()) {
            found.push(Gateway { address: address.into(), link: link.to_owned(), answers: None });
        }
    }
    found.dedup();
    Ok(found)
}

fn v6(hex: &str) -> Option<Ipv6Addr> {
    u128::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 32).map(Ipv6Addr::from_bits)
}

/// What the neighbour table says of an address: `None` while nothing is known.
pub(super) fn neighbour(table: &str, address: IpAddr) -> Option<bool> {
    let rows: serde_json::Value = serde_json::from_str(table).ok()?;
    let text = address.to_string();
    let row = rows.as_array()?.iter().find(|row| row["dst"] == text.as_str())?;
    let states: Vec<_> =
        row["state"].as_array()?.iter().filter_map(|state| state.as_str()).collect();
    if states.iter().any(|state| matches!(*state, "FAILED" | "INCOMPLETE")) {
        return Some(false);
    }
    // A stale entry says what was.
    let fresh = ["REACHABLE", "PERMANENT", "NOARP"];
    states.iter().any(|state| fresh.contains(state)).then_some(true)
}

/// The same from `/proc/net/arp`, which does not tell fresh from stale.
pub(super) fn arp(table: &str, address: IpAddr) -> Option<bool> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut rows = rows.filter(|row| row.first().and_then(|ip| ip.parse().ok()) == Some(address));
    let flags = rows.next()?.get(2)?.trim_start_matches("0x").to_owned();
    (u32::from_str_radix(&flags, 16).ok()? & 2 == 0).then_some(false)
}

/// The networks that are reached without a gateway, as address and prefix.
pub(super) fn is_local(machine: &Machine, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let table = machine.read("/proc/net/route").ok().flatten().unwrap_or_default();
            address.is_loopback()
                || table.lines().skip(1).any(|line| {
                    let fields: Vec<_> = line.split_whitespace().collect();
                    let [_, to, "00000000", _, _, _, _, mask, ..] = fields[..] else {
                        return false;
                    };
                    match (route_address(to), route_address(mask)) {
                        (Some(to), Some(mask)) => {
                            mask.to_bits() != 0
                                && address.to_bits() & mask.to_bits() == to.to_bits()
                        }
                        _ => false,
                    }
                })
        }
        IpAddr::V6(address) => {
            let table = machine.read("/proc/net/ipv6_route").ok().flatten().unwrap_or_default();
            address.is_loopback()
                || address.is_unicast_link_local()
                || table.lines().any(|line| {
                    let fields: Vec<_> = line.split_whitespace().collect();
                    let [to, prefix, _, _, gateway, ..] = fields[..] else { return false };
                    let (Some(to), Ok(prefix)) = (v6(to), u32::from_str_radix(prefix, 16)) else {
                        return false;
                    };
                    let direct = gateway.bytes().all(|digit| digit == b'0');
                    let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
                    direct && prefix > 0 && address.to_bits() & mask == to.to_bits()
                })
        }
    }
}

/// The addresses of this machine except loopback and link-local ones.
pub(super) fn own_addresses(machine: &Machine) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    let trie = machine.read("/proc/net/fib_trie").ok().flatten().unwrap_or_default();
    let mut last = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<std::net::Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last.filter(|address| !address.is_loopback()).map(IpAddr::V4));
        }
    }
    let table = machine.read("/proc/net/if_inet6").ok().flatten().unwrap_or_default();
    let six = table.lines().filter_map(|line| v6(line.split_whitespace().next()?));
    found.extend(
        six.filter(|address| !address.is_loopback() && !address.is_unicast_link_local())
            .map(IpAddr::V6),
    );
    found.into_iter().collect()
}

/// The name servers that are asked in the end.
pub(super) fn name_servers(machine: &Machine) -> Result<Vec<IpAddr>, String> {
    for path in ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"] {
        let Some(text) = machine.read(path)? else { continue };
        let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let named = words.filter_map(|words| match words[..] {
            ["nameserver", address, ..] => address.split('%').next()?.parse().ok(),
            _ => None,
        });
        return Ok(named.collect());
    }
    Ok(Vec::new())
}

/// The room in the file system of a directory.
pub(super) fn disk(machine: &Machine, path: &Path) -> Answer<Disk> {
    let place = machine.at(path);
    if !place.exists() {
        return Ok(None);
    }
    let found = node::machine::room(&place)
        .map_err(|error| format!("{} cannot be looked at: {error}", path.display()))?;
    Ok(Some(Disk {
        path: path.display().to_string(),
        size: found.size,
        free: found.free,
        files: found.files,
        files_free: found.files_free,
        read_only: found.read_only,
    }))
}

/// Memory, and what the kernel did for want of it.
pub(super) fn memory(machine: &Machine) -> Answer<Memory> {
    let Some(info) = machine.read("/proc/meminfo")? else { return Ok(None) };
    let share =
        node::machine::memory(&info).ok_or("/proc/meminfo names no MemTotal or no MemAvailable")?;
    let counts = machine.read("/proc/vmstat")?.unwrap_or_default();
    let kills = counts.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    Ok(Some(Memory {
        size: share.total,
        available: share.total.saturating_sub(share.used),
        kills: kills.unwrap_or(0),
        victims: Vec::new(),
    }))
}

/// Processes whose program has this name.
pub(super) fn runs(machine: &Machine, name: &str) -> bool {
    let pids = machine.list("/proc").ok().flatten().unwrap_or_default();
    pids.iter().filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit())).any(|pid| {
        let comm = machine.read(format!("/proc/{pid}/comm")).ok().flatten();
        comm.is_some_and(|comm| comm.trim() == name)
    })
}

/// Who has a TCP port.
pub(super) fn holder(
    machine: &Machine,
    listeners: &[Listener],
    address: std::net::SocketAddr,
) -> Holder {
    let ours = listeners.iter().filter(|listener| {
        let bound = listener.address.ip();
        listener.protocol == Protocol::Tcp
            && listener.address.port() == address.port()
            && (bound == address.ip() || bound.is_unspecified() || address.ip().is_unspecified())
    });
    let inodes: BTreeSet<_> = ours.map(|listener| listener.inode).collect();
    if inodes.is_empty() {
        return Holder::Nobody;
    }
    let pids = machine.list("/proc").ok().flatten().unwrap_or_default();
    for pid in pids.iter().filter_map(|pid| pid.parse::<u32>().ok()) {
        let Ok(files) = fs::read_dir(machine.at(format!("/proc/{pid}/fd"))) else { continue };
        let mut targets =
            files.filter_map(Result::ok).filter_map(|file| fs::read_link(file.path()).ok());
        let has = targets.any(|target| {
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| inodes.contains(&inode))
        });
        if has {
            let line =
                machine.read(format!("/proc/{pid}/cmdline")).ok().flatten().unwrap_or_default();
            let mut words = line.split('\0');
            let program = words.next().unwrap_or_default();
            let name = program.rsplit('/').next().unwrap_or(program).to_owned();
            if name == "palisade" && words.next() == Some("serve") {
                return Holder::Us;
            }
            return Holder::Other(Some(Process { pid, name }));
        }
    }
    Holder::Other(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        let machine = Machine::below(root.path());
        (root, machine)
    }

    const ROUTES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
        eth0 00000000 0102000A 0003 0 0 100 00000000 0 0 0\n\
        eth0 0002000A 00000000 0001 0 0 100 00FFFFFF 0 0 0\n";
    const ROUTES_6: &str = "\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
        20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 00000001 eth0\n";

    #[test]
    fn default_routes_and_local_networks_are_read() {
        let (_root, machine) =
            machine(&[("/proc/net/route", ROUTES), ("/proc/net/ipv6_route", ROUTES_6)]);
        let gateways = gateways(&machine).expect("read");
        let addresses: Vec<_> =
            gateways.iter().map(|gateway| gateway.address.to_string()).collect();
        assert_eq!(addresses, ["10.0.2.1", "fe80::1"]);
        let local = |text: &str| is_local(&machine, text.parse().expect("an address"));
        assert!(local("10.0.2.77") && local("2001:db8::5") && local("127.0.0.53"));
        assert!(!local("10.0.3.1") && !local("2001:db9::5") && !local("8.8.8.8"));
    }

    #[test]
    fn a_neighbour_answers_only_when_it_was_heard_lately() {
        let table =
            |state: &str| format!(r#"[{{"dst":"10.0.2.1","dev":"eth0","state":["{state}"]}}]"#);
        let address = "10.0.2.1".parse().expect("an address");
        assert_eq!(neighbour(&table("REACHABLE"), address), Some(true));
        assert_eq!(neighbour(&table("FAILED"), address), Some(false));
        assert_eq!(neighbour(&table("INCOMPLETE"), address), Some(false));
        assert_eq!(neighbour(&table("STALE"), address), None);
        assert_eq!(neighbour("[]", address), None);
        let table = "IP address HW type Flags HW address Mask Device\n\
                     10.0.2.1 0x1 0x0 00:00:00:00:00:00 * eth0\n";
        assert_eq!(arp(table, address), Some(false));
        assert_eq!(arp(&table.replace("0x0", "0x2"), address), None);
    }

    #[test]
    fn name_servers_are_those_behind_the_stub() {
        let (_root, machine) = machine(&[
            (
                "/run/systemd/resolve/resolv.conf",
                "# x\nnameserver 10.0.2.3\nnameserver fe80::1%eth0\n",
            ),
            ("/etc/resolv.conf", "nameserver 127.0.0.53\n"),
        ]);
        let servers: Vec<_> =
            name_servers(&machine).expect("read").iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.2.3", "fe80::1"]);
    }

    #[test]
    fn addresses_and_memory_are_read() {
        let (_root, machine) = machine(&[
            (
                "/proc/net/fib_trie",
                "Local:\n  |-- 10.0.2.15\n     /32 host LOCAL\n  |-- 10.0.2.255\n     /32 link BROADCAST\n  |-- 127.0.0.1\n     /32 host LOCAL\n",
            ),
            (
                "/proc/net/if_inet6",
                "20010db8000000000000000000000005 02 40 00 80 eth0\nfe800000000000000000000000000005 02 40 20 80 eth0\n",
            ),
            ("/proc/meminfo", "MemTotal:  2048 kB\nMemAvailable:   512 kB\n"),
            ("/proc/vmstat", "x 1\noom_kill 3\n"),
        ]);
        let own: Vec<_> = own_addresses(&machine).iter().map(ToString::to_string).collect();
        assert_eq!(own, ["10.0.2.15", "2001:db8::5"]);
        let memory = memory(&machine).expect("read").expect("there");
        assert_eq!((memory.size, memory.available, memory.kills), (2 << 20, 1 << 19, 3));
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let machine = Machine::default();
        let listeners = crate::doctor::facts::listeners(&machine).expect("read");
        let Holder::Other(Some(process)) = holder(&machine, &listeners, address) else {
            panic!("not found");
        };
        assert_eq!(process.pid, std::process::id());
        drop(listener);
        let listeners = crate::doctor::facts::listeners(&machine).expect("read");
        assert_eq!(holder(&machine, &listeners, address), Holder::Nobody);
    }
}

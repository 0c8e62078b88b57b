//! Who listens where, from the kernel's tables. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A protocol of the transport layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A socket that waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// Its own address.
    pub(super) address: SocketAddr,
    /// Its user.
    pub(super) uid: u32,
    /// Its number among files.
    pub(super) inode: u64,
}

impl Listener {
    /// Whether only this machine reaches it.
    pub(super) fn is_loopback(&self) -> bool {
        match self.address.ip() {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => {
                address.is_loopback()
                    || address.to_ipv4_mapped().is_some_and(|inner| inner.is_loopback())
            }
        }
    }
}

/// The listeners in a table such as `/proc/net/tcp6`. Lines that cannot be
/// understood are none.
pub(super) fn listeners(protocol: Protocol, table: &str) -> Vec<Listener> {
    table.lines().skip(1).filter_map(|line| listener(protocol, line)).collect()
}

fn listener(protocol: Protocol, line: &str) -> Option<Listener> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (address, state) = (fields.get(1)?, *fields.get(3)?);
    // 0A: listening; 07: a datagram socket without a peer.
    let wanted = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    if state != wanted {
        return None;
    }
    let (host, port) = address.split_once(':')?;
    Some(Listener {
        protocol,
        address: SocketAddr::new(ip(host)?, u16::from_str_radix(port, 16).ok()?),
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Addresses stand as words in the byte order of the machine (ours is little).
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_le_bytes);
    match hex.len() {
        8 => word(hex).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes))),
        32 => {
            let mut bytes = [0; 16];
            for (place, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(hex.get(place * 8..place * 8 + 8)?)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// An IPv4 address as `/proc/net/route` and `/proc/net/arp` write it there.
pub(super) fn route_address(hex: &str) -> Option<Ipv4Addr> {
    match ip(hex)? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let tcp = format!(
            "{head}   0: 0100007F:10B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000   900        0 4711 1\n\
                    1: 0100007F:10B8 0100007F:ABCD 01 00000000:00000000 00:00000000 00000000   900        0 4712 1\n"
        );
        let found = listeners(Protocol::Tcp, &tcp);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, "127.0.0.1:4280".parse().expect("an address"));
        assert_eq!((found[0].uid, found[0].inode), (900, 4711));
        assert!(found[0].is_loopback());
        let tcp6 = format!(
            "{head}   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 900 0 9 1\n\
                    1: 00000000000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 10 1\n"
        );
        let found = listeners(Protocol::Tcp, &tcp6);
        assert_eq!(found[0].address, "[::]:443".parse().expect("an address"));
        assert!(!found[0].is_loopback());
        assert_eq!(found[1].address, "[::1]:443".parse().expect("an address"));
        assert_eq!(route_address("0102000A"), Some(Ipv4Addr::new(10, 0, 2, 1)));
    }
}

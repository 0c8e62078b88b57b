//! Addresses of interfaces, and what can be wrong with them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The address of this machine.
    pub address: IpAddr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl Interface {
    /// The first address of the network.
    pub fn network(&self) -> IpAddr {
        self.edge(false)
    }

    /// The last address of the network.
    fn last(&self) -> IpAddr {
        self.edge(true)
    }

    /// Whether `address` is in the same network.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self { address, prefix: self.prefix }.network() == self.network()
    }

    /// Whether the two networks have an address in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }

    /// What `address` is in this network, if no host may have it.
    pub(super) fn reserved(&self, address: IpAddr) -> Option<&'static str> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        // Networks of one or two addresses have none to spare.
        if self.prefix + 1 >= longest || !self.contains(address) {
            None
        } else if address == self.network() {
            Some("is the address of the network itself")
        } else if address.is_ipv4() && address == self.last() {
            Some("is the broadcast address of its network")
        } else {
            None
        }
    }

    /// The network as people write it.
    pub(super) fn network_text(&self) -> String {
        format!("{}/{}", self.network(), self.prefix)
    }

    fn edge(&self, upper: bool) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                let bits = address.to_bits();
                Ipv4Addr::from_bits(if upper { bits | host } else { bits & !host }).into()
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                let bits = address.to_bits();
                Ipv6Addr::from_bits(if upper { bits | host } else { bits & !host }).into()
            }
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What is wrong with a text, and what to write instead.
pub(super) type Fault = (String, String);

/// Which family an address belongs to, and the property of the other family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    v4: bool,
    /// The property to which an address of the other family belongs, if there is one.
    other: Option<&'static str>,
    example: &'static str,
}

impl Family {
    pub(super) const fn v4(other: Option<&'static str>, example: &'static str) -> Self {
        Self { v4: true, other, example }
    }

    pub(super) const fn v6(other: Option<&'static str>, example: &'static str) -> Self {
        Self { v4: false, other, example }
    }

    fn name(self) -> &'static str {
        if self.v4 { "IPv4" } else { "IPv6" }
    }

    fn fault(self, wrong: impl Into<String>) -> Fault {
        (wrong.into(), format!("write e.g. {}", self.example))
    }

    /// Reads an address of this family that a host can have.
    pub(super) fn address(self, text: &str) -> Result<IpAddr, Fault> {
        let Ok(address) = text.parse::<IpAddr>() else {
            return Err(self.fault(format!("is no {} address", self.name())));
        };
        if address.is_ipv4() != self.v4 {
            let wrong = if self.v4 { "is an IPv6 address" } else { "is an IPv4 address" };
            return Err(match self.other {
                Some(other) => (wrong.to_owned(), format!("write it into {other}")),
                None => self.fault(wrong),
            });
        }
        match unfit_for_a_host(address) {
            Some(wrong) => Err(self.fault(wrong)),
            None => Ok(address),
        }
    }

    /// Reads an address with the length of its prefix.
    pub(super) fn interface(self, text: &str) -> Result<Interface, Fault> {
        let longest: u8 = if self.v4 { 32 } else { 128 };
        let Some((address, prefix)) = text.split_once('/') else {
            let address = self.address(text)?;
            let usual = if self.v4 { 24 } else { 64 };
            let wrong = "has no prefix length".to_owned();
            return Err((wrong, format!("write e.g. {address}/{usual}")));
        };
        let address = self.address(address.trim())?;
        let prefix = prefix.trim();
        if let Some(length) = prefix.parse::<Ipv4Addr>().ok().and_then(length_of_mask)
            && self.v4
        {
            let wrong = "has a mask instead of a prefix length".to_owned();
            return Err((wrong, format!("write {address}/{length}")));
        }
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let Some(prefix) = prefix.parse().ok().filter(|p| digits && (1..=longest).contains(p))
        else {
            let wrong = format!("has no prefix length from 1 to {longest}");
            return Err(self.fault(wrong));
        };
        let interface = Interface { address, prefix };
        match interface.reserved(address) {
            Some(wrong) => Err((wrong.to_owned(), "write the address of this machine".to_owned())),
            None => Ok(interface),
        }
    }
}

/// Why no host can have this address.
pub(super) fn unfit_for_a_host(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("stands for no address at all"),
        _ if address.is_loopback() => Some("is the machine's own loopback address"),
        _ if address.is_multicast() => Some("is a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] >= 240 || v4.octets()[0] == 0 => {
            Some("is no address that a host can have")
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("is an IPv4 address in disguise"),
        _ => None,
    }
}

fn length_of_mask(mask: Ipv4Addr) -> Option<u32> {
    let bits = mask.to_bits();
    let length = bits.leading_ones();
    (length > 0 && bits.count_ones() == length).then_some(length)
}

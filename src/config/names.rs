//! Names and addresses as settings have them.
//!
//! Owns: [`HostName`], [`Network`], [`Listen`], [`LogFilter`].
//! Must not know: which settings use them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::value::{Problem, Raw, Shape, Value, text};

/// A DNS name in lower case, or an IP address, by which this appliance is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

impl HostName {
    /// The name as it goes into URLs and certificates; IPv6 without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is neither a DNS name nor an IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a DNS name such as palisade.example.com, or an IP address")]
pub struct NotAHostName;

impl FromStr for HostName {
    type Err = NotAHostName;

    fn from_str(text: &str) -> Result<Self, NotAHostName> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        let lower = text.to_ascii_lowercase();
        let labels_are_valid = lower.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
        // A last label of digits only would be read as an IPv4 address by browsers.
        let last_is_number =
            lower.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if lower.len() > 253 || !labels_are_valid || last_is_number {
            return Err(NotAHostName);
        }
        Ok(Self(lower))
    }
}

impl Value for HostName {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        let expected = "a DNS name such as \"palisade.example.com\", or an IP address";
        text(raw, expected)?.parse().map_err(|_| format!("must be {expected}"))
    }
}

/// A range of IP addresses in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies inside. An IPv4 address that arrived on an IPv6
    /// socket (`::ffff:a.b.c.d`) counts as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let common = match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        common >= u32::from(self.prefix)
    }
}

impl Value for Network {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        let expected = "a network such as \"10.0.0.0/8\", or an address";
        let written = text(raw, expected)?;
        let (address, prefix) = written.split_once('/').unwrap_or((written, ""));
        let problem = || format!("must be {expected}");
        let address: IpAddr = address.parse().map_err(|_| problem())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = if written.contains('/') {
            prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(problem)?
        } else {
            longest
        };
        Ok(Self { address, prefix })
    }
}

/// An address to listen on, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Do not listen.
    Off,
    /// Listen here.
    At(SocketAddr),
}

impl Listen {
    /// The address, unless it is off.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl Value for Listen {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        let expected = "an address and a port such as \"127.0.0.1:4222\", or \"off\"";
        match text(raw, expected)? {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::At).map_err(|_| format!("must be {expected}")),
        }
    }
}

/// Which log lines are written, in the syntax of `tracing_subscriber::EnvFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for LogFilter {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        let expected = "a level (error, warn, info, debug, trace) or directives such as \"info,palisade::bus=debug\"";
        let filter = text(raw, expected)?;
        // A single word that is not a level would be taken for the name of a
        // module and silence everything else.
        let is_a_word = filter.bytes().all(|b| b.is_ascii_alphabetic());
        let is_a_level = ["off", "error", "warn", "info", "debug", "trace"]
            .iter()
            .any(|level| filter.eq_ignore_ascii_case(level));
        let parses = tracing_subscriber::EnvFilter::try_new(filter).is_ok();
        if !parses || (is_a_word && !is_a_level) {
            return Err(format!("must be {expected}"));
        }
        Ok(Self(filter.to_owned()))
    }
}

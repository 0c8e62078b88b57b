//! Whether and which proxy stands between an agent and management.
//!
//! Owns: reading a proxy's URL and the list of what needs no proxy.
//! Must not know: how a connection is made.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::secret::Secret;

/// A proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// How it is spoken to.
    pub kind: ProxyKind,
    /// Its name or address, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password, if it wants them.
    pub credentials: Option<ProxyCredentials>,
}

/// The kinds of proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP `CONNECT`.
    Http,
    /// SOCKS 5; the proxy resolves the name.
    Socks5,
}

/// What the proxy asks for.
#[derive(Clone, Debug)]
pub struct ProxyCredentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret<String>,
}

/// The URL is none of a proxy. The text never repeats the URL, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// Neither http nor socks5.
    #[error("expected http://[user:password@]host:port or socks5://[user:password@]host:port")]
    Scheme,
    /// No usable host or port.
    #[error("the proxy's host or port cannot be used")]
    Address,
    /// Not UTF-8 after decoding, or a control character.
    #[error("the proxy's user name or password cannot be used; write special characters as %XX")]
    Credentials,
}

impl Proxy {
    /// Reads `http://[user[:password]@]host[:port]`, or `socks5://` likewise.
    /// User and password are percent-decoded. The default ports are 80 and 1080.
    pub fn parse(url: &str) -> Result<Self, InvalidProxy> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(InvalidProxy::Scheme)?;
        let (kind, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, 80),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            _ => return Err(InvalidProxy::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((pair, address)) => (Some(parse_credentials(pair)?), address),
            None => (None, rest),
        };
        let (host, port) = split_port(address).ok_or(InvalidProxy::Address)?;
        let usable = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(usable) {
            return Err(InvalidProxy::Address);
        }
        Ok(Self { kind, host: host.to_owned(), port: port.unwrap_or(default_port), credentials })
    }

    /// `host:port`, to be shown.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn parse_credentials(pair: &str) -> Result<ProxyCredentials, InvalidProxy> {
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().map_err(|_| InvalidProxy::Credentials)?;
        if text.contains(char::is_control) {
            return Err(InvalidProxy::Credentials);
        }
        Ok(text.into_owned())
    };
    let (user, password) = pair.split_once(':').unwrap_or((pair, ""));
    Ok(ProxyCredentials { user: decode(user)?, password: Secret::new(decode(password)?) })
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(in crate::bus) fn split_port(address: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match address.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((address, None)),
    }
}

/// Whether `host` is reached without a proxy: `no_proxy` is a list, separated
/// by commas, of names (with all names below them), addresses, networks such as
/// `10.0.0.0/8`, or `*` for everything.
pub fn is_direct(host: &str, no_proxy: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some(address) = address {
            return is_in_network(address, entry);
        }
        let name = entry.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
        host == name || host.strip_suffix(&name).is_some_and(|left| left.ends_with('.'))
    })
}

fn is_in_network(address: IpAddr, entry: &str) -> bool {
    let (network, length) = entry.split_once('/').unwrap_or((entry, "128"));
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    let (address, network, bits) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u128::from(a.to_bits()), u128::from(n.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (a.to_bits(), n.to_bits(), 128),
        _ => return false,
    };
    let ignored = bits - length.min(bits);
    address.checked_shr(ignored).unwrap_or(0) == network.checked_shr(ignored).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_url_gives_kind_address_and_decoded_credentials() {
        let proxy = Proxy::parse("http://us%40er:p%3Aw%2Fd@proxy.test:3128/").expect("a proxy");
        let credentials = proxy.credentials.as_ref().expect("credentials");
        assert_eq!((proxy.kind, proxy.address().as_str()), (ProxyKind::Http, "proxy.test:3128"));
        assert_eq!(credentials.user, "us@er");
        assert_eq!(credentials.password.expose(), "p:w/d");
        let proxy = Proxy::parse("SOCKS5://[fd00::1]").expect("a proxy");
        assert_eq!(
            (proxy.kind, proxy.host.as_str(), proxy.port),
            (ProxyKind::Socks5, "fd00::1", 1080)
        );
        assert!(proxy.credentials.is_none());
    }

    #[test]
    fn what_is_no_proxy_url_is_refused_without_repeating_it() {
        for url in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "http://",
            "http://hunter2@",
            "http://u:hunter2@host:port",
            "http://u:hunter2@ho st:1",
            "http://u:hunter2%0d%0aX: y@host:1",
            "http://u:hunter2%ff@host:1",
            "http://host:99999",
            "http://host/path",
            "socks5://[fd00::1",
        ] {
            let error = Proxy::parse(url).expect_err(url);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_output_does_not_show_the_password() {
        let proxy = Proxy::parse("http://user:hunter2@proxy:3128").expect("a proxy");
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }

    #[test]
    fn names_and_networks_in_the_list_need_no_proxy() {
        let list = "localhost, .corp.test,*.lab.test ,10.0.0.0/8,192.168.1.7,fd00::/8";
        for host in [
            "LOCALHOST",
            "corp.test",
            "a.corp.test",
            "b.lab.test",
            "10.9.8.7",
            "192.168.1.7",
            "[fd01::1]",
        ] {
            assert!(is_direct(host, list), "{host}");
        }
        for host in ["notcorp.test", "corp.test.evil", "11.0.0.1", "192.168.1.8", "fe80::1"] {
            assert!(!is_direct(host, list), "{host}");
        }
        assert!(is_direct("anything", "*") && !is_direct("anything", ""));
        assert!(is_direct("8.8.8.8", "0.0.0.0/0") && !is_direct("::1", "0.0.0.0/0"));
    }
}

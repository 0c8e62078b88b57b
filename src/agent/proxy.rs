//! Whether and how the agent reaches management through a proxy.
//!
//! Owns: reading a proxy's URL and credentials, and deciding by `no_proxy`.
//! Must not know: how a connection is made.

use std::net::IpAddr;

use reqwest::Url;

use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// A proxy in front of management.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// How it is spoken to.
    pub scheme: ProxyScheme,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password, if it wants them.
    pub credentials: Option<ProxyCredentials>,
}

/// The kinds of proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
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

impl ProxyCredentials {
    /// Reads `user:password`; the password may contain colons, one newline at
    /// the end is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (user, password) = line.split_once(':')?;
        if user.is_empty() || line.contains(['\n', '\r']) {
            return None;
        }
        Some(Self { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }
}

impl Proxy {
    /// Reads `http://host[:port]` or `socks5://host[:port]`. Credentials in the
    /// URL are refused: an URL ends up in process lists and logs.
    ///
    /// Errors: `Invalid`, naming the field `proxy`.
    pub fn parse(text: &str, credentials: Option<ProxyCredentials>) -> Result<Self> {
        let invalid = |message: &str| Error::invalid("proxy", message);
        let url: Url =
            text.parse().map_err(|_| invalid("expected http://host:port or socks5://host:port"))?;
        let (scheme, default_port) = match url.scheme() {
            "http" => (ProxyScheme::Http, 80),
            "socks5" | "socks5h" => (ProxyScheme::Socks5, 1080),
            other => {
                return Err(invalid(&format!(
                    "{other} proxies are not supported; use http or socks5"
                )));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("give user and password in a file, not in the URL"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        Ok(Self {
            scheme,
            host: host.ok_or_else(|| invalid("the host is missing"))?.to_owned(),
            port: url.port().unwrap_or(default_port),
            credentials,
        })
    }

    /// The URL without credentials. SOCKS proxies resolve the name themselves,
    /// because a cluster behind one often cannot.
    pub fn url(&self) -> String {
        let scheme = match self.scheme {
            ProxyScheme::Http => "http",
            ProxyScheme::Socks5 => "socks5h",
        };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// Whether `host` is reached directly: `no_proxy` is a list, separated by
/// commas, of names (with all names below them), addresses, networks such as
/// `10.0.0.0/8`, or `*` for everything.
pub fn is_direct(host: &str, no_proxy: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let name = entry.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        match address {
            _ if entry == "*" => true,
            Some(address) => in_network(address, entry),
            None => {
                host == name || host.strip_suffix(&name).is_some_and(|left| left.ends_with('.'))
            }
        }
    })
}

fn in_network(address: IpAddr, entry: &str) -> bool {
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (entry, Some(128)),
    };
    let (Ok(network), Some(length)) = (network.parse::<IpAddr>(), length) else { return false };
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
    fn a_proxy_has_a_scheme_a_host_and_a_port() {
        let http = Proxy::parse("http://proxy.example.test:3128", None).unwrap();
        assert_eq!((http.scheme, http.port), (ProxyScheme::Http, 3128));
        assert_eq!(http.url(), "http://proxy.example.test:3128");
        let socks = Proxy::parse("socks5://10.0.0.1", None).unwrap();
        assert_eq!(socks.url(), "socks5h://10.0.0.1:1080");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_says_why() {
        for (text, why) in [
            ("proxy:3128", "not supported"),
            ("https://proxy", "not supported"),
            ("", "expected http://"),
            ("http://user:hunter2@proxy:3128", "in a file"),
        ] {
            let error = Proxy::parse(text, None).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn credentials_are_one_line_with_a_colon() {
        let read =
            |text| ProxyCredentials::parse(text).map(|c| (c.user, c.password.expose().clone()));
        assert_eq!(read("me:a:b\n"), Some(("me".to_owned(), "a:b".to_owned())));
        assert_eq!(read("me: \r\n"), Some(("me".to_owned(), " ".to_owned())));
        for text in ["", "me", ":secret", "me:a\nyou:b\n"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn names_and_networks_in_no_proxy_are_reached_directly() {
        let list = "localhost, example.test,.corp.test ,10.0.0.0/8,192.168.1.7,fd00::/8";
        for host in [
            "localhost",
            "example.test",
            "Palisade.Example.Test",
            "a.corp.test",
            "10.255.0.1",
            "192.168.1.7",
            "[fd12::1]",
        ] {
            assert!(is_direct(host, list), "{host}");
        }
        for host in
            ["notexample.test", "example.test.evil", "11.0.0.1", "192.168.1.8", "fe80::1", ""]
        {
            assert!(!is_direct(host, list), "{host}");
        }
        assert!(is_direct("anything", "*") && !is_direct("anything", ""));
        assert!(is_direct("8.8.8.8", "0.0.0.0/0") && !is_direct("::1", "0.0.0.0/0"));
    }
}

//! The proxy that stands between the appliance and the world.

use std::fmt;

use super::{address::Fault, url::parts};
use crate::{config::HostName, secret::Secret};

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP `CONNECT`.
    Http,
    /// HTTP `CONNECT` through TLS.
    Https,
    /// SOCKS 5; the proxy resolves names.
    Socks5,
}

/// A proxy. Shown without its password.
#[derive(Clone)]
pub struct Proxy {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name or address.
    pub host: HostName,
    /// Its port.
    pub port: u16,
    /// Whether there is a user name or password in the URL.
    pub has_credentials: bool,
    url: Secret<String>,
}

impl Proxy {
    /// Reads a property; the fault never repeats what was given.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let fault =
            |wrong: &str| (wrong.to_owned(), "write e.g. http://proxy.example.com:3128".to_owned());
        let parts = parts(text).map_err(fault)?;
        let scheme = match parts.scheme.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "socks5" | "socks5h" => Scheme::Socks5,
            _ => return Err(fault("is none of http://, https:// and socks5://")),
        };
        let Some(port) = parts.port else { return Err(fault("has no port")) };
        if !matches!(parts.path, "" | "/") {
            return Err(fault("has a path after the host"));
        }
        if parts.user.is_some_and(|user| user.is_empty() || user.starts_with(':')) {
            return Err(fault("has an @ but no user name before it"));
        }
        let has_credentials = parts.user.is_some();
        let url = Secret::new(text.trim_end_matches('/').to_owned());
        Ok(Self { scheme, host: parts.host, port, has_credentials, url })
    }

    /// The URL with user and password, as other programs want it.
    pub fn url(&self) -> &Secret<String> {
        &self.url
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} proxy {}:{}", self.scheme, self.host, self.port)
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.url.expose() == other.url.expose()
    }
}

impl Eq for Proxy {}

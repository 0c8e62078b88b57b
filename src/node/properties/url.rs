//! URLs: of the management, of a mirror, and what proxies and they have in common.

use super::address::Fault;
use crate::config::HostName;

/// The parts of `scheme://host:port/path` without user, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) scheme: String,
    /// What is before the `@`.
    pub(super) user: Option<&'a str>,
    pub(super) host: HostName,
    pub(super) port: Option<u16>,
    /// With its leading slash, or empty.
    pub(super) path: &'a str,
}

/// Reads a URL. The fault never repeats any of it.
pub(super) fn parts(text: &str) -> Result<Parts<'_>, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("has no scheme such as https://")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err("has no scheme such as https://");
    }
    if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("has white space in it");
    }
    if rest.contains(['?', '#']) {
        return Err("has a ? or # in it");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority),
    };
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("has a [ without a ]")?;
        match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if port.is_empty() => (host, None),
            None => return Err("has no : between host and port"),
        }
    } else {
        match address.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("has an IPv6 address without [ and ]");
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port @ 1..)) => Some(port),
        Some(_) => return Err("has no port from 1 to 65535"),
    };
    let host = host.parse().map_err(|_| "has no host name or address that can be used")?;
    Ok(Parts { scheme, user, host, port, path })
}

/// Where the management is reached.
pub(super) fn management(text: &str) -> Result<String, Fault> {
    let example = || "write e.g. https://palisade.example.com".to_owned();
    let parts = parts(text).map_err(|wrong| (wrong.to_owned(), example()))?;
    let wrong = if parts.scheme != "https" {
        "does not begin with https://"
    } else if parts.user.is_some() {
        "has a user name in it"
    } else if !matches!(parts.path, "" | "/") {
        "has a path after the host"
    } else {
        return Ok(text.trim_end_matches('/').to_owned());
    };
    Err((wrong.to_owned(), example()))
}

/// Where packs and updates are mirrored: a URL or a directory.
pub(super) fn mirror(text: &str) -> Result<String, Fault> {
    let fault =
        |wrong: &str| (wrong.to_owned(), "write https://.. or the path of a directory".to_owned());
    if let Some(path) = text.strip_prefix("file://").or(text.starts_with('/').then_some(text)) {
        let climbs = path.split('/').any(|part| part == "..");
        let odd = path.chars().any(char::is_control);
        if !path.starts_with('/') || path.len() < 2 || climbs || odd {
            return Err(fault("is no absolute path of a directory"));
        }
        return Ok(format!("file://{}", path.trim_end_matches('/')));
    }
    let parts = parts(text).map_err(fault)?;
    match parts.scheme.as_str() {
        "https" if parts.user.is_some() => Err(fault("has a user name or password in it")),
        "https" => Ok(text.trim_end_matches('/').to_owned()),
        "http" => Err(fault("is not encrypted")),
        _ => Err(fault("is neither https nor a directory")),
    }
}

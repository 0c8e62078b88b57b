//! Host names and addresses of callers.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::Request,
    http::{HeaderMap, header},
};

use crate::config::Config;

/// The host that the caller named: HTTP/2 has it in the URI, HTTP/1.1 in a header.
pub(super) fn host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

/// The label of a tenant's own host name: `acme` in `acme.palisade.example.com`.
pub(super) fn tenant_label<'h>(config: &Config, host: &'h str) -> Option<&'h str> {
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name);
    let label = name.strip_suffix(config.server.fqdn.as_str())?.strip_suffix('.')?;
    (!label.is_empty() && !label.contains('.')).then_some(label)
}

/// An entry of `X-Forwarded-For`; some proxies append the port.
fn hop_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|hop| hop.ip()))
}

/// The caller's address: the peer's, or what a trusted proxy says.
pub(super) fn client_address(config: &Config, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let trusted = |address: IpAddr| {
        config.server.trusted_proxies.iter().any(|network| network.contains(address))
    };
    let mut address = peer.ip().to_canonical();
    if !trusted(address) {
        return address;
    }
    // Every proxy appends whom it heard from: walk back while we trust the speaker.
    let chain = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect::<Vec<_>>();
    for hop in chain.into_iter().rev() {
        // What cannot be read must not be skipped: before it stands only what
        // the caller itself has written.
        let Some(hop) = hop_address(hop.trim()) else { break };
        address = hop.to_canonical();
        if !trusted(address) {
            break;
        }
    }
    address
}

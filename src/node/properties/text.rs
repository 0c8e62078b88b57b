//! Names, lists of names, e-mail addresses.

use std::net::IpAddr;

use super::address::{Fault, unfit_for_a_host};
use crate::config::HostName;

/// What the kernel takes as a host name, in characters.
const LONGEST_LABEL: usize = 63;

/// The entries of a list that is separated by commas, semicolons or white space.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c == ';' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
}

/// A list of at most `most` different entries, each read by `read`.
pub(super) fn list<T: PartialEq>(
    text: &str,
    most: usize,
    read: impl Fn(&str) -> Result<T, Fault>,
) -> Result<Vec<T>, (String, Fault)> {
    let mut found = Vec::new();
    for entry in entries(text) {
        let value = read(entry).map_err(|fault| (entry.to_owned(), fault))?;
        if found.contains(&value) {
            let fault = ("is named twice".to_owned(), "name it once".to_owned());
            return Err((entry.to_owned(), fault));
        }
        if found.len() == most {
            let fault = (format!("is one too many: {most} are allowed"), "name fewer".to_owned());
            return Err((entry.to_owned(), fault));
        }
        found.push(value);
    }
    Ok(found)
}

/// A DNS name, not an address.
pub(super) fn name(text: &str) -> Result<HostName, Fault> {
    let fault = |wrong: &str, instead: &str| Err((wrong.to_owned(), instead.to_owned()));
    let example = "write e.g. palisade.example.com";
    if text.contains("://") || text.contains('/') {
        return fault("is no name but a URL", example);
    }
    if text.contains('_') {
        return fault("has an underscore, which host names must not have", "write - instead of _");
    }
    if text.ends_with('.') {
        return fault("ends with a dot", "leave the dot out");
    }
    if text.split('.').any(|label| label.chars().count() > LONGEST_LABEL) {
        return fault("has a part of more than 63 characters", example);
    }
    match text.parse::<HostName>() {
        Ok(name) if name.address().is_some() => fault("is an address, not a name", example),
        Ok(name) if name.as_str() == "localhost" || name.as_str().ends_with(".localhost") => {
            fault("is the name of every machine for itself", example)
        }
        Ok(name) => Ok(name),
        Err(_) => fault("is no DNS name", example),
    }
}

/// A DNS name or an address of a server.
pub(super) fn server(text: &str) -> Result<HostName, Fault> {
    match text.parse::<IpAddr>() {
        Ok(address) => match unfit_for_a_host(address) {
            Some(wrong) => Err((wrong.to_owned(), "write the server's name or address".to_owned())),
            None => text.parse().map_err(|_| unreadable()),
        },
        Err(_) if looks_like_an_address(text) => Err(unreadable()),
        Err(_) => name(text),
    }
}

fn unreadable() -> Fault {
    ("is neither a name nor an address".to_owned(), "write e.g. ntp.example.com".to_owned())
}

/// Digits and dots only: somebody meant an address.
fn looks_like_an_address(text: &str) -> bool {
    text.contains(':') || text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// The address of a DNS server.
pub(super) fn dns_server(text: &str) -> Result<IpAddr, Fault> {
    let example = "write e.g. 192.0.2.53, 192.0.2.54";
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err(("is no address; DNS servers have no names".to_owned(), example.to_owned()));
    };
    match unfit_for_a_host(address) {
        Some(wrong) => Err((wrong.to_owned(), example.to_owned())),
        None => Ok(address),
    }
}

/// What is reached without a proxy: a name, a domain with a leading dot or
/// `*.`, an address or a network.
pub(super) fn direct(text: &str) -> Result<String, Fault> {
    let fault = || {
        let wrong = "is no name, .domain, address or network".to_owned();
        (wrong, "write e.g. .example.com, 192.0.2.0/24".to_owned())
    };
    if let Some((address, prefix)) = text.split_once('/') {
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = prefix.parse().map_err(|_| fault())?;
        return if prefix <= longest { Ok(text.to_owned()) } else { Err(fault()) };
    }
    let bare = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
    match bare.parse::<HostName>() {
        Ok(name) if name.address().is_none() || bare == text => Ok(text.to_ascii_lowercase()),
        _ => Err(fault()),
    }
}

/// An e-mail address, as far as its shape tells.
pub(super) fn email(text: &str) -> Result<String, Fault> {
    let fault = || ("is no e-mail address".to_owned(), "write e.g. admin@example.com".to_owned());
    let (local, domain) = text.rsplit_once('@').ok_or_else(fault)?;
    let usable = |c: char| c.is_ascii_graphic() && !"\"(),:;<>@[\\]".contains(c);
    let local_is_fine = !local.is_empty() && local.len() <= 64 && local.chars().all(usable);
    let domain: HostName = domain.parse().map_err(|_| fault())?;
    if local_is_fine && domain.address().is_none() { Ok(text.to_owned()) } else { Err(fault()) }
}

//! The two cookies of a browser session.
//!
//! `__Host-` makes browsers insist on `Secure`, on the path `/` and on this
//! very host; `HttpOnly` keeps scripts away from the tokens.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::clock::Timestamp;

pub(super) const ACCESS: &str = "__Host-palisade";
pub(super) const REFRESH: &str = "__Host-palisade-refresh";

/// The value of a cookie.
pub(super) fn read<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Sets a cookie until `expires_at`.
pub(super) fn set(headers: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
    let text = format!(
        "{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
        seconds.max(0)
    );
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        headers.append(header::SET_COOKIE, value);
    }
}

/// Removes both cookies.
pub(super) fn clear(headers: &mut HeaderMap) {
    set(headers, ACCESS, "", 0);
    set(headers, REFRESH, "", 0);
}

/// Seconds from `now` to `end`.
pub(super) fn seconds_left(end: Timestamp, now: Timestamp) -> i64 {
    end.as_seconds() - now.as_seconds()
}

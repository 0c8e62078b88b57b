//! The import manifest: what `kubectl apply` puts into a cluster.
//!
//! Owns: the namespace, rights, Secret and Deployment of the agent, as text
//! that an administrator can read before applying it.
//! Must not know: where tokens come from or who may ask for a manifest.
//!
//! The rights of the agent stand in `manifest.yaml` and nowhere else; a test
//! here lists them one by one and fails when one is added.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;

use crate::secret::Secret;

/// The namespace that the manifest creates and the agent lives in.
pub const NAMESPACE: &str = "palisade-system";

const TEMPLATE: &str = include_str!("manifest.yaml");

/// What differs from one import to the next.
#[derive(Clone, Debug)]
pub struct ManifestInput {
    /// The name of the cluster; for the reader only.
    pub cluster_name: String,
    /// The cluster's uid; for the reader only.
    pub cluster: String,
    /// `https://fqdn[:port]` of management.
    pub management_url: String,
    /// The one-time token.
    pub token: Secret<String>,
    /// The PEM certificates that the agent trusts, and nothing else.
    pub ca_pem: String,
    /// The reference of the agent's image.
    pub image: String,
    /// `host:port` of the broker, if the agent dials it directly instead of
    /// through the management URL.
    pub bus_address: Option<String>,
    /// The proxy between the cluster and management.
    pub proxy: Option<ManifestProxy>,
}

/// A proxy between the cluster and management.
#[derive(Clone, Debug)]
pub struct ManifestProxy {
    /// `http://host:port` or `socks5://host:port`, without credentials.
    pub url: String,
    /// `user:password`; kept in the Secret, not in the environment.
    pub credentials: Option<Secret<String>>,
    /// Names and networks that are reached directly.
    pub no_proxy: String,
}

/// The manifest as YAML. Every value is quoted, so that none can add to it.
pub fn render(input: &ManifestInput) -> Secret<String> {
    let proxy = input.proxy.as_ref();
    let credentials = proxy.and_then(|proxy| proxy.credentials.as_ref());
    let ca: Vec<_> = pem_lines(&input.ca_pem).map(|line| format!("    {line}")).collect();
    let values = [
        ("url", one_line(&input.management_url)),
        ("cluster_comment", one_line(&format!("{} ({})", input.cluster_name, input.cluster))),
        ("namespace", NAMESPACE.to_owned()),
        ("token", quoted(input.token.expose())),
        ("proxy_secret", credentials.map(proxy_secret).unwrap_or_default()),
        ("ca", ca.join("\n")),
        ("import_digest", quoted(&import_digest(input))),
        ("image", quoted(&input.image)),
        ("url_value", quoted(&input.management_url)),
        (
            "bus_env",
            input.bus_address.as_ref().map(|a| env("PALISADE_BUS_ADDRESS", a)).unwrap_or_default(),
        ),
        ("proxy_env", proxy.map(proxy_env).unwrap_or_default()),
    ];
    Secret::new(fill(TEMPLATE, &values))
}

/// Replaces each `{{name}}` in one pass, so that a value that looks like a
/// placeholder stays what it is.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        filled.push_str(before);
        filled.push_str(value.map_or("", String::as_str));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// A YAML string: JSON's quoting, with the characters escaped that YAML does
/// not allow to stand as they are.
fn quoted(text: &str) -> String {
    let escaped = |c: char| format!("\\u{:04x}", u32::from(c));
    let json = serde_json::Value::from(text).to_string();
    json.chars().map(|c| if breaks_a_line(c) { escaped(c) } else { c.to_string() }).collect()
}

/// A text that stays inside its comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if breaks_a_line(c) { ' ' } else { c }).collect()
}

fn breaks_a_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The lines between and including the markers of certificates; anything else
/// that may stand in a bundle is left out.
fn pem_lines(pem: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    pem.lines().map(str::trim).filter(move |line| {
        let (begin, end) =
            (*line == "-----BEGIN CERTIFICATE-----", *line == "-----END CERTIFICATE-----");
        let keep = begin
            || inside
                && (end || line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)));
        inside = begin || inside && !end;
        keep && !line.is_empty()
    })
}

fn env(name: &str, value: &str) -> String {
    format!("            - name: {name}\n              value: {}\n", quoted(value))
}

fn proxy_env(proxy: &ManifestProxy) -> String {
    let mut text = env("PALISADE_PROXY", &proxy.url);
    if proxy.credentials.is_some() {
        text += &env("PALISADE_PROXY_CREDENTIALS_FILE", "/etc/palisade/proxy-credentials");
    }
    if !proxy.no_proxy.is_empty() {
        text += &env("PALISADE_NO_PROXY", &proxy.no_proxy);
    }
    text
}

fn proxy_secret(credentials: &Secret<String>) -> String {
    format!(
        "  # User and password of the proxy between this cluster and management.\n  proxy-credentials: {}\n",
        quoted(credentials.expose())
    )
}

/// Names the content of the Secret without telling any of it: 64 bits of a
/// hash over a token of at least 128 random bits.
fn import_digest(input: &ManifestInput) -> String {
    let credentials = input.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref());
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [input.token.expose(), &input.ca_pem] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(credentials.map_or("", |credentials| credentials.expose()).as_bytes());
    HEXLOWER.encode(&hash.finish().as_ref()[..8])
}

#[cfg(test)]
mod tests;

//! Talking to management over HTTP: enrolment and renewal.
//!
//! Owns: the two requests, and turning every way in which they can fail into
//! a sentence that names the cause: a wrong CA, a proxy that refuses the
//! password, a token used already, a cluster that was removed.
//! Must not know: when to ask, or where the answer is kept.

use std::time::Duration;

use reqwest::{Certificate, Client, Response, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::settings::Management;
use crate::{
    bus::{
        agent::BusAddress,
        dial::{Proxy, ProxyKind, dial},
        keys::AgentKey,
        message::{EnrolRequest, Enrolment, RenewRequest},
    },
    clock::Timestamp,
    error::{Error, Result, chain},
    ids::ClusterId,
    secret::Secret,
};

/// The longest that one request may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Why management gave no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was not reached, or it could not answer now: trying again soon makes sense.
    #[error("{message}")]
    NotNow {
        /// What stood in the way, and what to do about it.
        message: String,
        /// When management asked to be tried again.
        retry_after: Option<Duration>,
    },
    /// It answered no, and will say so again until somebody acts.
    #[error("{message}")]
    No {
        /// The stable name of the reason, e.g. `token-used`.
        code: String,
        /// Management's own words.
        message: String,
    },
}

/// What became of a request.
#[derive(Debug)]
pub struct Answer {
    /// Credentials, or why there are none.
    pub outcome: Result<Enrolment, Refusal>,
    /// Management's clock, to the second, when it answered at all.
    pub server_time: Option<Timestamp>,
}

/// Trades the one-time token for credentials of `key`.
pub async fn enrol(management: &Management, token: &Secret<String>, key: &AgentKey) -> Answer {
    let request = EnrolRequest {
        token: token.expose().clone(),
        public_key: key.public_key().to_string(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    ask(management, "v1/agent/enrol", &request).await
}

/// Asks for new credentials of the same key. `now` must be close to management's clock.
pub async fn renew(
    management: &Management,
    cluster: &str,
    key: &AgentKey,
    now: Timestamp,
) -> Answer {
    ask(management, "v1/agent/renew", &renewal(cluster, key, now)).await
}

fn renewal(cluster: &str, key: &AgentKey, now: Timestamp) -> RenewRequest {
    let public_key = key.public_key().to_string();
    let text = RenewRequest::signed_text(cluster, &public_key, now);
    let signature = data_encoding::BASE64URL_NOPAD.encode(&key.sign(text.as_bytes()));
    RenewRequest { cluster: cluster.to_owned(), public_key, at: now, signature }
}

/// A client that trusts the given CA and nothing else, and goes through the
/// proxy that the settings name and no other. It is made for each request and
/// dropped after it: renewals are days apart, and an idle client costs memory.
///
/// Errors: `Invalid` when the CA or the proxy cannot be used.
pub fn client(management: &Management) -> Result<Client> {
    let mut builder = Client::builder()
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("palisade-agent/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = &management.ca_pem {
        let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|cause| {
            Error::invalid("ca-file", "it holds no usable certificate").caused_by(cause)
        })?;
        builder = builder.tls_certs_only(certificates);
    }
    if let Some(proxy) = &management.proxy {
        let mut hop = reqwest::Proxy::all(proxy_url(proxy))
            .map_err(|cause| Error::invalid("proxy", "it cannot be used").caused_by(cause))?;
        if let Some(credentials) = &proxy.credentials {
            hop = hop.basic_auth(&credentials.user, credentials.password.expose());
        }
        builder = builder.proxy(hop);
    }
    builder.build().map_err(|cause| {
        let message = format!("no TLS client can be made of it: {}", chain(&cause));
        Error::invalid("ca-file", message)
    })
}

/// The URL without credentials. SOCKS proxies resolve the name themselves,
/// because a cluster behind one often cannot.
fn proxy_url(proxy: &Proxy) -> String {
    let scheme = match proxy.kind {
        ProxyKind::Http => "http",
        ProxyKind::Socks5 => "socks5h",
    };
    let host = &proxy.host;
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    format!("{scheme}://{host}:{}", proxy.port)
}

async fn ask<B: Serialize>(management: &Management, path: &str, body: &B) -> Answer {
    let not_now = |message| Answer {
        outcome: Err(Refusal::NotNow { message, retry_after: None }),
        server_time: None,
    };
    let client = match client(management) {
        Ok(client) => client,
        Err(error) => return not_now(error.chain()),
    };
    let url = match management.url.join(path) {
        Ok(url) => url,
        Err(error) => return not_now(chain(&error)),
    };
    match client.post(url).json(body).send().await {
        Ok(response) => read(response).await,
        Err(error) => not_now(why(management, error).await),
    }
}

/// Why there was no answer. The HTTP client hardly tells what a proxy said;
/// the bus's way of dialling tells it in full.
async fn why(management: &Management, error: reqwest::Error) -> String {
    if let (true, Some(proxy), BusAddress::WebSocket { host, port }) =
        (error.is_connect(), &management.proxy, &management.bus)
        && let Err(refusal) = dial(Some(proxy), host, *port).await
    {
        return chain(&refusal);
    }
    explained(&chain(&error.without_url()))
}

async fn read(response: Response) -> Answer {
    let header = |name| response.headers().get(name)?.to_str().ok();
    let server_time = header(header::DATE).and_then(http_date);
    let retry_after = header(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    let status = response.status();
    let outcome = match body(response).await {
        Ok(bytes) => outcome(status, &bytes, retry_after),
        Err(message) => Err(Refusal::NotNow { message, retry_after }),
    };
    Answer { outcome, server_time }
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= LARGEST_ANSWER => bytes.extend(chunk),
            Ok(Some(_)) => return Err("the answer is far too long to come from management".into()),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(explained(&chain(&error.without_url()))),
        }
    }
}

/// The parts of a problem document that we show.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    title: String,
    detail: String,
    hint: Option<String>,
}

fn outcome(
    status: StatusCode,
    body: &[u8],
    retry_after: Option<Duration>,
) -> Result<Enrolment, Refusal> {
    let not_now = |message| Refusal::NotNow { message, retry_after };
    if status.is_success() {
        let enrolment = parsed::<Enrolment>(body);
        return enrolment.filter(|e| e.cluster.parse::<ClusterId>().is_ok()).ok_or_else(|| {
            not_now("the answer was not from Palisade; is the management URL right?".to_owned())
        });
    }
    let Some(problem) = parsed::<Problem>(body).filter(|problem| !problem.code.is_empty()) else {
        // Not from management: a proxy, a load balancer, or another server.
        return Err(not_now(format!(
            "{status} from something that is not Palisade; is the management URL right?"
        )));
    };
    let text = if problem.detail.is_empty() { problem.title } else { problem.detail };
    let message = one_line(&[&text, problem.hint.as_deref().unwrap_or_default()].join(" "));
    let passing = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    Err(if passing { not_now(message) } else { Refusal::No { code: problem.code, message } })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn http_date(text: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_seconds(parsed.timestamp().as_second()))
}

const WRONG_CA: &str = "the certificate of management is not signed by the CA that this agent was \
    given; apply the import manifest again, or give the CA of the proxy that inspects TLS";

/// Puts what an operator can do in front of what the libraries say.
fn explained(cause: &str) -> String {
    let known = [
        ("UnknownIssuer", WRONG_CA),
        // A CA of the same name with another key, e.g. of an appliance installed anew.
        ("BadSignature", WRONG_CA),
        (
            "NotValidForName",
            "the certificate of management is for another name than the management URL",
        ),
        (
            "certificate expired",
            "the certificate of management has expired, or the clock of this node is wrong",
        ),
        (
            "CertExpired",
            "the certificate of management has expired, or the clock of this node is wrong",
        ),
        (
            "not valid yet",
            "the certificate of management is not valid yet, or the clock of this node is wrong",
        ),
        ("dns error", "the name cannot be resolved"),
        ("Connection refused", "nobody answers at that address"),
        ("timed out", "there was no answer in time; a firewall may stand in the way"),
    ];
    match known.iter().find(|(sign, _)| cause.contains(sign)) {
        Some((_, meaning)) => format!("{meaning} ({cause})"),
        None => cause.to_owned(),
    }
}

#[cfg(test)]
mod tests;

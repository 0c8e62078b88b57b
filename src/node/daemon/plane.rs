//! The management plane of this machine, asked over its public port.
//!
//! Owns: where it listens, whether it works, and whether somebody is one of
//! its administrators.
//! Must not know: anything that its API does not tell everybody.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use reqwest::{Certificate, Client, ClientBuilder, Response, redirect::Policy, tls::TlsInfo};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    config::{Config, Sources},
    error::{Error, Kind, Result, chain},
    node::{
        paths::Paths,
        protocol::{Check, Health},
    },
    secret::Secret,
};

/// It is on this machine: an answer takes milliseconds, a login a second.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For looking how it does, once every few seconds.
const GLANCE: Duration = Duration::from_secs(4);

/// Where the management plane is.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    /// Where people reach it, e.g. `https://palisade.example.com`.
    pub(super) origin: String,
    /// The part of a URL after the host, e.g. `:8443`, or nothing.
    pub(super) port: String,
    /// The name on its certificate, as in a URL.
    host: String,
    address: SocketAddr,
    /// What clients need to trust it.
    anchor: PathBuf,
}

#[derive(Deserialize)]
struct Ready {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Login {
    #[serde(rename_all = "camelCase")]
    SignedIn { session: Session, tokens: Tokens },
    #[serde(other)]
    NotYet,
}

#[derive(Deserialize)]
struct Session {
    user: User,
    permissions: Permissions,
}

#[derive(Deserialize)]
struct User {
    uid: String,
}

#[derive(Deserialize)]
struct Permissions {
    tenant: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    access_token: Secret<String>,
}

impl Plane {
    /// As its settings say. The failure is a short sentence.
    pub(super) fn of(paths: &Paths) -> Result<Self, String> {
        let file = paths.serve_settings();
        if !file.exists() {
            return Err("first boot has not written its settings yet".to_owned());
        }
        let sources = Sources { file: Some(file), ..Sources::default() };
        let config = Config::load(sources).map_err(|error| chain(&error))?;
        let listen = config.server.listen;
        let ip = match listen.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        // An address is asked wherever it is, and it may be at another node; the
        // certificate of an appliance covers this name too.
        let host = match config.server.fqdn.address() {
            Some(_) => "localhost".to_owned(),
            None => config.server.fqdn.to_string(),
        };
        let port = config.server.public_port;
        Ok(Self {
            origin: config.server.origin(),
            port: if port == 443 { String::new() } else { format!(":{port}") },
            host,
            address: SocketAddr::new(ip, listen.port()),
            anchor: config.storage.anchor_file(),
        })
    }

    /// How it does, and the SHA-256 fingerprint of the certificate that it
    /// shows. Whoever looks sees the same fingerprint, so nothing is verified
    /// here and nothing secret is sent.
    pub(super) async fn health(&self) -> (Health, Option<String>) {
        let client = self.client(GLANCE).tls_info(true).tls_danger_accept_invalid_certs(true);
        let answer = async {
            let response = client.build()?.get(self.url("/readyz")).send().await?;
            let shown = response.extensions().get::<TlsInfo>();
            let fingerprint = shown.and_then(TlsInfo::peer_certificate).map(fingerprint);
            Ok::<_, reqwest::Error>((response.json::<Ready>().await?, fingerprint))
        };
        match answer.await {
            Ok((Ready { ready, checks }, fingerprint)) => {
                (Health::Answers { ready, checks }, fingerprint)
            }
            Err(error) => (Health::Silent { reason: self.why_silent(error) }, None),
        }
    }

    fn why_silent(&self, error: reqwest::Error) -> String {
        if error.is_connect() {
            return format!("nothing listens at {}", self.address);
        }
        if error.is_timeout() {
            return format!("{} does not answer in time", self.address);
        }
        chain(&error.without_url())
    }

    /// The uid of the system administrator with these credentials, who may do
    /// `permission`. He is logged out again. `Unauthenticated` and `Forbidden`;
    /// `Unavailable` when the management plane cannot say.
    pub(super) async fn administrator(
        &self,
        email: &str,
        password: &Secret<String>,
        permission: &str,
    ) -> Result<String> {
        let anchor = std::fs::read(&self.anchor).ok();
        let anchor = anchor.and_then(|pem| Certificate::from_pem_bundle(&pem).ok());
        let anchor = anchor.ok_or_else(|| cannot_say("its certificate authority is not known"))?;
        let client = self.client(TIMEOUT).tls_certs_only(anchor).build();
        let client = client.map_err(|error| cannot_say(&chain(&error)))?;
        let body = serde_json::json!({
            "email": email, "password": password.expose(), "scope": "system", "bearer": true,
        });
        let sent = client.post(self.url("/v1/auth/login")).json(&body).send().await;
        let response = sent.map_err(|error| cannot_say(&self.why_silent(error)))?;
        let Login::SignedIn { session, tokens } = understood(response).await? else {
            let message = "The password of this account has to be changed first.";
            return Err(Error::new(Kind::Unauthenticated, "password-expired", message)
                .with_hint("Log in to the appliance's pages once, or use the recovery kit."));
        };
        let logout = client.post(self.url("/v1/auth/logout")).json(&serde_json::json!({}));
        let token = tokens.access_token.expose();
        if let Err(error) = logout.bearer_auth(token).send().await {
            tracing::warn!(error = %chain(&error.without_url()), "the session of the console stays until it ends by itself");
        }
        if !session.permissions.tenant.iter().any(|held| held == permission) {
            let message = format!("This administrator does not hold {permission}.");
            return Err(Error::forbidden(message));
        }
        Ok(session.user.uid)
    }

    fn client(&self, timeout: Duration) -> ClientBuilder {
        Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .timeout(timeout)
            .pool_max_idle_per_host(0)
            .resolve(&self.host, self.address)
            .user_agent(concat!("palisade-node/", env!("CARGO_PKG_VERSION")))
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.host, self.address.port())
    }
}

async fn understood(response: Response) -> Result<Login> {
    let status = response.status();
    if status.is_success() {
        return response.json().await.map_err(|error| cannot_say(&chain(&error)));
    }
    Err(match status.as_u16() {
        401 | 422 => {
            let message = "E-mail address or password is wrong.";
            Error::new(Kind::Unauthenticated, "wrong-credentials", message)
                .with_hint("Use the account of a system administrator, or the recovery kit.")
        }
        429 => {
            let message = "Too many wrong tries: wait a moment, or use the recovery kit.";
            Error::new(Kind::RateLimited, "too-many-tries", message)
        }
        _ => cannot_say(&format!("it answers {status}")),
    })
}

fn cannot_say(reason: &str) -> Error {
    let message = format!("The management plane cannot check the password: {reason}.");
    Error::new(Kind::Unavailable, "password-unchecked", message)
        .with_hint("Use the recovery kit instead of a password.")
}

/// SHA-256 in 32 pairs of upper-case hex digits with colons between.
fn fingerprint(der: &[u8]) -> String {
    let digest = Sha256::digest(der);
    let pairs: Vec<_> =
        digest.iter().map(|byte| data_encoding::HEXUPPER.encode(&[*byte])).collect();
    pairs.join(":")
}

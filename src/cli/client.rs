//! The client of the HTTP API that all commands use.
//!
//! Owns: requests, the credential that goes with them, trying again after a
//! lost connection, and turning every refusal into a [`Failure`].
//! Must not know: what is asked for, or how it is shown.

use std::{fs::File, io::Read, time::Duration};

use data_encoding::HEXLOWER;
use reqwest::{Client, Method, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    failure::{Exit, Failure, Result},
    session::Session,
    trust::{Shown, Trust, in_words, tls, tls_fault},
};
use crate::{
    clock::{SystemRandom, random_bytes},
    secret::Secret,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_mins(1);
/// Hundreds of megabytes over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_hours(2);
/// The longest pause that the appliance may ask for before a second attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const PAUSES: u32 = 3;

/// What requests are signed with.
#[derive(Debug)]
pub(super) enum Credential {
    /// Nothing: for logging in and setting up.
    None,
    /// An API key or an access token.
    Bearer(Secret<String>),
    /// A session, which is renewed when its access token has expired.
    Session(Session),
}

/// The API of one appliance, as one user sees it.
#[derive(Debug)]
pub(super) struct Api {
    http: Client,
    url: String,
    trust: Trust,
    shown: Shown,
    credential: Credential,
}

/// One request. Everything in `path` is ours or an identifier.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    method: Method,
    path: &'a str,
    query: &'a [(&'static str, String)],
    body: Option<&'a Value>,
    version: Option<i64>,
    /// Doing it twice is as good as doing it once.
    repeatable: bool,
}

impl<'a> Request<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, query: &[], body: None, version: None, repeatable: true }
    }
}

struct Answer {
    status: StatusCode,
    pause: Option<Duration>,
    body: Vec<u8>,
}

/// Why there is no answer.
struct NoAnswer {
    failure: Failure,
    /// The connection was there and broke: the request may have been carried out.
    lost: bool,
}

impl Api {
    /// The appliance at `url`.
    pub(super) fn new(url: &str, trust: Trust, credential: Credential) -> Result<Self> {
        let url = base_url(url)?;
        let shown = Shown::default();
        let http = Client::builder()
            .tls_backend_preconfigured(tls(&trust, &shown)?)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("palisade/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Failure::new(Exit::Failed, format!("No HTTP client: {error}.")))?;
        Ok(Self { http, url, trust, shown, credential })
    }

    /// The same appliance with another credential.
    pub(super) fn with(self, credential: Credential) -> Self {
        Self { credential, ..self }
    }

    /// The same appliance without a credential, over the same connections.
    pub(super) fn anonymous(&self) -> Self {
        Self {
            http: self.http.clone(),
            url: self.url.clone(),
            trust: self.trust.clone(),
            shown: self.shown.clone(),
            credential: Credential::None,
        }
    }

    /// `https://host[:port]`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Whom it trusts.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Reads.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.get_with(path, &[]).await
    }

    /// Reads with a query.
    pub(super) async fn get_with(
        &self,
        path: &str,
        query: &[(&'static str, String)],
    ) -> Result<Value> {
        json(&self.send(Request { query, ..Request::new(Method::GET, path) }).await?)
    }

    /// Reads a text.
    pub(super) async fn text(&self, path: &str) -> Result<String> {
        let answer = self.send(Request::new(Method::GET, path)).await?;
        String::from_utf8(answer).map_err(|_| unexpected("it is no text"))
    }

    /// Creates something, once, however often the connection breaks.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        json(&self.send(Request { body, ..Request::new(Method::POST, path) }).await?)
    }

    /// Posts what must not be sent a second time, such as a refresh token.
    pub(super) async fn post_once(&self, path: &str, body: &Value) -> Result<Value> {
        let request = Request::new(Method::POST, path);
        json(&self.send(Request { body: Some(body), repeatable: false, ..request }).await?)
    }

    /// Changes what is still of this version.
    pub(super) async fn patch(&self, path: &str, version: i64, body: &Value) -> Result<Value> {
        let request = Request::new(Method::PATCH, path);
        let version = Some(version);
        json(&self.send(Request { body: Some(body), version, repeatable: false, ..request }).await?)
    }

    /// Puts in place.
    pub(super) async fn put(&self, path: &str, body: Option<&Value>) -> Result<()> {
        self.send(Request { body, ..Request::new(Method::PUT, path) }).await.map(drop)
    }

    /// Removes.
    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        self.send(Request::new(Method::DELETE, path)).await.map(drop)
    }

    /// Sends a file as it is. It is not sent a second time: a session is renewed before.
    pub(super) async fn upload(&self, path: &str, file: File, length: u64) -> Result<Value> {
        self.get("/v1/auth/me").await?;
        let token = match &self.credential {
            Credential::None => None,
            Credential::Bearer(token) => Some(token.clone()),
            Credential::Session(session) => Some(session.token(self).await?),
        };
        let pieces = futures_util::stream::try_unfold(file, |mut file| async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; 256 * 1024];
                let length = file.read(&mut piece)?;
                piece.truncate(length);
                Ok::<_, std::io::Error>((piece, file))
            });
            let (piece, file) = read.await.map_err(std::io::Error::other)??;
            Ok::<_, std::io::Error>((!piece.is_empty()).then_some((piece, file)))
        });
        let mut request = self
            .http
            .put(format!("{}{path}", self.url))
            .timeout(UPLOAD_TIMEOUT)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(pieces));
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        let no_answer = |error: reqwest::Error| self.no_answer(&error.without_url()).failure;
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let body = response.bytes().await.map_err(no_answer)?;
        if status.is_success() { json(&body) } else { Err(refusal(status, &body)) }
    }

    /// Sends, renews the session when it has to be, and tries once more after a
    /// lost connection. The body of a good answer.
    async fn send(&self, request: Request<'_>) -> Result<Vec<u8>> {
        let keyed = request.method == Method::POST && request.repeatable;
        let key = keyed.then(|| HEXLOWER.encode(&random_bytes::<16>(&SystemRandom)));
        let (mut renewed, mut repeated, mut pauses) = (false, false, 0);
        loop {
            let token = match &self.credential {
                Credential::None => None,
                Credential::Bearer(token) => Some(token.clone()),
                Credential::Session(session) => Some(session.token(self).await?),
            };
            let answer = match self.once(&request, token.as_ref(), key.as_deref()).await {
                Ok(answer) => answer,
                Err(none) if none.lost && request.repeatable && !repeated => {
                    repeated = true;
                    continue;
                }
                Err(none) => return Err(none.failure),
            };
            if answer.status.is_success() {
                return Ok(answer.body);
            }
            // The first attempt has removed it; its answer was lost.
            if repeated
                && request.method == Method::DELETE
                && answer.status == StatusCode::NOT_FOUND
            {
                return Ok(Vec::new());
            }
            if let (Credential::Session(session), Some(token), StatusCode::UNAUTHORIZED, false) =
                (&self.credential, &token, answer.status, renewed)
            {
                session.renew(self, token).await?;
                renewed = true;
                continue;
            }
            let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
            if let Some(pause) = answer.pause.filter(|pause| *pause <= LONGEST_PAUSE)
                && busy.contains(&answer.status)
                && request.repeatable
                && pauses < PAUSES
            {
                pauses += 1;
                sleep(pause).await;
                continue;
            }
            return Err(refusal(answer.status, &answer.body));
        }
    }

    async fn once(
        &self,
        request: &Request<'_>,
        token: Option<&Secret<String>>,
        key: Option<&str>,
    ) -> Result<Answer, NoAnswer> {
        let text = format!("{}{}", self.url, request.path);
        let mut url = Url::parse(&text).map_err(|error| NoAnswer {
            failure: bad_url(&text, &error.to_string()),
            lost: false,
        })?;
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let mut builder = self.http.request(request.method.clone(), url);
        if let Some(token) = token {
            builder = builder.bearer_auth(token.expose());
        }
        if let Some(key) = key {
            builder = builder.header("Idempotency-Key", key);
        }
        if let Some(version) = request.version {
            builder = builder.header(header::IF_MATCH, format!("\"{version}\""));
        }
        if let Some(body) = request.body {
            builder = builder.json(body);
        }
        let no_answer = |error: reqwest::Error| self.no_answer(&error.without_url());
        let response = builder.send().await.map_err(no_answer)?;
        let status = response.status();
        let pause = response.headers().get(header::RETRY_AFTER);
        let pause = pause.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.bytes().await.map_err(no_answer)?.to_vec();
        Ok(Answer { status, pause: pause.map(Duration::from_secs), body })
    }

    fn no_answer(&self, error: &reqwest::Error) -> NoAnswer {
        if let Some(fault) = tls_fault(error) {
            return NoAnswer { failure: self.distrust(fault), lost: false };
        }
        let why = if error.is_timeout() {
            "it does not answer in time".to_owned()
        } else {
            // The innermost cause is the one that a person can do something about.
            let mut cause: &dyn std::error::Error = error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            cause.to_string()
        };
        let failure =
            Failure::new(Exit::Unreachable, format!("{} was not reached: {why}.", self.url))
                .with_hint("Check the address, the network and that `palisade serve` runs there.");
        NoAnswer { failure, lost: !error.is_connect() && !error.is_timeout() }
    }

    /// Says how to trust.
    fn distrust(&self, fault: &rustls::Error) -> Failure {
        let failure = Failure::new(
            Exit::Unreachable,
            format!("{} cannot be trusted: {}.", self.url, in_words(fault)),
        );
        let hint = "Name its CA with --ca-file (`ca.pem` in the data directory of the appliance), or \
                    its certificate with --fingerprint, as the console of the appliance shows it.";
        match self.shown.fingerprint() {
            Some(shown) => failure.with_hint(format!(
                "{hint}\n  What answered has the fingerprint {shown}. \
                 Believe it only if the console shows the same."
            )),
            None => failure.with_hint(hint),
        }
    }
}

/// `https://host[:port]` of what a person has typed.
pub(super) fn base_url(typed: &str) -> Result<String> {
    let typed = typed.trim();
    let full = if typed.contains("://") { typed.to_owned() } else { format!("https://{typed}") };
    let url = Url::parse(&full).map_err(|error| bad_url(typed, &error.to_string()))?;
    if url.scheme() != "https" {
        return Err(bad_url(typed, "only https:// is spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad_url("the URL", "a user and password do not belong there"));
    }
    Ok(url.origin().ascii_serialization())
}

fn bad_url(text: &str, why: &str) -> Failure {
    Failure::usage(
        format!("{text} is no address of an appliance: {why}."),
        "It looks like https://palisade.example.com or https://10.0.0.5:8443.",
    )
}

fn json(body: &[u8]) -> Result<Value> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| unexpected(&error.to_string()))
}

/// The answer is not what the API answers: something else listens there, or another version.
pub(super) fn unexpected(why: &str) -> Failure {
    Failure::new(Exit::Failed, format!("The answer is not one of Palisade's API: {why}."))
        .with_hint("Is it an appliance, and of this program's version? See `palisade whoami`.")
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    code: Option<String>,
    detail: String,
    hint: Option<String>,
    fields: Vec<Fault>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    field: String,
    message: String,
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::CONFLICT
        | StatusCode::PRECONDITION_FAILED
        | StatusCode::PRECONDITION_REQUIRED => Exit::Conflict,
        // A proxy on the way answers for an appliance that it does not reach.
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
            if problem.code.is_none() =>
        {
            Exit::Unreachable
        }
        _ => Exit::Failed,
    };
    let message =
        if problem.detail.is_empty() { format!("The answer is {status}.") } else { problem.detail };
    let mut failure = Failure::new(exit, message);
    if let Some(code) = problem.code {
        failure = failure.with_code(code);
    }
    for fault in &problem.fields {
        failure = failure.with_field(&fault.field, &fault.message);
    }
    let hint = match exit {
        Exit::NotAllowed if status == StatusCode::UNAUTHORIZED => {
            problem.hint.or_else(|| Some("Log in: `palisade login`.".to_owned()))
        }
        _ => problem.hint,
    };
    if let Some(hint) = hint {
        failure = failure.with_hint(hint);
    }
    match problem.request_id.filter(|_| status.is_server_error()) {
        Some(request) => failure.with_request(request),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_typed_short_but_never_without_tls() {
        assert_eq!(
            base_url("palisade.example.com").expect("accepted"),
            "https://palisade.example.com"
        );
        assert_eq!(
            base_url("https://10.0.0.5:8443/system/").expect("accepted"),
            "https://10.0.0.5:8443"
        );
        for wrong in ["http://palisade.example.com", "https://a:b@palisade.example.com", "https://"]
        {
            assert_eq!(base_url(wrong).expect_err("refused").exit(), Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn refusals_end_with_the_code_of_their_class() {
        let exit = |status| refusal(status, b"{\"code\":\"x\",\"detail\":\"y\"}").exit();
        assert_eq!(exit(StatusCode::UNAUTHORIZED), Exit::NotAllowed);
        assert_eq!(exit(StatusCode::FORBIDDEN), Exit::NotAllowed);
        assert_eq!(exit(StatusCode::NOT_FOUND), Exit::NotFound);
        assert_eq!(exit(StatusCode::PRECONDITION_FAILED), Exit::Conflict);
        assert_eq!(exit(StatusCode::UNPROCESSABLE_ENTITY), Exit::Failed);
        assert_eq!(exit(StatusCode::SERVICE_UNAVAILABLE), Exit::Failed);
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"<html>").exit(), Exit::Unreachable);
    }
}

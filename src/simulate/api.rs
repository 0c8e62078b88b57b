//! The few calls of the public API that a simulation needs.
//!
//! Owns: finding or creating the project, creating clusters and deleting them.
//! Must not know: the bus, or what happens to a cluster in between.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    agent::{enrol, settings::Management},
    error::{Error, Kind, Result, chain},
    secret::Secret,
};

/// How often a call is made again that management was too busy for.
const TRIES: u32 = 8;
/// How long to wait then, if management does not say.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The API as one user sees it.
pub(super) struct Api {
    client: Client,
    base: Url,
    key: Secret<String>,
}

/// A cluster that was created.
#[derive(Debug)]
pub(super) struct Created {
    /// Its uid.
    pub(super) uid: String,
    /// The one-time token of its import.
    pub(super) token: Secret<String>,
}

#[derive(Deserialize)]
struct Named {
    uid: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Named>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct NewCluster {
    cluster: Named,
    import: Import,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Import {
    manifest_url: Secret<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    hint: Option<String>,
}

impl Api {
    /// The API of `management`, called with an API key.
    ///
    /// Errors: `Invalid` when the CA cannot be used.
    pub(super) fn new(management: &Management, key: Secret<String>) -> Result<Self> {
        Ok(Self { client: enrol::client(management)?, base: management.url.clone(), key })
    }

    /// The uid of the project called `name`, which is created if it is missing.
    pub(super) async fn project(&self, name: &str) -> Result<String> {
        let mut cursor: Option<String> = None;
        loop {
            let mut url = self.url(&["v1", "projects"])?;
            url.query_pairs_mut().append_pair("limit", "200").append_pair("q", name);
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("cursor", cursor);
            }
            let page: Page = self.call(|| self.request(Method::GET, url.clone())).await?;
            if let Some(project) = page.items.into_iter().find(|project| project.name == name) {
                return Ok(project.uid);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let url = self.url(&["v1", "projects"])?;
        let body = json!({"name": name});
        let project: Named =
            self.call(|| self.request(Method::POST, url.clone()).json(&body)).await?;
        Ok(project.uid)
    }

    /// Creates a cluster that waits for its agent.
    pub(super) async fn create_cluster(&self, name: String, project: &str) -> Result<Created> {
        let url = self.url(&["v1", "clusters"])?;
        let body = json!({"name": name, "project": project});
        let new: NewCluster =
            self.call(|| self.request(Method::POST, url.clone()).json(&body)).await?;
        Ok(Created { uid: new.cluster.uid, token: token(&new.import.manifest_url)? })
    }

    /// Deletes a cluster.
    pub(super) async fn delete_cluster(&self, uid: &str) -> Result<()> {
        let url = self.url(&["v1", "clusters", uid])?;
        match self.send(|| self.request(Method::DELETE, url.clone())).await {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    fn url(&self, segments: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        let path = url.path_segments_mut().map(|mut path| {
            path.clear().extend(segments);
        });
        path.map_err(|()| Error::invalid("management-url", "it has no path"))?;
        Ok(url)
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url).bearer_auth(self.key.expose())
    }

    async fn call<T: DeserializeOwned>(&self, request: impl Fn() -> RequestBuilder) -> Result<T> {
        let body = self.send(request).await?;
        serde_json::from_slice(&body).map_err(|cause| {
            let message = "The answer was not what Palisade's API answers.";
            Error::new(Kind::Internal, "unexpected-answer", message).caused_by(cause)
        })
    }

    /// Sends until management is not too busy; the body of a good answer.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Vec<u8>> {
        for attempt in 1.. {
            let response = request().send().await.map_err(unreachable)?;
            let status = response.status();
            let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
            if busy.contains(&status) && attempt < TRIES {
                let after = response.headers().get(header::RETRY_AFTER);
                let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
                sleep(after.map_or(PAUSE, Duration::from_secs).min(LONGEST_PAUSE)).await;
                continue;
            }
            let body = response.bytes().await.map_err(unreachable)?;
            if status.is_success() {
                return Ok(body.to_vec());
            }
            return Err(refused(status, &body));
        }
        Err(Error::unavailable("Management is too busy."))
    }
}

/// The token is the last segment of the manifest's URL.
fn token(manifest_url: &Secret<String>) -> Result<Secret<String>> {
    let path = manifest_url.expose().split(['?', '#']).next().unwrap_or_default();
    let token = path.rsplit('/').next().filter(|token| !token.is_empty());
    token.map(|token| Secret::new(token.to_owned())).ok_or_else(|| {
        let message = "The answer names no manifest with a token.";
        Error::new(Kind::Internal, "unexpected-answer", message)
    })
}

fn unreachable(error: reqwest::Error) -> Error {
    let cause = chain(&error.without_url());
    Error::unavailable(format!("Management was not reached: {cause}."))
}

fn refused(status: StatusCode, body: &[u8]) -> Error {
    let kind = match status {
        StatusCode::UNAUTHORIZED => Kind::Unauthenticated,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        status if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Invalid,
    };
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let text = if problem.detail.is_empty() { problem.title } else { problem.detail };
    let text = if text.is_empty() { status.to_string() } else { text };
    let error = Error::new(kind, "refused", format!("Management refused: {text}"));
    match problem.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_last_segment_of_the_manifest_url() {
        let read = |url: &str| token(&Secret::new(url.to_owned())).map(|t| t.expose().clone());
        assert_eq!(read("https://m/v1/agent/manifest/abc-_1").unwrap(), "abc-_1");
        assert_eq!(read("https://m/v1/agent/manifest/abc?x=/y").unwrap(), "abc");
        assert!(read("https://m/v1/agent/manifest/").is_err());
    }

    #[test]
    fn a_refusal_says_what_management_says() {
        let body = br#"{"detail":"The name is taken.","hint":"Choose another."}"#;
        let error = refused(StatusCode::CONFLICT, body);
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(error.message(), "Management refused: The name is taken.");
        assert_eq!(error.hint(), Some("Choose another."));
        assert!(refused(StatusCode::BAD_GATEWAY, b"<html>").message().contains("502"));
    }
}

//! An HTTPS client that trusts the appliance's own CA and nothing else.

use reqwest::{Method, StatusCode, header};
use serde_json::Value;

/// A caller of the API.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(url: &str, ca_pem: &str) -> Self {
        // Fails when somebody in this process was first: as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes()).expect("a CA certificate");
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .build()
            .expect("an HTTP client");
        Self { http, url: url.to_owned(), token: None }
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or("")
    }

    /// A request that the test shapes further before it goes to [`Client::send`].
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let headers = response.headers().clone();
        let body = response.text().await.expect("a whole answer");
        let json = serde_json::from_str(&body).unwrap_or(Value::Null);
        Reply { status, headers, body, json }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// An update based on `version`.
    pub(crate) async fn patch(&self, path: &str, version: i64, body: Value) -> Reply {
        let request = self.request(Method::PATCH, path);
        self.send(request.header(header::IF_MATCH, format!("\"{version}\"")).json(&body)).await
    }
}

/// An answer, read completely.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: String,
    pub(crate) json: Value,
}

impl Reply {
    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
    }

    /// A problem document with this status and code.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        self.assert_status(status);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.json["code"], code, "{}", self.body);
        assert_eq!(self.json["type"], format!("urn:palisade:problem:{code}"));
        assert_eq!(self.json["requestId"], self.headers["x-request-id"].to_str().expect("ASCII"));
    }

    /// The problem names this field.
    #[track_caller]
    pub(crate) fn assert_field(&self, field: &str) {
        let fields = self.json["fields"].as_array().cloned().unwrap_or_default();
        assert!(fields.iter().any(|fault| fault["field"] == field), "{}", self.body);
    }

    /// The text at a JSON pointer.
    #[track_caller]
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let found = self.json.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer} in {}", self.body))
    }

    /// The number at a JSON pointer.
    #[track_caller]
    pub(crate) fn number(&self, pointer: &str) -> i64 {
        let found = self.json.pointer(pointer).and_then(Value::as_i64);
        found.unwrap_or_else(|| panic!("no number at {pointer} in {}", self.body))
    }

    /// The items of a list.
    #[track_caller]
    pub(crate) fn items(&self) -> &[Value] {
        self.json["items"].as_array().unwrap_or_else(|| panic!("no list: {}", self.body))
    }
}

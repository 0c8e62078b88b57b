//! The `Idempotency-Key` of a POST and the digest of what it asks for.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, Method},
};

use super::extract::read_body;
use crate::{
    app::App,
    error::{Error, Kind, Result},
    rbac::{Idempotency, RequestMeta},
};

pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// On the answer to a repetition: `true`.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Takes the key, if there is one, and the digest of method, path, query and
/// body into `meta`. The body is read here and handed on.
pub(super) async fn note(request: Request, meta: &mut RequestMeta, app: &App) -> Result<Request> {
    if request.method() != Method::POST || !request.headers().contains_key(HEADER) {
        return Ok(request);
    }
    let key = request.headers().get(HEADER).and_then(|value| value.to_str().ok()).unwrap_or("");
    if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::new(
            Kind::Malformed,
            "malformed",
            "The header Idempotency-Key cannot be understood.",
        )
        .with_field("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
    }
    let key = key.to_owned();
    let (parts, body) = request.into_parts();
    let bytes = read_body(Request::new(body), app).await?;
    // HTTP/2 names the host too, and the same request may be made again at another node.
    let asked = parts.uri.path_and_query().map_or("/", |asked| asked.as_str());
    let digest = app.ledger().vault().keystore().request_digest(&[asked.as_bytes(), &bytes]);
    meta.idempotency = Some(Idempotency::new(key, digest));
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

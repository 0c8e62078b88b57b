//! Everything that is no API: the pages of the browser.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};

use crate::{
    error::Error,
    gateway::respond::ApiError,
    ui::{self, Asset},
};

/// Paths below these are never pages.
const NOT_PAGES: [&str; 4] = ["/v1/", "/v2/", "/bus", "/openapi"];

pub(in crate::gateway) async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    let is_page = matches!(*request.method(), Method::GET | Method::HEAD)
        && !NOT_PAGES.iter().any(|prefix| path.starts_with(prefix));
    let accept = request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    match is_page.then(|| ui::find(path, accept)).flatten() {
        Some(asset) => respond(asset),
        None => ApiError(Error::not_found("path")).into_response(),
    }
}

fn respond(asset: Asset) -> Response {
    let mut response = Response::new(Body::from(asset.bytes.into_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(ui::CONTENT_SECURITY_POLICY),
    );
    let keep = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if let Some(encoding) = asset.encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

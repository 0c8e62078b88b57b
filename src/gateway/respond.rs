//! Answers: success with its status and version, and errors, mapped once.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, Kind};

/// When it makes sense to try again what is unavailable, if the error does not say.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// The result of every handler.
pub(super) type Answer<T> = Result<T, ApiError>;

/// A problem document (RFC 9457) with the fields that our clients rely on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    /// `urn:palisade:problem:` and the code.
    r#type: String,
    /// The class of problem, in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The stable name of this problem.
    code: String,
    /// What is wrong, for a person.
    detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The request, as the log of the appliance names it.
    request_id: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<ProblemField>,
}

/// One field at fault.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemField {
    /// Its path, e.g. `admin.email`.
    field: String,
    /// What is wrong with it.
    message: String,
}

/// An error on its way out. The envelope gives it the request id.
#[derive(Debug)]
pub(super) struct ApiError(pub(super) Error);

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Carries an error through the response to the envelope, which finishes it.
#[derive(Clone, Debug)]
pub(super) struct Unfinished(pub(super) std::sync::Arc<Error>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status(self.0.kind()).into_response();
        response.extensions_mut().insert(Unfinished(std::sync::Arc::new(self.0)));
        response
    }
}

/// The status of a kind of error. Exhaustive on purpose.
pub(super) fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Malformed => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND, // also: exists, but not for you to know
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Stale => StatusCode::PRECONDITION_FAILED,
        Kind::VersionRequired => StatusCode::PRECONDITION_REQUIRED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The finished answer for an error.
pub(super) fn problem(error: &Error, request_id: &str) -> Response {
    let status = status(error.kind());
    let problem = Problem {
        r#type: format!("urn:palisade:problem:{}", error.code()),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        code: error.code().to_owned(),
        detail: error.message().to_owned(),
        hint: error.hint().map(str::to_owned),
        request_id: request_id.to_owned(),
        fields: error
            .fields()
            .iter()
            .map(|fault| ProblemField {
                field: fault.field.clone(),
                message: fault.message.clone(),
            })
            .collect(),
    };
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let later = (error.kind() == Kind::Unavailable).then_some(TRY_AGAIN);
    if let Some(after) = error.retry_after().or(later) {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if error.kind() == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A body with its version as `ETag`, for the `If-Match` of an update.
#[derive(Debug)]
pub(super) struct Versioned<T>(pub(super) i64, pub(super) T);

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let Self(version, body) = self;
        ([(header::ETAG, etag(version))], Json(body)).into_response()
    }
}

/// `201` with the new object.
#[derive(Debug)]
pub(super) struct Created<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

/// `204`.
#[derive(Debug)]
pub(super) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

pub(super) fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// The header that carries the request id.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_unavailable_says_when_to_try_again() {
        let after = |error: Error| {
            let answer = problem(&error, "request");
            answer.headers().get(header::RETRY_AFTER).cloned()
        };
        let late = || Error::new(Kind::Unavailable, "timed-out", "It took too long.");
        assert_eq!(after(late()), Some(HeaderValue::from_static("2")));
        let later = late().with_retry_after(Duration::from_millis(7_001));
        assert_eq!(after(later), Some(HeaderValue::from_static("8")));
        assert_eq!(after(Error::not_found("tenant")), None);
    }
}

//! The span around one request, and the names of its fields.
//!
//! Every line that is logged inside of the span carries these fields. Who the
//! caller is becomes known only after authentication: record those fields then,
//! e.g. `span.record(span::USER, display(user))`. A field that was never
//! recorded is left out of the lines.
//!
//! Values are identifiers: never a name, an e-mail address, a token or a path
//! with what the caller put into it.

use tracing::{Span, field::Empty};

/// The id that the caller reads in an error and that audit records carry.
pub const REQUEST_ID: &str = "request_id";
/// The user's uid.
pub const USER: &str = "user";
/// The tenant's uid.
pub const TENANT: &str = "tenant";
/// The session's id. It is no credential.
pub const SESSION: &str = "session";
/// The status code of the answer.
pub const STATUS: &str = "status";
/// How long it took, in milliseconds with a fraction.
pub const DURATION_MS: &str = "duration_ms";

/// The span of a request. `route` is the template of the path, such as
/// `/v1/clusters/{cluster}`, never the path itself.
pub fn request(request_id: &str, method: &str, route: &str) -> Span {
    // At the level of errors, so that the filter `error` does not drop the span
    // and with it the fields of the errors.
    tracing::error_span!(
        "request",
        request_id,
        method,
        route,
        user = Empty,
        tenant = Empty,
        session = Empty,
        status = Empty,
        duration_ms = Empty,
    )
}

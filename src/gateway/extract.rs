//! What handlers take: permits, valid input, pages and versions.

use std::str::FromStr;

use axum::{
    RequestPartsExt,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{header, request::Parts},
};
use garde::Validate;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use super::respond::ApiError;
use crate::{
    app::App,
    error::{Error, Kind, Result},
    identity::Caller,
    rbac::{Permit, RequestMeta, Right},
    store::{Cursor, ListQuery},
};

/// The caller, if there is one, and the request, as the envelope found them.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) caller: Option<Caller>,
    pub(super) meta: RequestMeta,
}

impl Context {
    pub(super) fn signed_in(&self) -> Result<&Caller> {
        self.caller.as_ref().ok_or_else(|| {
            Error::new(Kind::Unauthenticated, "session-ended", "You are not signed in (any more).")
                .with_hint("Sign in, or send a valid bearer token.")
        })
    }
}

impl FromRequestParts<App> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let context = parts.extensions.get::<Self>().cloned();
        context.ok_or_else(|| Error::internal("a request without the envelope").into())
    }
}

/// A caller who has signed in, whatever it may do.
#[derive(Debug)]
pub(super) struct SignedIn(pub(super) Caller, pub(super) RequestMeta);

impl FromRequestParts<App> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let context = Context::from_request_parts(parts, app).await?;
        Ok(Self(context.signed_in()?.clone(), context.meta))
    }
}

/// The permit for `R`. The envelope records a refusal before it is answered.
#[derive(Debug)]
pub(super) struct Allowed<R: Right>(pub(super) Permit<R>);

impl<R: Right> FromRequestParts<App> for Allowed<R> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let SignedIn(caller, meta) = SignedIn::from_request_parts(parts, app).await?;
        Ok(Self(caller.grants.permit::<R>(caller.actor(meta))?))
    }
}

/// An identifier in the path. What is not one names nothing: `404`.
#[derive(Debug)]
pub(super) struct Id<T>(pub(super) T);

impl<T: FromStr + Send> FromRequestParts<App> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Path(values) = parts
            .extract::<Path<Vec<(String, String)>>>()
            .await
            .map_err(|_| Error::not_found("object"))?;
        let id = values.first().and_then(|(_, value)| value.parse().ok());
        Ok(Self(id.ok_or_else(|| Error::not_found("object"))?))
    }
}

/// Two identifiers in the path.
#[derive(Debug)]
pub(super) struct Ids<A, B>(pub(super) A, pub(super) B);

impl<A: FromStr + Send, B: FromStr + Send> FromRequestParts<App> for Ids<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Path(values) = parts
            .extract::<Path<Vec<(String, String)>>>()
            .await
            .map_err(|_| Error::not_found("object"))?;
        let first = values.first().and_then(|(_, value)| value.parse().ok());
        let second = values.get(1).and_then(|(_, value)| value.parse().ok());
        match (first, second) {
            (Some(first), Some(second)) => Ok(Self(first, second)),
            _ => Err(Error::not_found("object").into()),
        }
    }
}

/// A JSON body that was understood and is valid.
#[derive(Debug)]
pub(super) struct ValidJson<T>(pub(super) T);

impl<T> FromRequest<App> for ValidJson<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let essence = value.split(';').next().unwrap_or("").trim();
                essence.eq_ignore_ascii_case("application/json")
            });
        if !json {
            return Err(Error::new(
                Kind::Malformed,
                "not-json",
                "The body must be JSON, with Content-Type: application/json.",
            )
            .into());
        }
        let body = read_body(request, app).await?;
        let value = parse_json::<T>(&body, app.config().limits.json_depth)?;
        value.validate().map_err(|report| invalid(&report))?;
        Ok(Self(value))
    }
}

/// The whole body, unless it is too large.
pub(super) async fn read_body(request: Request, app: &App) -> Result<Bytes> {
    let limit = app.config().limits.body_bytes;
    axum::body::to_bytes(request.into_body(), limit).await.map_err(|error| {
        let text = error.to_string();
        if text.contains("length limit") {
            Error::new(
                Kind::TooLarge,
                "too-large",
                format!("The body is larger than the allowed {limit} bytes."),
            )
        } else {
            Error::new(Kind::Malformed, "cut-off", "The body ended before it was complete.")
                .caused_by(text)
        }
    })
}

fn parse_json<T: DeserializeOwned>(body: &[u8], depth: usize) -> Result<T> {
    if nesting(body) > depth {
        return Err(Error::new(
            Kind::Malformed,
            "too-deep",
            format!("The JSON is nested more than {depth} levels deep."),
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let malformed = Error::new(Kind::Malformed, "malformed", "The body cannot be understood.");
        match (inner.classify(), path.as_str()) {
            (serde_json::error::Category::Data, ".") => malformed.with_field("", inner.to_string()),
            (serde_json::error::Category::Data, path) => {
                malformed.with_field(path, inner.to_string())
            }
            _ => malformed.with_field("", format!("this is not JSON: {inner}")),
        }
    })?;
    reader.end().map_err(|error| {
        Error::new(Kind::Malformed, "malformed", "The body cannot be understood.")
            .with_field("", error.to_string())
    })?;
    Ok(value)
}

/// How deeply a JSON text is nested, without parsing it.
fn nesting(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn invalid(report: &garde::Report) -> Error {
    let error = Error::new(Kind::Invalid, "invalid", "Some fields are not acceptable.");
    report.iter().fold(error, |error, (path, fault)| {
        error.with_field(path.to_string(), fault.message().to_owned())
    })
}

/// Query parameters that were understood; names the one that was not.
#[derive(Debug)]
pub(super) struct ValidQuery<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for ValidQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri).map_err(|rejection| {
            Error::new(Kind::Malformed, "malformed", "The query cannot be understood.")
                .with_field("query", rejection.body_text())
        })?;
        Ok(Self(query.0))
    }
}

/// How lists are paged, searched and sorted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Rows per page, 1 to 200.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// Only rows whose name contains this, in any case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// The column to sort by; with a leading `-` largest first. Without it: by
    /// `name` where there is one, assignments by `createdAt`, audit records by `-at`.
    sort: Option<String>,
}

impl ListParams {
    /// Checks the parameters. Kind: `Invalid`.
    pub(super) fn query(self) -> Result<ListQuery> {
        let limit = self.limit.unwrap_or(50);
        if !(1..=200).contains(&limit) {
            return Err(Error::invalid("limit", "must be between 1 and 200"));
        }
        if self.q.as_ref().is_some_and(|q| q.len() > 200 || q.contains('\0')) {
            return Err(Error::invalid("q", "must be a text of at most 200 characters"));
        }
        let sort = self.sort.unwrap_or_default();
        let (sort, descending) = match sort.strip_prefix('-') {
            Some(sort) => (sort.to_owned(), true),
            None => (sort, false),
        };
        let cursor = self.cursor.as_deref().map(Cursor::decode).transpose()?;
        Ok(ListQuery { limit, cursor, search: self.q, sort, descending })
    }
}

/// The version that an update is based on, from `If-Match`.
#[derive(Debug)]
pub(super) struct IfMatch(pub(super) i64);

impl FromRequestParts<App> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else {
            return Err(Error::new(
                Kind::VersionRequired,
                "version-required",
                "An update must say which version it is based on.",
            )
            .with_hint("Send the ETag of the last read in the header If-Match.")
            .into());
        };
        let text = value.to_str().unwrap_or("").trim();
        let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let version = number.parse().map_err(|_| {
            Error::new(Kind::Malformed, "malformed", "The header If-Match cannot be understood.")
                .with_field("If-Match", "must be the ETag of the last read, e.g. \"3\"")
        })?;
        Ok(Self(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_count_as_nesting() {
        assert_eq!(nesting(br#"{"a":"[[[","b":[1]}"#), 2);
        assert_eq!(nesting(br#"{"a":"\"[[["}"#), 1);
    }

    #[test]
    fn a_wrong_type_is_reported_with_the_path_of_its_field() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only parsed")]
        struct Body {
            admin: Admin,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only parsed")]
        struct Admin {
            email: String,
        }
        let error = parse_json::<Body>(br#"{"admin":{"email":5}}"#, 64).expect_err("refused");
        assert_eq!(error.fields()[0].field, "admin.email");
    }

    #[test]
    fn deep_nesting_is_refused_before_parsing() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        let error = parse_json::<serde_json::Value>(deep.as_bytes(), 64).expect_err("refused");
        assert_eq!(error.code(), "too-deep");
    }
}

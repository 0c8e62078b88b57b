//! What happens around every request, in one place and in order.
//!
//! 1. a request id
//! 2. the address and its token bucket
//! 3. cross-site writes are refused
//! 4. who is calling, and the tenant's bucket
//! 5. the idempotency key
//! 6. the handler, with a time limit and protected against panics
//! 7. refusals are recorded, errors become problem documents
//! 8. security headers
//! 9. one log line

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use data_encoding::HEXLOWER;
use futures_util::FutureExt;
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    cookies,
    counted::Counted,
    extract::Context,
    hosts, idempotency,
    limits::Buckets,
    respond::{REQUEST_ID, Unfinished, problem},
    routes,
};
use crate::{
    app::App,
    audit::{Event, Outcome},
    clock::random_bytes,
    error::{Error, Kind, Result},
    identity::Caller,
    ids::Uid,
    observability::span,
    rbac::{Actor, Idempotency, RequestMeta},
};

/// What the envelope needs besides the application.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) app: App,
    pub(super) buckets: Arc<Buckets>,
    pub(super) counted: Arc<Counted>,
}

/// The middleware around every route.
pub(super) async fn wrap(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let app = &gate.app;
    let started = Instant::now();
    let request_id = HEXLOWER.encode(&random_bytes::<8>(app.ledger().random()));
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let span = span::request(&request_id, method.as_str(), &route);
    let answered = async {
        let outcome =
            AssertUnwindSafe(handle(&gate, request, next, &request_id, &route)).catch_unwind();
        outcome.await.unwrap_or_else(|_| Err(Error::internal("a handler panicked")))
    }
    .instrument(span.clone())
    .await;
    let _entered = span.enter();
    let mut response = match answered {
        Ok(mut response) => match response.extensions_mut().remove::<Unfinished>() {
            Some(Unfinished(error)) => finish(&error, &request_id, &mut response),
            None => tidy_plain(response, &request_id),
        },
        Err(error) => finish(&error, &request_id, &mut Response::default()),
    };
    secure(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let elapsed = started.elapsed();
    gate.counted.answered(&method, &route, response.status().as_u16(), elapsed);
    span.record(span::STATUS, response.status().as_u16());
    span.record(span::DURATION_MS, (elapsed.as_secs_f64() * 10_000.0).round() / 10.0);
    tracing::info!("{method} {route} {}", response.status().as_u16());
    response
}

async fn handle(
    gate: &Gate,
    request: Request,
    next: Next,
    request_id: &str,
    route: &str,
) -> Result<Response> {
    let app = &gate.app;
    let address = hosts::client_address(app.config(), peer(&request), request.headers());
    gate.buckets.check_address(address, route)?;
    let cookie = cookies::read(request.headers(), cookies::ACCESS).map(str::to_owned);
    let host = hosts::host(&request).map(str::to_owned);
    refuse_cross_site(request.method(), request.headers(), host.as_deref())?;
    let caller = authenticate(app, request.headers(), host.as_deref(), cookie.as_deref()).await?;
    if let Some(caller) = &caller {
        gate.buckets.check_tenant(caller.tenant)?;
        let current = tracing::Span::current();
        current.record(span::TENANT, caller.tenant.to_string());
        current.record(span::USER, caller.user.to_string());
        if let Some(session) = caller.principal.session() {
            // The first half names it; the whole of it would be a help to a thief.
            current.record(span::SESSION, &session.to_string()[..16]);
        }
    }
    let mut meta = RequestMeta {
        request_id: request_id.to_owned(),
        address: Some(address),
        idempotency: None,
    };
    let changes = !request.method().is_safe();
    let object = named_object(request.uri().path());
    let app = app.clone();
    let limit = match route {
        routes::updates::UPLOAD => routes::updates::UPLOAD_LIMIT,
        _ => app.config().limits.request_seconds.duration(),
    };
    let tasks = app.tasks().clone();
    let work = async move {
        let mut request = idempotency::note(request, &mut meta, &app).await?;
        request.extensions_mut().insert(Context { caller: caller.clone(), meta: meta.clone() });
        let mut response = next.run(request).await;
        if meta.idempotency.as_ref().is_some_and(Idempotency::is_replayed) {
            response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
        }
        if let (Some(Unfinished(error)), Some(caller)) = (response.extensions().get(), &caller) {
            record_refusal(&app, error, &caller.actor(meta), object).await?;
        }
        Ok(response)
    };
    if !changes {
        return timeout(limit, work).await.unwrap_or_else(|_| Err(too_late()));
    }
    // A change has steps after its commit: caches to renew, a certificate to
    // serve. They are done even when the caller has hung up or waited too long.
    match timeout(limit, tasks.spawn(work.in_current_span())).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(broken)) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
        Ok(Err(broken)) => Err(Error::internal(broken)),
        Err(_) => Err(too_late().with_hint(
            "It may have been carried out all the same: \
             send it again with the same Idempotency-Key, or look whether it was.",
        )),
    }
}

fn too_late() -> Error {
    Error::new(Kind::Unavailable, "timed-out", "The request took too long and was given up.")
}

/// Whoever was refused for want of a permission finds it in the audit trail.
async fn record_refusal(
    app: &App,
    error: &Error,
    actor: &Actor,
    object: Option<Uid>,
) -> Result<()> {
    let Some(permission) = error.wanted() else { return Ok(()) };
    let event = Event::new(permission).outcome(Outcome::Denied);
    let event = object.map_or(event.clone(), |uid| event.on(uid));
    app.ledger().note(actor, event).await
}

/// The first identifier in the path: the object that the request is about.
fn named_object(path: &str) -> Option<Uid> {
    path.split('/').find_map(|segment| segment.parse().ok())
}

fn peer(request: &Request) -> SocketAddr {
    request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |ConnectInfo(peer)| *peer)
}

/// Who is calling. A bearer token counts before a cookie; a credential that
/// does not count makes the caller nobody, which public routes do not mind.
async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    host: Option<&str>,
    cookie: Option<&str>,
) -> Result<Option<Caller>> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(credential) = bearer.or(cookie) else { return Ok(None) };
    match app.sessions().authenticate(credential).await {
        Ok(caller) => {
            let slug = host.and_then(|host| hosts::tenant_label(app.config(), host));
            let fits = slug.is_none_or(|slug| slug == &*caller.slug);
            Ok(fits.then_some(caller))
        }
        Err(error) if error.kind() == Kind::Unauthenticated => Ok(None),
        Err(error) => Err(error),
    }
}

/// A browser says where a write comes from; other sites may not write here,
/// with or without cookies (a login from elsewhere is an attack too).
fn refuse_cross_site(method: &Method, headers: &HeaderMap, host: Option<&str>) -> Result<()> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let site_is_foreign =
        text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let origin_is_foreign = text("origin").is_some_and(|origin| {
        let authority = origin.strip_prefix("https://");
        authority.is_none() || host.is_some_and(|host| authority != Some(host))
    });
    let cookie_without_proof = cookies::read(headers, cookies::ACCESS).is_some()
        && !headers.contains_key(header::AUTHORIZATION)
        && text("sec-fetch-site").is_none()
        && text("origin").is_none();
    if site_is_foreign || origin_is_foreign || cookie_without_proof {
        return Err(Error::new(
            Kind::Forbidden,
            "cross-site",
            "This request does not come from the appliance's own pages.",
        ));
    }
    Ok(())
}

/// The problem document of an error; whatever the handler set (cookies to be
/// cleared) stays.
fn finish(error: &Error, request_id: &str, unfinished: &mut Response) -> Response {
    match error.kind() {
        Kind::Internal => {
            tracing::error!(error = %error.chain(), "request failed: {}", error.chain());
        }
        Kind::Unavailable | Kind::StorageFull => {
            tracing::warn!(error = %error.chain(), "request refused: {}", error.chain());
        }
        _ => tracing::debug!(error = %error.chain(), "request refused"),
    }
    let mut response = problem(error, request_id);
    for value in unfinished.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, value.clone());
    }
    response
}

/// Answers that axum itself made (unknown path, wrong method) get our form too.
fn tidy_plain(response: Response, request_id: &str) -> Response {
    let has_body = response.headers().contains_key(header::CONTENT_TYPE);
    match response.status() {
        StatusCode::NOT_FOUND if !has_body => problem(&Error::not_found("path"), request_id),
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(header::ALLOW).cloned();
            let error =
                Error::new(Kind::Malformed, "wrong-method", "This path does not take that method.");
            let mut finished = problem(&error, request_id);
            *finished.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            if let Some(allow) = allow {
                finished.headers_mut().insert(header::ALLOW, allow);
            }
            finished
        }
        _ => response,
    }
}

/// Headers on every answer, errors included.
fn secure(headers: &mut HeaderMap) {
    const ALWAYS: &[(&str, &str)] = &[
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ];
    for (name, value) in ALWAYS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ));
}

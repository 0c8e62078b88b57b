//! Is it alive, is it ready, what does it count.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    gateway::{extract::Allowed, openapi},
    observability::Check,
    rbac::rights::PlatformGet,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(openapi_document))
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "Appliance", security(()),
    responses((status = 200, description = "Alive.", body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the appliance can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct ReadyView {
    /// Everything that is needed works.
    ready: bool,
    /// Each thing that is needed.
    checks: Vec<CheckView>,
}

/// One thing that is needed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::gateway) struct CheckView {
    name: &'static str,
    ok: bool,
    detail: String,
}

impl From<Check> for CheckView {
    fn from(check: Check) -> Self {
        Self { name: check.name, ok: check.ok, detail: check.detail.into_owned() }
    }
}

impl ReadyView {
    pub(in crate::gateway) fn of(app: &App) -> Self {
        let snapshot = app.readiness().snapshot();
        let checks = snapshot.checks.into_iter().map(CheckView::from).collect();
        Self { ready: snapshot.ready, checks }
    }
}

/// The appliance can do its work; otherwise what is missing.
#[utoipa::path(get, path = "/readyz", tag = "Appliance", security(()), responses(
    (status = 200, description = "Ready.", body = ReadyView),
    (status = 503, description = "Not ready.", body = ReadyView)))]
async fn readyz(State(app): State<App>) -> Response {
    let view = ReadyView::of(&app);
    let status = if view.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(view)).into_response()
}

/// Metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "Appliance",
    extensions(("x-permission" = json!("platform.get"))),
    responses((status = 200, description = "Prometheus text format.", body = String, content_type = "text/plain")))]
async fn metrics(State(app): State<App>, _permit: Allowed<PlatformGet>) -> Response {
    let text = app.metrics().map_or_else(String::new, crate::observability::MetricsHandle::render);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "Appliance", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
async fn openapi_document() -> Response {
    static DOCUMENT: std::sync::LazyLock<String> = std::sync::LazyLock::new(openapi::document);
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

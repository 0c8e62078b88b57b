//! What a page needs to know before anybody has signed in.

use axum::{
    Json,
    extract::{Request, State},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::auth::TenantRef;
use crate::{
    app::App,
    gateway::{hosts, respond::Answer},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_context))
}

/// Where the caller is.
#[derive(Debug, Serialize, ToSchema)]
struct ContextView {
    product: &'static str,
    version: &'static str,
    /// `required` until the first administrator exists.
    setup: &'static str,
    /// The tenant whose own host name was used.
    tenant: Option<TenantRef>,
    /// The name of the appliance.
    fqdn: String,
    /// SHA-256 of the server certificate, as the console shows it.
    fingerprint: String,
}

/// Product, version, state of set-up, and the tenant of this host name.
#[utoipa::path(get, path = "/v1/context", tag = "Session", security(()),
    responses((status = 200, description = "The context.", body = ContextView)))]
async fn get_context(State(app): State<App>, request: Request) -> Answer<Json<ContextView>> {
    let label = hosts::host(&request)
        .and_then(|host| hosts::tenant_label(app.config(), host))
        .map(str::to_owned);
    let tenant = match label {
        Some(label) => app.tenants().by_slug(&label).await?.map(TenantRef::from),
        None => None,
    };
    Ok(Json(ContextView {
        product: "Palisade",
        version: env!("CARGO_PKG_VERSION"),
        setup: if app.setup().is_done().await? { "done" } else { "required" },
        tenant,
        fqdn: app.config().server.fqdn.to_string(),
        fingerprint: app.certificate().fingerprint,
    }))
}

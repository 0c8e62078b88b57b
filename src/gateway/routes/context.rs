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
    gateway::{extract::Context, hosts, respond::Answer},
    identity::PasswordPolicy,
    ids::TenantId,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_context))
}

/// Where the caller is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
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
    /// What a password must be like: of the caller's tenant, else of the tenant
    /// of this host name, else of the first administrator until there is one.
    password_policy: Option<ContextPolicy>,
}

/// A password policy without the words that the tenant has blocked.
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the API")]
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ContextPolicy {
    /// In characters.
    min_length: u32,
    require_upper: bool,
    require_lower: bool,
    require_digit: bool,
    require_symbol: bool,
    /// 0: never.
    expires_after_days: u32,
    /// How many earlier passwords may not be used again.
    history: u32,
}

impl From<PasswordPolicy> for ContextPolicy {
    fn from(policy: PasswordPolicy) -> Self {
        Self {
            min_length: policy.min_length,
            require_upper: policy.require_upper,
            require_lower: policy.require_lower,
            require_digit: policy.require_digit,
            require_symbol: policy.require_symbol,
            expires_after_days: policy.expires_after_days,
            history: policy.history,
        }
    }
}

/// Product, version, state of set-up, and the tenant of this host name.
#[utoipa::path(get, path = "/v1/context", tag = "Session", security(()),
    responses((status = 200, description = "The context.", body = ContextView)))]
async fn get_context(
    State(app): State<App>,
    context: Context,
    request: Request,
) -> Answer<Json<ContextView>> {
    let label = hosts::host(&request)
        .and_then(|host| hosts::tenant_label(app.config(), host))
        .map(str::to_owned);
    let tenant = match label {
        Some(label) => app.tenants().by_slug(&label).await?,
        None => None,
    };
    let done = app.setup().is_done().await?;
    let here = context.caller.map(|caller| caller.tenant);
    let here = here.or(tenant.as_ref().map(|tenant| tenant.id));
    let password_policy = match here.or((!done).then_some(TenantId::SYSTEM)) {
        Some(tenant) => Some(app.policies().shown(tenant).await?.into()),
        None => None,
    };
    Ok(Json(ContextView {
        product: "Palisade",
        version: env!("CARGO_PKG_VERSION"),
        setup: if done { "done" } else { "required" },
        tenant: tenant.map(TenantRef::from),
        fqdn: app.config().server.fqdn.to_string(),
        fingerprint: app.certificate().fingerprint,
        password_policy,
    }))
}

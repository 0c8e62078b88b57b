//! Settings: the password policy of a scope, and the server certificate.

use axum::{Json, extract::State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    appliance::Source,
    certificates::CertificateInfo,
    clock::Timestamp,
    gateway::{
        extract::{Allowed, IfMatch, ValidJson},
        respond::{Answer, Versioned},
    },
    identity::{PasswordPolicy, StoredPolicy},
    rbac::rights::{CertificateGet, CertificateUpdate, PolicyGet, PolicyUpdate},
    secret::Secret,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_password_policy, put_password_policy))
        .routes(routes!(get_certificate, put_certificate))
        .routes(routes!(reset_certificate))
}

/// What a password must be like.
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the API")]
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyBody {
    /// In characters, 8 to 128.
    #[garde(skip)]
    min_length: u32,
    #[garde(skip)]
    require_upper: bool,
    #[garde(skip)]
    require_lower: bool,
    #[garde(skip)]
    require_digit: bool,
    #[garde(skip)]
    require_symbol: bool,
    /// 0: never.
    #[garde(skip)]
    expires_after_days: u32,
    /// How many earlier passwords may not be used again, at most 24.
    #[garde(skip)]
    history: u32,
    /// Words that passwords may not be, or contain.
    #[garde(length(max = 10_000))]
    block_list: Vec<String>,
}

/// A password policy and its version.
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the API")]
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyView {
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
    /// Words that passwords may not be, or contain.
    block_list: Vec<String>,
    /// 0 for the defaults.
    version: i64,
}

impl From<PolicyBody> for PasswordPolicy {
    fn from(body: PolicyBody) -> Self {
        Self {
            min_length: body.min_length,
            require_upper: body.require_upper,
            require_lower: body.require_lower,
            require_digit: body.require_digit,
            require_symbol: body.require_symbol,
            expires_after_days: body.expires_after_days,
            history: body.history,
            block_list: body.block_list,
        }
    }
}

impl From<StoredPolicy> for PolicyView {
    fn from(stored: StoredPolicy) -> Self {
        let StoredPolicy { policy, version } = stored;
        Self {
            min_length: policy.min_length,
            require_upper: policy.require_upper,
            require_lower: policy.require_lower,
            require_digit: policy.require_digit,
            require_symbol: policy.require_symbol,
            expires_after_days: policy.expires_after_days,
            history: policy.history,
            block_list: policy.block_list,
            version,
        }
    }
}

/// The password policy of the caller's tenant (or of the system scope).
#[utoipa::path(get, path = "/v1/settings/password-policy", tag = "Settings",
    extensions(("x-permission" = json!("passwordPolicy.get"))),
    responses((status = 200, description = "The policy.", body = PolicyView)))]
async fn get_password_policy(
    State(app): State<App>,
    Allowed(permit): Allowed<PolicyGet>,
) -> Answer<Versioned<PolicyView>> {
    let stored = app.policies().get(&permit).await?;
    Ok(Versioned(stored.version, stored.into()))
}

/// Replace the password policy. It counts for passwords that are set from now on.
#[utoipa::path(put, path = "/v1/settings/password-policy", tag = "Settings",
    request_body = PolicyBody,
    extensions(("x-permission" = json!("passwordPolicy.update")), ("x-versioned" = json!(true))),
    responses((status = 200, description = "As it is now.", body = PolicyView)))]
async fn put_password_policy(
    State(app): State<App>,
    Allowed(permit): Allowed<PolicyUpdate>,
    IfMatch(version): IfMatch,
    ValidJson(body): ValidJson<PolicyBody>,
) -> Answer<Versioned<PolicyView>> {
    let stored = app.policies().put(&permit, body.into(), version).await?;
    Ok(Versioned(stored.version, stored.into()))
}

/// The server certificate.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CertificateView {
    /// `internal` or `imported`.
    #[schema(value_type = String)]
    source: Source,
    subject: String,
    names: Vec<String>,
    issuer: String,
    not_before: Timestamp,
    not_after: Timestamp,
    /// SHA-256.
    fingerprint: String,
    days_left: i64,
    /// The CA certificate that clients have to trust.
    ca_pem: String,
}

fn view(app: &App, source: Source, info: CertificateInfo) -> CertificateView {
    CertificateView {
        source,
        days_left: info.days_left(app.ledger().clock().now()),
        subject: info.subject,
        names: info.names,
        issuer: info.issuer,
        not_before: info.not_before,
        not_after: info.not_after,
        fingerprint: info.fingerprint,
        ca_pem: app.served_certificate().anchor_pem(),
    }
}

/// A certificate chain and its key, PEM.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertificateBody {
    /// The server's certificate first, then what signed it.
    #[garde(length(bytes, min = 1, max = 200_000))]
    certificate: String,
    #[garde(skip)]
    #[schema(value_type = String)]
    private_key: Secret<String>,
}

/// Look at the server certificate.
#[utoipa::path(get, path = "/v1/settings/certificate", tag = "Settings",
    extensions(("x-permission" = json!("certificate.get"))),
    responses((status = 200, description = "The certificate.", body = CertificateView)))]
async fn get_certificate(
    State(app): State<App>,
    Allowed(permit): Allowed<CertificateGet>,
) -> Json<CertificateView> {
    let (source, info) = app.served_certificate().get(&permit);
    Json(view(&app, source, info))
}

/// Serve another certificate from now on.
#[utoipa::path(put, path = "/v1/settings/certificate", tag = "Settings",
    request_body = CertificateBody,
    extensions(("x-permission" = json!("certificate.update"))),
    responses((status = 200, description = "It is served.", body = CertificateView)))]
async fn put_certificate(
    State(app): State<App>,
    Allowed(permit): Allowed<CertificateUpdate>,
    ValidJson(body): ValidJson<CertificateBody>,
) -> Answer<Json<CertificateView>> {
    app.served_certificate().import(&permit, &body.certificate, &body.private_key).await?;
    Ok(Json(view(&app, Source::Imported, app.certificate())))
}

/// Go back to a certificate of the internal CA.
#[utoipa::path(post, path = "/v1/settings/certificate/reset", tag = "Settings",
    extensions(("x-permission" = json!("certificate.update"))),
    responses((status = 200, description = "It is served.", body = CertificateView)))]
async fn reset_certificate(
    State(app): State<App>,
    Allowed(permit): Allowed<CertificateUpdate>,
) -> Answer<Json<CertificateView>> {
    app.served_certificate().reset(&permit).await?;
    Ok(Json(view(&app, Source::Internal, app.certificate())))
}

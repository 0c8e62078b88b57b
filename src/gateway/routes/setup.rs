//! First-boot set-up by code.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    auth::{Tokens, set_cookies},
    not_blank,
};
use crate::{
    app::App,
    gateway::{
        extract::{Context, ValidJson},
        respond::Answer,
    },
    identity::FirstAdmin,
    secret::Secret,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(check_setup)).routes(routes!(complete_setup))
}

/// The code from the console of the appliance.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupCodeBody {
    #[garde(skip)]
    #[schema(value_type = String, example = "ABCD-EFGH-JKLM-NPQR")]
    code: Secret<String>,
}

/// What was found out before the set-up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SetupChecks {
    checks: Vec<SetupCheck>,
    /// Whom whoever installed the appliance wants to be its first administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_email: Option<String>,
}

/// One test and its result.
#[derive(Debug, Serialize, ToSchema)]
struct SetupCheck {
    name: &'static str,
    /// `ok`, `warning` or `failed`.
    outcome: &'static str,
    detail: String,
}

/// Check the code and the state of the appliance.
#[utoipa::path(post, path = "/v1/setup/check", tag = "Set-up", security(()),
    request_body = SetupCodeBody,
    responses((status = 200, description = "The code is right.", body = SetupChecks)))]
async fn check_setup(
    State(app): State<App>,
    context: Context,
    ValidJson(body): ValidJson<SetupCodeBody>,
) -> Answer<Json<SetupChecks>> {
    app.setup().check_code(&body.code, &context.meta).await?;
    let checks = app
        .readiness()
        .snapshot()
        .checks
        .into_iter()
        .map(|check| SetupCheck {
            name: check.name,
            outcome: if check.ok { "ok" } else { "failed" },
            detail: check.detail.into_owned(),
        })
        .collect();
    let admin_email = app.config().server.admin_email.clone();
    Ok(Json(SetupChecks { checks, admin_email }))
}

/// The code and the first administrator.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupBody {
    #[garde(skip)]
    #[schema(value_type = String)]
    code: Secret<String>,
    #[garde(dive)]
    admin: SetupAdmin,
    /// Answer with tokens in the body instead of cookies.
    #[garde(skip)]
    #[serde(default)]
    bearer: bool,
}

/// The first system administrator.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetupAdmin {
    #[garde(length(bytes, max = 254))]
    #[schema(format = "email")]
    email: String,
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    name: String,
    #[garde(skip)]
    #[schema(value_type = String, format = "password")]
    password: Secret<String>,
}

/// What must be kept, and the session of the new administrator.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SetupDone {
    /// Print it and lock it away: it opens the keystore when the appliance cannot.
    recovery_kit: String,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
}

/// Create the first system administrator and sign in.
#[utoipa::path(post, path = "/v1/setup", tag = "Set-up", security(()), request_body = SetupBody,
    responses((status = 201, description = "Done.", body = SetupDone)))]
async fn complete_setup(
    State(app): State<App>,
    context: Context,
    ValidJson(body): ValidJson<SetupBody>,
) -> Answer<(StatusCode, HeaderMap, Json<SetupDone>)> {
    let admin = FirstAdmin {
        email: body.admin.email,
        name: body.admin.name,
        password: body.admin.password,
    };
    let done = app.setup().complete(&body.code, admin, &context.meta).await?;
    app.forget_setup_code();
    let mut headers = HeaderMap::new();
    let tokens = if body.bearer {
        Some(Tokens::from(&done.signed_in))
    } else {
        set_cookies(&mut headers, &done.signed_in, app.ledger().clock().now());
        None
    };
    let view = SetupDone {
        recovery_kit: done.recovery_kit.expose().clone(),
        fingerprint: app.certificate().fingerprint,
        tokens,
    };
    Ok((StatusCode::CREATED, headers, Json(view)))
}

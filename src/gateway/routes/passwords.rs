//! Choosing a password: one's own, an expired one, or with a link.

use axum::{Json, extract::State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::settings::PolicyView;
use crate::{
    app::App,
    error::Error,
    gateway::{
        extract::{Context, ValidJson},
        respond::{Answer, Done},
    },
    identity::Invited,
    secret::Secret,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(change_password))
        .routes(routes!(inspect_invite))
        .routes(routes!(accept_invite))
}

/// Another password, and the proof that it may be set: the current one of a
/// caller who is signed in, or the ticket that logging in with an expired one gave.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PasswordChangeBody {
    #[garde(skip)]
    #[schema(value_type = Option<String>, format = "password")]
    current: Option<Secret<String>>,
    #[garde(skip)]
    #[schema(value_type = Option<String>)]
    change_token: Option<Secret<String>>,
    #[garde(skip)]
    #[schema(value_type = String, format = "password")]
    new: Secret<String>,
}

/// The token of a link.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct InviteTokenBody {
    #[garde(skip)]
    #[schema(value_type = String)]
    token: Secret<String>,
}

/// The token of a link and the password to set.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct InviteAcceptBody {
    #[garde(skip)]
    #[schema(value_type = String)]
    token: Secret<String>,
    #[garde(skip)]
    #[schema(value_type = String, format = "password")]
    password: Secret<String>,
}

/// Whom a link is for.
#[derive(Debug, Serialize, ToSchema)]
struct InvitedView {
    tenant: InvitedTenant,
    name: String,
    email: String,
    /// `invite` or `reset`.
    purpose: String,
    /// What the password has to comply with.
    policy: PolicyView,
}

/// The tenant of the person.
#[derive(Debug, Serialize, ToSchema)]
struct InvitedTenant {
    name: String,
    slug: String,
    /// `system` or `tenant`.
    kind: &'static str,
}

impl From<Invited> for InvitedView {
    fn from(invited: Invited) -> Self {
        let kind = if invited.tenant.id.is_system() { "system" } else { "tenant" };
        Self {
            tenant: InvitedTenant { name: invited.tenant.name, slug: invited.tenant.slug, kind },
            name: invited.name,
            email: invited.email,
            purpose: invited.purpose,
            policy: invited.policy.into(),
        }
    }
}

/// Change one's own password.
///
/// With `current` the caller must be signed in; its other sessions end. With
/// `changeToken`, from a login with an expired password, all of them end.
#[utoipa::path(post, path = "/v1/auth/password", tag = "Session",
    security((), ("bearer" = []), ("cookie" = [])),
    request_body = PasswordChangeBody,
    responses((status = 204, description = "Changed.")))]
async fn change_password(
    State(app): State<App>,
    context: Context,
    ValidJson(body): ValidJson<PasswordChangeBody>,
) -> Answer<Done> {
    let passwords = app.passwords();
    match (body.current, body.change_token) {
        (Some(current), None) => {
            let caller = context.signed_in()?;
            passwords.change(caller, current, body.new, &context.meta).await?;
        }
        (None, Some(ticket)) => {
            passwords.change_expired(&ticket, body.new, &context.meta).await?;
        }
        (None, None) => return Err(Error::invalid("current", "is missing").into()),
        (Some(_), Some(_)) => {
            let message = "cannot be sent together with the current password";
            return Err(Error::invalid("changeToken", message).into());
        }
    }
    Ok(Done)
}

/// Look at an invitation or password reset before accepting it.
#[utoipa::path(post, path = "/v1/auth/invite/inspect", tag = "Session", security(()),
    request_body = InviteTokenBody,
    responses((status = 200, description = "Whom it is for.", body = InvitedView)))]
async fn inspect_invite(
    State(app): State<App>,
    context: Context,
    ValidJson(body): ValidJson<InviteTokenBody>,
) -> Answer<Json<InvitedView>> {
    Ok(Json(app.passwords().inspect(&body.token, &context.meta).await?.into()))
}

/// Accept an invitation or password reset by choosing a password. Works once.
#[utoipa::path(post, path = "/v1/auth/invite/accept", tag = "Session", security(()),
    request_body = InviteAcceptBody,
    responses((status = 204, description = "The password is set.")))]
async fn accept_invite(
    State(app): State<App>,
    context: Context,
    ValidJson(body): ValidJson<InviteAcceptBody>,
) -> Answer<Done> {
    app.passwords().accept(&body.token, body.password, &context.meta).await?;
    Ok(Done)
}

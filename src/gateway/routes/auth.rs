//! Signing in and out, and who one is.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    clock::Timestamp,
    gateway::{
        cookies,
        extract::{Context, SignedIn, ValidJson},
        hosts,
        respond::{Answer, ApiError, Done},
    },
    identity::{Caller, Door, LoginOutcome, SignedIn as NewSession, UserView as Person},
    ids::{ProjectId, TenantId, UserId},
    rbac::PermissionSet,
    secret::Secret,
    store::tenants::Tenant,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(logout_everywhere))
        .routes(routes!(me))
}

/// A tenant, as far as its users see it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TenantRef {
    uid: TenantId,
    name: String,
    slug: String,
    /// `system` or `tenant`.
    kind: &'static str,
}

impl From<Tenant> for TenantRef {
    fn from(tenant: Tenant) -> Self {
        let kind = if tenant.id.is_system() { "system" } else { "tenant" };
        Self { uid: tenant.id, name: tenant.name, slug: tenant.slug, kind }
    }
}

/// The caller, its tenant and what it may do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Me {
    user: MeUser,
    tenant: TenantRef,
    /// When the access token expires; refresh it before.
    expires_at: Option<Timestamp>,
    /// When one has to sign in again, however often the token is refreshed;
    /// absent for an API key.
    session_ends_at: Option<Timestamp>,
    /// How long a session lasts without any request; pages end it then, too,
    /// when nobody sits in front of them.
    idle_minutes: u64,
    permissions: MePermissions,
}

/// The person behind the session.
#[derive(Debug, Serialize, ToSchema)]
struct MeUser {
    uid: UserId,
    email: String,
    name: String,
}

/// What the caller may do, and where.
#[derive(Debug, Serialize, ToSchema)]
struct MePermissions {
    /// In the whole tenant (or the system scope).
    tenant: Vec<&'static str>,
    /// In single projects, in addition.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    projects: BTreeMap<ProjectId, Vec<&'static str>>,
}

/// Tokens for programs; browsers get cookies instead.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tokens {
    access_token: String,
    refresh_token: String,
    expires_at: Timestamp,
}

impl From<&NewSession> for Tokens {
    fn from(session: &NewSession) -> Self {
        Self {
            access_token: session.access.expose().clone(),
            refresh_token: session.refresh.expose().to_owned(),
            expires_at: session.access_expires_at,
        }
    }
}

/// What came of a login.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "camelCase")]
#[expect(clippy::large_enum_variant, reason = "it is serialised at once")]
enum LoginView {
    /// Signed in.
    SignedIn {
        session: Me,
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens: Option<Tokens>,
    },
    /// The password is right in several tenants; log in again with one of them.
    ChooseTenant { tenants: Vec<TenantRef> },
    /// The password must be changed first, with this token.
    PasswordExpired {
        // The OpenAPI document does not follow `rename_all_fields`.
        #[serde(rename = "changeToken")]
        change_token: String,
    },
}

/// Credentials of a user.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    #[garde(length(bytes, max = 254))]
    #[schema(format = "email")]
    email: String,
    #[garde(skip)]
    #[schema(value_type = String, format = "password")]
    password: Secret<String>,
    /// System administrators log in to the system scope.
    #[garde(skip)]
    #[serde(default)]
    scope: LoginScope,
    /// The tenant, when the e-mail address is known in several.
    #[garde(skip)]
    tenant: Option<TenantId>,
    /// Answer with tokens in the body instead of cookies.
    #[garde(skip)]
    #[serde(default)]
    bearer: bool,
}

/// Which of the two worlds to log in to.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum LoginScope {
    #[default]
    Tenant,
    System,
}

/// A refresh token, unless the cookie has it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RefreshBody {
    #[garde(skip)]
    #[schema(value_type = Option<String>)]
    refresh_token: Option<Secret<String>>,
    #[garde(skip)]
    #[serde(default)]
    bearer: bool,
}

/// Sign in with e-mail and password.
#[utoipa::path(post, path = "/v1/auth/login", tag = "Session", security(()),
    request_body = LoginBody,
    responses((status = 200, description = "What came of it.", body = LoginView)))]
async fn login(State(app): State<App>, context: Context, request: Request) -> Answer<Response> {
    let label = hosts::host(&request)
        .and_then(|host| hosts::tenant_label(app.config(), host))
        .map(str::to_owned);
    let ValidJson(body) =
        <ValidJson<LoginBody> as axum::extract::FromRequest<App>>::from_request(request, &app)
            .await?;
    let at_host = match label {
        Some(label) => Some(app.tenants().by_slug(&label).await?.map(|tenant| tenant.id)),
        None => None,
    };
    let door = match (body.scope, at_host, body.tenant) {
        (LoginScope::System, _, _) => Door::System,
        (LoginScope::Tenant, Some(tenant), _) => {
            // A host name of no tenant opens no door: as if nobody knew the e-mail.
            Door::Tenant(tenant.unwrap_or_else(|| TenantId::random(app.ledger().random())))
        }
        (LoginScope::Tenant, None, Some(tenant)) if !tenant.is_system() => Door::Tenant(tenant),
        (LoginScope::Tenant, None, _) => Door::AnyTenant,
    };
    match app.login().login(&body.email, body.password, door, &context.meta).await? {
        LoginOutcome::SignedIn(session) => signed_in(&app, &session, body.bearer).await,
        LoginOutcome::ChooseTenant(tenants) => {
            let tenants = tenants.into_iter().map(TenantRef::from).collect();
            Ok(Json(LoginView::ChooseTenant { tenants }).into_response())
        }
        LoginOutcome::PasswordExpired(ticket) => {
            let change_token = ticket.expose().to_owned();
            Ok(Json(LoginView::PasswordExpired { change_token }).into_response())
        }
    }
}

async fn signed_in(app: &App, session: &NewSession, bearer: bool) -> Answer<Response> {
    let me = describe(app, &session.caller).await?;
    let mut headers = HeaderMap::new();
    let tokens = if bearer {
        Some(Tokens::from(session))
    } else {
        set_cookies(&mut headers, session, app.ledger().clock().now());
        None
    };
    Ok((headers, Json(LoginView::SignedIn { session: me, tokens })).into_response())
}

/// Puts the tokens of a session into cookies.
pub(super) fn set_cookies(headers: &mut HeaderMap, session: &NewSession, now: Timestamp) {
    let access = cookies::seconds_left(session.access_expires_at, now);
    cookies::set(headers, cookies::ACCESS, session.access.expose(), access);
    let refresh = cookies::seconds_left(session.session_expires_at, now);
    cookies::set(headers, cookies::REFRESH, session.refresh.expose(), refresh);
}

async fn describe(app: &App, caller: &Caller) -> Answer<Me> {
    let Person { id, email, name, .. } = app.users().own(caller).await?;
    let tenant = app.tenants().own(caller).await?;
    let names = |set: PermissionSet| set.iter().map(crate::rbac::Permission::name).collect();
    Ok(Me {
        user: MeUser { uid: id, email, name },
        tenant: tenant.into(),
        expires_at: caller.expires_at,
        session_ends_at: caller.session_ends_at,
        idle_minutes: app.config().session.idle_minutes.duration().as_secs() / 60,
        permissions: MePermissions {
            tenant: names(caller.grants.everywhere()),
            projects: caller
                .grants
                .projects()
                .iter()
                .map(|(project, set)| (*project, names(*set)))
                .collect(),
        },
    })
}

/// Trade a refresh token for new tokens.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "Session", security(()),
    request_body = RefreshBody,
    responses((status = 200, description = "Signed in again.", body = LoginView)))]
async fn refresh(
    State(app): State<App>,
    context: Context,
    headers: HeaderMap,
    ValidJson(body): ValidJson<RefreshBody>,
) -> Response {
    let token = match &body.refresh_token {
        Some(token) => token.expose().as_str(),
        None => cookies::read(&headers, cookies::REFRESH).unwrap_or(""),
    };
    let answer = match app.sessions().refresh(token, &context.meta).await {
        Ok(session) => signed_in(&app, &session, body.bearer).await,
        Err(error) => Err(ApiError(error)),
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// Sign out.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "Session",
    responses((status = 204, description = "Signed out.")))]
async fn logout(
    State(app): State<App>,
    SignedIn(caller, meta): SignedIn,
) -> Answer<(StatusCode, HeaderMap)> {
    app.sessions().logout(&caller, meta).await?;
    let mut headers = HeaderMap::new();
    cookies::clear(&mut headers);
    Ok((StatusCode::NO_CONTENT, headers))
}

/// Sign out everywhere: every session of the caller ends.
#[utoipa::path(post, path = "/v1/auth/logout-everywhere", tag = "Session",
    responses((status = 204, description = "Signed out.")))]
async fn logout_everywhere(
    State(app): State<App>,
    SignedIn(caller, meta): SignedIn,
) -> Answer<Done> {
    app.sessions().logout_everywhere(&caller, meta).await?;
    Ok(Done)
}

/// Who the caller is and what it may do.
#[utoipa::path(get, path = "/v1/auth/me", tag = "Session",
    responses((status = 200, description = "The caller.", body = Me)))]
async fn me(State(app): State<App>, SignedIn(caller, _): SignedIn) -> Answer<Json<Me>> {
    Ok(Json(describe(&app, &caller).await?))
}

//! Users of a tenant, or of the system scope.

use axum::{Json, extract::State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ListView, not_blank,
    tenants::{InviteView, NewUserBody},
};
use crate::{
    app::App,
    clock::Timestamp,
    gateway::{
        extract::{Allowed, Id, IfMatch, ListParams, ValidJson, ValidQuery},
        respond::{Answer, Created, Done, Versioned},
    },
    identity::{Account, InviteToken, UserChange},
    ids::{TeamId, UserId},
    rbac::rights::{UserCreate, UserDelete, UserGet, UserList, UserUpdate},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_users, create_user))
        .routes(routes!(get_user, update_user, delete_user))
        .routes(routes!(invite_user))
        .routes(routes!(logout_user))
}

/// A person who can log in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserView {
    uid: UserId,
    email: String,
    name: String,
    /// `invited`, `active` or `disabled`.
    state: String,
    last_login_at: Option<Timestamp>,
    created_at: Timestamp,
    version: i64,
    /// The teams that the user is in.
    teams: Vec<UserTeam>,
}

/// A team of a user.
#[derive(Debug, Serialize, ToSchema)]
struct UserTeam {
    uid: TeamId,
    name: String,
}

impl From<Account> for UserView {
    fn from(Account { user, teams }: Account) -> Self {
        Self {
            uid: user.id,
            email: user.email,
            name: user.name,
            state: user.state,
            last_login_at: user.last_login_at,
            created_at: user.created_at,
            version: user.version,
            teams: teams.into_iter().map(|(uid, name)| UserTeam { uid, name }).collect(),
        }
    }
}

/// Which users to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UserFilter {
    /// Only those in this state.
    #[param(inline)]
    state: Option<UserState>,
}

/// The state of a user.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum UserState {
    Invited,
    Active,
    Disabled,
}

impl UserState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// Changes to a user; what is absent stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserChangeBody {
    #[garde(inner(length(bytes, max = 254)))]
    #[schema(format = "email")]
    email: Option<String>,
    #[garde(inner(length(chars, min = 1, max = 100), custom(not_blank)))]
    name: Option<String>,
    /// Disabled users cannot log in; their sessions end.
    #[garde(skip)]
    state: Option<WantedState>,
}

/// The state that a user is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum WantedState {
    Active,
    Disabled,
}

/// A new user and, without a password, the link for the invitation.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedUserView {
    user: UserView,
    invite: Option<InviteView>,
}

fn link(app: &App, invite: &InviteToken) -> InviteView {
    InviteView::new(app, &invite.token, invite.expires_at)
}

/// List users.
///
/// `q` looks at name and e-mail address; `sort` is one of `name`, `email`,
/// `state`, `createdAt`, `lastLoginAt`.
#[utoipa::path(get, path = "/v1/users", tag = "Users", params(ListParams, UserFilter),
    extensions(("x-permission" = json!("user.list"))),
    responses((status = 200, description = "One page.", body = ListView<UserView>)))]
async fn list_users(
    State(app): State<App>,
    Allowed(permit): Allowed<UserList>,
    ValidQuery(list): ValidQuery<ListParams>,
    ValidQuery(filter): ValidQuery<UserFilter>,
) -> Answer<Json<ListView<UserView>>> {
    let state = filter.state.map(UserState::as_str);
    let page = app.users().list(&permit, state, &list.query()?).await?;
    Ok(Json(page.into()))
}

/// Invite a user, or create one with a first password.
#[utoipa::path(post, path = "/v1/users", tag = "Users", request_body = NewUserBody,
    extensions(("x-permission" = json!("user.create"))),
    responses((status = 201, description = "Created.", body = CreatedUserView)))]
async fn create_user(
    State(app): State<App>,
    Allowed(permit): Allowed<UserCreate>,
    ValidJson(new): ValidJson<NewUserBody>,
) -> Answer<Created<CreatedUserView>> {
    let created = app.users().create(&permit, new.into()).await?;
    let invite = created.invite.map(|invite| link(&app, &invite));
    Ok(Created(CreatedUserView { user: created.account.into(), invite }))
}

/// Look at a user.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "Users",
    params(("user" = UserId, Path, description = "The user.")),
    extensions(("x-permission" = json!("user.get"))),
    responses((status = 200, description = "The user.", body = UserView)))]
async fn get_user(
    State(app): State<App>,
    Allowed(permit): Allowed<UserGet>,
    Id(user): Id<UserId>,
) -> Answer<Versioned<UserView>> {
    let account = app.users().get(&permit, user).await?;
    Ok(Versioned(account.user.version, account.into()))
}

/// Rename, disable or enable a user, or change the e-mail address.
#[utoipa::path(patch, path = "/v1/users/{user}", tag = "Users",
    params(("user" = UserId, Path, description = "The user.")),
    request_body = UserChangeBody,
    extensions(("x-permission" = json!("user.update")), ("x-versioned" = json!(true))),
    responses((status = 200, description = "As it is now.", body = UserView)))]
async fn update_user(
    State(app): State<App>,
    Allowed(permit): Allowed<UserUpdate>,
    Id(user): Id<UserId>,
    IfMatch(version): IfMatch,
    ValidJson(change): ValidJson<UserChangeBody>,
) -> Answer<Versioned<UserView>> {
    let enabled = change.state.map(|state| state == WantedState::Active);
    let change = UserChange { email: change.email, name: change.name, enabled };
    let account = app.users().update(&permit, user, change, version).await?;
    Ok(Versioned(account.user.version, account.into()))
}

/// Delete a user with everything personal. The identifier stays in the audit trail.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "Users",
    params(("user" = UserId, Path, description = "The user.")),
    extensions(("x-permission" = json!("user.delete"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_user(
    State(app): State<App>,
    Allowed(permit): Allowed<UserDelete>,
    Id(user): Id<UserId>,
) -> Answer<Done> {
    app.users().delete(&permit, user).await?;
    Ok(Done)
}

/// Make a new link: an invitation, or a password reset for who has a password.
///
/// Earlier links of this user stop working.
#[utoipa::path(post, path = "/v1/users/{user}/invite", tag = "Users",
    params(("user" = UserId, Path, description = "The user.")),
    extensions(("x-permission" = json!("user.update"))),
    responses((status = 200, description = "The link; it works once.", body = InviteView)))]
async fn invite_user(
    State(app): State<App>,
    Allowed(permit): Allowed<UserUpdate>,
    Id(user): Id<UserId>,
) -> Answer<Json<InviteView>> {
    let invite = app.users().invite(&permit, user).await?;
    Ok(Json(link(&app, &invite)))
}

/// End every session of a user.
#[utoipa::path(post, path = "/v1/users/{user}/logout", tag = "Users",
    params(("user" = UserId, Path, description = "The user.")),
    extensions(("x-permission" = json!("user.update"))),
    responses((status = 204, description = "Logged out.")))]
async fn logout_user(
    State(app): State<App>,
    Allowed(permit): Allowed<UserUpdate>,
    Id(user): Id<UserId>,
) -> Answer<Done> {
    app.users().logout(&permit, user).await?;
    Ok(Done)
}

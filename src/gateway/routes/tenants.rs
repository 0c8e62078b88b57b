//! Tenants, for system administrators.

use axum::{Json, extract::State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ListView, not_blank};
use crate::{
    app::App,
    clock::Timestamp,
    gateway::{
        extract::{Allowed, Id, IfMatch, ListParams, ValidJson, ValidQuery},
        respond::{Answer, Created, Done, Versioned},
    },
    identity::NewUser,
    ids::{TenantId, UserId},
    rbac::rights::{TenantCreate, TenantDelete, TenantGet, TenantList, TenantUpdate},
    secret::Secret,
    store::tenants::{Counts, Tenant},
    tenants::{AddedAdmin, NewTenant, TenantChange},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_tenants, create_tenant))
        .routes(routes!(get_tenant, update_tenant, delete_tenant))
        .routes(routes!(add_tenant_admin))
        .routes(routes!(rotate_tenant_key))
}

/// A customer of the installation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TenantView {
    uid: TenantId,
    name: String,
    slug: String,
    /// `active` or `suspended`.
    state: String,
    created_at: Timestamp,
    version: i64,
    counts: TenantCounts,
}

/// What is in a tenant.
#[derive(Debug, Serialize, ToSchema)]
struct TenantCounts {
    projects: u32,
    users: u32,
    clusters: u32,
}

impl From<(Tenant, Counts)> for TenantView {
    fn from((tenant, counts): (Tenant, Counts)) -> Self {
        Self {
            uid: tenant.id,
            name: tenant.name,
            slug: tenant.slug,
            state: tenant.state,
            created_at: tenant.created_at,
            version: tenant.version,
            counts: TenantCounts {
                projects: counts.projects,
                users: counts.users,
                clusters: counts.clusters,
            },
        }
    }
}

/// A link for a person who has no password yet.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InviteView {
    /// To be given to that person; it works once.
    pub(super) url: String,
    pub(super) expires_at: Timestamp,
}

impl InviteView {
    /// The token stands behind a `#`, so that it reaches no log on its way.
    pub(super) fn new(app: &App, token: &str, expires_at: Timestamp) -> Self {
        Self { url: format!("{}/invite#token={token}", app.config().server.origin()), expires_at }
    }
}

fn invite(app: &App, admin: Option<&AddedAdmin>) -> Option<InviteView> {
    let (token, expires_at) = admin?.invitation.as_ref()?;
    Some(InviteView::new(app, token, *expires_at))
}

/// A new user: invited, or with a first password.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUserBody {
    #[garde(length(bytes, max = 254))]
    #[schema(format = "email")]
    email: String,
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    name: String,
    /// Without it the user is invited by a link.
    #[garde(skip)]
    #[schema(value_type = Option<String>, format = "password")]
    password: Option<Secret<String>>,
}

impl From<NewUserBody> for NewUser {
    fn from(body: NewUserBody) -> Self {
        Self { email: body.email, name: body.name, password: body.password }
    }
}

/// A new tenant.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenantBody {
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    name: String,
    /// The first label of its own host name: 2 to 40 lower-case letters, digits, hyphens.
    #[garde(length(bytes, max = 63))]
    slug: String,
    #[garde(dive)]
    admin: Option<NewUserBody>,
}

/// A new tenant and the link for its first administrator.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedTenantView {
    tenant: TenantView,
    invite: Option<InviteView>,
}

/// Changes to a tenant; what is absent stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct TenantChangeBody {
    #[garde(inner(length(chars, min = 1, max = 100), custom(not_blank)))]
    name: Option<String>,
    #[garde(skip)]
    state: Option<TenantState>,
}

/// Whether people of the tenant can log in.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum TenantState {
    Active,
    Suspended,
}

/// An administrator that was added.
#[derive(Debug, Serialize, ToSchema)]
struct AddedAdminView {
    user: UserId,
    invite: Option<InviteView>,
}

/// The version of a tenant's key.
#[derive(Debug, Serialize, ToSchema)]
struct KeyVersionView {
    version: u32,
}

/// List tenants.
#[utoipa::path(get, path = "/v1/tenants", tag = "Tenants", params(ListParams),
    extensions(("x-permission" = json!("tenant.list"))),
    responses((status = 200, description = "One page.", body = ListView<TenantView>)))]
async fn list_tenants(
    State(app): State<App>,
    Allowed(permit): Allowed<TenantList>,
    ValidQuery(list): ValidQuery<ListParams>,
) -> Answer<Json<ListView<TenantView>>> {
    Ok(Json(app.tenants().list(&permit, &list.query()?).await?.into()))
}

/// Create a tenant, with its first administrator if wanted.
#[utoipa::path(post, path = "/v1/tenants", tag = "Tenants", request_body = NewTenantBody,
    extensions(("x-permission" = json!("tenant.create"))),
    responses((status = 201, description = "Created.", body = CreatedTenantView)))]
async fn create_tenant(
    State(app): State<App>,
    Allowed(permit): Allowed<TenantCreate>,
    ValidJson(new): ValidJson<NewTenantBody>,
) -> Answer<Created<CreatedTenantView>> {
    let new = NewTenant { name: new.name, slug: new.slug, admin: new.admin.map(NewUser::from) };
    let created = app.tenants().create(&permit, new).await?;
    app.clusters().tenant_added(created.tenant.id).await;
    let invite = invite(&app, created.admin.as_ref());
    Ok(Created(CreatedTenantView { tenant: (created.tenant, created.counts).into(), invite }))
}

/// Look at a tenant.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "Tenants",
    params(("tenant" = TenantId, Path, description = "The tenant.")),
    extensions(("x-permission" = json!("tenant.get"))),
    responses((status = 200, description = "The tenant.", body = TenantView)))]
async fn get_tenant(
    State(app): State<App>,
    Allowed(permit): Allowed<TenantGet>,
    Id(tenant): Id<TenantId>,
) -> Answer<Versioned<TenantView>> {
    let found = app.tenants().get(&permit, tenant).await?;
    Ok(Versioned(found.0.version, found.into()))
}

/// Rename, suspend or resume a tenant.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}", tag = "Tenants",
    params(("tenant" = TenantId, Path, description = "The tenant.")),
    request_body = TenantChangeBody,
    extensions(("x-permission" = json!("tenant.update")), ("x-versioned" = json!(true))),
    responses((status = 200, description = "As it is now.", body = TenantView)))]
async fn update_tenant(
    State(app): State<App>,
    Allowed(permit): Allowed<TenantUpdate>,
    Id(tenant): Id<TenantId>,
    IfMatch(version): IfMatch,
    ValidJson(change): ValidJson<TenantChangeBody>,
) -> Answer<Versioned<TenantView>> {
    let change = TenantChange {
        name: change.name,
        suspended: change.state.map(|state| matches!(state, TenantState::Suspended)),
    };
    let found = app.tenants().update(&permit, tenant, change, version).await?;
    Ok(Versioned(found.0.version, found.into()))
}

/// Delete a tenant with everything in it, and destroy its key.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "Tenants",
    params(("tenant" = TenantId, Path, description = "The tenant.")),
    extensions(("x-permission" = json!("tenant.delete"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_tenant(
    State(app): State<App>,
    Allowed(permit): Allowed<TenantDelete>,
    Id(tenant): Id<TenantId>,
) -> Answer<Done> {
    app.tenants().delete(&permit, tenant).await?;
    app.clusters().tenant_removed(tenant).await;
    Ok(Done)
}

/// Add an administrator to a tenant.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/admins", tag = "Tenants",
    params(("tenant" = TenantId, Path, description = "The tenant.")),
    request_body = NewUserBody,
    extensions(("x-permission" = json!("tenant.update"))),
    responses((status = 201, description = "Added.", body = AddedAdminView)))]
async fn add_tenant_admin(
    State(app): State<App>,
    Allowed(permit): Allowed<TenantUpdate>,
    Id(tenant): Id<TenantId>,
    ValidJson(new): ValidJson<NewUserBody>,
) -> Answer<Created<AddedAdminView>> {
    let added = app.tenants().add_admin(&permit, tenant, new.into()).await?;
    let invite = invite(&app, Some(&added));
    Ok(Created(AddedAdminView { user: added.user, invite }))
}

/// Give a tenant a new key.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/key/rotate", tag = "Tenants",
    params(("tenant" = TenantId, Path, description = "The tenant.")),
    extensions(("x-permission" = json!("tenant.update"))),
    responses((status = 200, description = "The new version.", body = KeyVersionView)))]
async fn rotate_tenant_key(
    State(app): State<App>,
    Allowed(permit): Allowed<TenantUpdate>,
    Id(tenant): Id<TenantId>,
) -> Answer<Json<KeyVersionView>> {
    let version = app.tenants().rotate_key(&permit, tenant).await?;
    Ok(Json(KeyVersionView { version }))
}

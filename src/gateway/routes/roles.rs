//! Roles, and the permissions that they are made of.

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
    identity::{NewRole, Role, RoleChange, Roles},
    ids::RoleId,
    rbac::{
        Level, Permission, RoleScope,
        rights::{RoleCreate, RoleDelete, RoleGet, RoleList, RoleUpdate},
    },
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_roles, create_role))
        .routes(routes!(get_role, update_role, delete_role))
        .routes(routes!(list_permissions))
}

/// A named set of permissions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RoleView {
    uid: RoleId,
    name: String,
    description: String,
    /// Built-in roles cannot be changed.
    built_in: bool,
    scope: Scope,
    permissions: Vec<&'static str>,
    created_at: Timestamp,
    version: i64,
}

/// Where a role can be assigned, or a permission be held.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum Scope {
    System,
    Tenant,
    Project,
}

impl From<RoleScope> for Scope {
    fn from(scope: RoleScope) -> Self {
        match scope {
            RoleScope::System => Self::System,
            RoleScope::Tenant => Self::Tenant,
            RoleScope::Project => Self::Project,
        }
    }
}

impl From<Scope> for RoleScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::System => Self::System,
            Scope::Tenant => Self::Tenant,
            Scope::Project => Self::Project,
        }
    }
}

impl From<Role> for RoleView {
    fn from(role: Role) -> Self {
        Self {
            uid: role.id,
            name: role.name,
            description: role.description,
            built_in: role.built_in,
            scope: role.scope.into(),
            permissions: role.permissions.iter().map(Permission::name).collect(),
            created_at: role.created_at,
            version: role.version,
        }
    }
}

/// A new role.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRoleBody {
    /// Unique in the tenant.
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    #[garde(length(chars, max = 1000))]
    #[serde(default)]
    description: String,
    /// Where it can be assigned; cannot be changed later.
    #[garde(skip)]
    scope: Scope,
    /// Names of permissions, as `/v1/permissions` lists them.
    #[garde(length(max = 200))]
    permissions: Vec<String>,
}

/// Changes to a role; what is absent stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RoleChangeBody {
    #[garde(inner(length(chars, min = 1, max = 100), custom(not_blank)))]
    name: Option<String>,
    #[garde(inner(length(chars, max = 1000)))]
    description: Option<String>,
    /// All permissions that the role is to have.
    #[garde(length(max = 200))]
    permissions: Option<Vec<String>>,
}

/// Everything that can be allowed here.
#[derive(Debug, Serialize, ToSchema)]
struct PermissionsView {
    items: Vec<PermissionView>,
}

/// One permission.
#[derive(Debug, Serialize, ToSchema)]
struct PermissionView {
    /// `component.operation`.
    name: &'static str,
    component: &'static str,
    operation: &'static str,
    /// The widest kind of role that it is for: only `project` permissions can
    /// be in a role for projects.
    scope: Scope,
    description: &'static str,
}

impl PermissionView {
    fn new(permission: Permission, in_system: bool) -> Self {
        let scope = match permission.level() {
            _ if in_system => Scope::System,
            Level::System => Scope::System,
            Level::Tenant => Scope::Tenant,
            Level::Project => Scope::Project,
        };
        let (component, operation) =
            permission.name().split_once('.').unwrap_or((permission.name(), ""));
        let description = permission.description();
        Self { name: permission.name(), component, operation, scope, description }
    }
}

/// List roles, built-in and custom ones.
#[utoipa::path(get, path = "/v1/roles", tag = "Roles", params(ListParams),
    extensions(("x-permission" = json!("role.list"))),
    responses((status = 200, description = "One page.", body = ListView<RoleView>)))]
async fn list_roles(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleList>,
    ValidQuery(list): ValidQuery<ListParams>,
) -> Answer<Json<ListView<RoleView>>> {
    Ok(Json(app.roles().list(&permit, &list.query()?).await?.into()))
}

/// Define a role.
#[utoipa::path(post, path = "/v1/roles", tag = "Roles", request_body = NewRoleBody,
    extensions(("x-permission" = json!("role.create"))),
    responses((status = 201, description = "Created.", body = RoleView)))]
async fn create_role(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleCreate>,
    ValidJson(new): ValidJson<NewRoleBody>,
) -> Answer<Created<RoleView>> {
    let new = NewRole {
        name: new.name,
        description: new.description,
        scope: new.scope.into(),
        permissions: new.permissions,
    };
    Ok(Created(app.roles().create(&permit, new).await?.into()))
}

/// Look at a role.
#[utoipa::path(get, path = "/v1/roles/{role}", tag = "Roles",
    params(("role" = RoleId, Path, description = "The role.")),
    extensions(("x-permission" = json!("role.get"))),
    responses((status = 200, description = "The role.", body = RoleView)))]
async fn get_role(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleGet>,
    Id(role): Id<RoleId>,
) -> Answer<Versioned<RoleView>> {
    let role = app.roles().get(&permit, role).await?;
    Ok(Versioned(role.version, role.into()))
}

/// Change a custom role, for everybody who has it.
#[utoipa::path(patch, path = "/v1/roles/{role}", tag = "Roles",
    params(("role" = RoleId, Path, description = "The role.")),
    request_body = RoleChangeBody,
    extensions(("x-permission" = json!("role.update")), ("x-versioned" = json!(true))),
    responses((status = 200, description = "As it is now.", body = RoleView)))]
async fn update_role(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleUpdate>,
    Id(role): Id<RoleId>,
    IfMatch(version): IfMatch,
    ValidJson(change): ValidJson<RoleChangeBody>,
) -> Answer<Versioned<RoleView>> {
    let change = RoleChange {
        name: change.name,
        description: change.description,
        permissions: change.permissions,
    };
    let role = app.roles().update(&permit, role, change, version).await?;
    Ok(Versioned(role.version, role.into()))
}

/// Delete a custom role; whoever has it loses it.
#[utoipa::path(delete, path = "/v1/roles/{role}", tag = "Roles",
    params(("role" = RoleId, Path, description = "The role.")),
    extensions(("x-permission" = json!("role.delete"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_role(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleDelete>,
    Id(role): Id<RoleId>,
) -> Answer<Done> {
    app.roles().delete(&permit, role).await?;
    Ok(Done)
}

/// List every permission that a role here can have.
#[utoipa::path(get, path = "/v1/permissions", tag = "Roles",
    extensions(("x-permission" = json!("role.list"))),
    responses((status = 200, description = "All of them.", body = PermissionsView)))]
async fn list_permissions(Allowed(permit): Allowed<RoleList>) -> Answer<Json<PermissionsView>> {
    let in_system = permit.tenant().is_system();
    let items = Roles::permissions(&permit)
        .into_iter()
        .map(|permission| PermissionView::new(permission, in_system))
        .collect();
    Ok(Json(PermissionsView { items }))
}

//! Projects.

use axum::{Json, extract::State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    clock::Timestamp,
    gateway::{
        extract::{Allowed, Id, IfMatch, ListParams, ValidJson, ValidQuery},
        respond::{Answer, Created, Done, Versioned},
    },
    ids::ProjectId,
    rbac::rights::{ProjectCreate, ProjectDelete, ProjectGet, ProjectList, ProjectUpdate},
    store::{Page, projects::Project},
    tenants::{NewProject, ProjectChange},
};

use super::{ListView, not_blank};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_projects, create_project)).routes(routes!(
        get_project,
        update_project,
        delete_project
    ))
}

/// A group of clusters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProjectView {
    uid: ProjectId,
    name: String,
    description: String,
    created_at: Timestamp,
    version: i64,
    counts: ProjectCounts,
}

/// What is in a project.
#[derive(Debug, Serialize, ToSchema)]
struct ProjectCounts {
    clusters: u32,
}

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        Self {
            uid: project.id,
            name: project.name,
            description: project.description,
            created_at: project.created_at,
            version: project.version,
            counts: ProjectCounts { clusters: project.clusters },
        }
    }
}

/// A new project.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProjectBody {
    /// Unique in the tenant.
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    #[garde(length(chars, max = 1000))]
    #[serde(default)]
    description: String,
}

/// Changes to a project; what is absent stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectChangeBody {
    #[garde(inner(length(chars, min = 1, max = 100), custom(not_blank)))]
    name: Option<String>,
    #[garde(inner(length(chars, max = 1000)))]
    description: Option<String>,
}

/// List projects.
#[utoipa::path(get, path = "/v1/projects", tag = "Projects", params(ListParams),
    extensions(("x-permission" = json!("project.list"))),
    responses((status = 200, description = "One page.", body = ListView<ProjectView>)))]
async fn list_projects(
    State(app): State<App>,
    Allowed(permit): Allowed<ProjectList>,
    ValidQuery(list): ValidQuery<ListParams>,
) -> Answer<Json<ListView<ProjectView>>> {
    let page: Page<Project> = app.projects().list(&permit, &list.query()?).await?;
    Ok(Json(page.into()))
}

/// Create a project.
#[utoipa::path(post, path = "/v1/projects", tag = "Projects", request_body = NewProjectBody,
    extensions(("x-permission" = json!("project.create"))),
    responses((status = 201, description = "Created.", body = ProjectView)))]
async fn create_project(
    State(app): State<App>,
    Allowed(permit): Allowed<ProjectCreate>,
    ValidJson(new): ValidJson<NewProjectBody>,
) -> Answer<Created<ProjectView>> {
    let new = NewProject { name: new.name, description: new.description };
    Ok(Created(app.projects().create(&permit, new).await?.into()))
}

/// Look at a project.
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "Projects",
    params(("project" = ProjectId, Path, description = "The project.")),
    extensions(("x-permission" = json!("project.get"))),
    responses((status = 200, description = "The project.", body = ProjectView)))]
async fn get_project(
    State(app): State<App>,
    Allowed(permit): Allowed<ProjectGet>,
    Id(project): Id<ProjectId>,
) -> Answer<Versioned<ProjectView>> {
    let project = app.projects().get(&permit, project).await?;
    Ok(Versioned(project.version, project.into()))
}

/// Rename or describe a project.
#[utoipa::path(patch, path = "/v1/projects/{project}", tag = "Projects",
    params(("project" = ProjectId, Path, description = "The project.")),
    request_body = ProjectChangeBody,
    extensions(("x-permission" = json!("project.update")), ("x-versioned" = json!(true))),
    responses((status = 200, description = "As it is now.", body = ProjectView)))]
async fn update_project(
    State(app): State<App>,
    Allowed(permit): Allowed<ProjectUpdate>,
    Id(project): Id<ProjectId>,
    IfMatch(version): IfMatch,
    ValidJson(change): ValidJson<ProjectChangeBody>,
) -> Answer<Versioned<ProjectView>> {
    let change = ProjectChange { name: change.name, description: change.description };
    let project = app.projects().update(&permit, project, change, version).await?;
    Ok(Versioned(project.version, project.into()))
}

/// Delete an empty project.
#[utoipa::path(delete, path = "/v1/projects/{project}", tag = "Projects",
    params(("project" = ProjectId, Path, description = "The project.")),
    extensions(("x-permission" = json!("project.delete"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_project(
    State(app): State<App>,
    Allowed(permit): Allowed<ProjectDelete>,
    Id(project): Id<ProjectId>,
) -> Answer<Done> {
    app.projects().delete(&permit, project).await?;
    Ok(Done)
}

//! Who has which role where, and why somebody may do something.

use axum::{Json, extract::State};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ListView;
use crate::{
    app::App,
    clock::Timestamp,
    error::{Error, Result},
    gateway::{
        extract::{Allowed, Id, ListParams, ValidJson, ValidQuery},
        respond::{Answer, Created, Done},
    },
    identity::{Able, Assignment, NewAssignment, Question, Reason, Subject, Via},
    ids::{AssignmentId, ProjectId, RoleId, TeamId, UserId},
    rbac::rights::{RoleAssign, RoleList, UserList},
    store::assignments::AssignmentFilter,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_assignments, create_assignment))
        .routes(routes!(delete_assignment))
        .routes(routes!(explain_why))
        .routes(routes!(explain_who_can))
}

/// A role given to a user or a team.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AssignmentView {
    uid: AssignmentId,
    role: AssignedRole,
    subject: AssignedSubject,
    /// Only in this project; `null`: everywhere.
    project: Option<AssignedProject>,
    created_at: Timestamp,
}

/// A role by name.
#[derive(Debug, Serialize, ToSchema)]
struct AssignedRole {
    uid: RoleId,
    name: String,
}

/// Who has the role.
#[derive(Debug, Serialize, ToSchema)]
struct AssignedSubject {
    /// `user` or `team`.
    kind: &'static str,
    /// Of the user or team.
    uid: String,
    name: String,
}

/// A project by name.
#[derive(Debug, Serialize, ToSchema)]
struct AssignedProject {
    uid: ProjectId,
    name: String,
}

impl From<(RoleId, String)> for AssignedRole {
    fn from((uid, name): (RoleId, String)) -> Self {
        Self { uid, name }
    }
}

impl From<(ProjectId, String)> for AssignedProject {
    fn from((uid, name): (ProjectId, String)) -> Self {
        Self { uid, name }
    }
}

impl From<Assignment> for AssignmentView {
    fn from(assignment: Assignment) -> Self {
        let subject = match assignment.subject {
            Subject::User(uid, name) => {
                AssignedSubject { kind: "user", uid: uid.to_string(), name }
            }
            Subject::Team(uid, name) => {
                AssignedSubject { kind: "team", uid: uid.to_string(), name }
            }
        };
        Self {
            uid: assignment.id,
            role: assignment.role.into(),
            subject,
            project: assignment.project.map(AssignedProject::from),
            created_at: assignment.created_at,
        }
    }
}

/// Which assignments to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AssignmentParams {
    /// Given to this user directly.
    user: Option<UserId>,
    /// Given to this team.
    team: Option<TeamId>,
    /// Of this role.
    role: Option<RoleId>,
    /// In this project.
    project: Option<ProjectId>,
}

/// A role for a user or a team.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAssignmentBody {
    #[garde(skip)]
    role: RoleId,
    /// Either a user …
    #[garde(skip)]
    user: Option<UserId>,
    /// … or a team.
    #[garde(skip)]
    team: Option<TeamId>,
    /// Only in this project; for roles of scope `project`.
    #[garde(skip)]
    project: Option<ProjectId>,
}

/// What to explain.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QuestionParams {
    /// The permission, e.g. `cluster.delete`.
    permission: String,
    /// On objects of this project; absent: in the whole scope.
    project: Option<ProjectId>,
}

impl QuestionParams {
    fn question(self) -> Result<Question> {
        let permission = self.permission.parse();
        let permission = permission.map_err(|error: crate::rbac::UnknownPermission| {
            Error::invalid("permission", error.to_string())
        })?;
        Ok(Question { permission, project: self.project })
    }
}

/// Whether a user may do something, and why.
#[derive(Debug, Serialize, ToSchema)]
struct WhyView {
    allowed: bool,
    because: Vec<ReasonView>,
    /// All of it in a sentence.
    explanation: String,
}

/// A role that allows it.
#[derive(Debug, Serialize, ToSchema)]
struct ReasonView {
    role: AssignedRole,
    via: ReasonVia,
    /// Only in this project; `null`: everywhere.
    project: Option<AssignedProject>,
}

/// How the user got the role.
#[derive(Debug, Serialize, ToSchema)]
struct ReasonVia {
    /// `user` or `team`.
    kind: &'static str,
    name: String,
}

impl From<Reason> for ReasonView {
    fn from(reason: Reason) -> Self {
        let via = match reason.via {
            Via::User(name) => ReasonVia { kind: "user", name },
            Via::Team(name) => ReasonVia { kind: "team", name },
        };
        Self { role: reason.role.into(), via, project: reason.project.map(AssignedProject::from) }
    }
}

/// Everybody who may do something.
#[derive(Debug, Serialize, ToSchema)]
struct WhoCanView {
    items: Vec<AbleView>,
}

/// Somebody who may do it, and why.
#[derive(Debug, Serialize, ToSchema)]
struct AbleView {
    user: AbleUser,
    because: Vec<ReasonView>,
}

/// A user by name.
#[derive(Debug, Serialize, ToSchema)]
struct AbleUser {
    uid: UserId,
    name: String,
    email: String,
}

impl From<Able> for AbleView {
    fn from(Able { user, because }: Able) -> Self {
        Self {
            user: AbleUser { uid: user.id, name: user.name, email: user.email },
            because: because.into_iter().map(ReasonView::from).collect(),
        }
    }
}

/// List assignments, oldest first.
#[utoipa::path(get, path = "/v1/assignments", tag = "Roles", params(ListParams, AssignmentParams),
    extensions(("x-permission" = json!("role.list"))),
    responses((status = 200, description = "One page.", body = ListView<AssignmentView>)))]
async fn list_assignments(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleList>,
    ValidQuery(list): ValidQuery<ListParams>,
    ValidQuery(filter): ValidQuery<AssignmentParams>,
) -> Answer<Json<ListView<AssignmentView>>> {
    let filter = AssignmentFilter {
        role: filter.role,
        user: filter.user,
        team: filter.team,
        project: filter.project,
    };
    Ok(Json(app.assignments().list(&permit, filter, &list.query()?).await?.into()))
}

/// Give a role to a user or a team.
#[utoipa::path(post, path = "/v1/assignments", tag = "Roles", request_body = NewAssignmentBody,
    extensions(("x-permission" = json!("role.assign"))),
    responses((status = 201, description = "Given.", body = AssignmentView)))]
async fn create_assignment(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleAssign>,
    ValidJson(new): ValidJson<NewAssignmentBody>,
) -> Answer<Created<AssignmentView>> {
    let new =
        NewAssignment { role: new.role, user: new.user, team: new.team, project: new.project };
    Ok(Created(app.assignments().create(&permit, new).await?.into()))
}

/// Take a role away.
#[utoipa::path(delete, path = "/v1/assignments/{assignment}", tag = "Roles",
    params(("assignment" = AssignmentId, Path, description = "The assignment.")),
    extensions(("x-permission" = json!("role.assign"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_assignment(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleAssign>,
    Id(assignment): Id<AssignmentId>,
) -> Answer<Done> {
    app.assignments().delete(&permit, assignment).await?;
    Ok(Done)
}

/// Explain why a user may do something, or why not.
#[utoipa::path(get, path = "/v1/users/{user}/why", tag = "Roles",
    params(("user" = UserId, Path, description = "The user."), QuestionParams),
    extensions(("x-permission" = json!("role.list"))),
    responses((status = 200, description = "The explanation.", body = WhyView)))]
async fn explain_why(
    State(app): State<App>,
    Allowed(permit): Allowed<RoleList>,
    Id(user): Id<UserId>,
    ValidQuery(question): ValidQuery<QuestionParams>,
) -> Answer<Json<WhyView>> {
    let why = app.explain().why(&permit, user, question.question()?).await?;
    Ok(Json(WhyView {
        allowed: why.allowed,
        because: why.because.into_iter().map(ReasonView::from).collect(),
        explanation: why.sentence,
    }))
}

/// List everybody who may do something.
#[utoipa::path(get, path = "/v1/who-can", tag = "Roles", params(QuestionParams),
    extensions(("x-permission" = json!("user.list"))),
    responses((status = 200, description = "All of them, by name.", body = WhoCanView)))]
async fn explain_who_can(
    State(app): State<App>,
    Allowed(permit): Allowed<UserList>,
    ValidQuery(question): ValidQuery<QuestionParams>,
) -> Answer<Json<WhoCanView>> {
    let able = app.explain().who_can(&permit, question.question()?).await?;
    Ok(Json(WhoCanView { items: able.into_iter().map(AbleView::from).collect() }))
}

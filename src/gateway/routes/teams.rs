//! Teams and their members.

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
        extract::{Allowed, Id, Ids, IfMatch, ListParams, ValidJson, ValidQuery},
        respond::{Answer, Created, Done, Versioned},
    },
    identity::{NewTeam, TeamChange, TeamWithMembers, UserView},
    ids::{TeamId, UserId},
    rbac::rights::{TeamCreate, TeamDelete, TeamGet, TeamList, TeamUpdate},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_teams, create_team))
        .routes(routes!(get_team, update_team, delete_team))
        .routes(routes!(add_team_member, remove_team_member))
}

/// Users that get roles together.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TeamView {
    uid: TeamId,
    name: String,
    description: String,
    created_at: Timestamp,
    version: i64,
    members: Vec<TeamMember>,
}

/// A member of a team.
#[derive(Debug, Serialize, ToSchema)]
struct TeamMember {
    uid: UserId,
    name: String,
    email: String,
}

impl From<UserView> for TeamMember {
    fn from(user: UserView) -> Self {
        Self { uid: user.id, name: user.name, email: user.email }
    }
}

impl From<TeamWithMembers> for TeamView {
    fn from(TeamWithMembers { team, members }: TeamWithMembers) -> Self {
        Self {
            uid: team.id,
            name: team.name,
            description: team.description,
            created_at: team.created_at,
            version: team.version,
            members: members.into_iter().map(TeamMember::from).collect(),
        }
    }
}

/// A new team.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTeamBody {
    /// Unique in the tenant.
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    #[garde(length(chars, max = 1000))]
    #[serde(default)]
    description: String,
}

/// Changes to a team; what is absent stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct TeamChangeBody {
    #[garde(inner(length(chars, min = 1, max = 100), custom(not_blank)))]
    name: Option<String>,
    #[garde(inner(length(chars, max = 1000)))]
    description: Option<String>,
}

/// List teams with their members.
#[utoipa::path(get, path = "/v1/teams", tag = "Teams", params(ListParams),
    extensions(("x-permission" = json!("team.list"))),
    responses((status = 200, description = "One page.", body = ListView<TeamView>)))]
async fn list_teams(
    State(app): State<App>,
    Allowed(permit): Allowed<TeamList>,
    ValidQuery(list): ValidQuery<ListParams>,
) -> Answer<Json<ListView<TeamView>>> {
    Ok(Json(app.teams().list(&permit, &list.query()?).await?.into()))
}

/// Create a team.
#[utoipa::path(post, path = "/v1/teams", tag = "Teams", request_body = NewTeamBody,
    extensions(("x-permission" = json!("team.create"))),
    responses((status = 201, description = "Created.", body = TeamView)))]
async fn create_team(
    State(app): State<App>,
    Allowed(permit): Allowed<TeamCreate>,
    ValidJson(new): ValidJson<NewTeamBody>,
) -> Answer<Created<TeamView>> {
    let new = NewTeam { name: new.name, description: new.description };
    Ok(Created(app.teams().create(&permit, new).await?.into()))
}

/// Look at a team.
#[utoipa::path(get, path = "/v1/teams/{team}", tag = "Teams",
    params(("team" = TeamId, Path, description = "The team.")),
    extensions(("x-permission" = json!("team.get"))),
    responses((status = 200, description = "The team.", body = TeamView)))]
async fn get_team(
    State(app): State<App>,
    Allowed(permit): Allowed<TeamGet>,
    Id(team): Id<TeamId>,
) -> Answer<Versioned<TeamView>> {
    let found = app.teams().get(&permit, team).await?;
    Ok(Versioned(found.team.version, found.into()))
}

/// Rename or describe a team.
#[utoipa::path(patch, path = "/v1/teams/{team}", tag = "Teams",
    params(("team" = TeamId, Path, description = "The team.")),
    request_body = TeamChangeBody,
    extensions(("x-permission" = json!("team.update")), ("x-versioned" = json!(true))),
    responses((status = 200, description = "As it is now.", body = TeamView)))]
async fn update_team(
    State(app): State<App>,
    Allowed(permit): Allowed<TeamUpdate>,
    Id(team): Id<TeamId>,
    IfMatch(version): IfMatch,
    ValidJson(change): ValidJson<TeamChangeBody>,
) -> Answer<Versioned<TeamView>> {
    let change = TeamChange { name: change.name, description: change.description };
    let changed = app.teams().update(&permit, team, change, version).await?;
    Ok(Versioned(changed.team.version, changed.into()))
}

/// Delete a team; its members lose the roles that they had through it.
#[utoipa::path(delete, path = "/v1/teams/{team}", tag = "Teams",
    params(("team" = TeamId, Path, description = "The team.")),
    extensions(("x-permission" = json!("team.delete"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_team(
    State(app): State<App>,
    Allowed(permit): Allowed<TeamDelete>,
    Id(team): Id<TeamId>,
) -> Answer<Done> {
    app.teams().delete(&permit, team).await?;
    Ok(Done)
}

/// Add a user to a team.
#[utoipa::path(put, path = "/v1/teams/{team}/members/{user}", tag = "Teams",
    params(
        ("team" = TeamId, Path, description = "The team."),
        ("user" = UserId, Path, description = "The user.")),
    extensions(("x-permission" = json!("team.update"))),
    responses((status = 204, description = "The user is a member.")))]
async fn add_team_member(
    State(app): State<App>,
    Allowed(permit): Allowed<TeamUpdate>,
    Ids(team, user): Ids<TeamId, UserId>,
) -> Answer<Done> {
    app.teams().add_member(&permit, team, user).await?;
    Ok(Done)
}

/// Remove a user from a team.
#[utoipa::path(delete, path = "/v1/teams/{team}/members/{user}", tag = "Teams",
    params(
        ("team" = TeamId, Path, description = "The team."),
        ("user" = UserId, Path, description = "The user.")),
    extensions(("x-permission" = json!("team.update"))),
    responses((status = 204, description = "The user is no member any more.")))]
async fn remove_team_member(
    State(app): State<App>,
    Allowed(permit): Allowed<TeamUpdate>,
    Ids(team, user): Ids<TeamId, UserId>,
) -> Answer<Done> {
    app.teams().remove_member(&permit, team, user).await?;
    Ok(Done)
}

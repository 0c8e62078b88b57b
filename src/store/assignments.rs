//! Which user or team has which role, and where.

use super::{
    ListQuery, Page, Result, Tx,
    page::{Key, Select, Sort},
    row::from_row,
};
use crate::{
    clock::Timestamp,
    error::Error,
    ids::{AssignmentId, ProjectId, RoleId, TeamId, TenantId, UserId},
};

/// One role given to one user or one team, for the tenant or one project.
#[derive(Clone, Debug)]
pub struct AssignmentRow {
    /// Identifier.
    pub id: AssignmentId,
    /// The role, built-in or custom.
    pub role_id: RoleId,
    /// The user, or …
    pub user_id: Option<UserId>,
    /// … the team.
    pub team_id: Option<TeamId>,
    /// Only in this project; absent: in the whole tenant.
    pub project_id: Option<ProjectId>,
    /// When it was given.
    pub created_at: Timestamp,
}

from_row!(AssignmentRow { id, role_id, user_id, team_id, project_id, created_at });

const COLUMNS: &str = "id, role_id, user_id, team_id, project_id, created_at";

/// Adds an assignment. `Duplicate` when it exists.
pub async fn insert(tx: &mut Tx, tenant: TenantId, row: &AssignmentRow) -> Result<()> {
    tx.execute(
        "INSERT INTO assignment (tenant_id, id, role_id, user_id, team_id, project_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (tenant, row.id, row.role_id, row.user_id, row.team_id, row.project_id, row.created_at),
    )
    .await
    .map(drop)
}

/// The assignment with this identifier.
pub async fn find(
    tx: &mut Tx,
    tenant: TenantId,
    id: AssignmentId,
) -> Result<Option<AssignmentRow>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM assignment WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// Takes a role away.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: AssignmentId) -> Result<bool> {
    let gone =
        tx.execute("DELETE FROM assignment WHERE tenant_id = $1 AND id = $2", (tenant, id)).await?;
    Ok(gone == 1)
}

/// What to look for. Everything is optional.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssignmentFilter {
    /// Of this role.
    pub role: Option<RoleId>,
    /// Given to this user directly.
    pub user: Option<UserId>,
    /// Given to this team.
    pub team: Option<TeamId>,
    /// In this project.
    pub project: Option<ProjectId>,
}

/// Assignments, oldest first.
pub async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    filter: AssignmentFilter,
    list: &ListQuery,
) -> Result<Page<AssignmentRow>, Error> {
    Select::new(COLUMNS, "assignment")
        .filter("tenant_id = ?", tenant)
        .filter_some("role_id = ?", filter.role)
        .filter_some("user_id = ?", filter.user)
        .filter_some("team_id = ?", filter.team)
        .filter_some("project_id = ?", filter.project)
        .page(
            tx,
            list,
            &[Sort::number("createdAt", "created_at")],
            "id",
            |row: &AssignmentRow, _| (Key::Int(row.created_at.as_micros()), row.id.to_string()),
        )
        .await
}

/// Everything that reaches a user, directly or through its teams.
pub async fn of_user(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<Vec<AssignmentRow>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM assignment WHERE tenant_id = $1 AND (user_id = $2 OR team_id IN
                 (SELECT team_id FROM team_member WHERE tenant_id = $1 AND user_id = $2))"
        ),
        (tenant, user),
    )
    .await
}

/// Every assignment of the tenant: for questions about everybody.
pub async fn all(tx: &mut Tx, tenant: TenantId) -> Result<Vec<AssignmentRow>> {
    tx.fetch_all(
        &format!("SELECT {COLUMNS} FROM assignment WHERE tenant_id = $1 ORDER BY created_at, id"),
        (tenant,),
    )
    .await
}

/// How many active users have a role directly for the whole tenant: the last
/// administrator must not be lost.
pub async fn active_holders(tx: &mut Tx, tenant: TenantId, role: RoleId) -> Result<u32> {
    tx.fetch_one(
        "SELECT COUNT(DISTINCT app_user.id) FROM assignment
         JOIN app_user ON app_user.id = assignment.user_id
         WHERE assignment.tenant_id = $1 AND assignment.role_id = $2
           AND assignment.project_id IS NULL AND app_user.state = 'active'",
        (tenant, role),
    )
    .await
}

//! Teams and their members.

use super::{
    ListQuery, Page, Result, Tx,
    page::{Key, Select, Sort},
    row::from_row,
};
use crate::{
    clock::Timestamp,
    error::Error,
    ids::{TeamId, TenantId, UserId},
};

/// A team.
#[derive(Clone, Debug)]
pub struct Team {
    /// Identifier.
    pub id: TeamId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Free text.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
}

from_row!(Team { id, name, description, created_at, version });

const COLUMNS: &str = "id, name, description, created_at, version";

/// Adds a team. `Duplicate` when the name is taken.
pub async fn insert(tx: &mut Tx, tenant: TenantId, team: &Team) -> Result<()> {
    tx.execute(
        "INSERT INTO team (tenant_id, id, name, description, created_at, version)
         VALUES ($1, $2, $3, $4, $5, $6)",
        (tenant, team.id, &team.name, &team.description, team.created_at, team.version),
    )
    .await
    .map(drop)
}

/// The team with this identifier.
pub async fn find(tx: &mut Tx, tenant: TenantId, id: TeamId) -> Result<Option<Team>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM team WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// Teams, sorted by `name` or `createdAt`.
pub async fn list(tx: &mut Tx, tenant: TenantId, list: &ListQuery) -> Result<Page<Team>, Error> {
    Select::new(COLUMNS, "team")
        .filter("tenant_id = ?", tenant)
        .search("name", list.search.as_deref())
        .page(
            tx,
            list,
            &[Sort::text("name", "name"), Sort::number("createdAt", "created_at")],
            "id",
            |team: &Team, sort| {
                let key = match sort {
                    "createdAt" => Key::Int(team.created_at.as_micros()),
                    _ => Key::Text(team.name.clone()),
                };
                (key, team.id.to_string())
            },
        )
        .await
}

/// Changes name and description if `version` is current; answers whether it was.
pub async fn update(tx: &mut Tx, tenant: TenantId, team: &Team, version: i64) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE team SET name = $1, description = $2, version = version + 1
             WHERE tenant_id = $3 AND id = $4 AND version = $5",
            (&team.name, &team.description, tenant, team.id, version),
        )
        .await?;
    Ok(changed == 1)
}

/// Deletes a team with its memberships and assignments.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: TeamId) -> Result<bool> {
    Ok(tx.execute("DELETE FROM team WHERE tenant_id = $1 AND id = $2", (tenant, id)).await? == 1)
}

/// Adds a member; does nothing when it is one already.
pub async fn add_member(tx: &mut Tx, tenant: TenantId, team: TeamId, user: UserId) -> Result<bool> {
    let added = tx
        .execute(
            "INSERT INTO team_member (tenant_id, team_id, user_id) VALUES ($1, $2, $3)
             ON CONFLICT (tenant_id, team_id, user_id) DO NOTHING",
            (tenant, team, user),
        )
        .await?;
    Ok(added == 1)
}

/// Removes a member; answers whether it was one.
pub async fn remove_member(
    tx: &mut Tx,
    tenant: TenantId,
    team: TeamId,
    user: UserId,
) -> Result<bool> {
    let removed = tx
        .execute(
            "DELETE FROM team_member WHERE tenant_id = $1 AND team_id = $2 AND user_id = $3",
            (tenant, team, user),
        )
        .await?;
    Ok(removed == 1)
}

/// Members of a team.
pub async fn members(tx: &mut Tx, tenant: TenantId, team: TeamId) -> Result<Vec<UserId>> {
    tx.fetch_all(
        "SELECT user_id FROM team_member WHERE tenant_id = $1 AND team_id = $2",
        (tenant, team),
    )
    .await
}

/// Every membership of the tenant: for lists that show teams beside users.
pub async fn memberships(tx: &mut Tx, tenant: TenantId) -> Result<Vec<(UserId, TeamId, String)>> {
    struct Membership {
        user_id: UserId,
        id: TeamId,
        name: String,
    }
    from_row!(Membership { user_id, id, name });
    let rows: Vec<Membership> = tx
        .fetch_all(
            "SELECT team_member.user_id AS user_id, team.id AS id, team.name AS name
             FROM team_member JOIN team ON team.id = team_member.team_id
             WHERE team_member.tenant_id = $1 ORDER BY team.name",
            (tenant,),
        )
        .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.id, row.name)).collect())
}

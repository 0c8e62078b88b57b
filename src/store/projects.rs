//! Projects.

use super::{
    ListQuery, Page, Result, Tx,
    page::{Key, Select, Sort},
    row::from_row,
};
use crate::{
    clock::Timestamp,
    error::Error,
    ids::{ProjectId, TenantId},
    rbac::Reach,
};

/// A project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Identifier.
    pub id: ProjectId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Free text.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
    /// How many clusters it has.
    pub clusters: u32,
}

from_row!(Project { id, name, description, created_at, version, clusters });

const COLUMNS: &str = "id, name, description, created_at, version, \
    (SELECT COUNT(*) FROM cluster WHERE cluster.project_id = project.id) AS clusters";

/// Adds a project. `Duplicate` when the name is taken.
pub async fn insert(tx: &mut Tx, tenant: TenantId, project: &Project) -> Result<()> {
    tx.execute(
        "INSERT INTO project (tenant_id, id, name, description, created_at, version)
         VALUES ($1, $2, $3, $4, $5, $6)",
        (
            tenant,
            project.id,
            &project.name,
            &project.description,
            project.created_at,
            project.version,
        ),
    )
    .await
    .map(drop)
}

/// The project with this identifier.
pub async fn find(tx: &mut Tx, tenant: TenantId, id: ProjectId) -> Result<Option<Project>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM project WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// Projects within reach, sorted by `name` or `createdAt`.
pub async fn list(
    tx: &mut Tx,
    tenant: TenantId,
    reach: &Reach,
    list: &ListQuery,
) -> Result<Page<Project>, Error> {
    let select = Select::new(COLUMNS, "project")
        .filter("tenant_id = ?", tenant)
        .search("name", list.search.as_deref());
    let select = match reach {
        Reach::Tenant => select,
        Reach::Projects(projects) => select.filter_in("id", projects.iter().copied()),
    };
    let sorts = &[Sort::text("name", "name"), Sort::number("createdAt", "created_at")];
    select
        .page(tx, list, sorts, "id", |project: &Project, sort| {
            let key = match sort {
                "createdAt" => Key::Int(project.created_at.as_micros()),
                _ => Key::Text(project.name.clone()),
            };
            (key, project.id.to_string())
        })
        .await
}

/// Changes name and description if `version` is current; answers whether it was.
pub async fn update(
    tx: &mut Tx,
    tenant: TenantId,
    project: &Project,
    version: i64,
) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE project SET name = $1, description = $2, version = version + 1
             WHERE tenant_id = $3 AND id = $4 AND version = $5",
            (&project.name, &project.description, tenant, project.id, version),
        )
        .await?;
    Ok(changed == 1)
}

/// Deletes a project. `Reference` while it has clusters.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: ProjectId) -> Result<bool> {
    let gone =
        tx.execute("DELETE FROM project WHERE tenant_id = $1 AND id = $2", (tenant, id)).await?;
    Ok(gone == 1)
}

/// Names of projects by identifier: for views that mention them.
pub async fn names(tx: &mut Tx, tenant: TenantId) -> Result<Vec<(ProjectId, String)>> {
    struct Named {
        id: ProjectId,
        name: String,
    }
    from_row!(Named { id, name });
    let rows: Vec<Named> =
        tx.fetch_all("SELECT id, name FROM project WHERE tenant_id = $1", (tenant,)).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

//! Loading what a user may do.

use crate::{
    error::Result,
    ids::{RoleId, TenantId, UserId},
    rbac::{BuiltIn, Grant, Grants, Permission, PermissionSet, RoleScope, Source},
    store::{self, Tx, assignments::AssignmentRow},
};

/// A role as rights see it: built-in or custom.
#[derive(Clone, Debug)]
pub struct RoleRights {
    /// Its name.
    pub name: String,
    /// Where it can be assigned.
    pub scope: RoleScope,
    /// What it allows.
    pub permissions: PermissionSet,
}

/// The role with this identifier, if the tenant has it: custom, or built-in
/// and of a scope that fits the tenant.
pub async fn find_role(tx: &mut Tx, tenant: TenantId, id: RoleId) -> Result<Option<RoleRights>> {
    if let Some(role) = BuiltIn::find(&id.to_string()) {
        let fits = (role.scope == RoleScope::System) == tenant.is_system();
        return Ok(fits.then(|| RoleRights {
            name: role.name.to_owned(),
            scope: role.scope,
            permissions: role.permissions(),
        }));
    }
    let row = store::roles::find(tx, tenant, id).await?;
    Ok(row.and_then(|row| {
        let scope = RoleScope::parse(&row.scope)?;
        Some(RoleRights { name: row.name, scope, permissions: parse_permissions(&row.permissions) })
    }))
}

/// Reads stored permission names. A name that this version does not know
/// (after going back to it) allows nothing.
pub fn parse_permissions(text: &str) -> PermissionSet {
    text.split_whitespace().filter_map(|name| name.parse::<Permission>().ok()).collect()
}

/// The union of everything that reaches `user`.
pub async fn load_grants(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<Grants> {
    let assignments = store::assignments::of_user(tx, tenant, user).await?;
    let mut grants = Vec::with_capacity(assignments.len());
    for assignment in assignments {
        if let Some(role) = find_role(tx, tenant, assignment.role_id).await? {
            grants.push(grant(&assignment, role.permissions));
        }
    }
    Ok(Grants::new(grants))
}

fn grant(assignment: &AssignmentRow, permissions: PermissionSet) -> Grant {
    Grant {
        role: assignment.role_id,
        permissions,
        source: assignment.team_id.map_or(Source::User, Source::Team),
        project: assignment.project_id,
    }
}

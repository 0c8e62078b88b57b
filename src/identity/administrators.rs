//! The last administrator of a tenant or of the system scope.
//!
//! Owns: which role administers a scope, and the rule that somebody active
//! always has it, directly and for the whole scope. Roles through teams do not
//! count: a team can be emptied by people who may not touch roles.
//! Must not know: why somebody is about to lose the role.

use crate::{
    error::{Error, Kind, Result},
    ids::{RoleId, TenantId, UserId},
    store::{self, Tx, assignments::AssignmentRow},
};

const SYSTEM_ADMIN: &str = "0000000000a0";
const TENANT_ADMIN: &str = "0000000000b0";

/// The built-in role whose last holder must stay: System Admin or Tenant Admin.
pub fn administrator_role(tenant: TenantId) -> Result<RoleId> {
    let uid = if tenant.is_system() { SYSTEM_ADMIN } else { TENANT_ADMIN };
    uid.parse().map_err(Error::internal)
}

/// What decides whether a scope can do without somebody.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Only active users can act.
    active: bool,
    /// Has the role directly, for the whole scope.
    administrator: bool,
    /// How many active users have it so.
    administrators: u32,
}

impl Standing {
    fn is_indispensable(self) -> bool {
        self.active && self.administrator && self.administrators <= 1
    }
}

/// Whether this assignment makes its user an administrator of the scope.
pub(super) fn makes_administrator(row: &AssignmentRow, role: RoleId) -> bool {
    row.role_id == role && row.user_id.is_some() && row.project_id.is_none()
}

/// Refuses what would take the last active administrator from the scope. The
/// scope stays locked until the transaction ends, so that two administrators
/// cannot remove each other at the same moment. Kind: `Conflict`.
pub(super) async fn refuse_losing(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<()> {
    store::tenants::lock(tx, tenant).await?;
    let role = administrator_role(tenant)?;
    let reaching = store::assignments::of_user(tx, tenant, user).await?;
    let row = store::users::find(tx, tenant, user).await?;
    let standing = Standing {
        active: row.is_some_and(|row| row.state == "active"),
        administrator: reaching.iter().any(|row| makes_administrator(row, role)),
        administrators: store::assignments::active_holders(tx, tenant, role).await?,
    };
    if !standing.is_indispensable() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict,
        "last-administrator",
        "This is the last active administrator; nobody could manage anything any more.",
    )
    .with_hint("Give the administrator's role to another active user first."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{SystemRandom, Timestamp},
        ids::{AssignmentId, ProjectId, TeamId},
        rbac::{BuiltIn, RoleScope},
    };

    fn assignment(role: RoleId) -> AssignmentRow {
        AssignmentRow {
            id: AssignmentId::random(&SystemRandom),
            role_id: role,
            user_id: Some(UserId::random(&SystemRandom)),
            team_id: None,
            project_id: None,
            created_at: Timestamp::from_seconds(0),
        }
    }

    #[test]
    fn only_the_last_active_administrator_is_indispensable() {
        let last = Standing { active: true, administrator: true, administrators: 1 };
        assert!(last.is_indispensable());
        assert!(!Standing { administrators: 2, ..last }.is_indispensable());
        assert!(!Standing { administrator: false, ..last }.is_indispensable());
        // An invited or disabled one is not counted and not missed.
        assert!(!Standing { active: false, administrators: 1, ..last }.is_indispensable());
    }

    #[test]
    fn a_role_through_a_team_or_in_a_project_makes_nobody_an_administrator() {
        let role = administrator_role(TenantId::random(&SystemRandom)).unwrap();
        let direct = assignment(role);
        assert!(makes_administrator(&direct, role));
        let team = Some(TeamId::random(&SystemRandom));
        assert!(!makes_administrator(
            &AssignmentRow { user_id: None, team_id: team, ..direct.clone() },
            role
        ));
        let project_id = Some(ProjectId::random(&SystemRandom));
        assert!(!makes_administrator(&AssignmentRow { project_id, ..direct }, role));
        assert!(!makes_administrator(&assignment(RoleId::random(&SystemRandom)), role));
    }

    #[test]
    fn each_scope_has_its_administrators_role() {
        for (tenant, scope) in [
            (TenantId::SYSTEM, RoleScope::System),
            (TenantId::random(&SystemRandom), RoleScope::Tenant),
        ] {
            let role = administrator_role(tenant).unwrap();
            let role = BuiltIn::find(&role.to_string()).expect("a built-in role");
            assert_eq!(role.scope, scope);
            assert!(role.permissions().contains(crate::rbac::Permission::RoleAssign));
        }
    }
}

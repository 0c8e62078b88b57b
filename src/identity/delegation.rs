//! Nobody hands out more than it has.
//!
//! Owns: the rule that a role, a team's roles or a way into an account can only
//! be given by somebody who may do all of that already. Without it, whoever may
//! assign roles, fill teams or reset passwords could make itself administrator.
//! Must not know: what is handed out and to whom.

use super::rights::load_grants;
use crate::{
    audit::Change,
    error::{Error, Kind, Result},
    ids::ProjectId,
    rbac::{Grants, Permission, PermissionSet, Principal},
};

/// Permissions, and the project in which they hold (`None`: everywhere).
pub(super) type Handed = (PermissionSet, Option<ProjectId>);

/// Refuses to hand out what the actor of the change does not have itself.
/// `attempted` is what the record of the refusal says. Kind: `Forbidden`.
pub(super) async fn refuse_beyond(
    change: &mut Change,
    attempted: Permission,
    handed: &[Handed],
) -> Result<()> {
    let (principal, tenant) = (change.actor().principal, change.actor().tenant);
    let own = match principal {
        Principal::System => return Ok(()),
        Principal::User { user, .. } | Principal::ApiKey { user, .. } => {
            load_grants(change.tx(), tenant, user).await?
        }
        Principal::Agent(_) | Principal::Console { .. } | Principal::Anonymous => Grants::default(),
    };
    if covers(&own, handed) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Forbidden,
        "beyond-own-rights",
        "This would give permissions that you do not have yourself.",
    )
    .with_hint("Ask somebody who has them, for example an administrator.")
    .for_want_of(attempted.name()))
}

fn covers(own: &Grants, handed: &[Handed]) -> bool {
    handed.iter().all(|(permissions, project)| own.covers(*permissions, *project))
}

/// Everything that comes with an account.
pub(super) fn all_of(grants: &Grants) -> Vec<Handed> {
    let projects = grants.projects().iter().map(|(project, set)| (*set, Some(*project)));
    projects.chain([(grants.everywhere(), None)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemRandom,
        ids::RoleId,
        rbac::{BuiltIn, Grant, Source},
    };

    fn holder(role: &str, project: Option<ProjectId>) -> Grants {
        Grants::new(vec![Grant {
            role: RoleId::random(&SystemRandom),
            permissions: BuiltIn::find(role).expect("built in").permissions(),
            source: Source::User,
            project,
        }])
    }

    #[test]
    fn a_user_admin_cannot_take_over_the_account_of_a_tenant_admin() {
        let (user_admin, tenant_admin) =
            (holder("0000000000b2", None), holder("0000000000b0", None));
        assert!(!covers(&user_admin, &all_of(&tenant_admin)));
        assert!(covers(&tenant_admin, &all_of(&user_admin)));
    }

    #[test]
    fn an_administrator_of_one_project_hands_out_nothing_in_another() {
        let (mine, other) = (ProjectId::random(&SystemRandom), ProjectId::random(&SystemRandom));
        let own = holder("0000000000c0", Some(mine));
        let viewer = BuiltIn::find("0000000000c2").expect("built in").permissions();
        assert!(covers(&own, &[(viewer, Some(mine))]));
        assert!(!covers(&own, &[(viewer, Some(other))]));
        assert!(!covers(&own, &[(viewer, None)]));
    }
}

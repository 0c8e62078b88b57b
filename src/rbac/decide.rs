//! The union of a user's roles, and decisions on it.
//!
//! [`Grants`] is built once from the assignments of a user and its teams and
//! then answers in nanoseconds: one word for the tenant, one for each project.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    actor::Actor,
    permission::{Permission, PermissionSet, Right},
    permit::Permit,
    reach::{Projects, Reach},
};
use crate::{
    error::{Error, Result},
    ids::{ProjectId, RoleId, TeamId},
};

/// How a user came to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Assigned to the user.
    User,
    /// Assigned to a team of which the user is a member.
    Team(TeamId),
}

/// One role that reaches a user.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The role.
    pub role: RoleId,
    /// What it allows.
    pub permissions: PermissionSet,
    /// Directly or through a team.
    pub source: Source,
    /// Only in this project; `None` means the whole tenant.
    pub project: Option<ProjectId>,
}

/// Everything a user may do, and why.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    everywhere: PermissionSet,
    /// What holds in some project or other.
    somewhere: PermissionSet,
    projects: Arc<BTreeMap<ProjectId, PermissionSet>>,
    all: Vec<Grant>,
}

/// Whether somebody may do something, and through which roles.
#[derive(Debug)]
pub struct Why {
    /// The decision.
    pub allowed: bool,
    /// The roles that allow it; empty when it is refused.
    pub because: Vec<Grant>,
}

impl Grants {
    /// The union of `grants`.
    pub fn new(grants: Vec<Grant>) -> Self {
        let (mut everywhere, mut somewhere) = <(PermissionSet, PermissionSet)>::default();
        let mut projects = BTreeMap::<ProjectId, PermissionSet>::new();
        for grant in &grants {
            let place = match grant.project {
                None => &mut everywhere,
                Some(project) => {
                    somewhere = somewhere.union(grant.permissions);
                    projects.entry(project).or_default()
                }
            };
            *place = place.union(grant.permissions);
        }
        Self { everywhere, somewhere, projects: Arc::new(projects), all: grants }
    }

    /// What holds in the whole tenant.
    pub fn everywhere(&self) -> PermissionSet {
        self.everywhere
    }

    /// What holds in single projects, in addition to what holds everywhere.
    pub fn projects(&self) -> &BTreeMap<ProjectId, PermissionSet> {
        &self.projects
    }

    /// Whether `permission` holds on an object of `project` (or of the tenant itself).
    pub fn allows(&self, permission: Permission, project: Option<ProjectId>) -> bool {
        self.everywhere.contains(permission)
            || project
                .and_then(|project| self.projects.get(&project))
                .is_some_and(|set| set.contains(permission))
    }

    /// Where `permission` holds; `None` when it holds nowhere.
    pub fn reach(&self, permission: Permission) -> Option<Reach> {
        if self.everywhere.contains(permission) {
            return Some(Reach::Tenant);
        }
        self.somewhere.contains(permission).then(|| {
            let wanted = PermissionSet::from_iter([permission]);
            Reach::Projects(Projects::new(Arc::clone(&self.projects), wanted))
        })
    }

    /// Everything that is allowed anywhere: what a new role or assignment of
    /// this user may contain at the most is decided on this.
    pub fn covers(&self, permissions: PermissionSet, project: Option<ProjectId>) -> bool {
        let here = project.and_then(|project| self.projects.get(&project)).copied();
        self.everywhere.union(here.unwrap_or_default()).covers(permissions)
    }

    /// Explains a decision.
    pub fn why(&self, permission: Permission, project: Option<ProjectId>) -> Why {
        let because: Vec<_> = self
            .all
            .iter()
            .filter(|grant| grant.permissions.contains(permission))
            .filter(|grant| grant.project.is_none() || grant.project == project)
            .cloned()
            .collect();
        Why { allowed: !because.is_empty(), because }
    }

    /// The proof that `actor`, whose grants these are, may do `R` somewhere.
    /// Kind: `Forbidden`.
    pub fn permit<R: Right>(&self, actor: Actor) -> Result<Permit<R>> {
        match self.reach(R::PERMISSION) {
            Some(reach) => {
                let sight = R::PERMISSION.sight().and_then(|sight| self.reach(sight));
                Ok(Permit::new(actor, reach, sight))
            }
            None => Err(refusal(R::PERMISSION)),
        }
    }
}

/// How a missing permission reads.
pub(super) fn refusal(permission: Permission) -> Error {
    Error::forbidden(format!("You need the permission {permission} for this."))
        .with_hint("Ask an administrator for a role that has it.")
        .for_want_of(permission.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemRandom, error::Kind, ids::TenantId, rbac::rights};

    fn grant(permissions: &[Permission], project: Option<ProjectId>) -> Grant {
        Grant {
            role: RoleId::random(&SystemRandom),
            permissions: permissions.iter().copied().collect(),
            source: Source::User,
            project,
        }
    }

    #[test]
    fn a_project_grant_does_not_reach_another_project() {
        let (here, there) = (ProjectId::random(&SystemRandom), ProjectId::random(&SystemRandom));
        let grants = Grants::new(vec![grant(&[Permission::ClusterDelete], Some(here))]);
        assert!(grants.allows(Permission::ClusterDelete, Some(here)));
        assert!(!grants.allows(Permission::ClusterDelete, Some(there)));
        assert!(!grants.allows(Permission::ClusterDelete, None));
    }

    #[test]
    fn rights_are_the_union_of_all_roles() {
        let grants = Grants::new(vec![
            grant(&[Permission::ClusterGet], None),
            grant(&[Permission::ClusterList], None),
        ]);
        assert!(grants.allows(Permission::ClusterGet, None));
        assert!(grants.allows(Permission::ClusterList, None));
    }

    #[test]
    fn no_grant_gives_no_permit() {
        let actor = Actor::system(TenantId::SYSTEM);
        let refused = Grants::default().permit::<rights::ClusterGet>(actor);
        assert_eq!(refused.expect_err("refused").kind(), Kind::Forbidden);
    }

    #[test]
    fn who_sees_an_object_but_may_not_change_it_is_told_so_and_others_find_nothing() {
        let (seen, mine, hidden) = (
            ProjectId::random(&SystemRandom),
            ProjectId::random(&SystemRandom),
            ProjectId::random(&SystemRandom),
        );
        let grants = Grants::new(vec![
            grant(&[Permission::ClusterGet], Some(seen)),
            grant(&[Permission::ClusterGet, Permission::ClusterDelete], Some(mine)),
        ]);
        let permit = grants
            .permit::<rights::ClusterDelete>(Actor::system(TenantId::SYSTEM))
            .expect("permit");
        assert!(permit.on("cluster", Some(mine)).is_ok());
        let told = permit.on("cluster", Some(seen)).expect_err("refused");
        assert_eq!(told.kind(), Kind::Forbidden);
        let nothing = permit.on("cluster", Some(hidden)).expect_err("refused");
        assert_eq!(nothing.kind(), Kind::NotFound);
    }
}

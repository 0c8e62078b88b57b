//! Where a permission holds.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::permission::PermissionSet;
use crate::ids::ProjectId;

/// Where a permission holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In the whole tenant.
    Tenant,
    /// Only in these projects.
    Projects(Projects),
}

impl Reach {
    /// Whether `project` is within reach. Objects outside any project need the whole tenant.
    pub fn covers(&self, project: Option<ProjectId>) -> bool {
        match (self, project) {
            (Self::Tenant, _) => true,
            (Self::Projects(projects), Some(project)) => projects.contains(project),
            (Self::Projects(_), None) => false,
        }
    }
}

/// The projects in which some permissions hold: a view of all that a user may
/// do in projects, so that a permit costs the same however many there are.
#[derive(Clone)]
pub struct Projects {
    rights: Arc<BTreeMap<ProjectId, PermissionSet>>,
    wanted: PermissionSet,
}

impl Projects {
    pub(super) fn new(
        rights: Arc<BTreeMap<ProjectId, PermissionSet>>,
        wanted: PermissionSet,
    ) -> Self {
        Self { rights, wanted }
    }

    /// Whether `project` is one of them.
    pub fn contains(&self, project: ProjectId) -> bool {
        self.rights.get(&project).is_some_and(|rights| rights.covers(self.wanted))
    }

    /// The projects, in the order of their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = &ProjectId> {
        let here = self.rights.iter().filter(|(_, rights)| rights.covers(self.wanted));
        here.map(|(project, _)| project)
    }
}

impl<const N: usize> From<[ProjectId; N]> for Projects {
    fn from(projects: [ProjectId; N]) -> Self {
        let none = PermissionSet::default();
        Self { rights: Arc::new(projects.map(|project| (project, none)).into()), wanted: none }
    }
}

impl PartialEq for Projects {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Projects {}

impl fmt::Debug for Projects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

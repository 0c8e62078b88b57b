//! Roles: the built-in ones and the rules for custom ones.

use super::permission::{Level, Permission, PermissionSet};
use crate::error::{Error, Result};

/// Where a role can be assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleScope {
    /// In the scope of system administrators.
    System,
    /// For a whole tenant.
    Tenant,
    /// For single projects (and for all of them, when assigned without a project).
    Project,
}

impl RoleScope {
    /// The word used in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Tenant => "tenant",
            Self::Project => "project",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::System, Self::Tenant, Self::Project].into_iter().find(|scope| scope.as_str() == text)
    }

    /// Whether a role of this scope may hold `permission`.
    pub fn may_hold(self, permission: Permission) -> bool {
        match self {
            Self::System => permission.in_system_scope(),
            Self::Tenant => permission.level() != Level::System,
            Self::Project => permission.level() == Level::Project,
        }
    }
}

/// Refuses a custom role that holds a permission which its scope cannot carry.
/// Kind: `Invalid`, naming the field `permissions` and the permission.
pub fn refuse_unsuitable(scope: RoleScope, permissions: PermissionSet) -> Result<()> {
    let unsuitable: Vec<_> =
        permissions.iter().filter(|permission| !scope.may_hold(*permission)).collect();
    if unsuitable.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = unsuitable.iter().map(|permission| permission.name()).collect();
    Err(Error::invalid(
        "permissions",
        format!("a role of scope {} cannot hold {}", scope.as_str(), names.join(", ")),
    ))
}

/// A role that every installation has and that nobody can change.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its identifier: the same in every installation.
    pub uid: &'static str,
    /// Its name, as people read it.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Where it can be assigned.
    pub scope: RoleScope,
    holds: fn(Permission) -> bool,
}

impl BuiltIn {
    /// What it allows.
    pub fn permissions(&self) -> PermissionSet {
        Permission::ALL
            .iter()
            .copied()
            .filter(|permission| self.scope.may_hold(*permission) && (self.holds)(*permission))
            .collect()
    }

    /// The built-in role with this identifier.
    pub fn find(uid: &str) -> Option<&'static Self> {
        BUILT_IN.iter().find(|role| role.uid == uid)
    }
}

fn of(permission: Permission, components: &[&str]) -> bool {
    components.contains(&permission.component())
}

/// The built-in roles. A snapshot test shows what each of them allows.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        uid: "0000000000a0",
        name: "System Admin",
        description: "Runs the appliance: tenants, certificates, keys, backups, system users.",
        scope: RoleScope::System,
        holds: |_| true,
    },
    BuiltIn {
        uid: "0000000000a1",
        name: "System Viewer",
        description: "Looks at everything in the system scope and changes nothing.",
        scope: RoleScope::System,
        holds: Permission::is_read,
    },
    BuiltIn {
        uid: "0000000000b0",
        name: "Tenant Admin",
        description: "May do everything in the tenant.",
        scope: RoleScope::Tenant,
        holds: |_| true,
    },
    BuiltIn {
        uid: "0000000000b1",
        name: "Tenant Viewer",
        description: "Looks at everything in the tenant and changes nothing.",
        scope: RoleScope::Tenant,
        holds: Permission::is_read,
    },
    BuiltIn {
        uid: "0000000000b2",
        name: "User Admin",
        description: "Invites, changes and removes users and their API keys.",
        scope: RoleScope::Tenant,
        holds: |p| {
            of(p, &["user", "apiKey"]) || matches!(p, Permission::TeamList | Permission::TeamGet)
        },
    },
    BuiltIn {
        uid: "0000000000b3",
        name: "Role Admin",
        description: "Defines roles and assigns them.",
        scope: RoleScope::Tenant,
        holds: |p| of(p, &["role"]) || (p.is_read() && of(p, &["user", "team", "project"])),
    },
    BuiltIn {
        uid: "0000000000b4",
        name: "Team Admin",
        description: "Makes teams and chooses their members.",
        scope: RoleScope::Tenant,
        holds: |p| of(p, &["team"]) || matches!(p, Permission::UserList | Permission::UserGet),
    },
    BuiltIn {
        uid: "0000000000b5",
        name: "Auditor",
        description: "Reads the audit trail and the objects that it speaks of.",
        scope: RoleScope::Tenant,
        holds: |p| p.is_read() && of(p, &["audit", "project", "user", "team", "role", "cluster"]),
    },
    BuiltIn {
        uid: "0000000000c0",
        name: "Project Admin",
        description: "May do everything in a project.",
        scope: RoleScope::Project,
        holds: |_| true,
    },
    BuiltIn {
        uid: "0000000000c1",
        name: "Project Editor",
        description: "Imports, changes and configures clusters, but removes none.",
        scope: RoleScope::Project,
        holds: |p| {
            let change = !matches!(p.operation(), "delete") && !of(p, &["project", "audit"]);
            change || (p.is_read() && !of(p, &["audit"]))
        },
    },
    BuiltIn {
        uid: "0000000000c2",
        name: "Project Viewer",
        description: "Looks at a project and its clusters.",
        scope: RoleScope::Project,
        holds: |p| p.is_read() && !of(p, &["audit"]),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_role_with_user_list_is_refused() {
        let permissions = [Permission::ClusterGet, Permission::UserList].into_iter().collect();
        let refusal = refuse_unsuitable(RoleScope::Project, permissions).expect_err("refused");
        assert!(refusal.fields()[0].message.contains("user.list"));
    }

    #[test]
    fn a_tenant_role_cannot_hold_a_system_permission() {
        let permissions = [Permission::TenantDelete].into_iter().collect();
        assert!(refuse_unsuitable(RoleScope::Tenant, permissions).is_err());
    }

    #[test]
    fn a_system_administrator_holds_nothing_on_clusters() {
        let admin = BuiltIn::find("0000000000a0").expect("built in");
        assert!(!admin.permissions().contains(Permission::ClusterList));
    }

    #[test]
    fn what_each_built_in_role_allows_is_what_was_reviewed() {
        let line = |role: &BuiltIn| {
            let names: Vec<_> = role.permissions().iter().map(Permission::name).collect();
            format!("{} ({}): {}\n", role.name, role.scope.as_str(), names.join(" "))
        };
        let table: String = BUILT_IN.iter().map(line).collect();
        insta::assert_snapshot!("built_in_roles", table);
    }
}

//! Every permission of the product, in one table.
//!
//! A permission is `component.operation`. Its [`Level`] says where it can be
//! held: `system` permissions belong to the administrators of the appliance,
//! `tenant` permissions make sense only for a whole tenant, and `project`
//! permissions can be held for a tenant or for single projects.

use std::{fmt, str::FromStr, sync::LazyLock};

/// The widest place where a permission can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Only in the scope of system administrators.
    System,
    /// Only for a whole tenant (and, for shared components, the system scope).
    Tenant,
    /// For a whole tenant or for single projects.
    Project,
}

/// A marker type that stands for one permission in a [`Permit`](super::Permit).
pub trait Right: Send + Sync + 'static {
    /// The permission that the marker stands for.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($variant:ident $name:literal $level:ident $(+$system:ident)? $description:literal;)*) => {
        /// One permission.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Permission {
            $(#[doc = $description] $variant,)*
        }

        impl Permission {
            /// Every permission, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// `component.operation`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Where it can be held.
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)* }
            }

            /// What it allows, as a short sentence.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }

            /// Whether system administrators can hold it in the system scope.
            pub const fn in_system_scope(self) -> bool {
                match self {
                    $(Self::$variant => {
                        matches!(Level::$level, Level::System) $(|| stringify!($system).len() > 0)?
                    })*
                }
            }
        }

        /// One marker type for each permission, named like its variant.
        pub mod rights {
            use super::{Permission, Right};
            $(
                #[doc = $description]
                #[derive(Clone, Copy, Debug)]
                pub struct $variant;
                impl Right for $variant {
                    const PERMISSION: Permission = Permission::$variant;
                }
            )*
        }
    };
}

permissions! {
    TenantCreate "tenant.create" System "Create tenants.";
    TenantGet "tenant.get" System "Look at a tenant.";
    TenantList "tenant.list" System "List tenants.";
    TenantUpdate "tenant.update" System "Rename, suspend and resume tenants, and rotate their keys.";
    TenantDelete "tenant.delete" System "Delete tenants and destroy their keys.";

    ProjectCreate "project.create" Tenant "Create projects.";
    ProjectGet "project.get" Project "Look at a project.";
    ProjectList "project.list" Project "List projects.";
    ProjectUpdate "project.update" Project "Rename projects.";
    ProjectDelete "project.delete" Tenant "Delete empty projects.";

    UserCreate "user.create" Tenant +System "Invite users.";
    UserGet "user.get" Tenant +System "Look at a user.";
    UserList "user.list" Tenant +System "List users.";
    UserUpdate "user.update" Tenant +System "Rename, disable, reset and log out users.";
    UserDelete "user.delete" Tenant +System "Delete users and their personal data.";

    TeamCreate "team.create" Tenant +System "Create teams.";
    TeamGet "team.get" Tenant +System "Look at a team.";
    TeamList "team.list" Tenant +System "List teams.";
    TeamUpdate "team.update" Tenant +System "Rename teams and change their members.";
    TeamDelete "team.delete" Tenant +System "Delete teams.";

    RoleCreate "role.create" Tenant +System "Create custom roles.";
    RoleGet "role.get" Tenant +System "Look at a role.";
    RoleList "role.list" Tenant +System "List roles and assignments.";
    RoleUpdate "role.update" Tenant +System "Change custom roles.";
    RoleDelete "role.delete" Tenant +System "Delete custom roles.";
    RoleAssign "role.assign" Tenant +System "Give roles to users and teams, and take them away.";

    ApiKeyCreate "apiKey.create" Tenant +System "Create API keys for oneself.";
    ApiKeyGet "apiKey.get" Tenant +System "Look at an API key.";
    ApiKeyList "apiKey.list" Tenant +System "List API keys.";
    ApiKeyUpdate "apiKey.update" Tenant +System "Rename API keys.";
    ApiKeyDelete "apiKey.delete" Tenant +System "Delete API keys.";

    ClusterImport "cluster.import" Project "Import clusters and renew their import commands.";
    ClusterCreate "cluster.create" Project "Provision clusters.";
    ClusterGet "cluster.get" Project "Look at a cluster.";
    ClusterList "cluster.list" Project "List clusters.";
    ClusterUpdate "cluster.update" Project "Rename clusters and store their kubeconfigs.";
    ClusterDelete "cluster.delete" Project "Remove clusters and cut off their agents.";
    ClusterKubeconfig "cluster.kubeconfig" Project "Download a cluster's kubeconfig.";

    ClusterProfileCreate "clusterProfile.create" Project "Create cluster profiles.";
    ClusterProfileGet "clusterProfile.get" Project "Look at a cluster profile.";
    ClusterProfileList "clusterProfile.list" Project "List cluster profiles.";
    ClusterProfileUpdate "clusterProfile.update" Project "Change cluster profiles.";
    ClusterProfileDelete "clusterProfile.delete" Project "Delete cluster profiles.";
    ClusterProfileApply "clusterProfile.apply" Project "Apply a profile to clusters.";

    PackCreate "pack.create" Tenant +System "Push packs.";
    PackGet "pack.get" Project +System "Look at and pull packs.";
    PackList "pack.list" Project +System "List packs.";
    PackUpdate "pack.update" Tenant +System "Change packs and their tags.";
    PackDelete "pack.delete" Tenant +System "Delete packs.";

    PackRegistryCreate "packRegistry.create" Tenant +System "Add pack registries.";
    PackRegistryGet "packRegistry.get" Tenant +System "Look at a pack registry.";
    PackRegistryList "packRegistry.list" Tenant +System "List pack registries.";
    PackRegistryUpdate "packRegistry.update" Tenant +System "Change and synchronise pack registries.";
    PackRegistryDelete "packRegistry.delete" Tenant +System "Remove pack registries.";

    PrivateGatewayCreate "privateGateway.create" Tenant "Pair private cloud gateways.";
    PrivateGatewayGet "privateGateway.get" Tenant "Look at a private cloud gateway.";
    PrivateGatewayList "privateGateway.list" Tenant "List private cloud gateways.";
    PrivateGatewayUpdate "privateGateway.update" Tenant "Change private cloud gateways.";
    PrivateGatewayDelete "privateGateway.delete" Tenant "Remove private cloud gateways.";

    CloudAccountCreate "cloudAccount.create" Tenant "Add cloud accounts.";
    CloudAccountGet "cloudAccount.get" Project "Look at a cloud account, without its credentials.";
    CloudAccountList "cloudAccount.list" Project "List cloud accounts.";
    CloudAccountUpdate "cloudAccount.update" Tenant "Change cloud accounts.";
    CloudAccountDelete "cloudAccount.delete" Tenant "Remove cloud accounts.";

    AuditList "audit.list" Project +System "Search and export the audit trail.";
    AuditGet "audit.get" Project +System "Look at an audit record.";

    AlertCreate "alert.create" Tenant +System "Create alert rules.";
    AlertGet "alert.get" Project +System "Look at an alert.";
    AlertList "alert.list" Project +System "List alerts.";
    AlertUpdate "alert.update" Tenant +System "Change and acknowledge alerts.";
    AlertDelete "alert.delete" Tenant +System "Delete alert rules.";

    BackupCreate "backup.create" System "Make backups.";
    BackupGet "backup.get" System "Look at a backup.";
    BackupList "backup.list" System "List backups.";
    BackupUpdate "backup.update" System "Change the backup schedule and target.";
    BackupDelete "backup.delete" System "Delete backups.";
    BackupRestore "backup.restore" System "Restore a backup.";

    CertificateGet "certificate.get" System "Look at the appliance's certificate.";
    CertificateUpdate "certificate.update" System "Import or renew the appliance's certificate.";

    PlatformGet "platform.get" System "Look at the state, keys and metrics of the appliance.";
    PlatformUpdate "platform.update" System "Change settings of the appliance and rotate its keys.";

    PolicyGet "passwordPolicy.get" Tenant +System "Look at the password policy.";
    PolicyUpdate "passwordPolicy.update" Tenant +System "Change the password policy.";
}

impl Permission {
    /// The part before the dot.
    pub fn component(self) -> &'static str {
        self.name().split_once('.').map_or(self.name(), |(component, _)| component)
    }

    /// The part after the dot.
    pub fn operation(self) -> &'static str {
        self.name().split_once('.').map_or("", |(_, operation)| operation)
    }

    /// Whether this permission only reads.
    pub fn is_read(self) -> bool {
        matches!(self.operation(), "get" | "list")
    }

    /// The permission to look at objects of the same component, if there is one.
    /// Who lacks even this must not learn that an object exists.
    pub fn sight(self) -> Option<Self> {
        // Asked for with every request.
        static ALL: LazyLock<Vec<Option<Permission>>> = LazyLock::new(|| {
            let gets = || Permission::ALL.iter().copied().filter(|p| p.operation() == "get");
            let sight = |of: &Permission| gets().find(|get| get.component() == of.component());
            Permission::ALL.iter().map(sight).collect()
        });
        ALL.get(self as usize).copied().flatten()
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No permission has this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no permission {0:?}")]
pub struct UnknownPermission(String);

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Self::ALL
            .iter()
            .copied()
            .find(|permission| permission.name() == text)
            .ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

/// A set of permissions as one machine word; union and membership cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermissionSet(u128);

impl PermissionSet {
    /// Adds a permission.
    pub fn insert(&mut self, permission: Permission) {
        self.0 |= 1 << permission as u8;
    }

    /// Whether the set has this permission.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every permission of `other` is in this set.
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The permissions, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        let mut set = Self::default();
        permissions.into_iter().for_each(|permission| set.insert(permission));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_into_the_set() {
        assert!(Permission::ALL.len() <= 128);
    }

    #[test]
    fn every_name_is_component_dot_operation_and_stands_once() {
        let mut names: Vec<_> = Permission::ALL.iter().map(|p| p.name()).collect();
        assert!(names.iter().all(|name| name.split('.').count() == 2));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Permission::ALL.len());
    }

    #[test]
    fn a_set_contains_what_was_put_in_and_nothing_else() {
        let set: PermissionSet =
            [Permission::ClusterGet, Permission::PolicyUpdate].into_iter().collect();
        let listed: Vec<_> = set.iter().collect();
        assert_eq!(listed, [Permission::ClusterGet, Permission::PolicyUpdate]);
    }
}

//! Roles: the built-in ones and those that a tenant defines, as one list.
//!
//! Owns: custom roles and which roles a scope offers.
//! Must not know: who has a role.

use serde::{Deserialize, Serialize};

use super::{delegation::refuse_beyond, pages, policies::stale, rights::parse_permissions};
use crate::{
    audit::{Event, Ledger},
    clock::Timestamp,
    error::{Error, Kind, Result},
    ids::{RoleId, TenantId},
    rbac::{
        BUILT_IN, BuiltIn, Permission, PermissionSet, Permit, RoleScope, refuse_unsuitable,
        rights::{RoleCreate, RoleDelete, RoleGet, RoleList, RoleUpdate},
    },
    store::{self, Cursor, Key, ListQuery, Page, Tx, roles::RoleRow},
};

const SORTS: &[&str] = &["name", "scope", "createdAt"];

/// A role, built-in or custom.
#[derive(Clone, Debug)]
pub struct Role {
    /// Identifier.
    pub id: RoleId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether every installation has it, unchangeable.
    pub built_in: bool,
    /// Where it can be assigned.
    pub scope: RoleScope,
    /// What it allows.
    pub permissions: PermissionSet,
    /// When it was created; a built-in role came with the tenant.
    pub created_at: Timestamp,
    /// Counts changes; 0 for a built-in role.
    pub version: i64,
}

/// What a new role needs.
#[derive(Debug)]
pub struct NewRole {
    /// Unique in the tenant.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Where it can be assigned; cannot be changed later.
    pub scope: RoleScope,
    /// Names of permissions.
    pub permissions: Vec<String>,
}

/// What of a role changes; `None` stays.
#[derive(Debug)]
pub struct RoleChange {
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
    /// Other permissions, all of them.
    pub permissions: Option<Vec<String>>,
}

/// The roles of all tenants.
#[derive(Clone, Debug)]
pub struct Roles {
    ledger: Ledger,
}

#[derive(Serialize, Deserialize)]
struct Made {
    role: RoleId,
}

impl Roles {
    /// Roles behind this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Built-in and custom roles, sorted by `name`, `scope` or `createdAt`.
    pub async fn list(&self, permit: &Permit<RoleList>, list: &ListQuery) -> Result<Page<Role>> {
        let tenant = permit.tenant();
        let sort = pages::sort_key(list, SORTS)?;
        let mut tx = self.ledger.store().read().await?;
        let mut roles = built_in(tenant, since(&mut tx, tenant).await?)?;
        for row in store::roles::all(&mut tx, tenant).await? {
            roles.extend(custom(row));
        }
        let wanted = list.search.as_deref().unwrap_or_default().trim().to_lowercase();
        roles.retain(|role| role.name.to_lowercase().contains(&wanted));
        pages::cut(roles, list, |role| {
            let key = match sort {
                "scope" => Key::Text(role.scope.as_str().to_owned()),
                "createdAt" => Key::Int(role.created_at.as_micros()),
                _ => Key::Text(role.name.to_lowercase()),
            };
            Cursor { key, id: role.id.to_string() }
        })
    }

    /// One role. `NotFound`, also for a built-in one of another kind of scope.
    pub async fn get(&self, permit: &Permit<RoleGet>, id: RoleId) -> Result<Role> {
        let mut tx = self.ledger.store().read().await?;
        find(&mut tx, permit.tenant(), id).await
    }

    /// Defines a role. `Invalid` with the field for a scope that the tenant
    /// does not have and for permissions that the scope cannot carry; `Conflict`
    /// when the name is taken.
    pub async fn create(&self, permit: &Permit<RoleCreate>, new: NewRole) -> Result<Role> {
        let tenant = permit.tenant();
        let permissions = read_permissions(&new.permissions)?;
        refuse_scope(tenant, new.scope)?;
        refuse_unsuitable(new.scope, permissions)?;
        refuse_built_in_name(tenant, &new.name)?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(Made { role }) = change.replay().await? {
            return find(change.tx(), tenant, role).await;
        }
        let role = Role {
            id: RoleId::random(self.ledger.random()),
            name: new.name.trim().to_owned(),
            description: new.description,
            built_in: false,
            scope: new.scope,
            permissions,
            created_at: self.ledger.clock().now(),
            version: 1,
        };
        store::roles::insert(change.tx(), tenant, &row(&role))
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        let event = Event::new("role.create").on(role.id).with("name", role.name.clone());
        let event = event.with("permissions", names(permissions));
        change.commit_with(event, &Made { role: role.id }).await?;
        Ok(role)
    }

    /// Changes a custom role, for everybody who has it. `NotFound`, `Stale`,
    /// `Invalid`; `Conflict` for a built-in one and when the name is taken;
    /// `Forbidden` when it adds what the caller may not do.
    pub async fn update(
        &self,
        permit: &Permit<RoleUpdate>,
        id: RoleId,
        wanted: RoleChange,
        version: i64,
    ) -> Result<Role> {
        let tenant = permit.tenant();
        let permissions = wanted.permissions.as_deref().map(read_permissions).transpose()?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        let mut role = find(change.tx(), tenant, id).await?;
        refuse_built_in(&role)?;
        if let Some(name) = wanted.name {
            refuse_built_in_name(tenant, &name)?;
            name.trim().clone_into(&mut role.name);
        }
        role.description = wanted.description.unwrap_or(role.description);
        if let Some(permissions) = permissions {
            refuse_unsuitable(role.scope, permissions)?;
            let added = added(role.permissions, permissions);
            refuse_beyond(&mut change, Permission::RoleUpdate, &[(added, None)]).await?;
            role.permissions = permissions;
        }
        let updated = store::roles::update(change.tx(), tenant, &row(&role), version)
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        if !updated {
            return Err(stale());
        }
        role.version = version + 1;
        change.outdate(tenant);
        let event = Event::new("role.update").on(id).with("name", role.name.clone());
        change.commit(event.with("permissions", names(role.permissions))).await?;
        Ok(role)
    }

    /// Deletes a custom role and takes it from everybody who has it.
    /// `NotFound`; `Conflict` for a built-in one.
    pub async fn delete(&self, permit: &Permit<RoleDelete>, id: RoleId) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let role = find(change.tx(), tenant, id).await?;
        refuse_built_in(&role)?;
        store::roles::delete(change.tx(), tenant, id).await?;
        change.outdate(tenant);
        change.commit(Event::new("role.delete").on(id).with("name", role.name)).await
    }

    /// Every permission that a role of this scope could hold, in the order of the table.
    pub fn permissions(permit: &Permit<RoleList>) -> Vec<Permission> {
        let system = permit.tenant().is_system();
        let scope = if system { RoleScope::System } else { RoleScope::Tenant };
        Permission::ALL.iter().copied().filter(|one| scope.may_hold(*one)).collect()
    }
}

const NAME_TAKEN: &str = "A role of this name exists already";

/// Whether a tenant (or the system scope) has roles of this scope.
pub(super) fn offers(tenant: TenantId, scope: RoleScope) -> bool {
    (scope == RoleScope::System) == tenant.is_system()
}

async fn find(tx: &mut Tx, tenant: TenantId, id: RoleId) -> Result<Role> {
    let found = if BuiltIn::find(&id.to_string()).is_some() {
        built_in(tenant, since(tx, tenant).await?)?.into_iter().find(|role| role.id == id)
    } else {
        store::roles::find(tx, tenant, id).await?.and_then(custom)
    };
    found.ok_or_else(|| Error::not_found("role"))
}

async fn since(tx: &mut Tx, tenant: TenantId) -> Result<Timestamp> {
    let home = store::tenants::find(tx, tenant).await?;
    Ok(home.ok_or_else(|| Error::not_found("tenant"))?.created_at)
}

fn built_in(tenant: TenantId, created_at: Timestamp) -> Result<Vec<Role>> {
    let offered = BUILT_IN.iter().filter(|role| offers(tenant, role.scope));
    offered
        .map(|role| {
            Ok(Role {
                id: role.uid.parse().map_err(Error::internal)?,
                name: role.name.to_owned(),
                description: role.description.to_owned(),
                built_in: true,
                scope: role.scope,
                permissions: role.permissions(),
                created_at,
                version: 0,
            })
        })
        .collect()
}

fn custom(row: RoleRow) -> Option<Role> {
    Some(Role {
        id: row.id,
        scope: RoleScope::parse(&row.scope)?,
        permissions: parse_permissions(&row.permissions),
        name: row.name,
        description: row.description,
        built_in: false,
        created_at: row.created_at,
        version: row.version,
    })
}

fn row(role: &Role) -> RoleRow {
    RoleRow {
        id: role.id,
        name: role.name.clone(),
        description: role.description.clone(),
        scope: role.scope.as_str().to_owned(),
        permissions: names(role.permissions).join(" "),
        created_at: role.created_at,
        version: role.version,
    }
}

fn names(permissions: PermissionSet) -> Vec<&'static str> {
    permissions.iter().map(Permission::name).collect()
}

/// Reads names from input. `Invalid` with the first that does not exist.
fn read_permissions(names: &[String]) -> Result<PermissionSet> {
    let read = |name: &String| {
        name.parse::<Permission>().map_err(|error| Error::invalid("permissions", error.to_string()))
    };
    names.iter().map(read).collect()
}

/// What is in `new` and was not in `old`.
fn added(old: PermissionSet, new: PermissionSet) -> PermissionSet {
    new.iter().filter(|permission| !old.contains(*permission)).collect()
}

fn refuse_scope(tenant: TenantId, scope: RoleScope) -> Result<()> {
    if offers(tenant, scope) {
        return Ok(());
    }
    let message =
        if tenant.is_system() { "must be system here" } else { "must be tenant or project" };
    Err(Error::invalid("scope", message))
}

fn refuse_built_in(role: &Role) -> Result<()> {
    if !role.built_in {
        return Ok(());
    }
    Err(Error::new(Kind::Conflict, "built-in", "Built-in roles cannot be changed.")
        .with_hint("Define a role of your own with the permissions that you want."))
}

/// Two roles of one name could not be told apart.
fn refuse_built_in_name(tenant: TenantId, name: &str) -> Result<()> {
    let name = name.trim().to_lowercase();
    let mut offered = BUILT_IN.iter().filter(|role| offers(tenant, role.scope));
    if offered.any(|role| role.name.to_lowercase() == name) {
        return Err(Error::new(Kind::Conflict, "already-exists", "A built-in role has this name.")
            .with_field("name", "is the name of a built-in role"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    fn tenant() -> TenantId {
        TenantId::random(&SystemRandom)
    }

    #[test]
    fn the_system_scope_offers_system_roles_only_and_tenants_none_of_them() {
        for scope in [RoleScope::System, RoleScope::Tenant, RoleScope::Project] {
            assert_eq!(refuse_scope(TenantId::SYSTEM, scope).is_ok(), scope == RoleScope::System);
            assert_eq!(refuse_scope(tenant(), scope).is_ok(), scope != RoleScope::System);
        }
        let listed = built_in(tenant(), Timestamp::from_seconds(0)).unwrap();
        assert!(listed.iter().all(|role| role.scope != RoleScope::System));
        assert_eq!(listed.len() + 2, BUILT_IN.len());
    }

    #[test]
    fn a_built_in_role_can_neither_be_changed_nor_imitated() {
        let listed = built_in(tenant(), Timestamp::from_seconds(0)).unwrap();
        let refusal = refuse_built_in(&listed[0]).unwrap_err();
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Conflict, "built-in"));
        assert!(refuse_built_in_name(tenant(), " tenant ADMIN ").is_err());
        assert!(refuse_built_in_name(tenant(), "Night shift").is_ok());
    }

    #[test]
    fn an_unknown_permission_is_named() {
        let names = ["cluster.get".to_owned(), "cluster.explode".to_owned()];
        let refusal = read_permissions(&names).unwrap_err();
        assert_eq!(refusal.fields()[0].field, "permissions");
        assert!(refusal.fields()[0].message.contains("cluster.explode"));
    }

    #[test]
    fn only_what_a_change_adds_has_to_be_held_by_who_changes() {
        let old = [Permission::ClusterGet, Permission::ClusterDelete].into_iter().collect();
        let new = [Permission::ClusterGet, Permission::ClusterList].into_iter().collect();
        let more: Vec<_> = added(old, new).iter().collect();
        assert_eq!(more, [Permission::ClusterList]);
    }

    #[test]
    fn a_stored_role_reads_back_as_it_was() {
        let role = Role {
            id: RoleId::random(&SystemRandom),
            name: "Night shift".to_owned(),
            description: String::new(),
            built_in: false,
            scope: RoleScope::Project,
            permissions: [Permission::ClusterGet, Permission::ClusterList].into_iter().collect(),
            created_at: Timestamp::from_seconds(7),
            version: 3,
        };
        let read = custom(row(&role)).expect("a known scope");
        assert_eq!((read.scope, read.permissions), (role.scope, role.permissions));
    }
}

//! The tenants themselves, as system administrators see them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    audit::{Event, Ledger},
    clock::Timestamp,
    error::{Error, Kind, Result},
    identity::{Caller, NewUser, Newcomers, stale},
    ids::{RoleId, TenantId, UserId},
    rbac::{
        Permit,
        rights::{TenantCreate, TenantDelete, TenantGet, TenantList, TenantUpdate},
    },
    store::{
        self, ListQuery, Page,
        tenants::{Counts, Tenant},
    },
};

/// The role of a tenant's first administrator.
const TENANT_ADMIN: &str = "0000000000b0";

/// Labels that are, or may become, host names of the appliance itself.
const RESERVED: &[&str] =
    &["admin", "api", "bus", "mail", "mirror", "ns", "palisade", "registry", "system", "www"];

/// What a new tenant needs.
#[derive(Debug)]
pub struct NewTenant {
    /// As people read it.
    pub name: String,
    /// The first label of its own host name.
    pub slug: String,
    /// Its first administrator, if there is to be one at once.
    pub admin: Option<NewUser>,
}

/// What of a tenant changes; `None` stays.
#[derive(Debug)]
pub struct TenantChange {
    /// Another name.
    pub name: Option<String>,
    /// Suspended tenants cannot log in.
    pub suspended: Option<bool>,
}

/// An administrator that was added, with a link when it was an invitation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AddedAdmin {
    /// The new user.
    pub user: UserId,
    /// The token of the invitation, and until when it works.
    pub invitation: Option<(String, Timestamp)>,
}

/// A tenant that was created.
#[derive(Debug)]
pub struct CreatedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// What is in it.
    pub counts: Counts,
    /// Its first administrator.
    pub admin: Option<AddedAdmin>,
}

#[derive(Serialize, Deserialize)]
struct Made {
    tenant: TenantId,
    admin: Option<AddedAdmin>,
}

/// All tenants.
#[derive(Clone, Debug)]
pub struct Tenants {
    ledger: Ledger,
    newcomers: Newcomers,
}

impl Tenants {
    /// Tenants behind this ledger.
    pub fn new(ledger: Ledger, newcomers: Newcomers) -> Self {
        Self { ledger, newcomers }
    }

    /// The tenant whose host name begins with this label. Public: the login
    /// page shows its name.
    pub async fn by_slug(&self, slug: &str) -> Result<Option<Tenant>> {
        let mut tx = self.ledger.store().read().await?;
        let tenant = store::tenants::find_by_slug(&mut tx, slug).await?;
        Ok(tenant.filter(|tenant| !tenant.id.is_system()))
    }

    /// The caller's own tenant: needs no permission.
    pub async fn own(&self, caller: &Caller) -> Result<Tenant> {
        let mut tx = self.ledger.store().read().await?;
        let tenant = store::tenants::find(&mut tx, caller.tenant).await?;
        tenant.ok_or_else(|| Error::not_found("tenant"))
    }

    /// All tenants with what is in them.
    pub async fn list(
        &self,
        _permit: &Permit<TenantList>,
        list: &ListQuery,
    ) -> Result<Page<(Tenant, Counts)>> {
        let mut tx = self.ledger.store().read().await?;
        let page = store::tenants::list(&mut tx, list).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for tenant in page.items {
            let counts = store::tenants::counts(&mut tx, tenant.id).await?;
            items.push((tenant, counts));
        }
        Ok(Page { items, next: page.next, total: page.total })
    }

    /// One tenant. `NotFound`.
    pub async fn get(&self, _permit: &Permit<TenantGet>, id: TenantId) -> Result<(Tenant, Counts)> {
        let mut tx = self.ledger.store().read().await?;
        let tenant = find(&mut tx, id).await?;
        let counts = store::tenants::counts(&mut tx, id).await?;
        Ok((tenant, counts))
    }

    /// Creates a tenant with its key and, if wanted, its first administrator.
    /// `Conflict` when the slug is taken.
    pub async fn create(
        &self,
        permit: &Permit<TenantCreate>,
        new: NewTenant,
    ) -> Result<CreatedTenant> {
        check_slug(&new.slug)?;
        let name = new.name.trim().to_owned();
        let id = TenantId::random(self.ledger.random());
        let prepared = match new.admin {
            Some(admin) => Some(self.newcomers.prepare(id, &name, admin, "admin.").await?),
            None => None,
        };
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(made) = change.replay::<Made>().await? {
            let tenant = find(change.tx(), made.tenant).await?;
            let counts = store::tenants::counts(change.tx(), made.tenant).await?;
            return Ok(CreatedTenant { tenant, counts, admin: made.admin });
        }
        let tenant = Tenant {
            id,
            name,
            slug: new.slug,
            state: "active".to_owned(),
            created_at: self.ledger.clock().now(),
            version: 1,
        };
        store::tenants::insert(change.tx(), &tenant).await.map_err(|error| {
            error.on_duplicate("slug", "Another tenant has this short name already")
        })?;
        self.ledger.vault().create_key(change.tx(), id).await?;
        let admin = match prepared {
            Some(prepared) => {
                let newcomer = self.newcomers.insert(change.tx(), id, prepared).await?;
                let role = tenant_admin()?;
                self.newcomers.assign(change.tx(), id, newcomer.user, role).await?;
                let event = Event::new("user.create").on(newcomer.user);
                change.also(id, event.with("role", "Tenant Admin")).await?;
                Some(AddedAdmin::from(newcomer))
            }
            None => None,
        };
        let counts = store::tenants::counts(change.tx(), id).await?;
        let event = Event::new("tenant.create").on(id).with("name", tenant.name.clone());
        change.outdate_fleet();
        change.commit_with(event, &Made { tenant: id, admin: admin.clone() }).await?;
        Ok(CreatedTenant { tenant, counts, admin })
    }

    /// Renames, suspends or resumes. `NotFound`, `Stale`.
    pub async fn update(
        &self,
        permit: &Permit<TenantUpdate>,
        id: TenantId,
        wanted: TenantChange,
        version: i64,
    ) -> Result<(Tenant, Counts)> {
        let mut change = self.ledger.begin(permit.actor()).await?;
        let mut tenant = find(change.tx(), id).await?;
        if let Some(name) = wanted.name {
            name.trim().clone_into(&mut tenant.name);
        }
        if let Some(suspended) = wanted.suspended {
            let state = if suspended { "suspended" } else { "active" };
            state.clone_into(&mut tenant.state);
        }
        if !store::tenants::update(change.tx(), &tenant, version).await? {
            return Err(stale());
        }
        let counts = store::tenants::counts(change.tx(), id).await?;
        change.outdate(id);
        let event = Event::new("tenant.update").on(id).with("name", tenant.name.clone());
        change.commit(event.with("state", tenant.state.clone())).await?;
        tenant.version = version + 1;
        Ok((tenant, counts))
    }

    /// Deletes a tenant with everything in it and destroys its key. Only its
    /// audit records stay. `NotFound`.
    pub async fn delete(&self, permit: &Permit<TenantDelete>, id: TenantId) -> Result<()> {
        let mut change = self.ledger.begin(permit.actor()).await?;
        let tenant = find(change.tx(), id).await?;
        store::tenants::delete(change.tx(), id).await?;
        change.outdate(id);
        change.outdate_fleet();
        let event = Event::new("tenant.delete").on(id).with("name", tenant.name);
        change.commit(event).await?;
        self.ledger.vault().forget(id);
        // The log of the database still has the deleted rows until it is emptied.
        tokio::spawn(empty_log(self.ledger.store().clone()));
        Ok(())
    }

    /// Adds an administrator to a tenant, e.g. when it has lost its last one.
    pub async fn add_admin(
        &self,
        permit: &Permit<TenantUpdate>,
        id: TenantId,
        admin: NewUser,
    ) -> Result<AddedAdmin> {
        let tenant = find(&mut self.ledger.store().read().await?, id).await?;
        let prepared = self.newcomers.prepare(id, &tenant.name, admin, "").await?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(added) = change.replay::<AddedAdmin>().await? {
            return Ok(added);
        }
        let newcomer = self.newcomers.insert(change.tx(), id, prepared).await?;
        self.newcomers.assign(change.tx(), id, newcomer.user, tenant_admin()?).await?;
        change.outdate(id);
        let event = Event::new("user.create").on(newcomer.user).with("role", "Tenant Admin");
        change.also(id, event).await?;
        let user = newcomer.user.to_string();
        let added = AddedAdmin::from(newcomer);
        let event = Event::new("tenant.addAdmin").on(id).with("user", user);
        change.commit_with(event, &added).await?;
        Ok(added)
    }

    /// Gives a tenant a new key and seals everything with it. Answers the new version.
    pub async fn rotate_key(&self, permit: &Permit<TenantUpdate>, id: TenantId) -> Result<u32> {
        let mut change = self.ledger.begin(permit.actor()).await?;
        find(change.tx(), id).await?;
        let version = self.ledger.vault().rotate_tenant(change.tx(), id).await?;
        change.outdate(id);
        change.commit(Event::new("tenant.rotateKey").on(id).with("keyVersion", version)).await?;
        Ok(version)
    }
}

impl From<crate::identity::Newcomer> for AddedAdmin {
    fn from(newcomer: crate::identity::Newcomer) -> Self {
        let invitation = newcomer
            .invitation
            .map(|invitation| (invitation.token.expose().to_owned(), invitation.expires_at));
        Self { user: newcomer.user, invitation }
    }
}

async fn find(tx: &mut store::Tx, id: TenantId) -> Result<Tenant> {
    let tenant = store::tenants::find(tx, id).await?.filter(|tenant| !tenant.id.is_system());
    tenant.ok_or_else(|| Error::not_found("tenant"))
}

fn tenant_admin() -> Result<RoleId> {
    TENANT_ADMIN.parse().map_err(Error::internal)
}

/// A slug becomes a host name: a DNS label of 2 to 40 characters.
fn check_slug(slug: &str) -> Result<()> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    let bytes = slug.as_bytes();
    let well_formed = (2..=40).contains(&bytes.len())
        && bytes.iter().copied().all(letters)
        && edge(bytes.first())
        && edge(bytes.last());
    if !well_formed {
        return Err(Error::invalid(
            "slug",
            "must be 2 to 40 lower-case letters, digits and hyphens, with no hyphen at an end",
        ));
    }
    if RESERVED.contains(&slug) {
        return Err(Error::new(Kind::Invalid, "invalid", "Some fields are not acceptable.")
            .with_field("slug", "is reserved for the appliance itself"));
    }
    Ok(())
}

/// Removes deleted rows from the disk as soon as nobody reads from the log. What
/// is left after a minute goes with the next checkpoint or restart.
async fn empty_log(store: store::Store) {
    for _ in 0..120 {
        match store.empty_log().await {
            Ok(true) => return,
            Ok(false) => tokio::time::sleep(Duration::from_millis(500)).await,
            Err(error) => return tracing::warn!(%error, "the log cannot be emptied now"),
        }
    }
    tracing::warn!("the log of the database cannot be emptied: it is read all the time");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_a_dns_label_that_is_not_reserved() {
        for good in ["ab", "acme", "acme-2", "0day"] {
            assert!(check_slug(good).is_ok(), "{good} was refused");
        }
        let long = "a".repeat(41);
        for bad in ["", "a", "-acme", "acme-", "Acme", "ac.me", "ac me", "system", "api", &long] {
            assert!(check_slug(bad).is_err(), "{bad:?} was accepted");
        }
    }
}

//! API keys: how programs act for a user.
//!
//! Owns: making, listing and deleting keys. A key has the permissions of its
//! owner at every moment; checking it is up to `sessions`.
//! Must not know: what programs do with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    one_time::ApiKeySecret,
    users::{directory, open_user},
};
use crate::{
    audit::{Event, Ledger},
    clock::Timestamp,
    error::{Error, Kind, Result},
    ids::{ApiKeyId, TenantId, UserId},
    rbac::{
        Permit, Principal,
        rights::{ApiKeyCreate, ApiKeyDelete, ApiKeyList},
    },
    secret::Secret,
    store::{self, ListQuery, Page, Tx, api_keys::ApiKeyRow},
};

/// A key without its secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Identifier.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// How its text begins, to tell keys apart.
    pub prefix: String,
    /// The owner, by name.
    pub owner: (UserId, String),
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it works; `None`: until it is deleted.
    pub expires_at: Option<Timestamp>,
    /// Roughly when it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// What a new key needs.
#[derive(Debug)]
pub struct NewApiKey {
    /// For its owner to recognise it.
    pub name: String,
    /// In days; `None`: until it is deleted.
    pub expires_in_days: Option<u32>,
}

/// A key that was made. The secret cannot be had again.
#[derive(Debug)]
pub struct CreatedApiKey {
    /// The key.
    pub key: ApiKey,
    /// Its whole text.
    pub secret: Secret<String>,
}

/// The API keys of all tenants.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    ledger: Ledger,
}

/// Stored sealed, for a repetition of the same request.
#[derive(Serialize, Deserialize)]
struct Made {
    key: ApiKeyId,
    secret: String,
}

impl ApiKeys {
    /// Keys behind this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// All keys of the tenant.
    pub async fn list(
        &self,
        permit: &Permit<ApiKeyList>,
        list: &ListQuery,
    ) -> Result<Page<ApiKey>> {
        let tenant = permit.tenant();
        let mut tx = self.ledger.store().read().await?;
        let page = store::api_keys::list(&mut tx, tenant, None, list).await?;
        let users = directory(&self.ledger, &mut tx, tenant).await?;
        Ok(page.map(|row| {
            let owner = users.get(&row.user_id).map(|user| user.name.clone());
            describe(row, owner.unwrap_or_default())
        }))
    }

    /// Makes a key for the caller. `Forbidden` for a key: it could outlive its
    /// own end by making another one.
    pub async fn create(
        &self,
        permit: &Permit<ApiKeyCreate>,
        new: NewApiKey,
    ) -> Result<CreatedApiKey> {
        let tenant = permit.tenant();
        let owner = owner(permit.actor().principal)?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(Made { key, secret }) = change.replay().await? {
            let row = find(change.tx(), tenant, key).await?;
            let key = self.named(change.tx(), tenant, row).await?;
            return Ok(CreatedApiKey { key, secret: secret.into() });
        }
        let now = self.ledger.clock().now();
        let id = ApiKeyId::random(self.ledger.random());
        let secret = ApiKeySecret::random(id, self.ledger.random());
        let row = ApiKeyRow {
            tenant_id: tenant,
            id,
            name: new.name.trim().to_owned(),
            user_id: owner,
            digest: *secret.digest().as_bytes(),
            created_at: now,
            expires_at: new.expires_in_days.map(|days| now.plus(days_long(days))),
            last_used_at: None,
        };
        store::api_keys::insert(change.tx(), &row).await?;
        let key = self.named(change.tx(), tenant, row).await?;
        let event = Event::new("apiKey.create").on(id).with("name", key.name.clone());
        let event = event.with("expiresAt", key.expires_at.map(|at| at.to_string()));
        let made = Made { key: id, secret: secret.expose().to_owned() };
        change.commit_with(event, &made).await?;
        Ok(CreatedApiKey { key, secret: made.secret.into() })
    }

    /// Deletes a key; it stops working at once. `NotFound`.
    pub async fn delete(&self, permit: &Permit<ApiKeyDelete>, id: ApiKeyId) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let row = find(change.tx(), tenant, id).await?;
        store::api_keys::delete(change.tx(), tenant, id).await?;
        change.outdate(tenant);
        let event = Event::new("apiKey.delete").on(id).with("name", row.name);
        change.commit(event.with("owner", row.user_id.to_string())).await
    }

    async fn named(&self, tx: &mut Tx, tenant: TenantId, row: ApiKeyRow) -> Result<ApiKey> {
        let user = store::users::find(tx, tenant, row.user_id).await?;
        let user = user.ok_or_else(|| Error::not_found("user"))?;
        let ring = self.ledger.vault().ring(tx, tenant).await?;
        Ok(describe(row, open_user(&ring, user)?.name))
    }
}

async fn find(tx: &mut Tx, tenant: TenantId, id: ApiKeyId) -> Result<ApiKeyRow> {
    let row = store::api_keys::find(tx, tenant, id).await?;
    row.ok_or_else(|| Error::not_found("API key"))
}

/// Who gets a key that this principal makes.
fn owner(principal: Principal) -> Result<UserId> {
    match principal {
        Principal::User { user, .. } => Ok(user),
        Principal::ApiKey { .. }
        | Principal::Agent(_)
        | Principal::Console { .. }
        | Principal::System
        | Principal::Anonymous => Err(Error::new(
            Kind::Forbidden,
            "session-needed",
            "API keys can only be made by a user who is logged in, not with an API key.",
        )),
    }
}

fn days_long(days: u32) -> Duration {
    Duration::from_hours(24).saturating_mul(days)
}

fn describe(row: ApiKeyRow, owner: String) -> ApiKey {
    ApiKey {
        prefix: ApiKeySecret::prefix_of(row.id),
        id: row.id,
        name: row.name,
        owner: (row.user_id, owner),
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemRandom, ids::SessionId};

    #[test]
    fn a_key_belongs_to_who_makes_it_and_makes_no_other_key() {
        let user = UserId::random(&SystemRandom);
        let session = SessionId::random(&SystemRandom);
        assert_eq!(owner(Principal::User { user, session }).unwrap(), user);
        let key = ApiKeyId::random(&SystemRandom);
        let refusal = owner(Principal::ApiKey { user, key }).unwrap_err();
        assert_eq!(refusal.kind(), Kind::Forbidden);
    }

    #[test]
    fn the_shown_prefix_is_how_the_secret_begins() {
        let id = ApiKeyId::random(&SystemRandom);
        let secret = ApiKeySecret::random(id, &SystemRandom);
        assert!(secret.expose().starts_with(&ApiKeySecret::prefix_of(id)));
    }
}

//! Choosing a password: instead of the current one, of an expired one, or with
//! the link of an invitation or reset.
//!
//! Owns: the checks before a password is taken, what ends when it changes, and
//! that a link works once.
//! Must not know: how links are shown or passwords hashed.
//!
//! A password is checked and hashed before the transaction begins, because
//! that takes long; the transaction then makes sure that nothing has changed.

mod links;

use std::sync::Arc;

use super::{
    caller::Caller,
    email::Email,
    login::address_of,
    password::{Hasher, Password},
    policies::{self, StoredPolicy, stale},
    policy::Violation,
    throttle::{AccountKey, Throttle},
    tokens::Scope,
    users::{check_new_password, open_user},
};
use crate::{
    audit::{Change, Event, Ledger, Outcome},
    error::{Error, Kind, Result},
    ids::{SessionId, TenantId, UserId},
    rbac::RequestMeta,
    secret::Secret,
    store::{self, tenants::Tenant, users::UserRow},
};

pub use links::Invited;

/// Changes passwords.
#[derive(Debug)]
pub struct Passwords {
    ledger: Ledger,
    hasher: Hasher,
    throttle: Throttle,
}

/// Somebody who may have a password, and what it has to comply with.
#[derive(Debug)]
struct Owner {
    row: UserRow,
    email: Email,
    name: String,
    home: Tenant,
    policy: StoredPolicy,
}

impl Passwords {
    /// Over these parts.
    pub fn new(ledger: Ledger, hasher: Hasher, throttle: Throttle) -> Self {
        Self { ledger, hasher, throttle }
    }

    /// Changes the caller's own password and ends its other sessions. `Invalid`
    /// with the field when the current one is wrong or the new one is not
    /// acceptable; `RateLimited` after several wrong ones.
    pub async fn change(
        &self,
        caller: &Caller,
        current: Secret<String>,
        new: Secret<String>,
        request: &RequestMeta,
    ) -> Result<()> {
        let owner = self.owner(caller.tenant, caller.user).await?;
        let owner = owner.ok_or_else(|| Error::not_found("user"))?;
        let actor = caller.actor(request.clone());
        let account = AccountKey {
            index: owner.row.email_index.unwrap_or_default(),
            scope: Scope::of(caller.tenant),
        };
        let attempt = self.throttle.check(account, address_of(request))?;
        let typed = Arc::new(Password::parse("current", current)?);
        let hash = owner.row.password_hash.as_deref();
        if !self.hasher.verify_or_dummy(typed, hash).await? {
            attempt.failed();
            let event = Event::new("auth.changePassword").on_kind("user", caller.user);
            let event = event.outcome(Outcome::Failed).with("reason", "wrong-password");
            self.ledger.note(&actor, event).await?;
            return Err(Error::new(
                Kind::Invalid,
                "wrong-password",
                "The current password is wrong.",
            )
            .with_field("current", "is not your password"));
        }
        attempt.succeeded();
        let hash = self.acceptable(&owner, new, "new").await?;
        let mut change = self.ledger.begin(&actor).await?;
        let ended = self.set(&mut change, &owner, &hash, caller.principal.session()).await?;
        let event = Event::new("auth.changePassword").on_kind("user", caller.user);
        change.commit(event.with("sessions", ended)).await
    }

    /// The user, unless it is disabled or deleted, or its tenant not active.
    async fn owner(&self, tenant: TenantId, user: UserId) -> Result<Option<Owner>> {
        let mut tx = self.ledger.store().read().await?;
        let home = store::tenants::find(&mut tx, tenant).await?;
        let row = store::users::find(&mut tx, tenant, user).await?;
        let (Some(home), Some(row)) = (home, row) else { return Ok(None) };
        if home.state != "active" || !matches!(row.state.as_str(), "active" | "invited") {
            return Ok(None);
        }
        let ring = self.ledger.vault().ring(&mut tx, tenant).await?;
        let opened = open_user(&ring, row.clone())?;
        let policy = policies::load(&mut tx, tenant).await?;
        let email = Email::parse(&opened.email).map_err(Error::internal)?;
        Ok(Some(Owner { row, email, name: opened.name, home, policy }))
    }

    /// Checks a new password against the policy and the earlier ones and
    /// hashes it. `Invalid` with `field`.
    async fn acceptable(
        &self,
        owner: &Owner,
        new: Secret<String>,
        field: &'static str,
    ) -> Result<String> {
        let password = Arc::new(Password::parse(field, new)?);
        let policy = &owner.policy.policy;
        check_new_password(policy, &password, &owner.email, &owner.name, &owner.home.name, field)?;
        let (tenant, user) = (owner.row.tenant_id, owner.row.id);
        let mut tx = self.ledger.store().read().await?;
        let earlier = store::users::password_history(&mut tx, tenant, user, policy.history).await?;
        drop(tx);
        let earlier = refused(earlier, owner.row.password_hash.as_deref());
        if self.hasher.matches_any(Arc::clone(&password), earlier).await? {
            return Err(Violation::error(field, &[Violation::UsedBefore]));
        }
        self.hasher.hash(password).await
    }

    /// Writes a password that was found acceptable and ends the user's
    /// sessions but `keep`; answers how many. `Stale` when the user has got
    /// another password since it was checked.
    async fn set(
        &self,
        change: &mut Change,
        owner: &Owner,
        hash: &str,
        keep: Option<SessionId>,
    ) -> Result<u64> {
        let (tenant, user) = (owner.row.tenant_id, owner.row.id);
        let now = self.ledger.clock().now();
        let tx = change.tx();
        let current = store::users::find(tx, tenant, user).await?;
        let unchanged = current.is_some_and(|row| {
            row.password_hash == owner.row.password_hash && row.state == owner.row.state
        });
        if !unchanged {
            return Err(stale());
        }
        store::users::set_password(tx, tenant, user, hash, now).await?;
        store::users::remember_password(tx, tenant, user, hash, now).await?;
        // A link that was made for the old password must not replace the new one.
        store::one_time::end_all(tx, tenant, user).await?;
        let ended = match keep {
            Some(keep) => store::sessions::end_others(tx, tenant, user, keep, now).await?,
            None => store::sessions::end_all(tx, tenant, user, now).await?,
        };
        change.outdate(tenant);
        Ok(ended)
    }
}

/// The hashes that a new password must not match: the earlier ones that the
/// policy asks for and, whatever it asks for, the current one.
fn refused(mut earlier: Vec<String>, current: Option<&str>) -> Vec<String> {
    if let Some(current) = current
        && !earlier.iter().any(|hash| hash == current)
    {
        earlier.push(current.to_owned());
    }
    earlier
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn the_current_password_is_never_a_new_one_also_without_history() {
        assert_eq!(refused(Vec::new(), Some("current")), ["current"]);
        assert!(refused(Vec::new(), None).is_empty());
    }

    #[test]
    fn the_current_password_is_not_compared_twice() {
        let earlier = vec!["current".to_owned(), "older".to_owned()];
        assert_eq!(refused(earlier, Some("current")), ["current", "older"]);
    }
}

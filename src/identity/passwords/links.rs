//! Choosing a password with a one-time secret: the link of an invitation or of
//! a reset, or the ticket that an expired password gives.

use super::{Owner, Passwords};
use crate::{
    audit::Event,
    error::{Error, Kind, Result},
    identity::{
        login::address_of,
        one_time::{OneTimeSecret, Purpose},
        policies::StoredPolicy,
        throttle::{AccountKey, Attempt},
        tokens::Scope,
    },
    rbac::{Actor, Principal, RequestMeta},
    secret::Secret,
    store::{self, tenants::Tenant},
};

/// Whom a link is for.
#[derive(Debug)]
pub struct Invited {
    /// The tenant, or the system scope.
    pub tenant: Tenant,
    /// The person's name.
    pub name: String,
    /// The person's e-mail address.
    pub email: String,
    /// `invite` or `reset`.
    pub purpose: String,
    /// What the password has to comply with.
    pub policy: StoredPolicy,
}

/// A secret that works, and its owner.
#[derive(Debug)]
struct Found {
    digest: [u8; 32],
    purpose: String,
    owner: Owner,
}

/// All secrets that do not even look like one are counted as one account.
const NO_SECRET: [u8; 32] = [0; 32];

fn gone() -> Error {
    Error::new(Kind::NotFound, "link-used-up", "This link does not work (any more).").with_hint(
        "A link works once and for a limited time. Ask an administrator for a new one, or log in \
         again.",
    )
}

impl Passwords {
    /// Whom a link is for. Does not use it up. `NotFound` when it does not
    /// work, `RateLimited` after several that did not.
    pub async fn inspect(&self, token: &Secret<String>, request: &RequestMeta) -> Result<Invited> {
        let found = self.look_up(Purpose::Invitation, token, request).await?;
        let Owner { email, name, home, policy, .. } = found.owner;
        Ok(Invited { tenant: home, name, email: email.to_string(), purpose: found.purpose, policy })
    }

    /// Uses up a link and sets the password. Every session of the user ends.
    /// `NotFound`, `RateLimited`, `Invalid` with the field.
    pub async fn accept(
        &self,
        token: &Secret<String>,
        password: Secret<String>,
        request: &RequestMeta,
    ) -> Result<()> {
        let found = self.look_up(Purpose::Invitation, token, request).await?;
        self.redeem(found, password, "password", request).await
    }

    /// Uses up the ticket of an expired password and sets another one. Every
    /// session of the user ends. `NotFound`, `RateLimited`, `Invalid`.
    pub async fn change_expired(
        &self,
        ticket: &Secret<String>,
        new: Secret<String>,
        request: &RequestMeta,
    ) -> Result<()> {
        let found = self.look_up(Purpose::PasswordChange, ticket, request).await?;
        self.redeem(found, new, "new", request).await
    }

    async fn look_up(
        &self,
        purpose: Purpose,
        text: &Secret<String>,
        request: &RequestMeta,
    ) -> Result<Found> {
        let secret = OneTimeSecret::parse(purpose, text.expose()).ok();
        let digest = secret.map(|secret| *secret.digest().as_bytes());
        let attempt = self.attempt(digest.unwrap_or(NO_SECRET), request)?;
        let found = match digest {
            Some(digest) => self.find(digest, purpose).await?,
            None => None,
        };
        if found.is_none() {
            attempt.failed();
        }
        found.ok_or_else(gone)
    }

    fn attempt(&self, index: [u8; 32], request: &RequestMeta) -> Result<Attempt> {
        let account = AccountKey { index, scope: Scope::Tenant };
        Ok(self.throttle.check(account, address_of(request))?)
    }

    async fn find(&self, digest: [u8; 32], purpose: Purpose) -> Result<Option<Found>> {
        let now = self.ledger.clock().now();
        let row =
            store::one_time::find(&mut self.ledger.store().read().await?, digest, now).await?;
        let Some(row) = row.filter(|row| fits(purpose, &row.purpose)) else { return Ok(None) };
        let owner = self.owner(row.tenant_id, row.user_id).await?;
        Ok(owner.map(|owner| Found { digest, purpose: row.purpose, owner }))
    }

    async fn redeem(
        &self,
        found: Found,
        new: Secret<String>,
        field: &'static str,
        request: &RequestMeta,
    ) -> Result<()> {
        let Found { digest, purpose, owner } = found;
        let hash = self.acceptable(&owner, new, field).await?;
        let actor = Actor {
            principal: Principal::Anonymous,
            tenant: owner.row.tenant_id,
            request: request.clone(),
        };
        let mut change = self.ledger.begin(&actor).await?;
        let now = self.ledger.clock().now();
        if !store::one_time::use_up(change.tx(), digest, now).await? {
            return Err(gone());
        }
        let ended = self.set(&mut change, &owner, &hash, None).await?;
        let event = Event::new(action(&purpose)).on_kind("user", owner.row.id);
        change.commit(event.with("sessions", ended)).await
    }
}

/// Whether a stored secret is one of the kind that its prefix says.
fn fits(purpose: Purpose, stored: &str) -> bool {
    match purpose {
        Purpose::Invitation => matches!(stored, "invite" | "reset"),
        Purpose::PasswordChange => stored == "change",
        Purpose::Refresh | Purpose::ClusterImport => false,
    }
}

fn action(purpose: &str) -> &'static str {
    match purpose {
        "invite" => "auth.acceptInvite",
        "reset" => "auth.resetPassword",
        _ => "auth.changePassword",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticket_of_an_expired_password_is_no_invitation() {
        assert!(fits(Purpose::PasswordChange, "change"));
        assert!(!fits(Purpose::Invitation, "change"));
        assert!(!fits(Purpose::PasswordChange, "reset"));
    }
}

//! Logging in with e-mail and password.
//!
//! Owns: finding the account, back-off, the choice of a tenant, expired
//! passwords, and the records of failures.
//! Must not know: cookies, or how a password is hashed.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{
    email::Email,
    one_time::{OneTimeSecret, Purpose},
    password::{Hasher, Password},
    policies,
    sessions::{Sessions, SignedIn},
    throttle::{AccountKey, Throttle},
    tokens::Scope,
};
use crate::{
    audit::{Event, Ledger, Outcome},
    error::{Error, Kind, Result},
    ids::TenantId,
    observability::metrics,
    rbac::{Actor, Principal, RequestMeta},
    secret::Secret,
    store::{self, one_time::OneTimeRow, tenants::Tenant, users::UserRow},
};

/// How long a ticket to change an expired password is good for.
const TICKET_LIFE: std::time::Duration = std::time::Duration::from_mins(10);
/// The password was right, but the user or its tenant may not log in.
const NOT_ACTIVE: &str = "not-active";

/// Where somebody wants to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The common address: any tenant that knows the e-mail.
    AnyTenant,
    /// One tenant, by its host name or by choice.
    Tenant(TenantId),
    /// The system scope.
    System,
}

/// What came of a login.
#[derive(Debug)]
pub enum LoginOutcome {
    /// Signed in.
    SignedIn(Box<SignedIn>),
    /// The password is right in several tenants: which one?
    ChooseTenant(Vec<Tenant>),
    /// The password is right and too old; this ticket lets it be changed.
    PasswordExpired(OneTimeSecret),
}

/// Logs users in.
#[derive(Debug)]
pub struct Login {
    ledger: Ledger,
    sessions: Arc<Sessions>,
    hasher: Hasher,
    throttle: Throttle,
}

fn wrong() -> Error {
    Error::new(Kind::Unauthenticated, "wrong-credentials", "E-mail address or password is wrong.")
}

impl Login {
    /// A login over these parts.
    pub fn new(
        ledger: Ledger,
        sessions: Arc<Sessions>,
        hasher: Hasher,
        throttle: Throttle,
    ) -> Self {
        Self { ledger, sessions, hasher, throttle }
    }

    /// Checks the credentials. `Unauthenticated` with the same text whatever
    /// was wrong, `RateLimited` during back-off.
    pub async fn login(
        &self,
        email: &str,
        password: Secret<String>,
        door: Door,
        request: &RequestMeta,
    ) -> Result<LoginOutcome> {
        let email =
            Email::parse(email).map_err(|error| Error::invalid("email", error.to_string()))?;
        let password = Arc::new(Password::parse("password", password)?);
        let index = self.ledger.vault().keystore().email_index(email.normalised());
        let account = account_key(index, door);
        let attempt = self.throttle.check(account, address_of(request)).inspect_err(|_| {
            metrics::login("back-off");
        })?;

        let candidates = self.candidates(index, door).await?;
        let mut matching = Vec::new();
        let mut refused = None;
        for (user, tenant) in &candidates {
            let hash = user.password_hash.as_deref();
            if self.hasher.verify_or_dummy(Arc::clone(&password), hash).await? {
                if user.state == "active" && tenant.state == "active" {
                    matching.push((user, tenant));
                } else {
                    refused = Some((user, NOT_ACTIVE));
                }
            } else {
                refused = refused.or(Some((user, "wrong-password")));
            }
        }
        if candidates.is_empty() {
            // The same work as for an account that exists.
            self.hasher.verify_or_dummy(password, None).await?;
        }
        match matching.as_slice() {
            [] => {
                attempt.failed();
                metrics::login(match refused {
                    Some((_, NOT_ACTIVE)) => "disabled",
                    _ => "wrong-credentials",
                });
                self.record_failure(refused, door, request).await?;
                Err(wrong())
            }
            [(user, _)] => {
                attempt.succeeded();
                self.enter(user, &password_of(user)?, request).await
            }
            several => {
                Ok(LoginOutcome::ChooseTenant(several.iter().map(|(_, t)| (*t).clone()).collect()))
            }
        }
    }

    async fn candidates(&self, index: [u8; 32], door: Door) -> Result<Vec<(UserRow, Tenant)>> {
        let mut tx = self.ledger.store().read().await?;
        let users = match door {
            Door::AnyTenant => store::users::find_everywhere(&mut tx, index).await?,
            Door::Tenant(tenant) => {
                store::users::find_by_email(&mut tx, tenant, index).await?.into_iter().collect()
            }
            Door::System => store::users::find_by_email(&mut tx, TenantId::SYSTEM, index)
                .await?
                .into_iter()
                .collect(),
        };
        let mut found = Vec::with_capacity(users.len());
        for user in users {
            if let Some(tenant) = store::tenants::find(&mut tx, user.tenant_id).await? {
                found.push((user, tenant));
            }
        }
        Ok(found)
    }

    /// The password was right: begin a session, or ask for a new password first.
    async fn enter(
        &self,
        user: &UserRow,
        hash: &str,
        request: &RequestMeta,
    ) -> Result<LoginOutcome> {
        let tenant = user.tenant_id;
        let actor = Actor { principal: Principal::Anonymous, tenant, request: request.clone() };
        let mut change = self.ledger.begin(&actor).await?;
        let now = self.ledger.clock().now();
        // Checking a password takes a while: it may have been changed, or the
        // account disabled, meanwhile. Nobody can do that from here on.
        store::users::note_login(change.tx(), tenant, user.id, now).await?;
        let current = store::users::find(change.tx(), tenant, user.id).await?;
        let unchanged = current.is_some_and(|row| {
            row.password_hash.as_deref() == Some(hash) && row.state == user.state
        });
        if !unchanged {
            return Err(wrong());
        }
        let policy = policies::load(change.tx(), tenant).await?.policy;
        if user.password_changed_at.is_some_and(|changed| policy.is_expired(changed, now)) {
            let ticket = OneTimeSecret::random(Purpose::PasswordChange, self.ledger.random());
            let row = OneTimeRow {
                tenant_id: tenant,
                user_id: user.id,
                purpose: "change".to_owned(),
                expires_at: now.plus(TICKET_LIFE),
            };
            store::one_time::replace(change.tx(), *ticket.digest().as_bytes(), &row).await?;
            let event = Event::new("auth.passwordExpired").on_kind("user", user.id);
            change.commit(event.outcome(Outcome::Denied)).await?;
            metrics::login("expired");
            return Ok(LoginOutcome::PasswordExpired(ticket));
        }
        if self.hasher.needs_rehash(hash) {
            tracing::debug!(user = %user.id, "the password hash of {} is older than today's settings", user.id);
        }
        let signed_in = self.sessions.begin(change, tenant, user.id, request).await?;
        metrics::login("success");
        Ok(LoginOutcome::SignedIn(Box::new(signed_in)))
    }

    async fn exists(&self, tenant: TenantId) -> Result<bool> {
        let mut tx = self.ledger.store().read().await?;
        Ok(store::tenants::find(&mut tx, tenant).await?.is_some())
    }

    async fn record_failure(
        &self,
        refused: Option<(&UserRow, &'static str)>,
        door: Door,
        request: &RequestMeta,
    ) -> Result<()> {
        let tenant = match (refused, door) {
            (Some((user, _)), _) => user.tenant_id,
            // Whoever tries at a tenant that nobody has must not begin a trail for it.
            (None, Door::Tenant(tenant)) if self.exists(tenant).await? => tenant,
            (None, _) => TenantId::SYSTEM,
        };
        let actor = Actor { principal: Principal::Anonymous, tenant, request: request.clone() };
        let event = Event::new("auth.login").outcome(Outcome::Failed);
        let event = match refused {
            Some((user, reason)) => event.on_kind("user", user.id).with("reason", reason),
            None => event.with("reason", "unknown-account"),
        };
        self.ledger.note(&actor, event).await
    }
}

/// Requests always have an address; the console's own have none.
pub(super) fn address_of(request: &RequestMeta) -> IpAddr {
    request.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn password_of(user: &UserRow) -> Result<String> {
    user.password_hash.clone().ok_or_else(wrong)
}

/// Failures count per e-mail and world: guessing at one tenant's own address
/// counts for the common one too, and never for the system scope.
fn account_key(index: [u8; 32], door: Door) -> AccountKey {
    let scope = match door {
        Door::AnyTenant | Door::Tenant(_) => Scope::Tenant,
        Door::System => Scope::System,
    };
    AccountKey { index, scope }
}

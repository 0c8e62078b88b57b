//! First-boot set-up: the code on the console makes the first administrator.
//!
//! Owns: the code, its checking, and the one transaction that ends set-up.
//! Must not know: how the code is shown.

use std::sync::Arc;

use super::{
    email::Email,
    login::address_of,
    one_time::SetupCode,
    password::{Hasher, Password},
    policies,
    sessions::{Sessions, SignedIn},
    throttle::{AccountKey, Throttle},
    tokens::Scope,
    users::{check_new_password, seal_user},
};
use crate::{
    audit::{Event, Ledger, Outcome},
    error::{Error, Kind, Result},
    ids::{AssignmentId, TenantId, UserId},
    rbac::{Actor, Principal, RequestMeta},
    secret::Secret,
    store::{self, assignments::AssignmentRow},
};

/// The role that set-up gives: System Admin.
const SYSTEM_ADMIN: &str = "0000000000a0";
/// Back-off for guessed codes is one for the whole installation.
const THROTTLE_KEY: AccountKey =
    AccountKey { index: *b"palisade set-up code, throttling", scope: Scope::System };

/// The first system administrator.
#[derive(Debug)]
pub struct FirstAdmin {
    /// Where to log in with.
    pub email: String,
    /// How the person is called.
    pub name: String,
    /// The first password.
    pub password: Secret<String>,
}

/// The result of set-up.
#[derive(Debug)]
pub struct SetupDone {
    /// To be printed and locked away.
    pub recovery_kit: Secret<String>,
    /// The administrator's session.
    pub signed_in: SignedIn,
}

/// First-boot set-up.
#[derive(Debug)]
pub struct Setup {
    ledger: Ledger,
    sessions: Arc<Sessions>,
    hasher: Hasher,
    throttle: Throttle,
}

impl Setup {
    /// Set-up over these parts.
    pub fn new(
        ledger: Ledger,
        sessions: Arc<Sessions>,
        hasher: Hasher,
        throttle: Throttle,
    ) -> Self {
        Self { ledger, sessions, hasher, throttle }
    }

    /// Whether set-up was completed.
    pub async fn is_done(&self) -> Result<bool> {
        let found = store::installation::find(&mut self.ledger.store().read().await?).await?;
        Ok(found.is_some_and(|installation| installation.setup_done_at.is_some()))
    }

    /// Makes a new code and forgets the one before; `None` when set-up is done.
    pub async fn new_code(&self) -> Result<Option<SetupCode>> {
        let code = SetupCode::random(self.ledger.random());
        let mut tx = self.ledger.store().begin().await?;
        let open = store::installation::set_setup_code(&mut tx, *code.digest().as_bytes()).await?;
        tx.commit().await?;
        Ok(open.then_some(code))
    }

    /// Checks the code. `Forbidden` when it is wrong, `Conflict` when set-up is
    /// done, `RateLimited` after several wrong ones.
    pub async fn check_code(&self, typed: &Secret<String>, request: &RequestMeta) -> Result<()> {
        let attempt = self.throttle.check(THROTTLE_KEY, address_of(request))?;
        let found = store::installation::find(&mut self.ledger.store().read().await?).await?;
        let expected = match found {
            Some(installation) if installation.setup_done_at.is_none() => installation.setup_digest,
            _ => return Err(already_done()),
        };
        let right = SetupCode::parse(typed.expose()).ok().is_some_and(|code| {
            use subtle::ConstantTimeEq;
            expected.is_some_and(|digest| digest.ct_eq(code.digest().as_bytes()).into())
        });
        if right {
            attempt.succeeded();
            return Ok(());
        }
        attempt.failed();
        let event = Event::new("platform.setup").outcome(Outcome::Denied);
        self.ledger.note(&anonymous(request), event.with("reason", "wrong-code")).await?;
        Err(Error::new(Kind::Forbidden, "wrong-setup-code", "This is not the set-up code.")
            .with_hint("The appliance's console shows it, and `palisade serve` prints it."))
    }

    /// Creates the administrator, ends set-up and signs the administrator in.
    pub async fn complete(
        &self,
        code: &Secret<String>,
        admin: FirstAdmin,
        request: &RequestMeta,
    ) -> Result<SetupDone> {
        self.check_code(code, request).await?;
        let email = Email::parse(&admin.email)
            .map_err(|error| Error::invalid("admin.email", error.to_string()))?;
        let password = Arc::new(Password::parse("admin.password", admin.password)?);
        let policy =
            policies::load(&mut self.ledger.store().read().await?, TenantId::SYSTEM).await?.policy;
        check_new_password(&policy, &password, &email, &admin.name, "Palisade", "admin.password")?;
        let hash = self.hasher.hash(password).await?;

        let mut change = self.ledger.begin(&anonymous(request)).await?;
        let now = self.ledger.clock().now();
        let user = UserId::random(self.ledger.random());
        if !store::installation::finish_setup(change.tx(), now).await? {
            return Err(already_done());
        }
        let mut row =
            seal_user(&self.ledger, change.tx(), TenantId::SYSTEM, user, &email, &admin.name)
                .await?;
        "active".clone_into(&mut row.state);
        row.password_hash = Some(hash.clone());
        row.password_changed_at = Some(now);
        store::users::insert(change.tx(), &row).await?;
        store::users::remember_password(change.tx(), TenantId::SYSTEM, user, &hash, now).await?;
        let role = SYSTEM_ADMIN.parse().map_err(Error::internal)?;
        let assignment = AssignmentRow {
            id: AssignmentId::random(self.ledger.random()),
            role_id: role,
            user_id: Some(user),
            team_id: None,
            project_id: None,
            created_at: now,
        };
        store::assignments::insert(change.tx(), TenantId::SYSTEM, &assignment).await?;
        let vault = Arc::clone(self.ledger.vault());
        let clock = Arc::clone(self.ledger.clock());
        let drafted = vault.draft(change.tx(), move |keystore, random| {
            keystore.draft_recovery_kit(&*clock, random)
        });
        let (kit, draft) = drafted.await?;
        store::users::note_login(change.tx(), TenantId::SYSTEM, user, now).await?;
        change.also(TenantId::SYSTEM, Event::new("platform.setup").on_kind("user", user)).await?;
        let signed_in = self.sessions.begin(change, TenantId::SYSTEM, user, request).await?;
        vault.adopt(draft).await?;
        Ok(SetupDone { recovery_kit: kit.text(), signed_in })
    }
}

fn already_done() -> Error {
    Error::new(Kind::Conflict, "setup-done", "This appliance is set up already.")
        .with_hint("Sign in at /system.")
}

fn anonymous(request: &RequestMeta) -> Actor {
    Actor { principal: Principal::Anonymous, tenant: TenantId::SYSTEM, request: request.clone() }
}

//! Users: the people of a tenant, and the administrators of the system scope.
//!
//! Owns: sealing and opening of names and e-mail addresses, lists of users, and
//! what may become a password. Changes to users are in `users::manage`.
//! Must not know: sessions' cookies, HTTP.

mod listing;
mod manage;

use std::collections::HashMap;

use super::{
    caller::Caller,
    email::Email,
    newcomers::Newcomers,
    password::Password,
    policy::{Context, PasswordPolicy, Violation},
};
use crate::{
    audit::Ledger,
    clock::Timestamp,
    error::{Error, Result},
    ids::{TeamId, TenantId, UserId},
    store::{self, Tx, users::UserRow},
    vault::Keyring,
};

pub use manage::{CreatedUser, InviteToken, UserChange};

/// A user with the personal columns opened.
#[derive(Clone, Debug)]
pub struct UserView {
    /// Identifier.
    pub id: UserId,
    /// E-mail address.
    pub email: String,
    /// Name.
    pub name: String,
    /// `invited`, `active`, `disabled` or `deleted`.
    pub state: String,
    /// Last successful login.
    pub last_login_at: Option<Timestamp>,
    /// When the user was created.
    pub created_at: Timestamp,
    /// Counts changes.
    pub version: i64,
}

/// A user and the teams that it belongs to, by name.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user.
    pub user: UserView,
    /// Its teams.
    pub teams: Vec<(TeamId, String)>,
}

/// The users of all tenants.
#[derive(Clone, Debug)]
pub struct Users {
    ledger: Ledger,
    newcomers: Newcomers,
}

impl Users {
    /// Users behind this ledger.
    pub fn new(ledger: Ledger, newcomers: Newcomers) -> Self {
        Self { ledger, newcomers }
    }

    /// The caller's own data: needs no permission.
    pub async fn own(&self, caller: &Caller) -> Result<UserView> {
        let mut tx = self.ledger.store().read().await?;
        let row = store::users::find(&mut tx, caller.tenant, caller.user).await?;
        let row = row.ok_or_else(|| Error::not_found("user"))?;
        let ring = self.ledger.vault().ring(&mut tx, caller.tenant).await?;
        open_user(&ring, row)
    }
}

/// The user, unless there is none or it was deleted. `NotFound`.
pub(super) async fn find_present(tx: &mut Tx, tenant: TenantId, id: UserId) -> Result<UserRow> {
    let row = store::users::find(tx, tenant, id).await?;
    row.filter(|row| row.state != "deleted").ok_or_else(|| Error::not_found("user"))
}

/// Every user of the tenant by identifier: for lists that show names beside
/// other things. Deleted users are missing.
pub(super) async fn directory(
    ledger: &Ledger,
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<HashMap<UserId, UserView>> {
    let ring = ledger.vault().ring(tx, tenant).await?;
    let rows = store::users::all(tx, tenant).await?;
    rows.into_iter().map(|row| Ok((row.id, open_user(&ring, row)?))).collect()
}

/// A stored user with its personal columns opened; empty when it is deleted.
pub fn open_user(ring: &Keyring, row: UserRow) -> Result<UserView> {
    let id = row.id.to_string();
    let open = |column, sealed: Option<Vec<u8>>| match sealed {
        Some(sealed) => ring.open_text("app_user", column, &id, &sealed),
        None => Ok(String::new()),
    };
    Ok(UserView {
        id: row.id,
        email: open("email", row.email_sealed)?,
        name: open("name", row.name_sealed)?,
        state: row.state,
        last_login_at: row.last_login_at,
        created_at: row.created_at,
        version: row.version,
    })
}

/// A new row in state `invited`, with sealed personal columns and no password.
pub(super) async fn seal_user(
    ledger: &Ledger,
    tx: &mut Tx,
    tenant: TenantId,
    id: UserId,
    email: &Email,
    name: &str,
) -> Result<UserRow> {
    let ring = ledger.vault().ring(tx, tenant).await?;
    let row = id.to_string();
    Ok(UserRow {
        tenant_id: tenant,
        id,
        email_index: Some(ledger.vault().keystore().email_index(email.normalised())),
        email_sealed: Some(ring.seal("app_user", "email", &row, email.to_string().as_bytes())),
        name_sealed: Some(ring.seal("app_user", "name", &row, name.trim().as_bytes())),
        state: "invited".to_owned(),
        password_hash: None,
        password_changed_at: None,
        last_login_at: None,
        created_at: ledger.clock().now(),
        version: 1,
    })
}

/// Refuses a password that the policy does not allow. `Invalid`, one field
/// error for each rule that it breaks.
pub(super) fn check_new_password(
    policy: &PasswordPolicy,
    password: &Password,
    email: &Email,
    name: &str,
    tenant: &str,
    field: &str,
) -> Result<()> {
    let violations = policy.check(password, &Context { email, name, tenant });
    if violations.is_empty() {
        return Ok(());
    }
    Err(Violation::error(field, &violations))
}

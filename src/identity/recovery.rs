//! A system administrator who cannot log in any more.
//!
//! Owns: whom an operator at the machine itself may let in again, and how.
//! Must not know: who the operator is; whoever calls this has asked for a proof.

use std::time::Duration;

use super::{
    administrators::{administrator_role, makes_administrator},
    email::Email,
    one_time::{OneTimeSecret, Purpose},
    users::open_user,
};
use crate::{
    audit::{Event, Ledger},
    clock::Timestamp,
    error::{Error, Kind, Result},
    ids::{TenantId, UserId},
    rbac::{Permit, rights::UserUpdate},
    store::{self, Tx, one_time::OneTimeRow, users::UserRow},
};

/// How long the link works: the person stands in front of the machine.
const LIFE: Duration = Duration::from_hours(1);

/// What lets an administrator choose a new password.
#[derive(Debug)]
pub struct RecoveryLink {
    /// Whose it is.
    pub user: UserId,
    /// His e-mail address.
    pub email: String,
    /// For the link; good for one use.
    pub token: OneTimeSecret,
    /// Until when.
    pub expires_at: Timestamp,
    /// Whether the account had been disabled.
    pub enabled: bool,
}

/// Makes a link for the system administrator with this e-mail address, or for
/// the only one. He is enabled if he was not, his sessions end, and links made
/// before stop working.
///
/// `NotFound` when no administrator has this address; `Conflict` when none is
/// named and there are several; `Invalid` for what is no address.
pub async fn recover_administrator(
    ledger: &Ledger,
    permit: &Permit<UserUpdate>,
    email: Option<&str>,
) -> Result<RecoveryLink> {
    let tenant = permit.tenant();
    let email = email.map(Email::parse).transpose();
    let email = email.map_err(|error| Error::invalid("email", error.to_string()))?;
    let mut change = ledger.begin(permit.actor()).await?;
    let administrators = administrators(change.tx(), tenant).await?;
    let mut row = match email {
        Some(email) => {
            let index = ledger.vault().keystore().email_index(email.normalised());
            let named = administrators.into_iter().find(|row| row.email_index == Some(index));
            named.ok_or_else(|| {
                let message = "No system administrator has this e-mail address.";
                Error::new(Kind::NotFound, "no-such-administrator", message)
            })?
        }
        None => only(administrators)?,
    };
    let (id, version) = (row.id, row.version);
    let enabled = row.state == "disabled";
    let (state, purpose) = match &row.password_hash {
        Some(_) => ("active", "reset"),
        None => ("invited", "invite"),
    };
    if enabled {
        state.clone_into(&mut row.state);
        // Nobody else changes the row meanwhile: the transaction has begun.
        store::users::update(change.tx(), &row, version).await?;
    }
    let now = ledger.clock().now();
    store::sessions::end_all(change.tx(), tenant, id, now).await?;
    let token = OneTimeSecret::random(Purpose::Invitation, ledger.random());
    let expires_at = now.plus(LIFE);
    let secret =
        OneTimeRow { tenant_id: tenant, user_id: id, purpose: purpose.to_owned(), expires_at };
    store::one_time::replace(change.tx(), *token.digest().as_bytes(), &secret).await?;
    let ring = ledger.vault().ring(change.tx(), tenant).await?;
    let email = open_user(&ring, row)?.email;
    change.outdate(tenant);
    change.commit(Event::new("user.recover").on(id).with("enabled", enabled)).await?;
    Ok(RecoveryLink { user: id, email, token, expires_at, enabled })
}

/// Everybody who administers the scope directly, whether he can log in or not.
async fn administrators(tx: &mut Tx, tenant: TenantId) -> Result<Vec<UserRow>> {
    let role = administrator_role(tenant)?;
    let assignments = store::assignments::all(tx, tenant).await?;
    let holds = |user: UserId| {
        assignments.iter().any(|row| row.user_id == Some(user) && makes_administrator(row, role))
    };
    let users = store::users::all(tx, tenant).await?;
    Ok(users.into_iter().filter(|row| holds(row.id)).collect())
}

fn only(mut administrators: Vec<UserRow>) -> Result<UserRow> {
    match (administrators.pop(), administrators.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => {
            let message = "There is no system administrator: set-up was not completed.";
            Err(Error::new(Kind::Conflict, "no-administrator", message)
                .with_hint("The screen shows the set-up code."))
        }
        (Some(_), others) => {
            let message = format!("There are {} system administrators.", others + 1);
            Err(Error::new(Kind::Conflict, "several-administrators", message)
                .with_hint("Name one by his e-mail address."))
        }
    }
}

//! Changing users: creating, changing, inviting, logging out and deleting them.

use serde::{Deserialize, Serialize};

use super::{Account, Users, find_present};
use crate::{
    audit::Event,
    clock::Timestamp,
    error::{Error, Kind, Result},
    identity::{
        administrators::refuse_losing,
        delegation::{all_of, refuse_beyond},
        email::Email,
        newcomers::{Invitation, NewUser},
        policies::stale,
        rights::load_grants,
    },
    ids::UserId,
    rbac::{
        Permission, Permit,
        rights::{UserCreate, UserDelete, UserUpdate},
    },
    store,
};

const EMAIL_TAKEN: &str = "A user with this e-mail address exists already";

/// What of a user changes; `None` stays.
#[derive(Debug)]
pub struct UserChange {
    /// Another e-mail address to log in with.
    pub email: Option<String>,
    /// Another name.
    pub name: Option<String>,
    /// Whether the user can log in.
    pub enabled: Option<bool>,
}

/// The token of an invitation or reset, and until when it works. It exists in
/// plain only here and, sealed, for a repetition of the same request.
#[derive(Clone, Serialize, Deserialize)]
pub struct InviteToken {
    /// For the link.
    pub token: String,
    /// Until when.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InviteToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl From<Invitation> for InviteToken {
    fn from(invitation: Invitation) -> Self {
        Self { token: invitation.token.expose().to_owned(), expires_at: invitation.expires_at }
    }
}

/// A user that was created.
#[derive(Debug)]
pub struct CreatedUser {
    /// The user.
    pub account: Account,
    /// Absent when the user got a password.
    pub invite: Option<InviteToken>,
}

#[derive(Serialize, Deserialize)]
struct Made {
    user: UserId,
    invite: Option<InviteToken>,
}

impl Users {
    /// Creates a user: active with a first password, invited without one.
    /// `Invalid` with the fields, `Conflict` when the e-mail address is taken.
    pub async fn create(&self, permit: &Permit<UserCreate>, new: NewUser) -> Result<CreatedUser> {
        let tenant = permit.tenant();
        let home = store::tenants::find(&mut self.ledger.store().read().await?, tenant).await?;
        let home = home.ok_or_else(|| Error::not_found("tenant"))?.name;
        let prepared = self.newcomers.prepare(tenant, &home, new, "").await?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(Made { user, invite }) = change.replay().await? {
            let account = self.account(change.tx(), tenant, user).await?;
            return Ok(CreatedUser { account, invite });
        }
        let newcomer = self.newcomers.insert(change.tx(), tenant, prepared).await?;
        let account = self.account(change.tx(), tenant, newcomer.user).await?;
        let made = Made { user: newcomer.user, invite: newcomer.invitation.map(InviteToken::from) };
        let event = Event::new("user.create").on(made.user);
        change.outdate(tenant);
        change.commit_with(event.with("invited", made.invite.is_some()), &made).await?;
        Ok(CreatedUser { account, invite: made.invite })
    }

    /// Changes name, e-mail address and state. Disabling ends the user's
    /// sessions. `NotFound`, `Stale`, `Invalid`, and `Conflict` when the address
    /// is taken, or for the state of the caller or of the last administrator.
    pub async fn update(
        &self,
        permit: &Permit<UserUpdate>,
        id: UserId,
        wanted: UserChange,
        version: i64,
    ) -> Result<Account> {
        let tenant = permit.tenant();
        let email = wanted.email.as_deref().map(Email::parse).transpose();
        let email = email.map_err(|error| Error::invalid("email", error.to_string()))?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        let mut row = find_present(change.tx(), tenant, id).await?;
        if row.version != version {
            return Err(stale());
        }
        let before = row.state.clone();
        if let Some(enabled) = wanted.enabled {
            next_state(&before, enabled, row.password_hash.is_some())?.clone_into(&mut row.state);
        }
        if row.state != before {
            refuse_own(permit, id, "You cannot change the state of your own account.")?;
        }
        // Whoever is known by another address, or not let in, is locked out as
        // surely as by a taken password.
        if permit.actor().principal.user() != Some(id) && (email.is_some() || row.state != before) {
            let grants = load_grants(change.tx(), tenant, id).await?;
            refuse_beyond(&mut change, Permission::UserUpdate, &all_of(&grants)).await?;
        }
        let mut changed = Vec::new();
        let ring = self.ledger.vault().ring(change.tx(), tenant).await?;
        let place = id.to_string();
        if let Some(email) = &email {
            let keystore = self.ledger.vault().keystore();
            row.email_index = Some(keystore.email_index(email.normalised()));
            let shown = email.to_string();
            row.email_sealed = Some(ring.seal("app_user", "email", &place, shown.as_bytes()));
            changed.push("email");
        }
        if let Some(name) = &wanted.name {
            row.name_sealed = Some(ring.seal("app_user", "name", &place, name.trim().as_bytes()));
            changed.push("name");
        }
        if row.state != before {
            changed.push("state");
        }
        if row.state == "disabled" && row.state != before {
            refuse_losing(change.tx(), tenant, id).await?;
            let now = self.ledger.clock().now();
            store::sessions::end_all(change.tx(), tenant, id, now).await?;
            store::one_time::end_all(change.tx(), tenant, id).await?;
        }
        let updated = store::users::update(change.tx(), &row, version).await;
        if !updated.map_err(|error| error.on_duplicate("email", EMAIL_TAKEN))? {
            return Err(stale());
        }
        let account = self.account(change.tx(), tenant, id).await?;
        change.outdate(tenant);
        let event = Event::new("user.update").on(id).with("changed", changed);
        change.commit(event.with("state", row.state.clone())).await?;
        Ok(account)
    }

    /// Removes everything personal of a user, its roles, keys and sessions;
    /// only the identifier stays. `NotFound`; `Conflict` for the caller itself
    /// and for the last administrator.
    pub async fn delete(&self, permit: &Permit<UserDelete>, id: UserId) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        find_present(change.tx(), tenant, id).await?;
        refuse_own(permit, id, "You cannot delete your own account.")?;
        refuse_losing(change.tx(), tenant, id).await?;
        let grants = load_grants(change.tx(), tenant, id).await?;
        refuse_beyond(&mut change, Permission::UserDelete, &all_of(&grants)).await?;
        store::users::erase(change.tx(), tenant, id).await?;
        change.outdate(tenant);
        change.commit(Event::new("user.delete").on(id)).await
    }

    /// Makes a new link for a user: an invitation while there is no password
    /// yet, a password reset later. Links made before stop working. `NotFound`;
    /// `Conflict` for a disabled user and for the caller itself; `Forbidden` for
    /// a user who may do more than the caller, because whoever has the link can
    /// become that user.
    pub async fn invite(&self, permit: &Permit<UserUpdate>, id: UserId) -> Result<InviteToken> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(made) = change.replay::<InviteToken>().await? {
            return Ok(made);
        }
        let row = find_present(change.tx(), tenant, id).await?;
        refuse_own(permit, id, "You cannot reset your own password; change it instead.")?;
        if row.state == "disabled" {
            return Err(Error::new(Kind::Conflict, "user-disabled", "This user is disabled.")
                .with_hint("Enable the user first."));
        }
        let grants = load_grants(change.tx(), tenant, id).await?;
        refuse_beyond(&mut change, Permission::UserUpdate, &all_of(&grants)).await?;
        let (purpose, action) = match row.password_hash {
            None => ("invite", "user.invite"),
            Some(_) => ("reset", "user.resetLink"),
        };
        let invitation = self.newcomers.invite(change.tx(), tenant, id, purpose).await?;
        let made = InviteToken::from(invitation);
        change.commit_with(Event::new(action).on(id), &made).await?;
        Ok(made)
    }

    /// Ends every session of a user. `NotFound`.
    pub async fn logout(&self, permit: &Permit<UserUpdate>, id: UserId) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        find_present(change.tx(), tenant, id).await?;
        let now = self.ledger.clock().now();
        let ended = store::sessions::end_all(change.tx(), tenant, id, now).await?;
        change.outdate(tenant);
        change.commit(Event::new("user.logout").on(id).with("sessions", ended)).await
    }
}

/// The state that a user gets. Without a password nobody is active: an
/// invitation is still open. Kind: `Conflict`.
fn next_state(current: &str, enabled: bool, has_password: bool) -> Result<&'static str> {
    match (enabled, has_password, current) {
        (false, ..) => Ok("disabled"),
        (true, true, _) => Ok("active"),
        (true, false, "disabled") => Ok("invited"),
        (true, false, _) => Err(Error::new(
            Kind::Conflict,
            "invitation-open",
            "This user has not accepted the invitation yet.",
        )
        .with_hint("The user becomes active by choosing a password; make a new link if needed.")),
    }
}

/// Nobody locks himself out, and nobody gets around the question for the
/// current password. Kind: `Conflict`.
fn refuse_own<R: crate::rbac::Right>(
    permit: &Permit<R>,
    id: UserId,
    message: &'static str,
) -> Result<()> {
    if permit.actor().principal.user() == Some(id) {
        return Err(Error::new(Kind::Conflict, "own-account", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enabled_user_is_active_only_with_a_password() {
        assert_eq!(next_state("disabled", true, true).unwrap(), "active");
        assert_eq!(next_state("active", true, true).unwrap(), "active");
        assert_eq!(next_state("disabled", true, false).unwrap(), "invited");
        assert_eq!(next_state("invited", true, false).unwrap_err().code(), "invitation-open");
    }

    #[test]
    fn everybody_can_be_disabled_invited_or_not() {
        assert_eq!(next_state("active", false, true).unwrap(), "disabled");
        assert_eq!(next_state("invited", false, false).unwrap(), "disabled");
    }

    #[test]
    fn the_token_of_a_link_does_not_show_in_debug_output() {
        let token =
            InviteToken { token: "pi_secret".to_owned(), expires_at: Timestamp::from_seconds(0) };
        assert!(!format!("{token:?}").contains("pi_secret"));
    }
}

//! Adding a user: with an invitation, or with a first password.
//!
//! Two steps, because hashing takes long and a transaction should not wait for
//! it: [`Newcomers::prepare`] checks and hashes, [`Newcomers::insert`] writes.

use std::{sync::Arc, time::Duration};

use super::{
    email::Email,
    one_time::{OneTimeSecret, Purpose},
    password::{Hasher, Password},
    policies,
    users::{check_new_password, seal_user},
};
use crate::{
    audit::Ledger,
    clock::Timestamp,
    error::{Error, Result},
    ids::{AssignmentId, RoleId, TenantId, UserId},
    secret::Secret,
    store::{self, Tx, assignments::AssignmentRow, one_time::OneTimeRow},
};

/// How long an invitation or a link to choose a new password works.
pub const INVITATION_LIFE: Duration = Duration::from_hours(7 * 24);

/// What somebody says of a new user.
#[derive(Debug)]
pub struct NewUser {
    /// Where to log in with.
    pub email: String,
    /// How the person is called.
    pub name: String,
    /// A first password; without one the user is invited.
    pub password: Option<Secret<String>>,
}

/// A user that passed all checks.
#[derive(Debug)]
pub struct Prepared {
    email: Email,
    name: String,
    hash: Option<String>,
}

/// The secret part of an invitation, for its link.
#[derive(Debug)]
pub struct Invitation {
    /// The token, good for one use.
    pub token: OneTimeSecret,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A user that was written.
#[derive(Debug)]
pub struct Newcomer {
    /// The new user.
    pub user: UserId,
    /// Absent when the user got a password.
    pub invitation: Option<Invitation>,
}

/// Adds users.
#[derive(Clone, Debug)]
pub struct Newcomers {
    ledger: Ledger,
    hasher: Hasher,
}

impl Newcomers {
    /// With this ledger and hasher.
    pub fn new(ledger: Ledger, hasher: Hasher) -> Self {
        Self { ledger, hasher }
    }

    /// Checks a new user of `tenant` (which may not exist yet) and hashes the
    /// password. `prefix` names the fields, e.g. `admin.`. `Invalid` with the fields.
    pub async fn prepare(
        &self,
        tenant: TenantId,
        tenant_name: &str,
        new: NewUser,
        prefix: &str,
    ) -> Result<Prepared> {
        let email = Email::parse(&new.email)
            .map_err(|error| Error::invalid(format!("{prefix}email"), error.to_string()))?;
        let field = format!("{prefix}password");
        let hash = match new.password {
            None => None,
            Some(password) => {
                let password = Arc::new(Password::parse(&field, password)?);
                let policy =
                    policies::load(&mut self.ledger.store().read().await?, tenant).await?.policy;
                check_new_password(&policy, &password, &email, &new.name, tenant_name, &field)?;
                Some(self.hasher.hash(password).await?)
            }
        };
        Ok(Prepared { email, name: new.name, hash })
    }

    /// Writes the user, in the caller's transaction. `Conflict` when the
    /// tenant has a user with this e-mail address.
    pub async fn insert(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        prepared: Prepared,
    ) -> Result<Newcomer> {
        let user = UserId::random(self.ledger.random());
        let now = self.ledger.clock().now();
        let mut row =
            seal_user(&self.ledger, tx, tenant, user, &prepared.email, &prepared.name).await?;
        if let Some(hash) = &prepared.hash {
            "active".clone_into(&mut row.state);
            row.password_hash = Some(hash.clone());
            row.password_changed_at = Some(now);
        }
        store::users::insert(tx, &row).await.map_err(|error| {
            error.on_duplicate("email", "A user with this e-mail address exists already")
        })?;
        let invitation = match &prepared.hash {
            Some(hash) => {
                store::users::remember_password(tx, tenant, user, hash, now).await?;
                None
            }
            None => Some(self.invite(tx, tenant, user, "invite").await?),
        };
        Ok(Newcomer { user, invitation })
    }

    /// Makes a link's token for a user, and earlier ones useless. `purpose` is
    /// `invite` or `reset`.
    pub async fn invite(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        user: UserId,
        purpose: &str,
    ) -> Result<Invitation> {
        let token = OneTimeSecret::random(Purpose::Invitation, self.ledger.random());
        let expires_at = self.ledger.clock().now().plus(INVITATION_LIFE);
        let row = OneTimeRow {
            tenant_id: tenant,
            user_id: user,
            purpose: purpose.to_owned(),
            expires_at,
        };
        store::one_time::replace(tx, *token.digest().as_bytes(), &row).await?;
        Ok(Invitation { token, expires_at })
    }

    /// Gives a user a role for the whole tenant, in the caller's transaction.
    pub async fn assign(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        user: UserId,
        role: RoleId,
    ) -> Result<()> {
        let row = AssignmentRow {
            id: AssignmentId::random(self.ledger.random()),
            role_id: role,
            user_id: Some(user),
            team_id: None,
            project_id: None,
            created_at: self.ledger.clock().now(),
        };
        Ok(store::assignments::insert(tx, tenant, &row).await?)
    }
}

//! Users. Name and e-mail are sealed bytes here: searching and sorting by
//! them happens in memory, in `identity`, after opening.

use super::{Result, Tx, row::from_row};
use crate::{
    clock::Timestamp,
    ids::{TenantId, UserId},
};

/// A user, as stored. A deleted user keeps its row; its personal columns are empty.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// The user's tenant.
    pub tenant_id: TenantId,
    /// Identifier; stays after deletion.
    pub id: UserId,
    /// Keyed digest of the e-mail address, for look-up.
    pub email_index: Option<[u8; 32]>,
    /// The e-mail address, sealed.
    pub email_sealed: Option<Vec<u8>>,
    /// The name, sealed.
    pub name_sealed: Option<Vec<u8>>,
    /// `invited`, `active`, `disabled` or `deleted`.
    pub state: String,
    /// The password's hash; absent until the invitation is accepted.
    pub password_hash: Option<String>,
    /// When the password was set.
    pub password_changed_at: Option<Timestamp>,
    /// Last successful login.
    pub last_login_at: Option<Timestamp>,
    /// When the user was created.
    pub created_at: Timestamp,
    /// Counts changes.
    pub version: i64,
}

from_row!(UserRow {
    tenant_id,
    id,
    email_index,
    email_sealed,
    name_sealed,
    state,
    password_hash,
    password_changed_at,
    last_login_at,
    created_at,
    version,
});

const COLUMNS: &str = "tenant_id, id, email_index, email_sealed, name_sealed, state, \
    password_hash, password_changed_at, last_login_at, created_at, version";

/// Adds a user. `Duplicate` when the tenant has a user with this e-mail.
pub async fn insert(tx: &mut Tx, user: &UserRow) -> Result<()> {
    tx.execute(
        "INSERT INTO app_user (tenant_id, id, email_index, email_sealed, name_sealed, state,
             password_hash, password_changed_at, created_at, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        (
            user.tenant_id,
            user.id,
            user.email_index,
            user.email_sealed.clone(),
            user.name_sealed.clone(),
            &user.state,
            user.password_hash.clone(),
            user.password_changed_at,
            user.created_at,
            user.version,
        ),
    )
    .await
    .map(drop)
}

/// A user of the tenant, also when it is deleted.
pub async fn find(tx: &mut Tx, tenant: TenantId, id: UserId) -> Result<Option<UserRow>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM app_user WHERE tenant_id = $1 AND id = $2"),
        (tenant, id),
    )
    .await
}

/// The user of one tenant with this e-mail.
pub async fn find_by_email(
    tx: &mut Tx,
    tenant: TenantId,
    email_index: [u8; 32],
) -> Result<Option<UserRow>> {
    tx.fetch_optional(
        &format!("SELECT {COLUMNS} FROM app_user WHERE tenant_id = $1 AND email_index = $2"),
        (tenant, email_index),
    )
    .await
}

/// The users with this e-mail in all tenants but the system scope: for the
/// login at the common address, before the tenant is known.
pub async fn find_everywhere(tx: &mut Tx, email_index: [u8; 32]) -> Result<Vec<UserRow>> {
    tx.fetch_all(
        &format!(
            "SELECT {COLUMNS} FROM app_user WHERE email_index = $1 AND tenant_id <> $2
             ORDER BY tenant_id"
        ),
        (email_index, TenantId::SYSTEM),
    )
    .await
}

/// Every user of the tenant that is not deleted.
pub async fn all(tx: &mut Tx, tenant: TenantId) -> Result<Vec<UserRow>> {
    tx.fetch_all(
        &format!("SELECT {COLUMNS} FROM app_user WHERE tenant_id = $1 AND state <> 'deleted'"),
        (tenant,),
    )
    .await
}

/// Writes the personal columns and the state if `version` is current; answers whether it was.
pub async fn update(tx: &mut Tx, user: &UserRow, version: i64) -> Result<bool> {
    let changed = tx
        .execute(
            "UPDATE app_user SET email_index = $1, email_sealed = $2, name_sealed = $3, state = $4,
                 version = version + 1
             WHERE tenant_id = $5 AND id = $6 AND version = $7 AND state <> 'deleted'",
            (
                user.email_index,
                user.email_sealed.clone(),
                user.name_sealed.clone(),
                &user.state,
                user.tenant_id,
                user.id,
                version,
            ),
        )
        .await?;
    Ok(changed == 1)
}

/// Sets a password and makes an invited user active.
pub async fn set_password(
    tx: &mut Tx,
    tenant: TenantId,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<()> {
    tx.execute(
        "UPDATE app_user SET password_hash = $1, password_changed_at = $2, version = version + 1,
             state = CASE WHEN state = 'invited' THEN 'active' ELSE state END
         WHERE tenant_id = $3 AND id = $4 AND state <> 'deleted'",
        (hash, now, tenant, id),
    )
    .await
    .map(drop)
}

/// Replaces a hash by a stronger one of the same password.
pub async fn upgrade_hash(tx: &mut Tx, tenant: TenantId, id: UserId, hash: &str) -> Result<()> {
    tx.execute(
        "UPDATE app_user SET password_hash = $1 WHERE tenant_id = $2 AND id = $3",
        (hash, tenant, id),
    )
    .await
    .map(drop)
}

/// Notes a login.
pub async fn note_login(tx: &mut Tx, tenant: TenantId, id: UserId, now: Timestamp) -> Result<()> {
    tx.execute(
        "UPDATE app_user SET last_login_at = $1 WHERE tenant_id = $2 AND id = $3",
        (now, tenant, id),
    )
    .await
    .map(drop)
}

/// Removes everything personal and every credential; the uid stays.
pub async fn erase(tx: &mut Tx, tenant: TenantId, id: UserId) -> Result<bool> {
    for sql in [
        "DELETE FROM password_history WHERE tenant_id = $1 AND user_id = $2",
        "DELETE FROM one_time_secret WHERE tenant_id = $1 AND user_id = $2",
        "DELETE FROM api_key WHERE tenant_id = $1 AND user_id = $2",
        "DELETE FROM session WHERE tenant_id = $1 AND user_id = $2",
        "DELETE FROM team_member WHERE tenant_id = $1 AND user_id = $2",
        "DELETE FROM assignment WHERE tenant_id = $1 AND user_id = $2",
    ] {
        tx.execute(sql, (tenant, id)).await?;
    }
    let erased = tx
        .execute(
            "UPDATE app_user SET email_index = NULL, email_sealed = NULL, name_sealed = NULL,
                 password_hash = NULL, password_changed_at = NULL, last_login_at = NULL,
                 state = 'deleted', version = version + 1
             WHERE tenant_id = $1 AND id = $2 AND state <> 'deleted'",
            (tenant, id),
        )
        .await?;
    Ok(erased == 1)
}

/// Replaces only the sealed columns: for the rotation of the tenant's key.
pub async fn reseal(tx: &mut Tx, user: &UserRow) -> Result<()> {
    tx.execute(
        "UPDATE app_user SET email_sealed = $1, name_sealed = $2 WHERE tenant_id = $3 AND id = $4",
        (user.email_sealed.clone(), user.name_sealed.clone(), user.tenant_id, user.id),
    )
    .await
    .map(drop)
}

/// Hashes of a user's earlier passwords, newest first.
pub async fn password_history(
    tx: &mut Tx,
    tenant: TenantId,
    id: UserId,
    most: u32,
) -> Result<Vec<String>> {
    tx.fetch_all(
        &format!(
            "SELECT password_hash FROM password_history WHERE tenant_id = $1 AND user_id = $2
             ORDER BY changed_at DESC LIMIT {most}"
        ),
        (tenant, id),
    )
    .await
}

/// Remembers a password's hash.
pub async fn remember_password(
    tx: &mut Tx,
    tenant: TenantId,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<()> {
    tx.execute(
        "INSERT INTO password_history (tenant_id, user_id, changed_at, password_hash)
         VALUES ($1, $2, $3, $4)",
        (tenant, id, now, hash),
    )
    .await
    .map(drop)
}

/// Forgets all but the newest `keep` hashes of every user.
pub async fn prune_history(tx: &mut Tx, keep: u32) -> Result<u64> {
    tx.execute(
        "DELETE FROM password_history WHERE (
           SELECT COUNT(*) FROM password_history AS newer
           WHERE newer.user_id = password_history.user_id
             AND newer.changed_at > password_history.changed_at) >= $1",
        (i64::from(keep),),
    )
    .await
}

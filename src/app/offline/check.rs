//! Whether a recovery kit counts, while the server runs or cannot.

use std::time::Duration;

use super::{known, newest, refuse_foreign};
use crate::{
    app::{before_update, install},
    config::Config,
    error::{Error, Kind, Result},
    keystore::{Keystore, SealedInfo, Unlock},
    secret::Secret,
};

/// A database that does not answer keeps nobody waiting.
const TIME_TO_LOOK: Duration = Duration::from_secs(10);

/// What the kit opens: the keystore that a recovery would take, which is the
/// newer one of the keystore's directory and the database. Changes nothing, and
/// a server may run meanwhile.
///
/// `NotFound` (`keystore-missing`) when there is neither; otherwise as
/// [`Keystore::open`].
pub async fn check_recovery_kit(config: &Config, kit: &Secret<String>) -> Result<SealedInfo> {
    let directory = before_update::keys(config);
    // Whoever comes with a kit may come because the database is no good either.
    let known = match tokio::time::timeout(TIME_TO_LOOK, known(config)).await {
        Ok(Ok(known)) => known,
        Ok(Err(error)) => {
            tracing::debug!(error = %error.chain(), "the copy of the database is not looked at");
            None
        }
        Err(_) => None,
    };
    let copy = newest(&directory, known.as_ref())?;
    let kit = kit.clone();
    let check = move || {
        let Some(copy) = copy else {
            let info = Keystore::inspect_directory(&directory);
            Keystore::open(&directory, Unlock::RecoveryKit(kit))?;
            return info;
        };
        let info = Keystore::inspect(&copy)?;
        Keystore::check_copy(&copy, &kit)?;
        Ok(Some(info))
    };
    let info = install::blocking(check).await?;
    refuse_foreign(info.as_ref(), known.as_ref())?;
    info.ok_or_else(|| Error::new(Kind::NotFound, "keystore-missing", "There is no keystore."))
}

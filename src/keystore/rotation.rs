//! Rotating the signing key and the root key.

use super::{
    Keystore,
    fault::Fault,
    jwt,
    secrets::{RootKey, Secrets},
};
use crate::{
    clock::{Clock, Random},
    error::Result,
};

impl Keystore {
    /// Signs with a new key from now on; the old one verifies for another
    /// [`jwt::VERIFIES_FOR`].
    ///
    /// `RateLimited` after 16 rotations in that time; `StorageFull`, `Internal`
    /// (`keystore-io`) or `Conflict` (`keystore-changed`, `keystore-rolled-back`,
    /// `keystore-permissions`) when it cannot be saved: then nothing is rotated.
    pub fn rotate_jwt(&self, clock: &dyn Clock, random: &dyn Random) -> Result<()> {
        self.edit(random, |secrets| jwt::rotate(secrets, clock, random).map(|()| true))
    }

    /// Adds a root key and wraps with it from now on; earlier ones still open
    /// what they have wrapped. Both are on disk before this returns. While a
    /// rotation is under way, e.g. after a crash, this continues it: no further
    /// key is added.
    ///
    /// Next, in this order: store [`Keystore::export_sealed`], so that a lost
    /// directory does not take the new key with it; [`Keystore::rewrap`] every
    /// stored key; [`Keystore::finish_root_rotation`]. Errors as [`Keystore::rotate_jwt`].
    pub fn begin_root_rotation(&self, clock: &dyn Clock, random: &dyn Random) -> Result<()> {
        self.edit(random, |secrets| {
            let under_way = secrets.roots.len() > 1;
            if !under_way {
                secrets.roots.insert(0, RootKey::new(clock, random));
            }
            Ok(!under_way)
        })
    }

    /// Forgets all root keys but the current one.
    ///
    /// A key that is still wrapped under an earlier one is lost for ever, and
    /// with it the data of its tenant. Call this only after a read of the store,
    /// which no insert can slip past, has shown that every stored
    /// [`super::Wrapped::root`] is [`Keystore::current_root`].
    /// Errors as [`Keystore::rotate_jwt`].
    pub fn finish_root_rotation(&self, random: &dyn Random) -> Result<()> {
        self.edit(random, |secrets| {
            let under_way = secrets.roots.len() > 1;
            secrets.roots.truncate(1);
            Ok(under_way)
        })
    }

    /// Changes the secrets and saves them if `edit` says that it changed something.
    fn edit(
        &self,
        random: &dyn Random,
        edit: impl FnOnce(&mut Secrets) -> Result<bool, Fault>,
    ) -> Result<()> {
        self.change(|directory, base| {
            let mut secrets = base.secrets.clone();
            let changed = edit(&mut secrets)?;
            let next = changed.then(|| base.save(directory, secrets, random)).transpose()?;
            Ok(((), next))
        })
    }
}

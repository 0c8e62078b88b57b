//! Rotating the signing key and the root key.

use super::{
    Keystore,
    fault::Fault,
    jwt,
    names::KeyId,
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
        self.edit(random, |secrets| Ok(add_root(secrets, clock, random)))
    }

    /// Forgets all root keys but the current one.
    ///
    /// A key that is still wrapped under an earlier one is lost for ever, and
    /// with it the data of its tenant. Call this only after a read of the store,
    /// which no insert can slip past, has shown that every stored
    /// [`super::Wrapped::root`] is [`Keystore::current_root`].
    /// Errors as [`Keystore::rotate_jwt`].
    pub fn finish_root_rotation(&self, random: &dyn Random) -> Result<()> {
        self.edit(random, |secrets| Ok(forget_roots(secrets)))
    }

    /// The next generation as [`Keystore::rotate_jwt`] makes it, and the name of
    /// the new key. Nothing is in force before it is [adopted](Keystore::adopt).
    pub fn draft_jwt_rotation(
        &self,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(KeyId, Option<Vec<u8>>)> {
        self.draft(random, |secrets| {
            jwt::rotate(secrets, clock, random)?;
            Ok((secrets.jwt[0].id.clone(), true))
        })
    }

    /// The same for [`Keystore::begin_root_rotation`]; `None` while a rotation is under way.
    pub fn draft_root_rotation(
        &self,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Option<Vec<u8>>> {
        let draft = self.draft(random, |secrets| Ok(((), add_root(secrets, clock, random))));
        draft.map(|((), sealed)| sealed)
    }

    /// The same for [`Keystore::finish_root_rotation`], with the same danger;
    /// `None` when there is one root key only.
    pub fn draft_end_of_root_rotation(&self, random: &dyn Random) -> Result<Option<Vec<u8>>> {
        let draft = self.draft(random, |secrets| Ok(((), forget_roots(secrets))));
        draft.map(|((), sealed)| sealed)
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

    /// The sealed form of what [`Keystore::edit`] would save, if anything.
    fn draft<T>(
        &self,
        random: &dyn Random,
        edit: impl FnOnce(&mut Secrets) -> Result<(T, bool), Fault>,
    ) -> Result<(T, Option<Vec<u8>>)> {
        self.change(|_, base| {
            let mut secrets = base.secrets.clone();
            let (value, changed) = edit(&mut secrets)?;
            let sealed = changed.then(|| base.sealed(secrets, random).bytes.to_vec());
            Ok(((value, sealed), None))
        })
    }
}

/// Adds a root key unless a rotation is under way.
fn add_root(secrets: &mut Secrets, clock: &dyn Clock, random: &dyn Random) -> bool {
    let under_way = secrets.roots.len() > 1;
    if !under_way {
        secrets.roots.insert(0, RootKey::new(clock, random));
    }
    !under_way
}

/// Forgets earlier root keys, if there are any.
fn forget_roots(secrets: &mut Secrets) -> bool {
    let under_way = secrets.roots.len() > 1;
    secrets.roots.truncate(1);
    under_way
}

//! The opened keystore at one moment, and the steps that change it.
//!
//! Owns: keeping memory and disk in step. A change is made on what is on disk
//! at that moment, under a lock that other processes respect, and is used only
//! after it is on disk.
//! Must not know: what a change is about.

use std::sync::Arc;

use super::{
    crypto::{self, Key},
    directory::Directory,
    fault::Fault,
    format::{self, RecoverySlot, SealedFile, Slot},
    jwt::JwtKeys,
    kit::RecoveryKit,
    names::{InstallationId, KeyId},
    seal::{self, NewSeal, Unlock},
    secrets::Secrets,
    tenant::Root,
};
use crate::clock::Random;

pub(super) const KEYSTORE: &str = "keystore.json";

/// What is in memory while a keystore is open.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) file: SealedFile,
    /// The bytes of `file` as they are on disk.
    pub(super) bytes: Arc<[u8]>,
    pub(super) secrets: Secrets,
    data_key: Key,
    /// Unknown after opening with a recovery kit.
    seal_key: Option<Key>,
    /// The current root key first.
    pub(super) roots: Vec<Root>,
    pub(super) jwt: Arc<JwtKeys>,
}

impl State {
    /// The first state of a new installation; not on disk yet.
    pub(super) fn new(
        installation: InstallationId,
        secrets: Secrets,
        seal: &NewSeal,
        kit: &RecoveryKit,
        random: &dyn Random,
    ) -> Self {
        let data_key = crypto::random_secret(random);
        let slot = seal.slot(installation, &data_key, random);
        let recovery = recovery_slot(installation, kit, &data_key, random);
        let file = SealedFile::new(installation, kit.created_at(), slot, recovery);
        Self::assemble(file, Vec::new(), secrets, data_key, Some(seal.key.clone()))
    }

    /// Opens a file whose data key is known.
    fn open(
        file: SealedFile,
        bytes: Vec<u8>,
        data_key: Key,
        seal_key: Option<Key>,
    ) -> Result<Self, Fault> {
        let payload = file.open(&data_key).ok_or(Fault::Damaged("its payload does not open"))?;
        let secrets = Secrets::from_bytes(payload.expose())?;
        Ok(Self::assemble(file, bytes, secrets, data_key, seal_key))
    }

    fn assemble(
        file: SealedFile,
        bytes: Vec<u8>,
        secrets: Secrets,
        data_key: Key,
        seal_key: Option<Key>,
    ) -> Self {
        let roots = secrets.roots.iter().map(|root| Root::new(file.installation, root)).collect();
        let jwt = Arc::new(JwtKeys::of(&secrets));
        Self { file, bytes: bytes.into(), secrets, data_key, seal_key, roots, jwt }
    }

    /// Reads and opens the keystore on disk. Writes nothing.
    pub(super) fn read(directory: &Directory, unlock: &Unlock) -> Result<Self, Fault> {
        let mut bytes = read_file(directory)?;
        loop {
            let file = SealedFile::from_bytes(&bytes)?;
            let fault = match seal::unlock(directory, &file, unlock) {
                Ok((seal_key, data_key)) => return Self::open(file, bytes, data_key, seal_key),
                Err(fault) => fault,
            };
            // Another process may have changed the seal between our two reads.
            let again = read_file(directory)?;
            if again == bytes {
                return Err(fault);
            }
            bytes = again;
        }
    }

    /// Opens a sealed copy with a recovery kit.
    pub(super) fn from_copy(bytes: &[u8], kit: &super::kit::KitKey) -> Result<Self, Fault> {
        let file = SealedFile::from_bytes(bytes)?;
        let data_key = seal::unlock_with_kit(&file, kit)?;
        Self::open(file, bytes.to_vec(), data_key, None)
    }

    /// What is on disk now, as the base of a change; this very state unless
    /// another process has changed it.
    pub(super) fn refreshed(&self, directory: &Directory) -> Result<Self, Fault> {
        let bytes = read_file(directory)?;
        if *bytes == *self.bytes {
            return Ok(self.clone());
        }
        let file = SealedFile::from_bytes(&bytes)?;
        let (found, wanted) = (file.installation, self.file.installation);
        if found != wanted {
            return Err(Fault::OtherInstallation { found, wanted });
        }
        if file.generation <= self.file.generation {
            return Err(Fault::RolledBack);
        }
        let from_seal = self.seal_key.as_ref().and_then(|key| seal::open_slot(&file, key));
        let seal_key = from_seal.is_some().then(|| self.seal_key.clone()).flatten();
        let known = file.open(&self.data_key).map(|_| self.data_key.clone());
        let data_key = known.or(from_seal).ok_or(Fault::ChangedElsewhere)?;
        Self::open(file, bytes, data_key, seal_key)
    }

    /// The newer state in a sealed copy that another node has made of this one;
    /// `None` when this is as new. It must open with our own seal, or the copy
    /// on disk would not open at the next start.
    pub(super) fn succeeded_by(&self, copy: &[u8]) -> Result<Option<Self>, Fault> {
        let file = SealedFile::from_bytes(copy)?;
        let (found, wanted) = (file.installation, self.file.installation);
        if found != wanted {
            return Err(Fault::OtherInstallation { found, wanted });
        }
        if file.generation <= self.file.generation {
            // Every change is sealed with fresh randomness: equal counts and other
            // bytes are two histories.
            let is_fork = file.generation == self.file.generation && *copy != *self.bytes;
            return if is_fork { Err(Fault::Forked(file.generation)) } else { Ok(None) };
        }
        let seal_key = self.seal_key.clone().ok_or(Fault::SealUnknown)?;
        let data_key = seal::open_slot(&file, &seal_key).ok_or(Fault::ChangedElsewhere)?;
        Self::open(file, copy.to_vec(), data_key, Some(seal_key)).map(Some)
    }

    /// This state with other secrets as the next generation; not on disk yet.
    pub(super) fn sealed(&self, secrets: Secrets, random: &dyn Random) -> Self {
        let mut file = self.file.clone();
        let bytes = file.seal(&self.data_key, &secrets.to_bytes(), random);
        let (data_key, seal_key) = (self.data_key.clone(), self.seal_key.clone());
        Self::assemble(file, bytes, secrets, data_key, seal_key)
    }

    /// This state with other secrets, on disk as the next generation.
    pub(super) fn save(
        &self,
        directory: &Directory,
        secrets: Secrets,
        random: &dyn Random,
    ) -> Result<Self, Fault> {
        let next = self.sealed(secrets, random);
        directory.write(KEYSTORE, &next.bytes)?;
        Ok(next)
    }

    /// This state under another seal; to be saved. The kit stays valid.
    pub(super) fn with_seal(&self, seal: &NewSeal, random: &dyn Random) -> Self {
        let mut next = self.clone();
        next.file.seal = seal.slot(self.file.installation, &self.data_key, random);
        next.seal_key = Some(seal.key.clone());
        next
    }

    /// This state with another recovery kit; to be saved. It gets a new data
    /// key, so that the old kit with an old copy does not lead to it.
    pub(super) fn with_kit(&self, kit: &RecoveryKit, random: &dyn Random) -> Result<Self, Fault> {
        let seal_key = self.seal_key.as_ref().ok_or(Fault::SealUnknown)?;
        // The seal may have been changed by another process since we read it.
        seal::open_slot(&self.file, seal_key).ok_or(Fault::ChangedElsewhere)?;
        let installation = self.file.installation;
        let mut next = self.clone();
        next.data_key = crypto::random_secret(random);
        next.file.recovery = recovery_slot(installation, kit, &next.data_key, random);
        let wrapped = |slot| format::wrap(slot, installation, seal_key, &next.data_key, random);
        match &mut next.file.seal {
            format::SealSlot::Unattended { wrapped: slot } => *slot = wrapped(Slot::Unattended),
            format::SealSlot::Passphrase { wrapped: slot, .. } => *slot = wrapped(Slot::Passphrase),
        }
        Ok(next)
    }

    /// The root key that wraps.
    pub(super) fn current_root(&self) -> &Root {
        // `Secrets::from_bytes` and every change keep at least one.
        &self.roots[0]
    }

    /// The root key of this name.
    pub(super) fn root(&self, id: &KeyId) -> Option<&Root> {
        self.roots.iter().find(|root| root.id == *id)
    }
}

fn recovery_slot(
    installation: InstallationId,
    kit: &RecoveryKit,
    data_key: &Key,
    random: &dyn Random,
) -> RecoverySlot {
    let key = kit.key().wrapping(installation);
    RecoverySlot {
        number: kit.number(),
        created_at: kit.created_at(),
        wrapped: format::wrap(Slot::Recovery, installation, &key, data_key, random),
    }
}

fn read_file(directory: &Directory) -> Result<Vec<u8>, Fault> {
    match directory.read(KEYSTORE)? {
        Some(bytes) => Ok(bytes.expose().clone()),
        None if seal::is_orphan(directory) => Err(Fault::Orphan),
        None => Err(Fault::Missing),
    }
}

//! The seal: the key that opens a keystore at boot, and where it comes from.
//!
//! Owns: reading and replacing `seal.key`, and deriving a key from a passphrase.
//! Must not know: what is sealed.
//!
//! A new seal key goes to `seal.key.next` before the keystore is sealed with
//! it, and takes its final name afterwards. Whenever a process dies on the way,
//! one of the two files opens the keystore that is on disk.

use std::path::PathBuf;

use argon2::{Algorithm, Argon2, Params, Version};
use unicode_normalization::UnicodeNormalization;

use super::{
    crypto::{self, Key},
    directory::{Directory, read_credential},
    fault::Fault,
    format::{self, SealSlot, SealedFile, Slot, Stretch},
    names::InstallationId,
    text::Blob,
};
use crate::{
    clock::{Random, random_bytes},
    secret::Secret,
};

const SEAL_KEY: &str = "seal.key";
const NEXT_SEAL_KEY: &str = "seal.key.next";
/// The least characters of a passphrase, as for an account's password.
const LEAST_CHARACTERS: usize = 15;
/// The work that a new passphrase costs: 64 MiB, three passes, one lane.
const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
/// Tests that are not about this work use a fraction of it.
const TEST_COST: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
/// A file may ask for more than we do, within reason: the numbers in it are
/// read before anything proves that we wrote them.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;
const MOST_LANES: u32 = 16;

/// The work of argon2id.
#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Stretch {
    fn new(cost: Cost, random: &dyn Random) -> Self {
        let salt = Blob(random_bytes::<16>(random).to_vec());
        let Cost { memory_kib, passes, lanes } = cost;
        Self { salt, memory_kib, passes, lanes }
    }
}

/// How a keystore is to be sealed.
#[derive(Clone, Debug)]
pub enum SealMode {
    /// By a new random key in `seal.key` beside the keystore. It keeps the
    /// content of backups and copies apart from their key; it does not protect
    /// from somebody who can read the whole disk.
    Unattended,
    /// By a key of 32 bytes that exists already outside of the keystore, e.g.
    /// systemd's `$CREDENTIALS_DIRECTORY/palisade-seal-key` (TPM2).
    KeyFile(PathBuf),
    /// By a passphrase of at least 15 characters that somebody types at each boot.
    Passphrase(Secret<String>),
}

/// What opens a keystore.
#[derive(Clone, Debug)]
pub enum Unlock {
    /// The file `seal.key` beside it.
    Unattended,
    /// A key file elsewhere; see [`SealMode::KeyFile`].
    KeyFile(PathBuf),
    /// The passphrase.
    Passphrase(Secret<String>),
    /// The code of the recovery kit, or its whole text.
    RecoveryKit(Secret<String>),
}

/// A new seal: its key, how the key is found again, and its slot without the data key.
pub(super) struct NewSeal {
    pub(super) key: Key,
    stretch: Option<Stretch>,
    in_directory: bool,
}

impl NewSeal {
    /// Draws, reads or derives the key. A key that lives in the directory is
    /// on disk when this returns, under its temporary name.
    pub(super) fn prepare(
        directory: &Directory,
        mode: SealMode,
        random: &dyn Random,
    ) -> Result<Self, Fault> {
        match mode {
            SealMode::Unattended => {
                let key: Key = crypto::random_secret(random);
                directory.write(NEXT_SEAL_KEY, key.expose())?;
                Ok(Self { key, stretch: None, in_directory: true })
            }
            SealMode::KeyFile(path) => {
                let content = read_credential(&path)?;
                let content = content.ok_or_else(|| Fault::SealKeyMissing(path.clone()))?;
                let key = to_key(path, &content)?;
                Ok(Self { key, stretch: None, in_directory: false })
            }
            SealMode::Passphrase(passphrase) => {
                if passphrase.expose().chars().count() < LEAST_CHARACTERS {
                    return Err(Fault::PassphraseShort(LEAST_CHARACTERS));
                }
                let stretch = Stretch::new(if cfg!(test) { TEST_COST } else { COST }, random);
                let key = derive(&stretch, &passphrase)?;
                Ok(Self { key, stretch: Some(stretch), in_directory: false })
            }
        }
    }

    /// The slot of this seal with the data key in it.
    pub(super) fn slot(
        &self,
        installation: InstallationId,
        data_key: &Key,
        random: &dyn Random,
    ) -> SealSlot {
        let wrap = |slot| format::wrap(slot, installation, &self.key, data_key, random);
        match &self.stretch {
            None => SealSlot::Unattended { wrapped: wrap(Slot::Unattended) },
            Some(stretch) => {
                SealSlot::Passphrase { stretch: stretch.clone(), wrapped: wrap(Slot::Passphrase) }
            }
        }
    }

    /// Once the keystore is sealed with it: gives the key its final name, or
    /// removes the keys of earlier seals.
    pub(super) fn settle(&self, directory: &Directory) -> Result<(), Fault> {
        self.tidy(directory).map_err(|fault| Fault::SealUnsettled(Box::new(fault)))
    }

    fn tidy(&self, directory: &Directory) -> Result<(), Fault> {
        if self.in_directory {
            return directory.rename(NEXT_SEAL_KEY, SEAL_KEY);
        }
        for name in [SEAL_KEY, NEXT_SEAL_KEY] {
            // The key file that is in use from now on may be this very file.
            let in_use = directory.read(name)?.is_some_and(|key| key.expose() == self.key.expose());
            if !in_use && directory.has(name) {
                directory.remove(name)?;
            }
        }
        Ok(())
    }
}

/// Whether a seal key lies in a directory that has no keystore.
pub(super) fn is_orphan(directory: &Directory) -> bool {
    directory.has(SEAL_KEY)
}

/// Finishes what a process that died within a change of the seal has left:
/// if the next seal key is the one in use, it takes its final name.
pub(super) fn heal(directory: &Directory, file: &SealedFile) -> Result<(), Fault> {
    let Some(next) = read_key(directory, NEXT_SEAL_KEY)? else {
        return Ok(());
    };
    match open_slot(file, &next) {
        Some(_) => directory.rename(NEXT_SEAL_KEY, SEAL_KEY),
        None => Ok(()),
    }
}

/// The key of the seal and the data key, found as `unlock` says.
/// With a recovery kit, the key of the seal stays unknown.
pub(super) fn unlock(
    directory: &Directory,
    file: &SealedFile,
    unlock: &Unlock,
) -> Result<(Option<Key>, Key), Fault> {
    match (unlock, &file.seal) {
        (Unlock::RecoveryKit(typed), _) => {
            let kit = super::kit::KitKey::read(typed.expose())?;
            unlock_with_kit(file, &kit).map(|data_key| (None, data_key))
        }
        (Unlock::Unattended | Unlock::KeyFile(_), SealSlot::Passphrase { .. }) => {
            Err(Fault::PassphraseNeeded)
        }
        (Unlock::Passphrase(_), SealSlot::Unattended { .. }) => Err(Fault::PassphraseUnused),
        (Unlock::Passphrase(passphrase), SealSlot::Passphrase { stretch, .. }) => {
            let key = derive(stretch, passphrase)?;
            let data_key = open_slot(file, &key).ok_or(Fault::PassphraseWrong)?;
            Ok((Some(key), data_key))
        }
        (Unlock::KeyFile(path), SealSlot::Unattended { .. }) => {
            let content = read_credential(path)?;
            let content = content.ok_or_else(|| Fault::SealKeyMissing(path.clone()))?;
            let key = to_key(path.clone(), &content)?;
            let data_key =
                open_slot(file, &key).ok_or_else(|| Fault::SealKeyWrong(path.clone()))?;
            Ok((Some(key), data_key))
        }
        (Unlock::Unattended, SealSlot::Unattended { .. }) => {
            let mut fault = Fault::SealKeyMissing(directory.file(SEAL_KEY));
            for name in [SEAL_KEY, NEXT_SEAL_KEY] {
                let Some(key) = read_key(directory, name)? else { continue };
                match open_slot(file, &key) {
                    Some(data_key) => return Ok((Some(key), data_key)),
                    None => fault = Fault::SealKeyWrong(directory.file(SEAL_KEY)),
                }
            }
            Err(fault)
        }
    }
}

/// The data key in the slot of the recovery kit.
pub(super) fn unlock_with_kit(file: &SealedFile, kit: &super::kit::KitKey) -> Result<Key, Fault> {
    let key = kit.wrapping(file.installation);
    format::unwrap(Slot::Recovery, file.installation, &key, &file.recovery.wrapped).ok_or_else(
        || {
            let (given, wanted) = (kit.number(), file.recovery.number.clone());
            if given == wanted {
                return Fault::Damaged("its recovery slot does not open");
            }
            Fault::KitWrong { given, wanted, made: file.recovery.created_at.to_string() }
        },
    )
}

/// The data key in the slot of the seal, if `key` is that of the seal.
pub(super) fn open_slot(file: &SealedFile, key: &Key) -> Option<Key> {
    let (slot, wrapped) = match &file.seal {
        SealSlot::Unattended { wrapped } => (Slot::Unattended, wrapped),
        SealSlot::Passphrase { wrapped, .. } => (Slot::Passphrase, wrapped),
    };
    format::unwrap(slot, file.installation, key, wrapped)
}

fn read_key(directory: &Directory, name: &str) -> Result<Option<Key>, Fault> {
    let content = directory.read(name)?;
    content.map(|content| to_key(directory.file(name), &content)).transpose()
}

fn to_key(path: PathBuf, content: &Secret<Vec<u8>>) -> Result<Key, Fault> {
    let bytes = content.expose().as_slice();
    <[u8; 32]>::try_from(bytes)
        .map(Secret::new)
        .map_err(|_| Fault::SealKeyLength(path, bytes.len()))
}

fn derive(stretch: &Stretch, passphrase: &Secret<String>) -> Result<Key, Fault> {
    let outside = stretch.memory_kib > MOST_MEMORY_KIB
        || stretch.passes > MOST_PASSES
        || stretch.lanes > MOST_LANES;
    let damaged = || Fault::Damaged("it asks for impossible work on the passphrase");
    if outside {
        return Err(damaged());
    }
    let params = Params::new(stretch.memory_kib, stretch.passes, stretch.lanes, Some(32));
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|_| damaged())?);
    // The console of the VM and a terminal may send the same letters as other
    // code points.
    let passphrase: Secret<String> = Secret::new(passphrase.expose().nfkc().collect());
    let mut key = zeroize::Zeroizing::new([0; 32]);
    argon2
        .hash_password_into(passphrase.expose().as_bytes(), &stretch.salt.0, &mut *key)
        .map_err(|_| damaged())?;
    Ok(Secret::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn a_passphrase_costs_at_least_64_mib_and_three_passes_outside_of_tests() {
        const { assert!(COST.memory_kib >= 64 * 1024 && COST.passes >= 3) };
        const { assert!(COST.memory_kib <= MOST_MEMORY_KIB && COST.passes <= MOST_PASSES) };
        let stretch = Stretch::new(COST, &SystemRandom);
        let passphrase = Secret::new("correct horse battery staple".to_owned());
        let key = derive(&stretch, &passphrase).expect("derived");
        let again = derive(&stretch, &passphrase).expect("derived");
        assert_eq!(key.expose(), again.expose());
        let salted = Stretch::new(COST, &SystemRandom);
        assert_ne!(derive(&salted, &passphrase).expect("derived").expose(), key.expose());
    }

    #[test]
    fn a_passphrase_counts_the_same_however_its_letters_are_encoded() {
        let stretch = Stretch::new(TEST_COST, &SystemRandom);
        let derived = |typed: &str| {
            *derive(&stretch, &Secret::new(typed.to_owned())).expect("derived").expose()
        };
        assert_eq!(
            derived("Gr\u{fc}ne Kastanienb\u{e4}ume"),
            derived("Gru\u{308}ne Kastanienba\u{308}ume")
        );
    }

    #[test]
    fn a_long_passphrase_counts_to_its_end() {
        let stretch = Stretch::new(TEST_COST, &SystemRandom);
        let derived = |end: &str| {
            let passphrase = Secret::new(format!("{}{end}", "x".repeat(300)));
            *derive(&stretch, &passphrase).expect("derived").expose()
        };
        assert_ne!(derived("a"), derived("b"));
    }
}

//! Making, opening and recovering a keystore.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use arc_swap::ArcSwap;

use super::{
    Keystore,
    authority::CaMaterial,
    crypto::{self, Key},
    directory::Directory,
    fault::Fault,
    format::SealedFile,
    kit::{KitKey, RecoveryKit},
    names::InstallationId,
    seal::{self, NewSeal, SealMode, Unlock},
    secrets::Secrets,
    signer::AuditSigner,
    state::{KEYSTORE, State},
};
use crate::{
    clock::{Clock, Random},
    error::Result,
    secret::Secret,
};

/// Keys that never change while an installation lives.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) installation: InstallationId,
    pub(super) pepper: Secret<[u8; 32]>,
    pub(super) email_index: Key,
    pub(super) request_digest: Key,
    pub(super) backup_key: Secret<[u8; 32]>,
    pub(super) bus_seed: Secret<[u8; 64]>,
    pub(super) audit: AuditSigner,
    pub(super) ca: CaMaterial,
}

impl Fixed {
    fn of(state: &State) -> Result<Self, Fault> {
        let secrets = &state.secrets;
        let salt = secrets.hash_salt.expose();
        let key_pem = String::from_utf8(secrets.ca_key.expose().clone())
            .map_err(|_| Fault::Damaged("its authority's key is no text"))?;
        Ok(Self {
            installation: state.file.installation,
            pepper: crypto::subkey(salt, "salt/password-pepper", &[]),
            email_index: crypto::subkey(salt, "salt/email-index", &[]),
            request_digest: crypto::subkey(salt, "salt/request-digest", &[]),
            backup_key: secrets.backup_key.clone(),
            bus_seed: secrets.bus_seed.clone(),
            audit: AuditSigner::of(&secrets.audit_seed)?,
            ca: CaMaterial {
                certificate_pem: secrets.ca_certificate.clone(),
                key_pem: Secret::new(key_pem),
            },
        })
    }
}

impl Keystore {
    /// Whether a keystore is in `dir`.
    pub fn exists(dir: &Path) -> bool {
        Directory::new(dir).has(KEYSTORE)
    }

    /// Makes the keystore of a new installation in `dir`, and its first recovery kit.
    ///
    /// `Conflict` (`keystore-exists`, `keystore-lost`, `keystore-permissions`):
    /// nothing was changed. A passphrase costs 64 MiB and tenths of a second.
    pub fn create(
        dir: &Path,
        seal: SealMode,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(Self, RecoveryKit)> {
        Self::create_in(Directory::new(dir), seal, clock, random).map_err(|fault| fault.at(dir))
    }

    pub(super) fn create_in(
        directory: Directory,
        seal: SealMode,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(Self, RecoveryKit), Fault> {
        directory.make()?;
        let lock = directory.lock()?;
        if directory.has(KEYSTORE) {
            return Err(Fault::Exists);
        }
        if seal::is_orphan(&directory) {
            return Err(Fault::Orphan);
        }
        let installation = InstallationId::random(random);
        let secrets = Secrets::new(installation, clock, random)?;
        let kit = RecoveryKit::new(installation, clock, random);
        let seal = NewSeal::prepare(&directory, seal, random)?;
        let state = State::new(installation, secrets.clone(), &seal, &kit, random);
        let state = state.save(&directory, secrets, random)?;
        seal.settle(&directory)?;
        drop(lock);
        Ok((Self::opened(directory, state)?, kit))
    }

    /// Opens the keystore in `dir`. Writes nothing, whatever it finds.
    ///
    /// `NotFound` (`keystore-missing`), `Unauthenticated` (`wrong-passphrase`,
    /// `passphrase-needed`, `wrong-recovery-kit`), `Invalid`
    /// (`recovery-code-mistyped`), `Conflict` (`seal-key-missing`,
    /// `seal-key-wrong`, `keystore-permissions`, `keystore-newer`), `Internal`
    /// (`keystore-damaged`, `keystore-io`).
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a passphrase is handed over, and overwritten when this returns"
    )]
    pub fn open(dir: &Path, unlock: Unlock) -> Result<Self> {
        let directory = Directory::new(dir);
        State::read(&directory, &unlock)
            .and_then(|state| Self::opened(directory, state))
            .map_err(|fault| fault.at(dir))
    }

    /// Opens a lost or re-sealed keystore with its recovery kit and seals it
    /// anew in `dir`. `sealed_copy` is what [`Keystore::export_sealed`] gave;
    /// without it, the keystore in `dir` itself is opened. What it replaces is
    /// kept as `keystore.json.before-recovery`. The kit stays valid.
    ///
    /// `Conflict` when `dir` holds the keystore of another installation
    /// (`other-installation`) or a newer one than the copy
    /// (`sealed-copy-older`); otherwise as [`Keystore::open`].
    pub fn recover(
        dir: &Path,
        sealed_copy: Option<&[u8]>,
        kit: &Secret<String>,
        seal: SealMode,
        random: &dyn Random,
    ) -> Result<Self> {
        Self::recover_in(Directory::new(dir), sealed_copy, kit, seal, random)
            .map_err(|fault| fault.at(dir))
    }

    pub(super) fn recover_in(
        directory: Directory,
        sealed_copy: Option<&[u8]>,
        kit: &Secret<String>,
        seal: SealMode,
        random: &dyn Random,
    ) -> Result<Self, Fault> {
        // Everything that can be refused is refused before the first change.
        let kit = KitKey::read(kit.expose())?;
        let copy = sealed_copy.map(|bytes| State::from_copy(bytes, &kit)).transpose()?;
        if copy.is_some() {
            directory.make()?;
        }
        let lock = directory.lock()?;
        let replaced = directory.read(KEYSTORE)?;
        let state = match (copy, &replaced) {
            (Some(copy), replaced) => {
                if let Some(found) = replaced {
                    refuse_replacing(found.expose(), &copy)?;
                }
                copy
            }
            (None, Some(found)) => State::from_copy(found.expose(), &kit)?,
            (None, None) => return Err(Fault::Missing),
        };
        if let Some(found) = &replaced {
            directory.write(&format!("{KEYSTORE}.before-recovery"), found.expose())?;
        }
        let (state, settled) = reseal(&directory, &state, seal, random)?;
        settled?;
        drop(lock);
        Self::opened(directory, state)
    }

    /// Whether the kit opens this sealed copy, of which nothing is written.
    ///
    /// Errors as [`Keystore::open`] with a recovery kit.
    pub fn check_copy(sealed_copy: &[u8], kit: &Secret<String>) -> Result<()> {
        let opened = KitKey::read(kit.expose()).and_then(|kit| State::from_copy(sealed_copy, &kit));
        opened.map(drop).map_err(|fault| fault.at(Path::new("the sealed copy")))
    }

    fn opened(directory: Directory, state: State) -> Result<Self, Fault> {
        Ok(Self {
            fixed: Fixed::of(&state)?,
            live: ArcSwap::from_pointee(state),
            writing: Mutex::new(()),
            directory,
        })
    }

    /// Seals the keystore in another way, e.g. by another passphrase. The
    /// recovery kit stays valid. After a leak of the old seal, make a new
    /// recovery kit as well: that also replaces the key which both lead to.
    ///
    /// Errors as [`Keystore::rotate_jwt`], `Invalid` for a short passphrase, and
    /// `Internal` (`seal-unsettled`) when the new seal is in force but the old
    /// key could not be removed.
    pub fn change_seal(&self, seal: SealMode, random: &dyn Random) -> Result<()> {
        let settled = self.change(|directory, base| {
            seal::heal(directory, &base.file)?;
            let (next, settled) = reseal(directory, base, seal, random)?;
            Ok((settled, Some(next)))
        })?;
        settled.map_err(|fault| fault.at(self.directory.path()))
    }

    /// Makes another recovery kit. From now on the old one opens only copies
    /// from before. If this fails half-way the old kit may be void already:
    /// make another one then.
    ///
    /// Errors as [`Keystore::rotate_jwt`], and `Conflict` (`seal-unknown`) when
    /// the keystore was opened with a kit, or sealed anew by another process.
    pub fn new_recovery_kit(&self, clock: &dyn Clock, random: &dyn Random) -> Result<RecoveryKit> {
        let kit = RecoveryKit::new(self.fixed.installation, clock, random);
        self.change(|directory, base| {
            let next = base.with_kit(&kit, random)?;
            Ok(((), Some(next.save(directory, base.secrets.clone(), random)?)))
        })?;
        Ok(kit)
    }

    /// Reads the keystore again if another process has changed it, e.g. a
    /// command on the node while the service runs; says whether it had.
    ///
    /// `Conflict` (`keystore-changed`, `keystore-rolled-back`) when what is on
    /// disk cannot be taken over; what is in memory stays in use then.
    pub fn reload(&self) -> Result<bool> {
        let before = self.live.load().file.generation;
        self.change(|_, base| Ok((base.file.generation != before, None)))
    }

    /// The next generation with another recovery kit, not in force yet: to be
    /// stored where other nodes find it, and then to be [adopted](Self::adopt).
    /// Errors as [`Keystore::new_recovery_kit`].
    pub fn draft_recovery_kit(
        &self,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(RecoveryKit, Option<Vec<u8>>)> {
        let kit = RecoveryKit::new(self.fixed.installation, clock, random);
        let sealed = self.change(|_, base| {
            let next = base.with_kit(&kit, random)?;
            Ok((next.sealed(base.secrets.clone(), random).bytes.to_vec(), None))
        })?;
        Ok((kit, Some(sealed)))
    }

    /// Takes over a sealed copy that is newer, whoever has made it, if it is
    /// sealed as this keystore is; says whether it was newer.
    ///
    /// `Conflict` (`keystore-forked`) for another change of the same number;
    /// (`keystore-changed`, `seal-unknown`) when the seal is not ours, and as
    /// [`Keystore::rotate_jwt`]. What is in memory stays in use then.
    pub fn adopt(&self, copy: &[u8]) -> Result<bool> {
        self.change(|directory, base| {
            let Some(next) = base.succeeded_by(copy)? else { return Ok((false, None)) };
            directory.write(KEYSTORE, copy)?;
            Ok((true, Some(next)))
        })
    }

    /// Runs `step` on what is on disk now, alone among all processes, and uses
    /// the state it returns. Whatever fails, memory and disk stay usable: the
    /// next change starts from what is on disk then.
    pub(super) fn change<T>(
        &self,
        step: impl FnOnce(&Directory, &State) -> Result<(T, Option<State>), Fault>,
    ) -> Result<T> {
        let _alone = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = || {
            let _lock = self.directory.lock()?;
            let base = self.live.load_full().refreshed(&self.directory)?;
            let base = Arc::new(base);
            self.live.store(Arc::clone(&base));
            let (value, next) = step(&self.directory, &base)?;
            if let Some(next) = next {
                self.live.store(Arc::new(next));
            }
            Ok(value)
        };
        changed().map_err(|fault: Fault| fault.at(self.directory.path()))
    }
}

/// Gives a state a new seal, on disk. The second value is what came of
/// clearing away the old seal: the new one is in force either way.
fn reseal(
    directory: &Directory,
    state: &State,
    seal: SealMode,
    random: &dyn Random,
) -> Result<(State, Result<(), Fault>), Fault> {
    let seal = NewSeal::prepare(directory, seal, random)?;
    let next = state.with_seal(&seal, random);
    let next = next.save(directory, state.secrets.clone(), random)?;
    Ok((next, seal.settle(directory)))
}

/// A copy may replace a damaged keystore, or an older one of the same installation.
fn refuse_replacing(found: &[u8], copy: &State) -> Result<(), Fault> {
    let found = match SealedFile::from_bytes(found) {
        Ok(found) => found,
        Err(Fault::Damaged(_)) => return Ok(()),
        Err(fault) => return Err(fault),
    };
    let wanted = copy.file.installation;
    if found.installation != wanted {
        return Err(Fault::OtherInstallation { found: found.installation, wanted });
    }
    if found.generation > copy.file.generation {
        return Err(Fault::CopyIsOlder { found: found.generation, copy: copy.file.generation });
    }
    Ok(())
}

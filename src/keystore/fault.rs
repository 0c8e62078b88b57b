//! Why a keystore cannot be opened or changed, and what an operator does then.
//!
//! Owns: every sentence of the keystore that a person reads about a failure.
//! The parts below return a [`Fault`] without knowing which keystore they
//! work for; [`Fault::at`] adds the place.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::names::InstallationId;
use crate::{
    error::{Error, Kind},
    files::is_full,
};

const RECOVER: &str = "To restore access with the recovery kit: F8 on the appliance's console; elsewhere: palisade keys recover";

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no keystore here.
    Missing,
    /// There is one already.
    Exists,
    /// A seal key lies here, but the keystore that it opens does not.
    Orphan,
    /// The file with the seal key is not there.
    SealKeyMissing(PathBuf),
    /// The seal key is that of another keystore, or of an earlier seal.
    SealKeyWrong(PathBuf),
    /// The file does not hold 32 bytes.
    SealKeyLength(PathBuf, usize),
    /// The keystore is sealed by a passphrase, and none was given.
    PassphraseNeeded,
    /// The keystore is not sealed by a passphrase, and one was given.
    PassphraseUnused,
    /// It does not open with this passphrase.
    PassphraseWrong,
    /// The new passphrase is too short; holds the least number of characters.
    PassphraseShort(usize),
    /// The recovery code was mistyped; says where.
    KitTyping(String),
    /// The code is well-formed and that of another kit.
    KitWrong { given: String, wanted: String, made: String },
    /// Opened with a kit, or sealed anew by another process.
    SealUnknown,
    /// The new seal is in force, but the files of the old one could not be cleared away.
    SealUnsettled(Box<Fault>),
    /// The bytes are not what we wrote; says what does not fit.
    Damaged(&'static str),
    /// Written by a later release, in a format that this one does not know.
    Newer(u32),
    /// Others than the owner may read or write it.
    Permissions { path: PathBuf, mode: u32, wanted: u32 },
    /// It belongs to somebody else than the directory.
    Owner { path: PathBuf, owner: u32, wanted: u32 },
    /// It is a link, a device or something else that we never make.
    NotPlain(PathBuf),
    /// The keystore on disk belongs to another installation.
    OtherInstallation { found: InstallationId, wanted: InstallationId },
    /// The keystore on disk is newer than the copy that was to replace it.
    CopyIsOlder { found: u64, copy: u64 },
    /// Somebody else gave the keystore on disk a new data key.
    ChangedElsewhere,
    /// The keystore on disk is older than what this process has read from it.
    RolledBack,
    /// Another keystore of this installation has counted as many changes, and others.
    Forked(u64),
    /// Keys were rotated too often for the old ones to remain valid for their time.
    TooManyRotations,
    /// The operating system refused.
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// The certificate authority could not be made.
    Authority(rcgen::Error),
}

impl Fault {
    /// The failure of the keystore in `place`, for a person.
    pub(super) fn at(self, place: &Path) -> Error {
        let (kind, code) = self.class();
        let mut error = Error::new(kind, code, self.message(place));
        if let Some(hint) = self.hint() {
            error = error.with_hint(hint);
        }
        match self {
            Self::PassphraseShort(least) => {
                error.with_field("passphrase", format!("use at least {least} characters"))
            }
            Self::TooManyRotations => error.with_retry_after(super::jwt::VERIFIES_FOR),
            Self::Io { source, .. } => error.caused_by(source),
            Self::Authority(source) => error.caused_by(source),
            Self::SealUnsettled(inner) => error.caused_by(inner.at(place)),
            _ => error,
        }
    }

    fn class(&self) -> (Kind, &'static str) {
        match self {
            Self::Missing => (Kind::NotFound, "keystore-missing"),
            Self::Exists => (Kind::Conflict, "keystore-exists"),
            Self::Orphan => (Kind::Conflict, "keystore-lost"),
            Self::SealKeyMissing(_) => (Kind::Conflict, "seal-key-missing"),
            Self::SealKeyWrong(_) | Self::SealKeyLength(..) => (Kind::Conflict, "seal-key-wrong"),
            Self::PassphraseNeeded => (Kind::Unauthenticated, "passphrase-needed"),
            Self::PassphraseUnused => (Kind::Conflict, "passphrase-unused"),
            Self::PassphraseWrong => (Kind::Unauthenticated, "wrong-passphrase"),
            Self::PassphraseShort(_) => (Kind::Invalid, "passphrase-short"),
            Self::KitTyping(_) => (Kind::Invalid, "recovery-code-mistyped"),
            Self::KitWrong { .. } => (Kind::Unauthenticated, "wrong-recovery-kit"),
            Self::SealUnknown => (Kind::Conflict, "seal-unknown"),
            Self::SealUnsettled(_) => (Kind::Internal, "seal-unsettled"),
            Self::Damaged(_) => (Kind::Internal, "keystore-damaged"),
            Self::Newer(_) => (Kind::Conflict, "keystore-newer"),
            Self::Permissions { .. } | Self::Owner { .. } | Self::NotPlain(_) => {
                (Kind::Conflict, "keystore-permissions")
            }
            Self::OtherInstallation { .. } => (Kind::Conflict, "other-installation"),
            Self::CopyIsOlder { .. } => (Kind::Conflict, "sealed-copy-older"),
            Self::ChangedElsewhere => (Kind::Conflict, "keystore-changed"),
            Self::RolledBack => (Kind::Conflict, "keystore-rolled-back"),
            Self::Forked(_) => (Kind::Conflict, "keystore-forked"),
            Self::TooManyRotations => (Kind::RateLimited, "too-many-rotations"),
            Self::Io { source, .. } if is_full(source) => (Kind::StorageFull, "storage-full"),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                (Kind::Conflict, "keystore-permissions")
            }
            Self::Io { .. } => (Kind::Internal, "keystore-io"),
            Self::Authority(_) => (Kind::Internal, "internal"),
        }
    }

    fn message(&self, place: &Path) -> String {
        let place = place.display();
        match self {
            Self::Missing => format!("There is no keystore in {place}."),
            Self::Exists => {
                format!("The keystore in {place} exists already. It was left as it is.")
            }
            Self::Orphan => format!(
                "{place} holds a seal key but not the keystore that it opens. Nothing was changed."
            ),
            Self::PassphraseShort(_) => {
                "The passphrase is too short: whoever gets the file can try at leisure.".to_owned()
            }
            Self::KitTyping(what) => what.clone(),
            Self::TooManyRotations => format!(
                "The signing key of the keystore in {place} was rotated too often: replaced keys must stay valid for 20 minutes. Nothing was changed."
            ),
            Self::Authority(_) => {
                "The internal certificate authority could not be made.".to_owned()
            }
            Self::Io { doing, path, source } => {
                format!("The keystore in {place}: cannot {doing} {}: {source}.", path.display())
            }
            Self::SealUnknown => format!(
                "The seal of the keystore in {place} is not at hand: it was opened with a recovery kit, or sealed anew by another process. Nothing was changed."
            ),
            Self::SealUnsettled(_) => format!(
                "The keystore in {place} has its new seal, but the files of the old one could not be put in order."
            ),
            Self::OtherInstallation { found, wanted } => format!(
                "The keystore in {place} belongs to installation {found}, not to {wanted}. Nothing was changed."
            ),
            Self::CopyIsOlder { found, copy } => format!(
                "The keystore in {place} is newer than the sealed copy (change {found} against {copy}), which may lack keys. Nothing was changed."
            ),
            Self::ChangedElsewhere => format!(
                "The keystore in {place} was given a new recovery kit or seal by another process. Nothing was changed."
            ),
            Self::RolledBack => format!(
                "The keystore in {place} was replaced by an older one while it was in use. Nothing was changed."
            ),
            Self::Forked(change) => format!(
                "The keystore in {place} and its copy in the database went different ways (change {change}). Nothing was changed."
            ),
            refused => format!(
                "The keystore in {place} cannot be opened: {}. Nothing was changed.",
                refused.why_closed()
            ),
        }
    }

    /// The reason in "cannot be opened: …".
    fn why_closed(&self) -> String {
        match self {
            Self::SealKeyMissing(path) => format!("its seal key {} is missing", path.display()),
            Self::SealKeyWrong(path) => {
                format!("{} is not the key that it is sealed with", path.display())
            }
            Self::SealKeyLength(path, length) => {
                format!("the seal key {} holds {length} bytes instead of 32", path.display())
            }
            Self::PassphraseNeeded => "it is sealed by a passphrase, and none was given".to_owned(),
            Self::PassphraseUnused => "it is sealed by a key file, not by a passphrase".to_owned(),
            Self::PassphraseWrong => "the passphrase is wrong".to_owned(),
            Self::KitWrong { given, wanted, made } => {
                format!("this is recovery kit {given}, and it asks for kit {wanted} of {made}")
            }
            Self::Newer(version) => {
                format!("it has format {version}, which a later release wrote")
            }
            Self::Permissions { path, mode, .. } => {
                format!("{} has mode {mode:04o}, so that others get at it", path.display())
            }
            Self::Owner { path, owner, wanted } => format!(
                "{} belongs to user {owner} and its directory to user {wanted}",
                path.display()
            ),
            Self::NotPlain(path) => {
                format!("{} is not a plain file or directory", path.display())
            }
            Self::Damaged(what) => format!("it is damaged ({what})"),
            _ => "it is not in order".to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing => {
                format!("A new installation makes one when it is set up. {RECOVER}")
            }
            Self::Exists => "To see what it holds: palisade keys status".to_owned(),
            Self::Orphan => format!(
                "{RECOVER}. If this is to be a new installation, move seal.key away first."
            ),
            Self::SealKeyMissing(_) => RECOVER.to_owned(),
            Self::SealKeyWrong(_) | Self::SealKeyLength(..) => {
                format!("Put the right seal key in place. {RECOVER}")
            }
            Self::PassphraseNeeded => {
                "Unseal it on the appliance: palisade keys unseal".to_owned()
            }
            Self::PassphraseUnused => {
                "Open it unattended, or with the recovery kit.".to_owned()
            }
            Self::PassphraseWrong => format!("Try again. {RECOVER}"),
            Self::KitTyping(_) => {
                "Compare with the printed kit. Capital and small letters are alike; spaces and dashes do not count.".to_owned()
            }
            Self::KitWrong { .. } => {
                "Only the newest kit opens a keystore; an older one opens copies of its own time.".to_owned()
            }
            Self::SealUnknown => {
                format!("Restart the service, or give the keystore a new seal. {RECOVER}")
            }
            Self::SealUnsettled(_) => {
                "The new seal counts from now on. Change it once more when the disk is well, so that the old key is removed.".to_owned()
            }
            Self::Damaged(_) => {
                format!("The database and every backup hold a sealed copy. {RECOVER}")
            }
            Self::Newer(_) => "Run the release that wrote it, or a later one.".to_owned(),
            Self::Permissions { path, wanted, .. } => {
                format!("Find out who had access; then: chmod {wanted:o} {}", path.display())
            }
            Self::Owner { path, wanted, .. } => {
                format!("Find out who put it there; then: chown {wanted} {}", path.display())
            }
            Self::NotPlain(_) => {
                "Find out who put it there, and put the real one in its place.".to_owned()
            }
            Self::OtherInstallation { .. } => {
                "Use another directory, or move that keystore away first.".to_owned()
            }
            Self::CopyIsOlder { .. } => {
                "Recover without the copy, or move keystore.json away first.".to_owned()
            }
            Self::ChangedElsewhere => {
                "Restart the service, so that it reads the keystore again.".to_owned()
            }
            Self::RolledBack => {
                "Put the newer one back, or restart the service if the older one is meant.".to_owned()
            }
            Self::Forked(_) => {
                "Run `palisade keys recover` with the recovery kit: it takes the copy of the database.".to_owned()
            }
            Self::Io { source, .. } if is_full(source) => {
                "Make room on this disk and try again; the keystore is intact.".to_owned()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "Run this as the user of the service, or as root.".to_owned()
            }
            Self::Io { .. } => "Look at the disk (journalctl -k), then try again.".to_owned(),
            Self::PassphraseShort(_) | Self::TooManyRotations | Self::Authority(_) => return None,
        };
        Some(hint)
    }
}

//! Small files that survive a power cut, and those that only a reader follows.
//!
//! Owns: the record of the last update, the progress of the current one, and
//! the lock that lets one run at a time.
//! Must not know: what an update does.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::state::Record;
use crate::{
    error::{Error, Kind, Result},
    files::{self, PRIVATE},
    node::paths::Paths,
    release::Version,
};

/// How far an installation is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Of this step.
    pub percent: u8,
    /// What is installed, once it is known.
    pub version: Option<Version>,
    /// Why it ended, if it has failed.
    pub failure: Option<Failure>,
}

/// The steps of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The file comes from the mirror.
    Downloading,
    /// Every byte of the file is compared with what was signed.
    Checking,
    /// The parts are unpacked, and compared again.
    Unpacking,
    /// systemd-sysupdate writes the other slot.
    Writing,
    /// Done: the next restart starts it.
    Done,
    /// Given up; nothing that runs was changed.
    Failed,
}

/// A failure as it goes over a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable name.
    pub code: String,
    /// The sentence.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl Progress {
    /// Whether somebody works on it.
    pub fn is_running(&self) -> bool {
        !matches!(self.step, Step::Done | Step::Failed)
    }

    pub(super) fn write(&self, paths: &Paths) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(Error::internal)?;
        let (path, new) = (progress(paths), progress(paths).with_extension("new"));
        // Lost with a power cut, as the installation is.
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(Error::internal)
    }

    /// How far the current or last installation since the start is.
    pub(super) fn read(paths: &Paths) -> Result<Option<Self>> {
        read(&progress(paths))
    }

    pub(super) fn forget(paths: &Paths) {
        // It is shown again at the worst.
        let _ = fs::remove_file(progress(paths));
    }
}

fn progress(paths: &Paths) -> std::path::PathBuf {
    paths.run().join("update-progress.json")
}

fn record(paths: &Paths) -> std::path::PathBuf {
    paths.state().join("updates.json")
}

/// The record of the last update.
pub(super) fn read_record(paths: &Paths) -> Result<Option<Record>> {
    read(&record(paths))
}

/// Replaces the record; it survives a power cut when this returns.
pub(super) fn write_record(paths: &Paths, content: &Record) -> Result<()> {
    let text = serde_json::to_vec_pretty(content).map_err(Error::internal)?;
    files::replace(&record(paths), &text, PRIVATE)
        .map_err(|error| io_failure("The record of the update cannot be written.", error))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let found = files::read(path)
        .map_err(|error| io_failure("The state of updates cannot be read.", error))?;
    // What cannot be understood is of another version: there is nothing to say then.
    Ok(found.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// Held while an update is worked on; the kernel releases it when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that was just started may hold a copy of the descriptor for
        // a moment; closing ours alone would not release the lock then.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// `Conflict` (`update-in-progress`) while another update is worked on.
    pub(super) fn take(paths: &Paths) -> Result<Self> {
        match Self::try_take(paths)? {
            Some(lock) => Ok(lock),
            None => Err(Error::new(
                Kind::Conflict,
                "update-in-progress",
                "An update is being worked on already.",
            )
            .with_hint("Wait until it has ended.")),
        }
    }

    /// The lock, unless somebody has it.
    pub(super) fn try_take(paths: &Paths) -> Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let unusable = |error| io_failure("The lock of updates cannot be taken.", error);
        let file = options.open(paths.run().join("update.lock")).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

/// An error of the file system, in words.
pub(super) fn io_failure(message: &'static str, error: io::Error) -> Error {
    if files::is_full(&error) {
        return Error::new(
            Kind::StorageFull,
            "storage-full",
            "The data disk is full: nothing was installed.",
        )
        .with_hint("Free space on the data disk or enlarge it.")
        .caused_by(error);
    }
    Error::new(Kind::Unavailable, "update-storage", message).caused_by(error)
}

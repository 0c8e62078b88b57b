//! The data directory: made for us alone, and used by one process at a time.
//!
//! Owns: its permissions and `serve.lock`.
//! Must not know: what else is in it.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    files::give_to_owner,
};

/// Held while a process works on a data directory. The kernel releases it when
/// the process dies, however that happens.
#[derive(Debug)]
pub struct Occupied(File);

impl Occupied {
    /// Takes the data directory, which is made if it is missing.
    ///
    /// `Unavailable` (`data-directory-in-use`) when another process has it;
    /// nothing in it was changed then. Also `Unavailable` when it cannot be made.
    pub fn new(directory: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| unusable(directory, &error))?;
        Self::of_existing(directory)
    }

    /// The same for a directory that has to be there.
    pub fn of_existing(directory: &Path) -> Result<Self> {
        let path = directory.join("serve.lock");
        let mut options = OpenOptions::new();
        let opened =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| unusable(directory, &error))?;
        // Made by root it could not be opened by the service; made by others it is good as it is.
        let _ = give_to_owner(&file, directory);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(directory, &mut file)),
            Err(TryLockError::Error(error)) => return Err(unusable(&path, &error)),
        }
        // For the message that another process gives; nothing else reads it.
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        noted.map_err(|error| unusable(directory, &error))?;
        Ok(Self(file))
    }

    /// Lets others have the directory, while parts of the application may still be around.
    pub fn release(&self) {
        // It cannot fail for a file that is open, and dropping it releases it in any case.
        let _ = self.0.unlock();
    }
}

fn in_use(directory: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let process = match text.trim().parse::<u32>() {
        Ok(id) => format!("process {id}"),
        Err(_) => "another process".to_owned(),
    };
    Error::new(
        Kind::Unavailable,
        "data-directory-in-use",
        format!("The data directory {} is in use by {process}.", directory.display()),
    )
    .with_hint("Stop `palisade serve` first, or name another directory with --data-dir.")
}

fn unusable(directory: &Path, error: &std::io::Error) -> Error {
    Error::new(
        Kind::Unavailable,
        "data-directory",
        format!("The data directory {} cannot be used: {error}.", directory.display()),
    )
    .with_hint("Check storage.data_dir and the rights of the user that runs palisade.")
}

/// Where the SQLite database is.
pub(super) fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("palisade.db")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_taken_by_one_at_a_time() {
        let place = tempfile::tempdir().expect("a directory");
        let first = Occupied::new(place.path()).expect("free");
        let refused = Occupied::new(place.path()).expect_err("taken");
        assert_eq!(refused.code(), "data-directory-in-use");
        let me = format!("process {}", std::process::id());
        assert!(refused.message().contains(&me), "{}", refused.message());
        first.release();
        Occupied::new(place.path()).expect("free again");
    }
}

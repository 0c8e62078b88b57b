//! The directory of a keystore, and how files in it are read and replaced.
//!
//! Owns: permissions (directory 0700, files 0600, one owner, no links) and
//! replacing a file so that a crash leaves the old or the new one, whole.
//! Must not know: what is in the files.

#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::fault::Fault;
use crate::{files, secret::Secret};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// No file of a keystore comes near this many bytes.
const MOST_BYTES: u64 = 1 << 20;

/// The directory of one keystore.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// How many file operations still succeed before a simulated crash.
    #[cfg(test)]
    pub(super) steps_left: AtomicUsize,
}

impl Directory {
    /// The directory at `path`, which need not exist yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            #[cfg(test)]
            steps_left: AtomicUsize::new(usize::MAX),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of it is.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether a file of this name, or anything else, is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.file(name).symlink_metadata().is_ok()
    }

    /// Makes the directory unless it is there.
    pub(super) fn make(&self) -> Result<(), Fault> {
        if self.path.symlink_metadata().is_ok() {
            return Ok(());
        }
        self.step("make", &self.path)?;
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(&self.path)
            .map_err(failed("make", &self.path))?;
        self.path.parent().map_or(Ok(()), sync_directory)
    }

    /// Refuses a directory that is missing, or that others may enter.
    pub(super) fn check(&self) -> Result<Metadata, Fault> {
        let metadata = match self.path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Fault::Missing),
            Err(error) => return Err(failed("look at", &self.path)(error)),
        };
        if !metadata.is_dir() {
            return Err(Fault::NotPlain(self.path.clone()));
        }
        refuse_open_mode(&self.path, &metadata, DIRECTORY_MODE)?;
        Ok(metadata)
    }

    /// Waits until no other process changes this keystore, and keeps others
    /// out until the returned file is dropped. The kernel releases it when the
    /// process dies.
    pub(super) fn lock(&self) -> Result<File, Fault> {
        self.check()?;
        let directory = File::open(&self.path).map_err(failed("open", &self.path))?;
        directory.lock().map_err(failed("lock", &self.path))?;
        Ok(directory)
    }

    /// The content of a file, or `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        let directory = self.check()?;
        let path = self.file(name);
        let Some((file, metadata)) = open_plain(&path)? else {
            return Ok(None);
        };
        refuse_open_mode(&path, &metadata, FILE_MODE)?;
        if metadata.uid() != directory.uid() {
            return Err(Fault::Owner { path, owner: metadata.uid(), wanted: directory.uid() });
        }
        read_all(&file, &metadata, &path).map(Some)
    }

    /// Replaces a file as one step: a crash leaves the old content or the new
    /// one. When this returns, the new content survives a power cut.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<(), Fault> {
        let (path, temporary) = (self.file(name), self.file(&format!("{name}.tmp")));
        self.remove_file(&temporary)?;
        self.step("create", &temporary)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&temporary)
            .map_err(failed("create", &temporary))?;
        self.give_to_owner(&file, &temporary)?;
        self.step("write", &temporary)?;
        file.write_all(content).map_err(failed("write", &temporary))?;
        self.step("sync", &temporary)?;
        file.sync_all().map_err(failed("sync", &temporary))?;
        self.rename_path(&temporary, &path)
    }

    /// Gives a file another name, replacing what had it.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        self.rename_path(&self.file(from), &self.file(to))
    }

    /// Removes a file if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), Fault> {
        self.remove_file(&self.file(name))?;
        self.sync()
    }

    fn rename_path(&self, from: &Path, to: &Path) -> Result<(), Fault> {
        self.step("rename", from)?;
        fs::rename(from, to).map_err(failed("rename", from))?;
        self.sync()
    }

    fn remove_file(&self, path: &Path) -> Result<(), Fault> {
        self.step("remove", path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), Fault> {
        self.step("sync", &self.path)?;
        sync_directory(&self.path)
    }

    /// A command that runs as root must not leave files that the service,
    /// which owns the directory, cannot read.
    fn give_to_owner(&self, file: &File, path: &Path) -> Result<(), Fault> {
        self.check()?;
        files::give_to_owner(file, &self.path).map_err(failed("hand over", path))?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))
            .map_err(failed("set the mode of", path))
    }

    /// Every file operation passes here, so that a test can stop before any of them.
    #[cfg(test)]
    fn step(&self, doing: &'static str, path: &Path) -> Result<(), Fault> {
        let counted = self
            .steps_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        counted.map(|_| ()).map_err(|_| failed(doing, path)(io::Error::other("simulated crash")))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests can make it fail")]
    fn step(&self, _doing: &'static str, _path: &Path) -> Result<(), Fault> {
        Ok(())
    }
}

/// The content of a seal key outside of the keystore, such as a credential
/// that systemd hands over: mode 0400 or 0440, never open to everybody.
pub(super) fn read_credential(path: &Path) -> Result<Option<Secret<Vec<u8>>>, Fault> {
    let Some((file, metadata)) = open_plain(path)? else {
        return Ok(None);
    };
    // systemd grants the service's user by an access list, which shows in the
    // group's bits; so reading by the group is not a fault here.
    if metadata.mode() & 0o037 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(Fault::Permissions { path: path.to_owned(), mode, wanted: 0o400 });
    }
    read_all(&file, &metadata, path).map(Some)
}

/// Opens a plain file and nothing else; `None` when there is nothing.
fn open_plain(path: &Path) -> Result<Option<(File, Metadata)>, Fault> {
    let seen = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    if !seen.is_file() {
        return Err(Fault::NotPlain(path.to_owned()));
    }
    let file = File::open(path).map_err(failed("read", path))?;
    let metadata = file.metadata().map_err(failed("look at", path))?;
    // Exchanged for a link between the two calls.
    if (seen.dev(), seen.ino()) != (metadata.dev(), metadata.ino()) {
        return Err(Fault::NotPlain(path.to_owned()));
    }
    Ok(Some((file, metadata)))
}

fn read_all(file: &File, metadata: &Metadata, path: &Path) -> Result<Secret<Vec<u8>>, Fault> {
    if metadata.len() > MOST_BYTES {
        return Err(Fault::Damaged("a file is far too large"));
    }
    // With room to spare the vector never grows, and growing would leave
    // a copy of a secret behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 64;
    let mut content = zeroize::Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST_BYTES).read_to_end(&mut content).map_err(failed("read", path))?;
    Ok(Secret::new(std::mem::take(&mut *content)))
}

fn refuse_open_mode(path: &Path, metadata: &Metadata, wanted: u32) -> Result<(), Fault> {
    let mode = metadata.mode() & 0o777;
    if mode & !wanted == 0 {
        return Ok(());
    }
    Err(Fault::Permissions { path: path.to_owned(), mode, wanted })
}

fn sync_directory(path: &Path) -> Result<(), Fault> {
    // The parent of a relative path is empty and means the working directory.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync", path))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let path = path.to_owned();
    move |source| Fault::Io { doing, path, source }
}

//! Where the parts of an update lie while systemd-sysupdate reads them.
//!
//! Owns: the staging directory, the room that it needs, and unpacking into it
//! while everything is checked a second time.
//! Must not know: systemd-sysupdate.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    format::{Artefact, Manifest},
    keep::io_failure,
    verify::{Checked, Target},
};
use crate::{
    error::{Error, Kind, Result},
    files::sync_directory,
    node::{machine, paths::Paths},
};

/// What the rest of the appliance needs while an update is unpacked.
const MARGIN_BYTES: u64 = 64 * 1024 * 1024;

/// The staging directory. Whatever is in it when nobody works on an update was
/// left by a power cut.
#[derive(Debug)]
pub(super) struct Stage {
    path: PathBuf,
}

impl Stage {
    /// Where the image's transfer files look.
    pub(super) fn of(paths: &Paths) -> Self {
        Self { path: paths.state().join("update") }
    }

    /// Makes it anew, empty.
    pub(super) fn make(&self) -> Result<()> {
        self.remove()?;
        let made = DirBuilder::new().mode(0o700).create(&self.path);
        made.map_err(|error| io_failure("The staging directory cannot be made.", error))
    }

    /// Removes it with everything in it.
    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_failure("The staging directory cannot be removed.", error))
            }
            _ => Ok(()),
        }
    }

    /// Refuses when there is not room enough for an update.
    /// `StorageFull` (`update-no-room`), with what is missing.
    pub(super) fn require_room(manifest: &Manifest, free: u64) -> Result<()> {
        let needed = manifest.unpacked_bytes() + MARGIN_BYTES;
        if free >= needed {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
        let message = format!(
            "To unpack {} takes {} MiB on the data disk; {} MiB are free. Nothing was changed.",
            manifest.version,
            mib(needed),
            free / (1024 * 1024)
        );
        Err(Error::new(Kind::StorageFull, "update-no-room", message)
            .with_hint("Enlarge the data disk, or remove what is not needed, and try again."))
    }

    /// Takes in the parts of the file that was checked before.
    pub(super) fn unpacking<'a>(&'a self, checked: &'a Checked) -> Unpacking<'a> {
        Unpacking { directory: &self.path, checked, open: None }
    }
}

/// How many bytes may still be written below a directory.
pub(super) fn free_bytes(directory: &Path) -> io::Result<u64> {
    Ok(machine::room(directory)?.free)
}

/// Writes artefacts into the staging directory.
#[derive(Debug)]
pub(super) struct Unpacking<'a> {
    directory: &'a Path,
    checked: &'a Checked,
    open: Option<File>,
}

impl Unpacking<'_> {
    fn file(&mut self) -> Result<&mut File> {
        self.open.as_mut().ok_or_else(|| Error::internal("content without a member"))
    }
}

impl Target for Unpacking<'_> {
    fn begin(&mut self, head: &Checked) -> Result<()> {
        if head.text == self.checked.text {
            return Ok(());
        }
        Err(Error::new(
            Kind::Conflict,
            "update-changed",
            "The update file was exchanged while it was being checked. Nothing was installed.",
        ))
    }

    fn open(&mut self, artefact: &Artefact) -> Result<()> {
        // The name is one of three that the format makes of version and root hash.
        let path = self.directory.join(&artefact.name);
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        self.open = Some(opened.map_err(unwritable)?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file()?.write_all(bytes).map_err(unwritable)
    }

    fn close(&mut self) -> Result<()> {
        self.file()?.sync_all().map_err(unwritable)?;
        self.open = None;
        sync_directory(self.directory).map_err(unwritable)
    }
}

fn unwritable(error: io::Error) -> Error {
    io_failure("The update cannot be unpacked.", error)
}

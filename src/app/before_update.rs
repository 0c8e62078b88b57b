//! The data as it was before a newer version first ran on it.
//!
//! Owns: making that copy, keeping it, and putting it back.
//! Must not know: how a version gets onto the machine.
//!
//! ```text
//! data directory
//!   before-update/1.2.0/       what 1.2.0 found when it first started
//!     palisade.db  keys/  about.json
//!   replaced/                  the database that the last restore has put aside
//!   restoring                  exists while a restore is not complete
//! keystore.replaced/           the keys that the last restore has put aside
//! ```
//!
//! The keystore may be on another file system: its keys stay beside it. What is
//! made here belongs to the owner of the data directory, whoever makes it.
//!
//! Roll-back does not need it: versions keep what their predecessor uses. It
//! is for the day on which a version has damaged data. The contents are sealed
//! as they are in the database. PostgreSQL is not ours to copy: its own backups
//! have to do.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{data_dir, install};
use crate::{
    clock::Timestamp,
    config::{Config, Database},
    error::{Error, Kind, Result},
    files::{give_to_owner, is_full, sync_directory as sync},
    release::{Build, Version},
    store::{self, Store},
};

/// How many copies are kept: of the update before, too, until the next is good.
const KEPT: usize = 2;

/// What a copy says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BeforeUpdate {
    /// The version that was about to run on the data for the first time.
    pub version: Version,
    /// The newest version that had run on it, if that was known.
    pub from: Option<Version>,
    /// When.
    pub at: Timestamp,
}

fn kept(config: &Config) -> PathBuf {
    config.storage.data_dir.join("before-update")
}

fn marker(config: &Config) -> PathBuf {
    config.storage.data_dir.join("restoring")
}

/// Refuses to start on data of which a restore has put back a part only.
pub(super) fn refuse_half_restored(config: &Config) -> Result<()> {
    if !marker(config).exists() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict,
        "restore-incomplete",
        "The data of before the update was being put back and that is not complete.",
    )
    .with_hint(
        "Do it again: F8 on the appliance's console, Put the data back; elsewhere `palisade update \
         restore-data`.",
    ))
}

/// The directory of the keys: until a restore is complete they may lie beside it.
pub(super) fn keys(config: &Config) -> PathBuf {
    let keys = &config.keystore.dir;
    let restored = added(keys, "restored");
    if marker(config).exists() && !keys.exists() && restored.is_dir() {
        return restored;
    }
    keys.clone()
}

/// Which data can be put back; it reads only, and a server may run meanwhile.
///
/// `NotFound` (`no-copy`), and `Conflict` (`no-copy-of-postgres`).
pub fn data_before_update(config: &Config) -> Result<BeforeUpdate> {
    choose(config, None)
}

/// Copies database and keystore when `build` is newer than whatever ran on them.
/// To be called before anything is changed; without room nothing is, and the
/// start is refused with `StorageFull`.
pub(super) async fn keep(
    config: &Config,
    store: &Store,
    build: &Build,
    now: Timestamp,
) -> Result<()> {
    if config.storage.database != Database::Sqlite
        || install::known_installation(store).await?.is_none()
    {
        return Ok(());
    }
    let from = store.data_format().await?.map(|found| found.version);
    if from.as_ref().is_some_and(|from| *from >= build.version) {
        return Ok(());
    }
    let about = BeforeUpdate { version: build.version.clone(), from, at: now };
    let place = kept(config);
    let new = place.join(format!("{}.new", about.version));
    let outcome = fill(config, store, &new, &about).await.and_then(|()| {
        let name = place.join(about.version.to_string());
        remove(&name)?;
        fs::rename(&new, &name).and_then(|()| sync(&place)).map_err(|e| failed(&name, e))
    });
    if let Err(error) = outcome {
        // What cannot be removed either is replaced by the next try.
        let _ = fs::remove_dir_all(&new);
        return Err(error);
    }
    tracing::info!(version = %about.version, "the data of before the update was copied");
    forget_older(config)
}

async fn fill(config: &Config, store: &Store, new: &Path, about: &BeforeUpdate) -> Result<()> {
    remove(new)?;
    let (data, keys) = (&config.storage.data_dir, new.join("keys"));
    let place = kept(config);
    if !place.is_dir() {
        directory(data, &place).map_err(|error| failed(&place, error))?;
    }
    directory(data, new).map_err(|error| failed(new, error))?;
    directory(data, &keys).map_err(|error| failed(&keys, error))?;
    let copy = new.join("palisade.db");
    private(data, &copy).map_err(|error| failed(&copy, error))?;
    store.copy_into(&copy).await?;
    let flushed = File::open(&copy).and_then(|file| file.sync_all());
    flushed.map_err(|error| failed(&copy, error))?;
    copy_files(data, &config.keystore.dir, &keys)?;
    let text = serde_json::to_vec_pretty(about).map_err(Error::internal)?;
    let path = new.join("about.json");
    let written = private(data, &path).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    written.and_then(|()| sync(new)).map_err(|error| failed(&path, error))
}

/// A new file for the owner of the data directory alone.
fn private(data: &Path, path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    give_to_owner(&file, data)?;
    Ok(file)
}

/// A new directory, likewise.
fn directory(data: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    give_to_owner(&File::open(path)?, data)
}

/// Copies the plain files of a directory, durably.
fn copy_files(data: &Path, from: &Path, to: &Path) -> Result<()> {
    let copy = || {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let mut file = private(data, &to.join(entry.file_name()))?;
                io::copy(&mut File::open(entry.path())?, &mut file)?;
                file.sync_all()?;
            }
        }
        sync(to)
    };
    copy().map_err(|error| failed(from, error))
}

/// The copies that are there, newest first.
fn copies(config: &Config) -> Result<Vec<BeforeUpdate>> {
    let place = kept(config);
    let entries = match fs::read_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| failed(&place, error))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(&place, error))?.path();
        // What has no description, or another name than it, is not complete.
        let text = fs::read(path.join("about.json")).unwrap_or_default();
        let about: Option<BeforeUpdate> = serde_json::from_slice(&text).ok();
        found.extend(about.filter(|about| path == place.join(about.version.to_string())));
    }
    found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.version.cmp(&a.version)));
    Ok(found)
}

fn forget_older(config: &Config) -> Result<()> {
    for about in copies(config)?.into_iter().skip(KEPT) {
        remove(&kept(config).join(about.version.to_string()))?;
    }
    Ok(())
}

/// Puts the data back as it was before `version` (the newest copy, if none is
/// named) first ran. What is there now is put aside. Safe to repeat after a
/// crash; until it is complete nothing starts.
///
/// `NotFound` when there is no such copy; `Conflict` (`no-copy-of-postgres`,
/// `keystore-mounted`) where it cannot be put back whole. The caller holds the
/// data directory.
pub(super) fn restore(config: &Config, version: Option<&Version>) -> Result<BeforeUpdate> {
    let about = choose(config, version)?;
    put_back(config, &about)?;
    Ok(about)
}

fn choose(config: &Config, version: Option<&Version>) -> Result<BeforeUpdate> {
    if config.storage.database != Database::Sqlite {
        let message = "The database is PostgreSQL, of which no copy is made before an update. \
                       Nothing was changed.";
        return Err(Error::new(Kind::Conflict, "no-copy-of-postgres", message)
            .with_hint("Restore the database and the keystore from their own backups."));
    }
    let found = copies(config)?;
    let about = found.into_iter().find(|about| version.is_none_or(|v| about.version == *v));
    about.ok_or_else(|| {
        let message = "There is no copy of the data from before an update.";
        Error::new(Kind::NotFound, "no-copy", message)
            .with_hint("Restore a backup, or run the version that used the data last.")
    })
}

fn put_back(config: &Config, about: &BeforeUpdate) -> Result<()> {
    let data = &config.storage.data_dir;
    let source = kept(config).join(about.version.to_string());
    let database = data_dir::database(data);
    let keys = &config.keystore.dir;
    let (new_database, new_keys) = (added(&database, "restored"), added(keys, "restored"));

    // Everything that can fail for want of room comes first.
    remove(&new_keys)?;
    directory(data, &new_keys).map_err(|error| failed(&new_keys, error))?;
    let room = refuse_mounted(keys, &new_keys)
        .and_then(|()| copy_files(data, &source.join("keys"), &new_keys))
        .and_then(|()| copy_database(data, &source.join("palisade.db"), &new_database));
    if let Err(error) = room {
        let _ = fs::remove_dir_all(&new_keys);
        let _ = fs::remove_file(&new_database);
        return Err(error);
    }

    let (aside, old_keys) = (data.join("replaced"), added(keys, "replaced"));
    let swap = || {
        if !marker(config).exists() {
            fs::remove_dir_all(&aside).or_else(absent)?;
            fs::remove_dir_all(&old_keys).or_else(absent)?;
            directory(data, &aside)?;
            private(data, &marker(config))?.sync_all()?;
            sync(data)?;
        }
        // A log of other data next to it would be taken for its own.
        for ending in ["", "-wal", "-shm"] {
            let name = format!("palisade.db{ending}");
            put_aside(&data.join(&name), &aside.join(&name))?;
        }
        put_aside(keys, &old_keys)?;
        fs::rename(&new_database, &database)?;
        fs::rename(&new_keys, keys)?;
        sync(data)?;
        keys.parent().map_or(Ok(()), sync)?;
        fs::remove_file(marker(config))?;
        sync(data)
    };
    swap().map_err(|error| failed(data, error))
}

/// A directory that is a file system of its own cannot be given another name.
fn refuse_mounted(keys: &Path, beside: &Path) -> Result<()> {
    let device = |path: &Path| path.symlink_metadata().map(|found| found.dev()).ok();
    match (device(keys), device(beside)) {
        (Some(keys_are_on), Some(here)) if keys_are_on != here => {
            let message = format!(
                "The keystore {} is a file system of its own, so its keys cannot be exchanged. \
                 Nothing was changed.",
                keys.display()
            );
            Err(Error::new(Kind::Conflict, "keystore-mounted", message)
                .with_hint("Name a directory on that file system as keystore.dir."))
        }
        _ => Ok(()),
    }
}

fn copy_database(data: &Path, from: &Path, to: &Path) -> Result<()> {
    let copy = || {
        fs::remove_file(to).or_else(absent)?;
        let mut file = private(data, to)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        file.sync_all()
    };
    copy().map_err(|error| failed(from, error))
}

/// Moves what is there, unless an earlier try has moved the real one already:
/// what it left is a part of the restore.
fn put_aside(from: &Path, to: &Path) -> io::Result<()> {
    if !to.exists() {
        return fs::rename(from, to).or_else(absent);
    }
    match from.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(from),
        Ok(_) => fs::remove_file(from),
        Err(error) => absent(error),
    }
}

/// What is not there need not be removed or moved.
fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn added(path: &Path, ending: &str) -> PathBuf {
    path.with_added_extension(ending)
}

fn remove(directory: &Path) -> Result<()> {
    fs::remove_dir_all(directory).or_else(absent).map_err(|error| failed(directory, error))
}

fn failed(path: &Path, error: io::Error) -> Error {
    if is_full(&error) {
        return store::full().caused_by(error);
    }
    let message = format!("The data of before the update: {} cannot be used.", path.display());
    Error::new(Kind::Unavailable, "before-update", message).caused_by(error)
}

#[cfg(test)]
mod tests;

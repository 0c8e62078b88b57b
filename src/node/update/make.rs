//! Making an update file from what `appliance/build` leaves.
//!
//! Owns: finding the artefacts, the root hash in their names, and that the same
//! input gives the same file.
//! Must not know: where the secret key is kept.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    archive::Writer,
    format::{Artefact, DataFormat, Facts, Kind, MANIFEST, Manifest, SIGNATURE},
    keys::SecretKey,
};
use crate::{
    error::{self, Error, Result},
    release::Version,
};

/// What is released.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// The day, `2026-11-22`.
    pub released: String,
    /// The oldest version from which it may be installed.
    pub installable_from: Version,
    /// What it does to the data.
    pub data_format: DataFormat,
    /// What is new, as Markdown.
    pub notes: String,
}

/// Writes the update file of `release` from the artefacts in `directory`.
/// Answers the manifest and its signature, which a mirror publishes beside the file.
///
/// `Invalid`: `update-artefacts` when one is missing, twice there, or not named
/// after its root hash; `update-manifest` when the release cannot be.
pub fn make(
    directory: &Path,
    release: Release,
    key: &SecretKey,
    out: impl Write,
) -> Result<(Vec<u8>, String)> {
    let Release { version, released, installable_from, data_format, notes } = release;
    let files = find(directory, &version)?;
    let root_hash = files.root_hash.clone();
    let artefacts = files.in_order();
    let mut described = Vec::new();
    for (kind, path) in Kind::ALL.into_iter().zip(&artefacts) {
        let (size, sha256) = digest(path)?;
        described.push(Artefact { name: kind.file_name(&version, &root_hash), size, sha256 });
    }
    let artefacts_described = described.try_into().map_err(|_| Error::internal("three files"))?;
    let manifest = Manifest::new(Facts {
        version,
        released,
        installable_from,
        data_format,
        root_hash,
        artefacts: artefacts_described,
        notes,
    })?;
    let text = manifest.to_bytes()?;
    let line = key.sign(&text);
    let unwritable = |cause: io::Error| {
        Error::new(error::Kind::Unavailable, "unwritable", "The update file cannot be written.")
            .caused_by(cause)
    };
    let mut writer = Writer::new(out);
    writer.member(MANIFEST, text.len() as u64, text.as_slice()).map_err(unwritable)?;
    writer.member(SIGNATURE, line.len() as u64, line.as_bytes()).map_err(unwritable)?;
    for (artefact, path) in manifest.artefacts.iter().zip(&artefacts) {
        let file = File::open(path).map_err(|cause| unreadable(path, cause))?;
        writer.member(&artefact.name, artefact.size, file).map_err(unwritable)?;
    }
    writer.finish().map_err(unwritable)?;
    Ok((text, line))
}

struct Found {
    root_hash: String,
    verity: PathBuf,
    root: PathBuf,
    kernel: PathBuf,
}

impl Found {
    /// As [`Kind::ALL`].
    fn in_order(self) -> [PathBuf; 3] {
        [self.verity, self.root, self.kernel]
    }
}

/// Finds the artefacts of a version. Their names carry the root hash.
fn find(directory: &Path, version: &Version) -> Result<Found> {
    let prefix = format!("palisade_{version}_");
    let one = |ending: &str| -> Result<(PathBuf, String)> {
        let entries = fs::read_dir(directory).map_err(|cause| unreadable(directory, cause))?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|cause| unreadable(directory, cause))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let half = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(ending));
            if let Some(half) = half {
                found.push((entry.path(), half.replace('-', "")));
            }
        }
        match <[_; 1]>::try_from(found) {
            Ok([one]) => Ok(one),
            Err(found) => Err(artefacts(format!(
                "{} holds {} files {prefix}UUID{ending}; one belongs there.",
                directory.display(),
                found.len()
            ))),
        }
    };
    let (root, first) = one(".root.raw")?;
    let (verity, second) = one(".verity.raw")?;
    let kernel = directory.join(format!("palisade_{version}.efi"));
    let root_hash = format!("{first}{second}");
    if root_hash.len() != 64 || first.len() != 32 {
        return Err(artefacts(format!(
            "{} and {} are not named after the halves of a root hash.",
            root.display(),
            verity.display()
        )));
    }
    Ok(Found { root_hash, verity, root, kernel })
}

fn digest(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path).map_err(|cause| unreadable(path, cause))?;
    let (mut digest, mut piece, mut size) = (Sha256::new(), vec![0; 256 * 1024], 0);
    loop {
        match file.read(&mut piece).map_err(|cause| unreadable(path, cause))? {
            0 => return Ok((size, data_encoding::HEXLOWER.encode(&digest.finalize()))),
            length => {
                digest.update(&piece[..length]);
                size += length as u64;
            }
        }
    }
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    artefacts(format!("{} cannot be read.", path.display()))
        .with_hint("Name the directory that appliance/build has filled.")
        .caused_by(cause)
}

fn artefacts(message: String) -> Error {
    Error::new(error::Kind::Invalid, "update-artefacts", message)
}

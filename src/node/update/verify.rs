//! Reading an update file, and what has to be true before it is believed.
//!
//! Owns: the one way in which a file is read: signature first, then every byte
//! against the manifest, then nothing more. Checking and unpacking are the same
//! walk with another target, so that what is unpacked is checked again: the
//! file may have changed in between.
//! Must not know: where the parts go.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::{
    archive::{Damage, Reader, total},
    format::{
        Artefact, Kind, MANIFEST, MOST_MANIFEST_BYTES, MOST_SIGNATURE_BYTES, Manifest, SIGNATURE,
    },
    keys::TrustedKeys,
};
use crate::{
    error::{self, Error, Result},
    release::{self, Version},
};

/// The content is read in pieces of this size.
const PIECE: usize = 256 * 1024;

/// A file that was found good, byte for byte.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What it says about itself.
    pub manifest: Manifest,
    /// The id of the key that signed it.
    pub signed_by: String,
    /// The signed text.
    pub(super) text: Vec<u8>,
}

/// What is done with the parts of a file while they are read.
pub(super) trait Target {
    /// The manifest is signed and valid; nothing else was read.
    fn begin(&mut self, head: &Checked) -> Result<()>;
    /// The content of this artefact follows.
    fn open(&mut self, artefact: &Artefact) -> Result<()>;
    /// The next bytes of it.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// It is complete, and has the digest of the manifest.
    fn close(&mut self) -> Result<()>;
}

/// Only looks.
struct Nowhere;

impl Target for Nowhere {
    fn begin(&mut self, _: &Checked) -> Result<()> {
        Ok(())
    }
    fn open(&mut self, _: &Artefact) -> Result<()> {
        Ok(())
    }
    fn write(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Checks a whole file and writes nothing. `percent` is told how far it is.
///
/// `Forbidden` for a signature that does not count (see [`TrustedKeys`]);
/// `Invalid`: `update-damaged`, `update-format`, `update-product`, `update-manifest`.
pub fn verify(file: impl Read, keys: &TrustedKeys, percent: &mut dyn FnMut(u8)) -> Result<Checked> {
    walk(file, keys, &mut Nowhere, percent)
}

/// What a file says about itself, believed or not, and the line that signs it.
pub fn inspect(file: impl Read) -> Result<(Manifest, String)> {
    let mut reader = Reader::new(file);
    let text = small(&mut reader, MANIFEST, MOST_MANIFEST_BYTES)?;
    let signature = small(&mut reader, SIGNATURE, MOST_SIGNATURE_BYTES)?;
    let line = String::from_utf8_lossy(&signature).trim_end().to_owned();
    Ok((Manifest::parse(&text)?, line))
}

/// Checks a manifest that is published apart from its file.
pub(super) fn verify_head(text: Vec<u8>, line: &[u8], keys: &TrustedKeys) -> Result<Checked> {
    // The signature first: what is not signed is not even parsed.
    let signed_by = keys.verify(&text, line)?.id();
    Ok(Checked { manifest: Manifest::parse(&text)?, signed_by, text })
}

/// How long the file is that a manifest and its signature begin.
pub(super) fn file_bytes(head: &Checked, line: &[u8]) -> u64 {
    let small = [head.text.len() as u64, line.len() as u64];
    total(small.into_iter().chain(head.manifest.artefacts.iter().map(|artefact| artefact.size)))
}

pub(super) fn walk(
    file: impl Read,
    keys: &TrustedKeys,
    target: &mut dyn Target,
    percent: &mut dyn FnMut(u8),
) -> Result<Checked> {
    let mut reader = Reader::new(file);
    let text = small(&mut reader, MANIFEST, MOST_MANIFEST_BYTES)?;
    let line = small(&mut reader, SIGNATURE, MOST_SIGNATURE_BYTES)?;
    let head = verify_head(text, &line, keys)?;
    let all = file_bytes(&head, &line).max(1);
    target.begin(&head)?;
    let mut told = 0;
    for (kind, artefact) in Kind::ALL.into_iter().zip(&head.manifest.artefacts) {
        let size = reader.begin(&artefact.name, artefact.size).map_err(|e| damaged(&e))?;
        if size != artefact.size {
            let message = format!("{} has {size} bytes, not {}", artefact.name, artefact.size);
            return Err(damage(message));
        }
        target.open(artefact)?;
        content(&mut reader, artefact, target, &mut |at| {
            let now = u8::try_from(at * 100 / all).unwrap_or(100);
            if now > told {
                told = now;
                percent(now);
            }
        })?;
        target.close()?;
        tracing::debug!(?kind, "an artefact has the digest of the manifest");
    }
    reader.finish().map_err(|e| damaged(&e))?;
    Ok(head)
}

/// A member that is read as a whole.
fn small(reader: &mut Reader<impl Read>, name: &str, most: u64) -> Result<Vec<u8>> {
    let mut read = || {
        let size = reader.begin(name, most)?;
        // Below 64 KiB.
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        reader.fill(&mut bytes)?;
        reader.end(size)?;
        Ok(bytes)
    };
    read().map_err(|e: Damage| damaged(&e))
}

fn content(
    reader: &mut Reader<impl Read>,
    artefact: &Artefact,
    target: &mut dyn Target,
    at: &mut dyn FnMut(u64),
) -> Result<()> {
    let (mut digest, mut piece, mut left) = (Sha256::new(), vec![0; PIECE], artefact.size);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = &mut piece[..length];
        reader.fill(piece).map_err(|e| damaged(&e))?;
        digest.update(&*piece);
        target.write(piece)?;
        left -= length as u64;
        at(reader.position());
    }
    if data_encoding::HEXLOWER.encode(&digest.finalize()) != artefact.sha256 {
        return Err(damage(format!("{} is not the one that was signed", artefact.name)));
    }
    reader.end(artefact.size).map_err(|e| damaged(&e))
}

fn damaged(damage_: &Damage) -> Error {
    damage(error::chain(damage_))
}

fn damage(what: impl std::fmt::Display) -> Error {
    let message = format!("This is no update file, or it was altered: {what}.");
    Error::new(error::Kind::Invalid, "update-damaged", message)
        .with_hint("Get the file again from where the release was published.")
}

/// The version that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// Of the image.
    pub version: Version,
    /// The oldest version that can run on the data as this version leaves it.
    pub oldest: Version,
}

impl Running {
    /// This build, in an image of this version.
    pub fn image(version: Version) -> Self {
        Self { version, oldest: Version::oldest() }
    }
}

/// Whether an update fits what runs.
///
/// `Conflict`: `update-installed` (it runs already), `update-older` (not asked
/// for), `update-older-than-data` (it could not run on the data),
/// `update-skips-a-version` (install another one first).
pub fn admit(manifest: &Manifest, running: &Running, allow_downgrade: bool) -> Result<()> {
    let Running { version, oldest } = running;
    let new = &manifest.version;
    let refused = |code, message: String| Error::new(error::Kind::Conflict, code, message);
    if new == version {
        return Err(refused("update-installed", format!("Version {new} runs already.")));
    }
    if new < version {
        if !allow_downgrade {
            let message = format!("Version {new} is older than {version}, which runs.");
            return Err(refused("update-older", message)
                .with_hint("To go back on purpose, allow a downgrade."));
        }
        if new < oldest {
            let message = format!(
                "Version {new} cannot run on the data of {version}; {oldest} is the oldest that can."
            );
            return Err(refused("update-older-than-data", message)
                .with_hint("Restore a backup of that version on a new appliance instead."));
        }
        return Ok(());
    }
    // A version that cannot read older data, or of which the roll-back would
    // find data that is too new for what runs now.
    let from = (&manifest.installable_from).max(&manifest.data_format.oldest_version);
    if version < from {
        let message =
            format!("Version {new} can be installed from {from} or newer; this is {version}.");
        return Err(
            refused("update-skips-a-version", message).with_hint(format!("Install {from} first."))
        );
    }
    if manifest.data_format.number < release::DATA_FORMAT {
        let message = format!(
            "Version {new} says that it writes data format {}; this one writes {} already.",
            manifest.data_format.number,
            release::DATA_FORMAT
        );
        return Err(refused("update-older-than-data", message));
    }
    Ok(())
}

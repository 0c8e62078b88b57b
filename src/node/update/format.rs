//! What an update file says about itself.
//!
//! Owns: the manifest, its limits and the names of the members.
//! Must not know: signatures or archives.

use serde::{Deserialize, Serialize};

use crate::{
    error::{self, Error, Result},
    release::Version,
};

/// The format that this version writes and understands.
pub(super) const FORMAT: u32 = 1;
/// What the manifest names as product.
pub(super) const PRODUCT: &str = "palisade";
/// The first member of a file.
pub(super) const MANIFEST: &str = "manifest.json";
/// The second member: one line that signs the first.
pub(super) const SIGNATURE: &str = "manifest.sig";

/// What a mirror serves as the newest release: the manifest of its file.
pub const INDEX: &str = "latest.json";
/// The line that signs [`INDEX`].
pub const INDEX_SIGNATURE: &str = "latest.json.sig";

/// The name of the update file of a version, on a mirror.
pub fn file_name(version: &Version) -> String {
    format!("palisade-{version}.update")
}

pub(super) const MOST_MANIFEST_BYTES: u64 = 64 * 1024;
pub(super) const MOST_SIGNATURE_BYTES: u64 = 256;
const MOST_NOTES: usize = 32 * 1024;

/// The largest update file that can be valid: artefacts, manifest and framing.
pub const MOST_FILE_BYTES: u64 = (1024 + 32 + 192 + 1) * 1024 * 1024;

/// What an artefact is, in the order in which they are in the file and are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The hash tree of the root file system.
    Verity,
    /// The root file system.
    Root,
    /// The unified kernel image; with it the version can boot, so it comes last.
    Kernel,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Verity, Self::Root, Self::Kernel];

    /// What fits: the slots of the disk, and half of the boot partition.
    const fn most_bytes(self) -> u64 {
        match self {
            Self::Verity => 32 * 1024 * 1024,
            Self::Root => 1024 * 1024 * 1024,
            Self::Kernel => 192 * 1024 * 1024,
        }
    }

    /// The name that systemd-sysupdate looks for. The halves of the root hash
    /// are the UUIDs of the two partitions.
    pub(super) fn file_name(self, version: &Version, root_hash: &str) -> String {
        match self {
            Self::Verity => format!("palisade_{version}_{}.verity.raw", uuid(&root_hash[32..])),
            Self::Root => format!("palisade_{version}_{}.root.raw", uuid(&root_hash[..32])),
            Self::Kernel => format!("palisade_{version}.efi"),
        }
    }
}

/// 32 hexadecimal characters with the hyphens of a UUID.
fn uuid(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// The manifest of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    product: String,
    /// What it installs.
    pub version: Version,
    /// The day of the release, `2026-11-22`.
    pub released: String,
    /// The oldest version from which it may be installed.
    pub installable_from: Version,
    /// What it does to the data.
    pub data_format: DataFormat,
    /// Of the root file system, in hexadecimal: the root of the hash tree.
    pub root_hash: String,
    /// The three artefacts, in the order of [`Kind::ALL`].
    pub artefacts: [Artefact; 3],
    /// What is new, as Markdown.
    pub notes: String,
}

/// The data that a version writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataFormat {
    /// Its number.
    pub number: u32,
    /// The oldest version that can run on it.
    pub oldest_version: Version,
}

/// One file inside the update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artefact {
    /// The name that systemd-sysupdate looks for.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// The part of every manifest that all formats have.
#[derive(Deserialize)]
struct Probe {
    format: u32,
}

/// What [`Manifest::new`] takes besides the constants of this format.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) version: Version,
    pub(super) released: String,
    pub(super) installable_from: Version,
    pub(super) data_format: DataFormat,
    pub(super) root_hash: String,
    pub(super) artefacts: [Artefact; 3],
    pub(super) notes: String,
}

impl Manifest {
    /// A manifest of this format. `Invalid` (`update-manifest`), as [`Manifest::parse`].
    pub(super) fn new(facts: Facts) -> Result<Self> {
        let manifest = Self {
            format: FORMAT,
            product: PRODUCT.to_owned(),
            version: facts.version,
            released: facts.released,
            installable_from: facts.installable_from,
            data_format: facts.data_format,
            root_hash: facts.root_hash,
            artefacts: facts.artefacts,
            notes: facts.notes,
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads a manifest whose signature was found good.
    ///
    /// `Invalid`: `update-format` (made for other versions), `update-product`,
    /// `update-manifest` (a value that cannot be).
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let unreadable = |cause: serde_json::Error| {
            wrong("The manifest of this update cannot be understood.").caused_by(cause)
        };
        let probe: Probe = serde_json::from_slice(bytes).map_err(unreadable)?;
        if probe.format != FORMAT {
            return Err(Error::new(
                error::Kind::Invalid,
                "update-format",
                format!(
                    "This update file has format {}; this version understands format {FORMAT}.",
                    probe.format
                ),
            )
            .with_hint("Install a version in between first; its notes name it."));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The text that is signed.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(Error::internal)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// How many bytes are unpacked.
    pub fn unpacked_bytes(&self) -> u64 {
        self.artefacts.iter().map(|artefact| artefact.size).sum()
    }

    fn check(&self) -> Result<()> {
        if self.product != PRODUCT {
            return Err(Error::new(
                error::Kind::Invalid,
                "update-product",
                format!("This is an update of {:?}, not of Palisade.", self.product),
            ));
        }
        if self.released.parse::<jiff::civil::Date>().is_err() || self.released.len() != 10 {
            return Err(wrong("The manifest's day of release is not one."));
        }
        if !is_hash(&self.root_hash) {
            return Err(wrong("The manifest's root hash is not one."));
        }
        if self.installable_from < self.data_format.oldest_version {
            return Err(wrong(format!(
                "The manifest allows to install it from {}, which could not run on its data any \
                 more: a roll-back would fail.",
                self.installable_from
            )));
        }
        if self.notes.len() > MOST_NOTES || self.notes.contains(is_unprintable) {
            return Err(wrong("The notes are too long, or not plain text."));
        }
        for (kind, artefact) in Kind::ALL.into_iter().zip(&self.artefacts) {
            let name = kind.file_name(&self.version, &self.root_hash);
            if artefact.name != name {
                return Err(wrong(format!(
                    "The manifest names {:?} where {name:?} belongs.",
                    artefact.name
                )));
            }
            if artefact.size == 0 || artefact.size > kind.most_bytes() {
                return Err(wrong(format!("{name} cannot have {} bytes.", artefact.size)));
            }
            if !is_hash(&artefact.sha256) {
                return Err(wrong(format!("The digest of {name} is not one.")));
            }
        }
        Ok(())
    }
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(error::Kind::Invalid, "update-manifest", message)
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_unprintable(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let hash = "0123456789abcdef".repeat(4);
        let version: Version = "1.2.0".parse().expect("a version");
        let artefacts = Kind::ALL.map(|kind| Artefact {
            name: kind.file_name(&version, &hash),
            size: 4096,
            sha256: "ab".repeat(32),
        });
        Manifest::new(Facts {
            version,
            released: "2026-11-22".to_owned(),
            installable_from: "1.0.0".parse().expect("a version"),
            data_format: DataFormat {
                number: 2,
                oldest_version: "1.0.0".parse().expect("a version"),
            },
            root_hash: hash,
            artefacts,
            notes: "Faster.\n".to_owned(),
        })
        .expect("valid")
    }

    #[test]
    fn the_halves_of_the_root_hash_name_the_partitions() {
        let names = manifest().artefacts.map(|artefact| artefact.name);
        assert_eq!(
            names,
            [
                "palisade_1.2.0_01234567-89ab-cdef-0123-456789abcdef.verity.raw",
                "palisade_1.2.0_01234567-89ab-cdef-0123-456789abcdef.root.raw",
                "palisade_1.2.0.efi",
            ]
        );
    }

    #[test]
    fn a_manifest_survives_its_text() {
        let manifest = manifest();
        let bytes = manifest.to_bytes().expect("text");
        assert_eq!(Manifest::parse(&bytes).expect("the same"), manifest);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        type Change = fn(&mut Manifest);
        let cases: &[(&str, &str, Change)] = &[
            ("update-product", "of \"other\"", |m| m.product = "other".into()),
            ("update-format", "format 2", |m| m.format = 2),
            ("update-manifest", "day of release", |m| m.released = "yesterday".into()),
            ("update-manifest", "root hash", |m| m.root_hash.truncate(60)),
            ("update-manifest", "a roll-back would fail", |m| {
                m.data_format.oldest_version = "1.0.1".parse().expect("a version");
            }),
            ("update-manifest", "notes", |m| m.notes = "\u{1b}[2J".into()),
            ("update-manifest", "notes", |m| m.notes = "x".repeat(MOST_NOTES + 1)),
            ("update-manifest", "where", |m| m.artefacts[0].name = "../../etc/x".into()),
            ("update-manifest", "where", |m| m.artefacts.swap(0, 1)),
            ("update-manifest", "where", |m| m.version = "1.3.0".parse().expect("a version")),
            ("update-manifest", "cannot have 0", |m| m.artefacts[1].size = 0),
            ("update-manifest", "cannot have", |m| m.artefacts[2].size = 193 << 20),
            ("update-manifest", "digest", |m| m.artefacts[2].sha256 = "AB".repeat(32)),
        ];
        for (code, told, change) in cases {
            let mut wrong = manifest();
            change(&mut wrong);
            let bytes = wrong.to_bytes().expect("text");
            let refused = Manifest::parse(&bytes).expect_err("refused");
            assert_eq!(refused.code(), *code, "{}", refused.message());
            assert!(refused.message().contains(told), "{}", refused.message());
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused() {
        let text = String::from_utf8(manifest().to_bytes().expect("text")).expect("UTF-8");
        let more = text.replacen('{', "{\"script\":\"x\",", 1);
        assert_eq!(
            Manifest::parse(more.as_bytes()).expect_err("refused").code(),
            "update-manifest"
        );
    }
}

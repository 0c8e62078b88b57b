//! The finished package: whether an OVA is whole.
//!
//! Owns: reading the archive, its manifest and its signature, and saying
//! everything that is wrong with them.
//! Must not know: how a package is made; `ova/build` does that, with
//! [`super::descriptor`] for the descriptor and [`disk`] for the disk.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

pub mod disk;
pub mod inspect;
mod signature;
#[cfg(test)]
mod tests;

/// The largest OVA that is allowed.
pub const MOST_BYTES: u64 = 250 * 1_000 * 1_000;
/// Descriptors, manifests and certificates are much smaller.
const MOST_TEXT: u64 = 1024 * 1024;
/// Old importers cannot read larger members.
const MOST_MEMBER: u64 = 8 << 30;

/// What was found in an OVA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The size of the archive in bytes.
    pub size: u64,
    /// The members in their order, with size in bytes and SHA-256 in hexadecimal.
    pub members: Vec<(String, u64, String)>,
    /// Who signed it, if it is signed.
    pub signer: Option<String>,
}

/// Reads all of an OVA. `Err` has everything that is wrong with it, a line each.
pub fn verify(path: &Path) -> Result<Verified, Vec<String>> {
    let one = |error: io::Error| vec![format!("{} cannot be read: {error}", path.display())];
    let file = File::open(path).map_err(one)?;
    let size = file.metadata().map_err(one)?.len();
    let package = Archive::read(BufReader::with_capacity(1 << 20, file)).map_err(one)?;
    let mut wrong = package.wrong.clone();
    if size > MOST_BYTES {
        wrong.push(format!("the archive has {size} bytes, more than {MOST_BYTES}"));
    }
    package.check_order(&mut wrong);
    package.check_manifest(&mut wrong);
    let signer = package.check_signature(&mut wrong);
    package.check_descriptor(&mut wrong);
    let members = package.members.into_iter();
    let members = members.map(|member| (member.name, member.size, member.sha256)).collect();
    if wrong.is_empty() { Ok(Verified { size, members, signer }) } else { Err(wrong) }
}

struct Member {
    name: String,
    size: u64,
    sha256: String,
}

/// An archive that was read once, from its beginning to its end.
struct Archive {
    members: Vec<Member>,
    /// The small members.
    texts: BTreeMap<String, Vec<u8>>,
    /// What a disk says of itself, by its name.
    disks: BTreeMap<String, Result<disk::Header, String>>,
    wrong: Vec<String>,
}

impl Archive {
    fn read(source: impl Read) -> io::Result<Self> {
        let mut found = Self {
            members: Vec::new(),
            texts: BTreeMap::new(),
            disks: BTreeMap::new(),
            wrong: Vec::new(),
        };
        let mut archive = tar::Archive::new(source);
        // Raw: extensions must be seen, not followed.
        for entry in archive.entries()?.raw(true) {
            found.add(entry?)?;
        }
        Ok(found)
    }

    fn add(&mut self, mut entry: tar::Entry<'_, impl Read>) -> io::Result<()> {
        let header = entry.header();
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let size = header.size()?;
        if header.as_ustar().is_none() {
            self.wrong.push(format!("{name} is not stored in the ustar format"));
        }
        if !header.entry_type().is_file() {
            self.wrong.push(format!("{name} is no plain file"));
        }
        if size >= MOST_MEMBER {
            self.wrong.push(format!("{name} has 8 GiB or more"));
        }
        if name.contains('/') {
            self.wrong.push(format!("{name} is in a directory"));
        }
        let mut digest = Sha256::new();
        let mut start = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = entry.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            digest.update(&buffer[..count]);
            if (start.len() as u64) < MOST_TEXT {
                start.extend_from_slice(&buffer[..count]);
            }
        }
        if is_disk(&name) {
            self.disks.insert(name.clone(), disk::Header::read(&start));
        } else if size <= MOST_TEXT {
            self.texts.insert(name.clone(), start);
        } else {
            self.wrong.push(format!("{name} is far too large"));
        }
        let sha256 = HEXLOWER.encode(&digest.finalize());
        self.members.push(Member { name, size, sha256 });
        Ok(())
    }

    fn text(&self, ending: &str) -> Option<(&str, &str)> {
        let (name, text) = self.texts.iter().find(|(name, _)| has_ending(name, ending))?;
        Some((name, std::str::from_utf8(text).ok()?))
    }

    /// Importers read the archive once and want its parts in this order.
    fn check_order(&self, wrong: &mut Vec<String>) {
        let rank = |name: &str| match name.rsplit_once('.') {
            Some((_, "ovf")) => 0,
            Some((_, "mf")) => 1,
            Some((_, "cert")) => 2,
            _ => 3,
        };
        let ranks: Vec<_> = self.members.iter().map(|member| rank(&member.name)).collect();
        for (rank, what) in [(0, "descriptor (.ovf)"), (1, "manifest (.mf)"), (3, "disk (.vmdk)")] {
            if ranks.iter().filter(|found| **found == rank).count() != 1 {
                wrong.push(format!("there must be exactly one {what}"));
            }
        }
        if !ranks.is_sorted() {
            wrong.push("the members must be in the order .ovf, .mf, .cert, .vmdk".to_owned());
        }
    }

    fn check_manifest(&self, wrong: &mut Vec<String>) {
        let Some((manifest_name, manifest)) = self.text("mf") else { return };
        let mut listed = BTreeMap::new();
        for line in manifest.lines() {
            let entry = line.strip_prefix("SHA256(").and_then(|rest| rest.split_once(")= "));
            match entry {
                Some((name, digest)) if listed.insert(name, digest).is_none() => {}
                Some((name, _)) => wrong.push(format!("{manifest_name} names {name} twice")),
                None => wrong.push(format!("{manifest_name} has a line that is no entry")),
            }
        }
        for Member { name, sha256, .. } in &self.members {
            if has_ending(name, "mf") || has_ending(name, "cert") {
                continue;
            }
            match listed.remove(name.as_str()) {
                None => wrong.push(format!("{manifest_name} does not name {name}")),
                Some(digest) if digest != sha256 => {
                    wrong.push(format!(
                        "{name} is damaged: its digest is not that of {manifest_name}"
                    ));
                }
                Some(_) => {}
            }
        }
        for name in listed.keys() {
            wrong.push(format!("{manifest_name} names {name}, which is missing"));
        }
    }

    fn check_signature(&self, wrong: &mut Vec<String>) -> Option<String> {
        let (name, certificate) = self.text("cert")?;
        let (manifest_name, _) = self.text("mf")?;
        let manifest = self.texts.get(manifest_name)?;
        match signature::check(certificate, manifest_name, manifest) {
            Ok(signer) => Some(signer),
            Err(why) => {
                wrong.push(format!("{name}: {why}"));
                None
            }
        }
    }

    fn check_descriptor(&self, wrong: &mut Vec<String>) {
        let Some((name, text)) = self.text("ovf") else { return };
        let found = match inspect::inspect(text) {
            Ok(found) => found,
            Err(faults) => {
                wrong.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
                return;
            }
        };
        for file in &found.files {
            let Some(member) = self.members.iter().find(|member| member.name == file.name) else {
                wrong.push(format!("{name} names {}, which is missing", file.name));
                continue;
            };
            if member.size != file.size {
                wrong.push(format!("{name} says that {} has {} bytes", file.name, file.size));
            }
            match self.disks.get(&file.name) {
                Some(Ok(header)) if Some(header.capacity) != found.capacity => {
                    wrong.push(format!("{name} says another capacity than {}", file.name));
                }
                Some(Err(why)) => wrong.push(format!("{}: {why}", file.name)),
                _ => {}
            }
        }
    }
}

fn is_disk(name: &str) -> bool {
    has_ending(name, "vmdk")
}

fn has_ending(name: &str, ending: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, found)| found == ending)
}

//! The head of a stream-optimised VMDK.
//!
//! `qemu-img` writes a random content id into every disk. It is of no use in a
//! package and would make each build another one, so it is set to a fixed value.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

const SECTOR: u64 = 512;
/// The version that ESXi wants for compressed disks.
const VERSION: u32 = 3;
/// Compressed grains, and markers between them.
const FLAGS: u32 = 0x3_0000;
/// Longer than any head with its embedded description.
const LONGEST_HEAD: u64 = 64 * 1024;
/// Stands for a disk without parent and history.
const CONTENT_ID: &str = "fffffffe";

/// What a disk says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it can hold in bytes.
    pub capacity: u64,
    description: (u64, u64),
}

impl Header {
    /// Reads the head, which is in the first bytes of the file.
    pub fn read(start: &[u8]) -> Result<Self, String> {
        if start.get(..4) != Some(b"KDMV") {
            return Err("it is no VMDK with its description inside".to_owned());
        }
        let short = || "it is cut off".to_owned();
        let four = |at: usize| start.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let eight = |at: usize| start.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let version = four(4).ok_or_else(short)?;
        if version != VERSION || four(8).ok_or_else(short)? & FLAGS != FLAGS {
            return Err(format!("it is not stream-optimised (version {version})"));
        }
        let bytes = |at| eight(at).and_then(|n| n.checked_mul(SECTOR)).ok_or_else(short);
        let (from, length) = (bytes(28)?, bytes(36)?);
        if from < SECTOR || length == 0 || from.saturating_add(length) > LONGEST_HEAD {
            return Err("its description is not where it should be".to_owned());
        }
        Ok(Self { capacity: bytes(12)?, description: (from, length) })
    }
}

/// Reads the head of a disk and makes its content id the fixed one.
pub fn settle(file: &mut File) -> io::Result<Header> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file).take(LONGEST_HEAD).read_to_end(&mut start)?;
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let header = Header::read(&start).map_err(invalid)?;
    let (from, length) = header.description;
    let (from, length) = (usize::try_from(from).unwrap_or(0), usize::try_from(length).unwrap_or(0));
    let place = start.get(from..from + length).ok_or_else(|| invalid("it is cut off".into()))?;
    let text = String::from_utf8_lossy(place);
    let text = text.trim_end_matches('\0');
    let lines = text.lines().map(|line| match line.strip_prefix("CID=") {
        Some(_) => format!("CID={CONTENT_ID}\n"),
        None => format!("{line}\n"),
    });
    let mut settled = lines.collect::<String>().into_bytes();
    if settled.len() > length {
        return Err(invalid("its description has no room".into()));
    }
    settled.resize(length, 0);
    file.seek(SeekFrom::Start(header.description.0))?;
    file.write_all(&settled)?;
    file.sync_all()?;
    Ok(header)
}

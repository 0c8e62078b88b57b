//! The frame of an update file: a ustar archive in which every byte that is not
//! content has exactly one allowed value.
//!
//! Owns: headers, padding and the end of the archive.
//! Must not know: what is in the members.
//!
//! Reading makes the header that it expects and compares: owners, times, links,
//! paths, further members and trailing bytes are not interpreted at all.

use std::io::{self, Read, Write};

const BLOCK: usize = 512;
const BLOCK_BYTES: u64 = 512;

/// The header of a plain file.
fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, b"0000644\0"); // mode
    put(108, b"0000000\0"); // owner
    put(116, b"0000000\0"); // group
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0"); // time
    put(148, b"        "); // the checksum, as it is counted in itself
    put(156, b"0"); // a plain file
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// How many zero bytes follow a content of `size` bytes.
fn padding(size: u64) -> usize {
    // Below 512.
    usize::try_from((BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES).unwrap_or(0)
}

/// The size of an archive with members of these sizes.
pub(super) fn total(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().map(|size| BLOCK_BYTES + size.next_multiple_of(BLOCK_BYTES)).sum::<u64>()
        + 2 * BLOCK_BYTES
}

/// Writes an archive.
#[derive(Debug)]
pub(super) struct Writer<W>(W);

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Self {
        Self(out)
    }

    /// Appends a member that has exactly `size` bytes.
    pub(super) fn member(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        self.0.write_all(&header(name, size))?;
        let copied = io::copy(&mut content.take(size), &mut self.0)?;
        if copied != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content is shorter"));
        }
        self.0.write_all(&[0; BLOCK][..padding(size)])
    }

    /// Ends the archive and answers what it was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        self.0.flush()?;
        Ok(self.0)
    }
}

/// Why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it ends before {0} is complete")]
    Short(String),
    #[error("at byte {at}, the header of {expected} belongs")]
    Header { at: u64, expected: String },
    #[error("{name} has {size} bytes, which cannot be")]
    Size { name: String, size: u64 },
    #[error("at byte {0}, there is something where nothing belongs")]
    Filled(u64),
}

/// Reads an archive of which the caller knows what comes next.
#[derive(Debug)]
pub(super) struct Reader<R> {
    input: R,
    at: u64,
    member: String,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, at: 0, member: "its beginning".to_owned() }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// The header of the member `name`, of any size up to `most`; answers the size.
    pub(super) fn begin(&mut self, name: &str, most: u64) -> Result<u64, Damage> {
        let at = self.at;
        name.clone_into(&mut self.member);
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        let size = std::str::from_utf8(&block[124..135])
            .ok()
            .and_then(|text| u64::from_str_radix(text, 8).ok())
            .filter(|size| block == header(name, *size))
            .ok_or_else(|| Damage::Header { at, expected: name.to_owned() })?;
        if size > most {
            return Err(Damage::Size { name: name.to_owned(), size });
        }
        Ok(size)
    }

    /// Fills `buffer` from the content.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Damage> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::Short(self.member.clone()),
            _ => Damage::Io(error),
        })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    /// Skips the padding after a content of `size` bytes.
    pub(super) fn end(&mut self, size: u64) -> Result<(), Damage> {
        self.zeros(padding(size))
    }

    /// Refuses anything but the end of the archive and of the file.
    pub(super) fn finish(mut self) -> Result<(), Damage> {
        "its end".clone_into(&mut self.member);
        self.zeros(2 * BLOCK)?;
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Damage::Filled(self.at)),
            Err(error) => Err(error.into()),
        }
    }

    fn zeros(&mut self, count: usize) -> Result<(), Damage> {
        let (mut block, at) = ([0; 2 * BLOCK], self.at);
        self.fill(&mut block[..count])?;
        match block[..count].iter().position(|byte| *byte != 0) {
            Some(offset) => Err(Damage::Filled(at + offset as u64)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_can_read_what_we_write() {
        let mut writer = Writer::new(Vec::new());
        writer.member("one.json", 3, &b"{}\n"[..]).expect("written");
        writer.member("two.raw", 1024, &[7; 1024][..]).expect("written");
        let bytes = writer.finish().expect("finished");
        assert_eq!(bytes.len() as u64, total([3, 1024]));
        let mut found = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            let path = entry.path().expect("a path").into_owned();
            found.push((path.display().to_string(), content.len(), entry.header().mtime().ok()));
        }
        let expected = [("one.json".to_owned(), 3, Some(0)), ("two.raw".to_owned(), 1024, Some(0))];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_content_that_is_shorter_than_announced_is_not_written_as_a_member() {
        let mut writer = Writer::new(Vec::new());
        writer.member("x", 4, &b"abc"[..]).expect_err("too short");
    }
}

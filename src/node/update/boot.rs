//! The names of the kernels on the boot partition.
//!
//! Owns: what boot counting writes into a name, `palisade_1.2.0+1-1.efi`: one
//! try left, one done. A name without a counter is of a version that was good.
//! Must not know: why a try has failed.

use std::{fs, io, path::Path};

use crate::release::Version;

/// One kernel that the boot loader can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its version.
    pub version: Version,
    /// Tries left and done, while it is counted.
    pub tries: Option<Tries>,
}

/// How often a version was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tries {
    /// How often it will still be tried.
    pub left: u32,
    /// How often it was started and did not become good.
    pub done: u32,
}

impl Entry {
    /// Reads a file name; `None` for one that is not ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("palisade_")?.strip_suffix(".efi")?;
        let (version, counter) = match rest.split_once('+') {
            Some((version, counter)) => (version, Some(counter)),
            None => (rest, None),
        };
        let tries = match counter {
            None => None,
            Some(counter) => {
                let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
                Some(Tries { left: left.parse().ok()?, done: done.parse().ok()? })
            }
        };
        Some(Self { version: version.parse().ok()?, tries })
    }

    /// The file name.
    pub(super) fn file_name(&self) -> String {
        match self.tries {
            Some(Tries { left, done }) => format!("palisade_{}+{left}-{done}.efi", self.version),
            None => format!("palisade_{}.efi", self.version),
        }
    }

    /// Whether every try was used up.
    pub(super) fn is_given_up(&self) -> bool {
        self.tries.is_some_and(|tries| tries.left == 0)
    }
}

/// Our kernels in a directory, newest first.
pub(super) fn entries(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        found.extend(Entry::parse(&entry?.file_name().to_string_lossy()));
    }
    found.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_names_and_written_back() {
        let tries = |left, done| Some(Tries { left, done });
        let cases = [
            ("palisade_1.2.0.efi", Some(("1.2.0", None))),
            ("palisade_1.2.0+2-0.efi", Some(("1.2.0", tries(2, 0)))),
            ("palisade_1.2.0+0-2.efi", Some(("1.2.0", tries(0, 2)))),
            ("palisade_1.2.0~rc1+1-1.efi", Some(("1.2.0~rc1", tries(1, 1)))),
            ("palisade_1.2.0+x.efi", None),
            ("palisade_1.2.efi", None),
            ("other_1.2.0.efi", None),
            ("palisade_1.2.0.efi.part", None),
        ];
        for (name, expected) in cases {
            let entry = Entry::parse(name);
            let found = entry.as_ref().map(|entry| (entry.version.to_string(), entry.tries));
            assert_eq!(
                found,
                expected.map(|(version, tries)| (version.to_owned(), tries)),
                "{name}"
            );
            if let Some(entry) = entry {
                assert_eq!(entry.file_name(), name);
            }
        }
        let short = Entry::parse("palisade_1.2.0+2.efi").expect("ours");
        assert_eq!(short.tries, tries(2, 0));
    }
}

//! The agent's image: this program in an otherwise empty OCI image.
//!
//! One layer with one file. The layer is not compressed: it is the program
//! between two short pieces of archive, read from disk whenever it is asked
//! for, and never in memory.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The program while it runs, also when its file has been replaced by an update.
const SELF: &str = "/proc/self/exe";
/// Where it is in the image.
const ENTRYPOINT: &str = "palisade";
/// Nobody in particular, and not root.
const USER: &str = "65532:65532";
/// Archives are made of blocks of this size.
const BLOCK: usize = 512;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The image of one program.
#[derive(Debug)]
pub struct OwnImage {
    program: PathBuf,
    size: u64,
    before: Vec<u8>,
    after: Vec<u8>,
    layer: String,
    config: Document,
    manifest: Document,
}

#[derive(Debug)]
struct Document {
    digest: String,
    text: String,
}

impl Document {
    fn of(value: &serde_json::Value) -> Self {
        let text = value.to_string();
        Self { digest: digest_of(&Sha256::digest(text.as_bytes())), text }
    }
}

/// Something that a client can fetch, by its digest.
#[derive(Debug)]
pub enum Blob<'i> {
    /// A short JSON text.
    Text(&'i str),
    /// The layer: `before`, then `size` bytes of the file, then `after`.
    Layer {
        /// The head of the archive.
        before: &'i [u8],
        /// The program.
        file: &'i Path,
        /// The bytes of the program.
        size: u64,
        /// The end of the archive.
        after: &'i [u8],
    },
}

impl Blob<'_> {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Layer { before, size, after, .. } => {
                before.len() as u64 + size + after.len() as u64
            }
        }
    }
}

impl OwnImage {
    /// The image of the running program. Reads it once from end to end: blocking.
    pub fn of_this_program() -> Result<Self> {
        Self::of(Path::new(SELF)).map_err(Error::internal)
    }

    fn of(program: &Path) -> io::Result<Self> {
        let mut file = File::open(program)?;
        let size = file.metadata()?.len();
        let before = header(size)?;
        // The rest of the last block, and two empty ones for the end of the archive.
        let last = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        let after = vec![0; (BLOCK - last) % BLOCK + 2 * BLOCK];
        let mut digest = Sha256::new();
        digest.update(&before);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
        }
        digest.update(&after);
        let layer = digest_of(&digest.finalize());
        let config = Document::of(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"User": USER, "Entrypoint": [format!("/{ENTRYPOINT}")], "Cmd": ["agent"]},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        }));
        let length = before.len() as u64 + size + after.len() as u64;
        let manifest = Document::of(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.text.len()},
            "layers": [{"mediaType": LAYER, "digest": layer, "size": length}],
        }));
        Ok(Self { program: program.to_owned(), size, before, after, layer, config, manifest })
    }

    /// The media type of the manifest.
    pub fn manifest_type(&self) -> &'static str {
        MANIFEST
    }

    /// The digest of the manifest, e.g. `sha256:…`.
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// The manifest under a tag or digest: the tag is the version of the program.
    pub fn manifest(&self, reference: &str) -> Option<&str> {
        let known = reference == env!("CARGO_PKG_VERSION") || reference == self.manifest.digest;
        known.then_some(self.manifest.text.as_str())
    }

    /// The configuration or the layer.
    pub fn blob(&self, digest: &str) -> Option<Blob<'_>> {
        if digest == self.config.digest {
            return Some(Blob::Text(&self.config.text));
        }
        (digest == self.layer).then_some(Blob::Layer {
            before: &self.before,
            file: &self.program,
            size: self.size,
            after: &self.after,
        })
    }
}

fn header(size: u64) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(ENTRYPOINT)?;
    header.set_size(size);
    header.set_mode(0o555);
    header.set_uid(0);
    header.set_gid(0);
    // The same program always gives the same image.
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

fn digest_of(digest: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(digest))
}

/// The name that the OCI specification has for this machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn image_of(content: &[u8]) -> (tempfile::NamedTempFile, OwnImage) {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content).expect("written");
        let image = OwnImage::of(file.path()).expect("an image");
        (file, image)
    }

    fn layer_of(image: &OwnImage) -> Vec<u8> {
        let Some(Blob::Layer { before, file, size, after }) = image.blob(&image.layer) else {
            panic!("no layer");
        };
        let program = std::fs::read(file).expect("the program");
        assert_eq!(program.len() as u64, size);
        [before, &program, after].concat()
    }

    #[test]
    fn the_layer_is_an_archive_with_the_program_in_it_and_has_the_digest_that_is_promised() {
        for length in [0_usize, 1, 511, 512, 513, 70_000] {
            let program: Vec<u8> = (0..length).map(|n| n.to_le_bytes()[0]).collect();
            let (_file, image) = image_of(&program);
            let layer = layer_of(&image);
            assert_eq!(digest_of(&Sha256::digest(&layer)), image.layer);
            let mut archive = tar::Archive::new(&layer[..]);
            let mut entries = archive.entries().expect("an archive");
            let mut entry = entries.next().expect("one file").expect("readable");
            assert_eq!(entry.path().expect("a name").as_ref(), Path::new("palisade"));
            assert_eq!(entry.header().mode().expect("a mode"), 0o555);
            let mut found = Vec::new();
            entry.read_to_end(&mut found).expect("its content");
            assert_eq!(found, program);
            assert!(entries.next().is_none());
        }
    }

    #[test]
    fn the_manifest_names_sizes_and_digests_of_what_can_be_fetched() {
        let (_file, image) = image_of(b"program");
        let manifest = image.manifest(env!("CARGO_PKG_VERSION")).expect("the tag");
        assert_eq!(image.manifest(image.digest()), Some(manifest));
        assert_eq!(image.manifest("latest"), None);
        let manifest: serde_json::Value = serde_json::from_str(manifest).expect("JSON");
        for part in [&manifest["config"], &manifest["layers"][0]] {
            let blob = image.blob(part["digest"].as_str().expect("a digest")).expect("a blob");
            assert_eq!(Some(blob.bytes()), part["size"].as_u64());
        }
        assert!(image.blob("sha256:00").is_none());
    }
}

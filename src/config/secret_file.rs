//! Secrets live in files that nobody else may read.
//!
//! Owns: [`SecretFile`], the check of its permissions and reading it.
//! Must not know: what kind of secret it is.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::value::{Problem, Raw, Shape, Value, text};
use crate::secret::Secret;

/// Longer than any secret that belongs into such a file.
const LARGEST: u64 = 64 * 1024;

/// The path of a file that holds one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

/// A secret file cannot be used. The text names the file and never its content.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// There is no such file.
    #[error("names {0}, which does not exist")]
    Missing(PathBuf),
    /// The operating system refuses it.
    #[error("names {0}, which cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// Others may read it, or its group may change it.
    #[error("names {0}, which others may read or change (mode {1:04o}); run: chmod 0600 {0}")]
    Exposed(PathBuf, u32),
    /// A secret of this kind cannot be so long, or is not text.
    #[error("names {0}, which does not look like a secret: {1}")]
    Unsuitable(PathBuf, &'static str),
}

impl SecretFile {
    /// A secret file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Checks that it exists, is readable by us and by nobody else.
    pub fn check(&self) -> Result<(), SecretFileError> {
        self.open().map(drop)
    }

    /// Its content as it is.
    pub fn read_bytes(&self) -> Result<Secret<Vec<u8>>, SecretFileError> {
        // The capacity is there from the start: growing would leave copies behind.
        let mut content = Vec::with_capacity(usize::try_from(LARGEST).unwrap_or(0) + 1);
        let mut file = self.open()?.take(LARGEST + 1);
        let outcome = file.read_to_end(&mut content);
        let content = Secret::new(content);
        outcome.map_err(|error| SecretFileError::Unreadable(self.0.clone(), error))?;
        if content.expose().len() as u64 > LARGEST {
            return Err(SecretFileError::Unsuitable(self.0.clone(), "it is larger than 64 KiB"));
        }
        Ok(content)
    }

    /// Its content as text, without the line end that editors leave at the end.
    pub fn read(&self) -> Result<Secret<String>, SecretFileError> {
        let bytes = self.read_bytes()?;
        let unsuitable = |why| SecretFileError::Unsuitable(self.0.clone(), why);
        let text =
            std::str::from_utf8(bytes.expose()).map_err(|_| unsuitable("it is not UTF-8 text"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(unsuitable("it is empty"));
        }
        Ok(Secret::new(text.to_owned()))
    }

    /// Opens first and asks the open file for its mode, so that the file that
    /// was checked is the file that is read.
    fn open(&self) -> Result<File, SecretFileError> {
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => SecretFileError::Missing(self.0.clone()),
            _ => SecretFileError::Unreadable(self.0.clone(), error),
        };
        let file = File::open(&self.0).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(SecretFileError::Unsuitable(self.0.clone(), "it is not a plain file"));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        // The group may read: that is how root gives a file to a service.
        if mode & 0o027 != 0 {
            return Err(SecretFileError::Exposed(self.0.clone(), mode));
        }
        Ok(file)
    }
}

impl Value for SecretFile {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        text(raw, "the path of a file in quotes").map(Self::new)
    }
}

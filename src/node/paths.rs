//! Where the appliance keeps things. The image's units and rules name the same
//! paths (`appliance/tree`).

use std::path::{Path, PathBuf};

/// The directories of a node, all below one root so that a test can have its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Paths {
    /// The same layout below another directory.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// An absolute path of the appliance, below the root.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What the node keeps, readable by root only where it is secret: the
    /// operator's answers, host name, host keys, update files being installed.
    pub fn state(&self) -> PathBuf {
        self.at("/var/lib/palisade-node")
    }

    /// What is rendered at every boot, and the daemon's socket.
    pub fn run(&self) -> PathBuf {
        self.at("/run/palisade-node")
    }

    /// The data directory of the management plane, owned by the user `palisade`.
    pub fn data(&self) -> PathBuf {
        self.at("/var/lib/palisade")
    }

    /// The settings of `palisade serve`, rendered at every boot.
    pub fn serve_settings(&self) -> PathBuf {
        self.run().join("serve.toml")
    }

    /// The node daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.run().join("node.sock")
    }

    /// Part of the image: keys that may sign updates, and the image's own facts.
    pub fn image(&self) -> PathBuf {
        self.at("/usr/lib/palisade")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_the_same_layout_below_its_own_root() {
        assert_eq!(Paths::default().socket(), Path::new("/run/palisade-node/node.sock"));
        let paths = Paths::below("/tmp/node");
        assert_eq!(paths.state(), Path::new("/tmp/node/var/lib/palisade-node"));
        assert_eq!(paths.at("etc/x"), Path::new("/tmp/node/etc/x"));
    }
}

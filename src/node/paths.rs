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

    /// The layout to which this data directory of a management plane belongs;
    /// nothing when it is that of no appliance.
    pub fn of_appliance(data_dir: &Path) -> Option<Self> {
        let root = data_dir.parent()?.parent()?.parent()?;
        let paths = Self::below(root);
        (paths.data() == data_dir).then_some(paths)
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
        assert_eq!(Paths::of_appliance(&paths.data()), Some(paths));
        assert_eq!(Paths::of_appliance(Path::new("/var/lib/palisade")), Some(Paths::default()));
        assert_eq!(Paths::of_appliance(Path::new("/srv/palisade")), None);
    }
}

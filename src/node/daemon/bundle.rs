//! A support bundle that stays on the disk: for a person at the screen, when
//! the pages of the appliance cannot be reached.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{Context, doctor};
use crate::{
    error::{Error, Result},
    node::protocol::{KeepBundle, KeptBundle},
};

/// Older bundles make room for a new one.
const KEPT: usize = 2;

/// Makes a bundle in the node's own directory.
pub(super) async fn make(context: &Context, _ask: KeepBundle) -> Result<KeptBundle> {
    let directory = context.paths().state().join("support");
    let now = context.clock().now().to_string();
    let time: String = now.chars().take(19).filter(char::is_ascii_digit).collect();
    let path = directory.join(format!("palisade-support-{time}.tar"));
    make_room(&directory).map_err(|error| unwritable(&directory, error))?;
    context.progress("Collecting", None);
    let out = format!("--out={}", path.display());
    doctor::outside(context, &["support-bundle", &out]).await?.or_failure("Collecting")?;
    let size = fs::metadata(&path).map_err(|error| unwritable(&path, error))?.len();
    Ok(KeptBundle { path: path.display().to_string(), size })
}

fn make_room(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let entries = fs::read_dir(directory)?;
    let mut bundles: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // Their names say when they were made.
    bundles.sort();
    let superfluous = bundles.len().saturating_sub(KEPT - 1);
    bundles.iter().take(superfluous).try_for_each(fs::remove_file)
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("{} cannot be written.", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bundles_make_room() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("support");
        make_room(&directory).expect("made");
        for time in ["20261122", "20261123", "20261124"] {
            fs::write(directory.join(format!("palisade-support-{time}.tar")), "").expect("written");
        }
        make_room(&directory).expect("there is room");
        let left: Vec<_> = fs::read_dir(&directory).expect("there").collect();
        assert_eq!(left.len(), 1);
        assert!(directory.join("palisade-support-20261124.tar").exists());
    }
}

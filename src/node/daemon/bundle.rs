//! Support bundles: one that the console keeps on disk, and one that a page
//! takes away in parts. Our own program makes them, which knows what must not be
//! in one, outside of this daemon's sandbox.

use std::{
    fs::{self, Permissions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use super::{Context, doctor::outside};
use crate::{
    clock::random_bytes,
    error::{Error, Result},
    files::{self, PRIVATE},
    node::protocol::{Bundle, BundleBytes, BundleMade, BundlePart, KeepBundle, SupportBundle},
};

/// Older bundles make room for a new one.
const KEPT: usize = 2;
/// Bytes of one part.
const PART: u64 = 1024 * 1024;

/// Makes a bundle in the node's own directory, from where the operator takes it
/// over SSH: it has no secrets, and he no other way when the pages do not answer.
pub(super) async fn keep(context: &Context, _ask: KeepBundle) -> Result<Bundle> {
    let directory = context.paths().state().join("support");
    let now = context.clock().now().to_string();
    let time: String = now.chars().take(19).filter(char::is_ascii_digit).collect();
    let path = directory.join(format!("palisade-support-{time}.tar"));
    make_room(&directory).map_err(|error| unwritable(&directory, error))?;
    context.progress("Collecting", None);
    let out = format!("--out={}", path.display());
    outside(context, &["support-bundle", &out]).await?.or_failure("Collecting")?;
    let size = fs::metadata(&path).map_err(|error| unwritable(&path, error))?.len();
    for (place, mode) in [(&directory, 0o750), (&path, 0o640)] {
        share(place, context.node.accounts.group, mode)
            .map_err(|error| unwritable(place, error))?;
    }
    Ok(Bundle { path: path.display().to_string(), size })
}

/// Lets the group of the node's socket read it.
fn share(path: &Path, group: Option<u32>, mode: u32) -> io::Result<()> {
    if let Some(group) = group {
        chown(path, None, Some(group))?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn make_room(directory: &Path) -> io::Result<()> {
    files::make_directory(directory, 0o700)?;
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

fn place(context: &Context) -> PathBuf {
    context.paths().run().join("support")
}

/// Makes a support bundle, which replaces the one before.
pub(super) async fn make(context: &Context, ask: SupportBundle) -> Result<BundleMade> {
    let place = place(context);
    if place.exists() {
        fs::remove_dir_all(&place).map_err(Error::internal)?;
    }
    let random: [u8; 16] = random_bytes(&**context.random());
    let id = data_encoding::HEXLOWER.encode(&random);
    let (file, extra) = (bundle_file(&place, &id), place.join("extra.json"));
    let text = serde_json::to_vec(&ask.extra).map_err(Error::internal)?;
    files::replace(&extra, &text, PRIVATE).map_err(Error::internal)?;
    let (out, from) = (format!("--out={}", file.display()), format!("--extra={}", extra.display()));
    let output = outside(context, &["support-bundle", out.as_str(), from.as_str()]).await?;
    let Ok(made) = fs::metadata(&file) else {
        return Err(output
            .or_failure("Making the support bundle")
            .err()
            .unwrap_or_else(|| Error::internal("the support bundle is not where it should be")));
    };
    Ok(BundleMade { id, size: made.len() })
}

/// Some bytes of a support bundle. With the last of them it is removed.
pub(super) fn part(context: &Context, ask: &BundlePart) -> Result<BundleBytes> {
    let is_id = ask.id.len() == 32 && ask.id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = bundle_file(&place(context), &ask.id);
    let gone = || Error::not_found("support bundle");
    let mut file =
        if is_id { fs::File::open(&path).map_err(|_| gone())? } else { return Err(gone()) };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(ask.offset)).map_err(Error::internal)?;
    let length =
        Read::by_ref(&mut file).take(PART).read_to_end(&mut bytes).map_err(Error::internal)? as u64;
    let size = file.metadata().map_err(Error::internal)?.len();
    if ask.offset.saturating_add(length) >= size {
        // It lies in memory; whoever wants another asks for another.
        fs::remove_file(&path).map_err(Error::internal)?;
    }
    Ok(BundleBytes { base64: data_encoding::BASE64.encode(&bytes) })
}

fn bundle_file(place: &Path, id: &str) -> PathBuf {
    place.join(format!("{id}.tar"))
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

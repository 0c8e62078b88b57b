//! Files that a power cut cannot leave half written.
//!
//! Owns: writing a file as one step, reading one that may not be there, and
//! whose a new file is.
//! Must not know: what is in them.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

/// Readable by its owner alone.
pub const PRIVATE: u32 = 0o600;
/// Readable by everybody.
pub const PUBLIC: u32 = 0o644;
/// No file that is read whole is larger; more is a mistake or an attack.
const MOST_BYTES: u64 = 1024 * 1024;

/// Replaces `path` by `content` as one step: a crash leaves the old file or the
/// new one. When this returns the new one survives a power cut. The directory
/// above is made when it is missing, for its owner alone if the file is.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_for(None, path, content, mode)
}

/// The same for another user and group, who never sees a file that is not his.
pub fn replace_for(
    owner: Option<(u32, u32)>,
    path: &Path,
    content: &[u8],
    mode: u32,
) -> io::Result<()> {
    let directory = match path.parent() {
        // The parent of a bare name means the working directory.
        Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
        None => return Err(io::Error::other("a file without a directory")),
    };
    make_directory(directory, if mode == PRIVATE { 0o700 } else { 0o755 })?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = directory.join(name);
    step()?;
    remove(&staged)?;
    step()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&staged)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    step()?;
    file.write_all(content)?;
    step()?;
    file.sync_all()?;
    step()?;
    fs::rename(&staged, path)?;
    step()?;
    sync_directory(directory)
}

/// Every step of writing a file passes here, so that a test can stop before any.
#[cfg(test)]
fn step() -> io::Result<()> {
    STEPS_LEFT.with(|left| match left.get() {
        0 => Err(io::Error::other("simulated power cut")),
        n => {
            left.set(n - 1);
            Ok(())
        }
    })
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests can make it fail")]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
thread_local! {
    static STEPS_LEFT: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

/// Makes this thread's writing fail after so many steps, and all further ones.
#[cfg(test)]
pub(crate) fn fail_after(steps: usize) {
    STEPS_LEFT.with(|left| left.set(steps));
}

/// The same, unless that is what the file has already. Answers whether it was
/// written.
pub fn renew(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    let same = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o777 == mode => {
            read(path)?.is_some_and(|found| found == content)
        }
        _ => false,
    };
    if !same {
        replace(path, content, mode)?;
    }
    Ok(!same)
}

/// What is in a file; nothing when it is not there.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("the file is far too large"));
    }
    Ok(Some(content))
}

/// The text of a file; nothing when it is not there.
pub fn read_text(path: &Path) -> io::Result<Option<String>> {
    let Some(content) = read(path)? else { return Ok(None) };
    String::from_utf8(content).map(Some).map_err(io::Error::other)
}

/// Removes a file if it is there. Answers whether it was.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a directory and those above it; one that is there stays as it is. The
/// mode is that of the last one whatever the umask; everybody may look into the others.
pub fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_directory(above, 0o755)?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
    }
}

/// Gives a file or directory that was just made to whoever owns `directory`: a
/// command that runs as root must not leave what the service cannot open.
pub fn give_to_owner(made: &File, directory: &Path) -> io::Result<()> {
    let wanted = fs::symlink_metadata(directory)?;
    if made.metadata()?.uid() != wanted.uid() {
        fchown(made, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    Ok(())
}

/// Whether it failed because the disk, or our share of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes what happened in a directory survive a power cut.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_with_its_mode() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("secrets/answers.json");
        replace(&path, b"old", PUBLIC).expect("written");
        fs::write(path.with_file_name("answers.json.new"), "left by a power cut").expect("left");
        replace(&path, b"new", PRIVATE).expect("written");
        assert_eq!(read_text(&path).expect("read").as_deref(), Some("new"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, PRIVATE);
        assert_eq!(fs::read_dir(path.parent().expect("a directory")).expect("listed").count(), 1);
    }

    #[test]
    fn a_power_cut_before_any_step_leaves_the_old_file_or_the_new_one() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("answers.json");
        for steps in 0.. {
            replace(&path, b"old", PRIVATE).expect("written");
            fail_after(steps);
            let outcome = replace(&path, b"new", PRIVATE);
            fail_after(usize::MAX);
            let found = read_text(&path).expect("read").expect("there");
            if outcome.is_ok() {
                assert_eq!(found, "new");
                assert!(steps >= 5, "only {steps} steps");
                break;
            }
            assert!(found == "old" || found == "new", "{found}");
            replace(&path, b"old", PRIVATE).expect("what is left over is in nobody's way");
        }
    }

    #[test]
    fn a_file_that_is_right_already_is_not_written_again() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("hosts");
        assert!(renew(&path, b"one", PUBLIC).expect("written"));
        assert!(!renew(&path, b"one", PUBLIC).expect("looked at"));
        assert!(renew(&path, b"two", PUBLIC).expect("written"));
        assert!(renew(&path, b"two", PRIVATE).expect("another mode"));
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let home = tempfile::tempdir().expect("a directory");
        let (target, link) = (home.path().join("target"), home.path().join("link"));
        fs::write(&target, "untouched").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("linked");
        replace(&link, b"new", PRIVATE).expect("written");
        assert_eq!(fs::read_to_string(&target).expect("read"), "untouched");
        assert_eq!(read(&link).expect("read").as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn a_new_file_goes_to_the_owner_of_its_directory() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("file");
        let file = File::create(&path).expect("made");
        give_to_owner(&file, home.path()).expect("it is ours");
        // Only root can give anything away.
        if std::os::unix::fs::chown(home.path(), Some(12_345), Some(54_321)).is_ok() {
            give_to_owner(&file, home.path()).expect("given away");
            let found = fs::metadata(&path).expect("there");
            assert_eq!((found.uid(), found.gid()), (12_345, 54_321));
        }
    }

    #[test]
    fn a_full_disk_and_a_full_quota_are_full() {
        for (kind, full) in [
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::QuotaExceeded, true),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            assert_eq!(is_full(&io::Error::from(kind)), full, "{kind}");
        }
    }
}

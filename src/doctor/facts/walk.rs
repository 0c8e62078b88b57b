//! A walk through the file systems for files that need a reason.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::Walk;
use crate::doctor::Machine;

/// Where files can be that anybody put there.
const PLACES: &[&str] = &["/etc", "/usr", "/var", "/run", "/tmp", "/dev/shm", "/boot", "/efi"];

/// The most files that are looked at.
const MOST: usize = 1_000_000;

/// Looks at every file; `users` and `groups` are those that exist.
pub(super) fn walk(
    machine: &Machine,
    users: &BTreeSet<u32>,
    groups: &BTreeSet<u32>,
) -> Result<Walk, String> {
    let mut found = Walk::default();
    let root = machine.at("/");
    let mut waiting: Vec<PathBuf> = PLACES.iter().map(|place| machine.at(place)).collect();
    let mut looked = 0;
    while let Some(path) = waiting.pop() {
        // What vanished meanwhile needs no reason.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        looked += 1;
        if looked > MOST {
            return Err(format!("there are more than {MOST} files"));
        }
        let kind = metadata.file_type();
        let name =
            || Path::new("/").join(path.strip_prefix(&root).unwrap_or(&path)).display().to_string();
        if !users.contains(&metadata.uid()) || !groups.contains(&metadata.gid()) {
            found.unowned.push(name());
        }
        if kind.is_symlink() || kind.is_socket() || kind.is_fifo() {
            continue;
        }
        let mode = metadata.mode() & 0o7777;
        let sticky = kind.is_dir() && mode & 0o1000 != 0;
        if (kind.is_file() || kind.is_dir()) && mode & 0o002 != 0 && !sticky {
            found.world_writable.push(name());
        }
        if kind.is_file() && mode & 0o6000 != 0 {
            found.setuid.push(name());
        }
        if kind.is_file() && mode & 0o111 != 0 && is_capable(&path) {
            found.capable.push(name());
        }
        if kind.is_dir() {
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{} cannot be read: {error}", name())),
            };
            waiting.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
        }
    }
    for list in
        [&mut found.world_writable, &mut found.unowned, &mut found.setuid, &mut found.capable]
    {
        list.sort_unstable();
    }
    Ok(found)
}

fn is_capable(path: &Path) -> bool {
    let mut value = [0_u8; 64];
    rustix::fs::lgetxattr(path, "security.capability", &mut value).is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_walk_finds_what_needs_a_reason_and_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        let put = |path: &str, mode: u32| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(&path, "x").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        };
        put("usr/bin/plain", 0o755);
        put("usr/bin/su", 0o4755);
        put("var/open", 0o666);
        put("tmp/file", 0o600);
        fs::set_permissions(root.path().join("tmp"), fs::Permissions::from_mode(0o1777))
            .expect("set");
        std::os::unix::fs::symlink("nowhere", root.path().join("var/link")).expect("linked");
        let me = fs::metadata(root.path()).expect("there");
        let ids = |id| BTreeSet::from([id]);
        let machine = Machine::below(root.path());
        let found = walk(&machine, &ids(me.uid()), &ids(me.gid())).expect("walked");
        assert_eq!(found.setuid, ["/usr/bin/su"]);
        assert_eq!(found.world_writable, ["/var/open"]);
        assert!(found.unowned.is_empty() && found.capable.is_empty(), "{found:?}");
        let found = walk(&machine, &ids(me.uid() + 1), &ids(me.gid())).expect("walked");
        assert!(found.unowned.contains(&"/tmp/file".to_owned()));
    }
}

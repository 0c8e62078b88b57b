//! The daemon's socket.
//!
//! A socket is reachable from the moment it is bound, with the rights that the
//! process' mask leaves. So it is bound in a directory that only we can enter,
//! gets its rights there, and is then put in its place in one step, which also
//! replaces the one of a daemon that died.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::Path,
};

use tokio::net::UnixListener;

use crate::error::{Error, Kind, Result};

/// Listens at `path`, for root and the members of `group` only. `Unavailable`
/// when that is not possible.
pub(super) fn listen(path: &Path, group: Option<u32>) -> Result<UnixListener> {
    bind(path, group).map_err(|error| {
        let message = format!("The node's socket {} cannot be made: {error}.", path.display());
        Error::new(Kind::Unavailable, "node-socket", message)
    })
}

fn bind(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    let beside = path.with_extension("new");
    match fs::remove_dir_all(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    DirBuilder::new().mode(0o700).create(&beside)?;
    let made = beside.join("sock");
    let listener = UnixListener::bind(&made)?;
    if let Some(group) = group {
        chown(&made, None, Some(group))?;
    }
    fs::set_permissions(&made, Permissions::from_mode(0o660))?;
    fs::rename(&made, path)?;
    fs::remove_dir(&beside)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use super::*;

    #[tokio::test]
    async fn the_socket_is_for_its_owner_and_group_and_replaces_a_dead_one() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("run/node.sock");
        let group = fs::metadata(place.path()).expect("there").gid();
        drop(listen(&path, Some(group)).expect("made"));
        let listener = listen(&path, Some(group)).expect("made again");
        let about = fs::metadata(&path).expect("there");
        assert!(about.file_type().is_socket());
        assert_eq!(about.permissions().mode() & 0o7777, 0o660);
        let (client, accepted) =
            tokio::join!(tokio::net::UnixStream::connect(&path), listener.accept());
        client.expect("connected");
        accepted.expect("accepted");
        let left: Vec<_> = fs::read_dir(path.parent().expect("run")).expect("there").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

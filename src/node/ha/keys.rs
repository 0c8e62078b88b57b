//! The certificates of a node on its disk, each where its reader finds it.
//!
//! Owns: which program gets which of them, and who may read them.
//! Must not know: who has issued them, or when they are replaced.
//!
//! Each program runs as a user of its own and has a directory that nobody else
//! may enter. Nothing is written in place, so a program that looks meanwhile
//! finds the old certificate or the new one.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use super::{
    join::Credential,
    render::{KeyReader, keys},
};
use crate::{
    files::{self, PRIVATE},
    node::{accounts, paths::Paths},
};

/// The name of the node's own certificate among those of its users.
pub const NODE: &str = "node";

impl KeyReader {
    const ALL: [Self; 3] = [Self::Etcd, Self::Postgres, Self::Palisade];

    /// The user as whom the program runs.
    const fn account(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Postgres => "postgres",
            Self::Palisade => "palisade",
        }
    }

    /// Whether the program needs the certificate of this name.
    fn needs(self, name: &str) -> bool {
        name == NODE
            || match self {
                Self::Etcd => false,
                Self::Postgres => ["postgres", "replicator", "rewind"].contains(&name),
                Self::Palisade => name == "palisade",
            }
    }
}

/// Keeps them. The key is there before the certificate is exchanged.
pub fn store(paths: &Paths, authority_pem: &str, credentials: &[Credential]) -> io::Result<()> {
    for reader in KeyReader::ALL {
        let account = reader.account();
        let owner = accounts::user(paths, account).ok_or_else(|| {
            io::Error::other(format!("this machine has no user {account}, as whom an engine runs"))
        })?;
        let own = keys(paths, reader, NODE);
        let directory = own.key.parent().unwrap_or(Path::new("/"));
        enter(directory, owner)?;
        let write = |path: &Path, text: &str| {
            files::replace_for(Some(owner), path, text.as_bytes(), PRIVATE)
        };
        write(&own.authority, authority_pem)?;
        for credential in credentials.iter().filter(|it| reader.needs(&it.name)) {
            let keys = keys(paths, reader, &credential.name);
            write(&keys.key, credential.key_pem.expose())?;
            write(&keys.certificate, &credential.certificate_pem)?;
        }
    }
    Ok(())
}

/// Forgets all of them.
pub fn forget(paths: &Paths) -> io::Result<()> {
    let own = keys(paths, KeyReader::Etcd, NODE);
    let Some(all) = own.key.parent().and_then(Path::parent) else { return Ok(()) };
    match fs::remove_dir_all(all) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A directory for one user, below one that everybody may pass.
fn enter(directory: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    if let Some(above) = directory.parent() {
        files::make_directory(above, 0o711)?;
    }
    files::make_directory(directory, 0o700)?;
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    chown(directory, Some(user), Some(group))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn every_program_gets_what_it_needs_in_a_directory_of_its_own() {
        let home = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(home.path());
        fs::create_dir_all(paths.at("/etc")).expect("made");
        let own = fs::metadata(home.path()).expect("there");
        let line = |name: &str| format!("{name}:x:{}:{}::/:\n", own.uid(), own.gid());
        let users = ["etcd", "postgres"].map(line).concat();
        fs::write(paths.at("/etc/passwd"), &users).expect("written");
        let credential = |name: &str| Credential {
            name: name.to_owned(),
            certificate_pem: format!("certificate of {name}"),
            key_pem: Secret::new(format!("key of {name}")),
        };
        let credentials: Vec<_> =
            ["node", "postgres", "replicator", "rewind", "palisade"].map(credential).into();
        let error = store(&paths, "the authority", &credentials).expect_err("a user is missing");
        assert!(error.to_string().contains("no user palisade"), "{error}");
        fs::write(paths.at("/etc/passwd"), users + &line("palisade")).expect("written");
        store(&paths, "the authority", &credentials).expect("kept");
        for (reader, names) in [
            (KeyReader::Etcd, &["node"][..]),
            (KeyReader::Postgres, &["node", "postgres", "replicator", "rewind"]),
            (KeyReader::Palisade, &["node", "palisade"]),
        ] {
            let directory = keys(&paths, reader, NODE).key.parent().expect("one").to_owned();
            assert_eq!(fs::metadata(&directory).expect("there").mode() & 0o777, 0o700);
            let mut found: Vec<_> = fs::read_dir(&directory)
                .expect("read")
                .map(|entry| entry.expect("one").file_name().into_string().expect("a name"))
                .filter_map(|name| name.strip_suffix(".key").map(str::to_owned))
                .collect();
            found.sort();
            assert_eq!(found, names, "{reader:?}");
            for name in names {
                let keys = keys(&paths, reader, name);
                let mode = fs::metadata(&keys.key).expect("there").mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", keys.key.display());
            }
        }
        forget(&paths).expect("forgotten");
        assert!(!keys(&paths, KeyReader::Etcd, NODE).key.exists());
    }
}

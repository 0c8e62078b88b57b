//! What becoming and ceasing to be a member changes on the disk of a node.
//!
//! Owns: the files of other users: certificates, the keystore, the data of the
//! engines. It runs as root outside of the daemon's sandbox.
//! Must not know: why it is done, or how services are started and stopped.
//!
//! Each piece of work can be done again from its beginning.

use std::{
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, Serializer};

use super::{
    join::{self, Credential},
    keys,
    members::NodeName,
    place::{Common, Place},
};
use crate::{
    files::{self, PRIVATE},
    keystore::crypto,
    node::{accounts, paths::Paths},
    secret::Secret,
};

/// The user of the management plane.
const MANAGEMENT_PLANE: &str = "palisade";
/// The files of a keystore that a node hands over.
const KEYSTORE: [&str; 2] = ["keystore.json", "seal.key"];

/// One piece of work, as it is told on standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Work {
    /// Keep certificates, and with a place become a member.
    Settle {
        /// The certificates.
        certificates: Certificates,
        /// The node's place, when that is new.
        place: Option<Settled>,
        /// The keystore of the cluster, when this node did not found it. Its own data go aside.
        keystore: Option<Packed>,
    },
    /// Forget what the engines have. They must be stopped, and have served nobody.
    DiscardEngines,
    /// Be no member any more.
    Leave,
}

/// The place of a node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Settled {
    /// What it is called.
    pub own: NodeName,
    /// What it has in common with the others.
    pub common: Common,
}

/// The certificates of a node and of the users of its engines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    /// The certificate of the internal CA.
    pub authority_pem: String,
    /// The node's own and those of its users.
    pub credentials: Vec<Written>,
    /// The fingerprint of the node's own.
    pub fingerprint: String,
}

/// A certificate with its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// Whose.
    pub name: String,
    /// The certificate.
    pub certificate_pem: String,
    /// Its key.
    #[serde(serialize_with = "exposed")]
    pub key_pem: Secret<String>,
}

/// The files of a keystore, as text.
#[derive(Debug, Serialize, Deserialize)]
pub struct Packed(#[serde(serialize_with = "exposed")] Secret<String>);

fn exposed<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

impl From<Credential> for Written {
    fn from(credential: Credential) -> Self {
        let Credential { name, certificate_pem, key_pem } = credential;
        Self { name, certificate_pem, key_pem }
    }
}

impl From<Written> for Credential {
    fn from(written: Written) -> Self {
        let Written { name, certificate_pem, key_pem } = written;
        Self { name, certificate_pem, key_pem }
    }
}

impl Packed {
    /// Of the bytes that another node has handed over.
    pub fn new(bytes: &Secret<Vec<u8>>) -> Self {
        Self(Secret::new(data_encoding::BASE64.encode(bytes.expose())))
    }
}

/// The keystore of this node, to be handed over: its sealed file, and the key
/// beside it when it has one. A node that joins opens it in the same way.
pub fn pack_keystore(paths: &Paths) -> io::Result<Secret<Vec<u8>>> {
    let directory = keystore(paths);
    let read = |name: &str| files::read(&directory.join(name));
    let sealed = read(KEYSTORE[0])?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "this node has no keystore yet"))?;
    let key = zeroize::Zeroizing::new(read(KEYSTORE[1])?.unwrap_or_default());
    Ok(Secret::new(crypto::encode(&[&sealed, &key])))
}

/// Does it.
pub fn carry_out(paths: &Paths, work: Work) -> io::Result<()> {
    match work {
        Work::Settle { certificates, place, keystore } => {
            if let Some(Packed(packed)) = keystore {
                take_keystore(paths, &packed)?;
            }
            let Certificates { authority_pem, credentials, .. } = certificates;
            let credentials: Vec<_> = credentials.into_iter().map(Credential::from).collect();
            keys::store(paths, &authority_pem, &credentials)?;
            let Some(Settled { own, common }) = place else { return Ok(()) };
            let place = Place::of(own, common).map_err(io::Error::other)?;
            place.save(paths).map_err(io::Error::other)
        }
        Work::DiscardEngines => discard(paths),
        Work::Leave => {
            discard(paths)?;
            // What it has without the cluster is old, or a keystore without its data.
            set_aside(paths, &paths.data(), "after-leaving")?;
            make_data(paths)?;
            keys::forget(paths)?;
            remove_directory(&paths.run().join("cluster"))?;
            Place::forget(paths).map_err(io::Error::other)
        }
    }
}

/// Where the data of the engines are.
fn engines(paths: &Paths) -> [PathBuf; 2] {
    [paths.at("/var/lib/etcd/palisade"), paths.at("/var/lib/postgresql/palisade")]
}

fn discard(paths: &Paths) -> io::Result<()> {
    engines(paths).iter().try_for_each(|directory| remove_directory(directory))
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn keystore(paths: &Paths) -> PathBuf {
    paths.data().join("keys")
}

/// Puts what this node had aside, and the cluster's keystore in its place.
fn take_keystore(paths: &Paths, packed: &Secret<String>) -> io::Result<()> {
    let broken = || io::Error::other("the keystore that was handed over is damaged");
    let bytes = data_encoding::BASE64.decode(packed.expose().as_bytes()).map_err(|_| broken())?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let parts = join::parts(&bytes).ok_or_else(broken)?;
    let [sealed, key] = parts[..] else { return Err(broken()) };
    set_aside(paths, &paths.data(), "before-joining")?;
    let owner = make_data(paths)?;
    files::make_directory(&keystore(paths), 0o700)?;
    chown(keystore(paths), Some(owner.0), Some(owner.1))?;
    let write = |name: &str, content: &[u8]| {
        files::replace_for(Some(owner), &keystore(paths).join(name), content, PRIVATE)
    };
    if !key.is_empty() {
        write(KEYSTORE[1], key)?;
    }
    write(KEYSTORE[0], sealed)
}

/// An empty directory for the management plane. Answers whose it is.
fn make_data(paths: &Paths) -> io::Result<(u32, u32)> {
    let owner = accounts::user(paths, MANAGEMENT_PLANE)
        .ok_or_else(|| io::Error::other("this machine has no user palisade"))?;
    files::make_directory(&paths.data(), 0o700)?;
    chown(paths.data(), Some(owner.0), Some(owner.1))?;
    Ok(owner)
}

/// What a node had is not deleted: somebody may want it back.
fn set_aside(paths: &Paths, data: &Path, name: &str) -> io::Result<()> {
    let aside = paths.state().join(name);
    remove_directory(&aside)?;
    match fs::rename(data, &aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::node::ha::{
        members::tests::{cluster, name},
        place::Phase,
    };

    fn node() -> (tempfile::TempDir, Paths) {
        let home = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(home.path());
        fs::create_dir_all(paths.at("/etc")).expect("made");
        let own = fs::metadata(home.path()).expect("there");
        let line = |name: &str| format!("{name}:x:{}:{}::/:\n", own.uid(), own.gid());
        let users = ["etcd", "postgres", "palisade"].map(line).concat();
        fs::write(paths.at("/etc/passwd"), users).expect("written");
        (home, paths)
    }

    fn certificates() -> Certificates {
        let written = |name: &str| Written {
            name: name.to_owned(),
            certificate_pem: format!("certificate of {name}"),
            key_pem: Secret::new(format!("key of {name}")),
        };
        Certificates {
            authority_pem: "authority".to_owned(),
            credentials: ["node", "palisade"].map(written).into(),
            fingerprint: "AA".to_owned(),
        }
    }

    fn common() -> Common {
        let members = cluster(2);
        Common { epoch: 1, phase: Phase::Forming, virtual_address: None, members }
    }

    #[test]
    fn a_node_that_joins_has_the_keystore_of_the_first_one_and_its_own_data_go_aside() {
        let ((_first_home, first), (_home, second)) = (node(), node());
        files::replace(&keystore(&first).join("keystore.json"), b"sealed", PRIVATE).expect("there");
        files::replace(&keystore(&first).join("seal.key"), b"key", PRIVATE).expect("there");
        let packed = pack_keystore(&first).expect("packed");
        files::replace(&second.data().join("setup-code"), b"code", PRIVATE).expect("there");
        let settled = || Settled { own: name("n2"), common: common() };
        for _ in 0..2 {
            let work = Work::Settle {
                certificates: certificates(),
                place: Some(settled()),
                keystore: Some(Packed::new(&packed)),
            };
            // As it goes from one process to the other.
            let text = serde_json::to_string(&work).expect("text");
            let work = serde_json::from_str(&text).expect("read");
            carry_out(&second, work).expect("done");
        }
        let read = |path: PathBuf| files::read_text(&path).expect("read").expect("there");
        assert_eq!(read(keystore(&second).join("keystore.json")), "sealed");
        assert_eq!(read(keystore(&second).join("seal.key")), "key");
        assert!(!second.data().join("setup-code").exists());
        let place = Place::load(&second).expect("read").expect("a place");
        assert_eq!(place.common(), common());

        carry_out(&second, Work::Leave).expect("done");
        assert_eq!(Place::load(&second).expect("read"), None);
        assert_eq!(fs::read_dir(second.data()).expect("there").count(), 0, "a fresh node");
    }

    #[test]
    fn a_keystore_that_is_cut_is_refused_before_anything_goes_aside() {
        let (_home, paths) = node();
        files::replace(&paths.data().join("setup-code"), b"code", PRIVATE).expect("there");
        let whole = crypto::encode(&[b"sealed", b"key"]);
        for length in 0..whole.len() {
            let keystore = Some(Packed::new(&Secret::new(whole[..length].to_vec())));
            let work = Work::Settle { certificates: certificates(), place: None, keystore };
            carry_out(&paths, work).expect_err("refused");
        }
        assert!(paths.data().join("setup-code").exists());
    }

    #[test]
    fn without_a_keystore_there_is_nothing_to_hand_over() {
        let (_home, paths) = node();
        let error = pack_keystore(&paths).expect_err("none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

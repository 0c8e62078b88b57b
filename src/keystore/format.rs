//! The sealed file: what lies on disk, in the database and in backups.
//!
//! Owns: the form of `keystore.json`, the data key that seals its payload and
//! the two slots that hold the data key: one for the seal, one for the kit.
//! Must not know: which secrets the payload holds, or where seal keys come from.

use serde::{Deserialize, Serialize};

use super::{
    crypto::{self, Key},
    fault::Fault,
    names::InstallationId,
    text::Blob,
};
use crate::{
    clock::{Random, Timestamp},
    secret::Secret,
};

/// The format that this release writes, and the newest one that it reads.
const VERSION: u32 = 1;
const FORMAT: &str = "palisade-keystore";

/// The sealed file. Nothing in it is secret without one of its keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SealedFile {
    format: String,
    version: u32,
    pub(super) installation: InstallationId,
    pub(super) created_at: Timestamp,
    /// Counts the changes, so that an older copy is known for what it is.
    pub(super) generation: u64,
    pub(super) seal: SealSlot,
    pub(super) recovery: RecoverySlot,
    payload: Blob,
    /// SHA-256 of all the rest. It tells damage from a wrong passphrase and
    /// protects nothing: all other fields are bound into the payload.
    checksum: Blob,
}

/// The data key under the seal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum SealSlot {
    /// Under a key of 32 bytes, from a file or from systemd.
    Unattended { wrapped: Blob },
    /// Under a key that argon2id derives from a passphrase.
    Passphrase { stretch: Stretch, wrapped: Blob },
}

/// How a passphrase becomes a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Stretch {
    pub(super) salt: Blob,
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

/// The data key under the newest recovery kit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RecoverySlot {
    pub(super) number: String,
    pub(super) created_at: Timestamp,
    pub(super) wrapped: Blob,
}

/// The name of a slot, bound into what it holds.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Unattended,
    Passphrase,
    Recovery,
}

impl SealedFile {
    /// A file that has no payload yet.
    pub(super) fn new(
        installation: InstallationId,
        created_at: Timestamp,
        seal: SealSlot,
        recovery: RecoverySlot,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            installation,
            created_at,
            generation: 0,
            seal,
            recovery,
            payload: Blob::default(),
            checksum: Blob::default(),
        }
    }

    /// Reads a file; nothing is opened yet.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Probe {
            format: String,
            version: u32,
        }
        let damaged = |_| Fault::Damaged("it does not have the form of a keystore");
        let probe: Probe = serde_json::from_slice(bytes).map_err(damaged)?;
        if probe.format != FORMAT {
            return Err(Fault::Damaged("it is no keystore"));
        }
        if probe.version > VERSION {
            return Err(Fault::Newer(probe.version));
        }
        let file: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        if file.version != VERSION || file.checksum.0 != file.sum() {
            return Err(Fault::Damaged("its checksum does not fit"));
        }
        Ok(file)
    }

    /// Seals a new payload into this file as its next generation; gives the bytes to store.
    pub(super) fn seal(&mut self, data_key: &Key, payload: &[u8], random: &dyn Random) -> Vec<u8> {
        self.generation += 1;
        let mut sealed = Vec::new();
        crypto::seal(&mut sealed, data_key, &self.bound(), payload, random);
        self.payload = Blob(sealed);
        self.checksum = Blob(self.sum());
        self.to_bytes()
    }

    /// Opens the payload; `None` unless the data key and every bound field match.
    pub(super) fn open(&self, data_key: &Key) -> Option<Secret<Vec<u8>>> {
        crypto::open(data_key, &self.bound(), &self.payload.0)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a plain structure is JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Everything beside the payload, so that nothing of it can be changed
    /// unnoticed. Bytes and not JSON: a new release may write numbers, times
    /// or white space in another way and must still open this.
    fn bound(&self) -> Vec<u8> {
        let seal = match &self.seal {
            SealSlot::Unattended { wrapped } => crypto::encode(&[b"unattended", &wrapped.0]),
            SealSlot::Passphrase { stretch, wrapped } => crypto::encode(&[
                b"passphrase",
                &wrapped.0,
                &stretch.salt.0,
                &stretch.memory_kib.to_be_bytes(),
                &stretch.passes.to_be_bytes(),
                &stretch.lanes.to_be_bytes(),
            ]),
        };
        let recovery = crypto::encode(&[
            self.recovery.number.as_bytes(),
            &self.recovery.created_at.as_micros().to_be_bytes(),
            &self.recovery.wrapped.0,
        ]);
        crypto::encode(&[
            b"palisade/keystore/payload",
            &self.version.to_be_bytes(),
            self.installation.as_bytes(),
            &self.created_at.as_micros().to_be_bytes(),
            &self.generation.to_be_bytes(),
            &seal,
            &recovery,
        ])
    }

    fn sum(&self) -> Vec<u8> {
        crypto::plain_digest(&crypto::encode(&[&self.bound(), &self.payload.0])).to_vec()
    }
}

/// The data key as it lies in a slot.
pub(super) fn wrap(
    slot: Slot,
    installation: InstallationId,
    key: &Key,
    data_key: &Key,
    random: &dyn Random,
) -> Blob {
    let mut wrapped = Vec::new();
    crypto::seal(&mut wrapped, key, &bound(slot, installation), data_key.expose(), random);
    Blob(wrapped)
}

/// The data key in a slot, if `key` opens it.
pub(super) fn unwrap(
    slot: Slot,
    installation: InstallationId,
    key: &Key,
    wrapped: &Blob,
) -> Option<Key> {
    crypto::open_array(key, &bound(slot, installation), &wrapped.0)
}

fn bound(slot: Slot, installation: InstallationId) -> Vec<u8> {
    let slot: &[u8] = match slot {
        Slot::Unattended => b"unattended",
        Slot::Passphrase => b"passphrase",
        Slot::Recovery => b"recovery",
    };
    crypto::encode(&[
        b"palisade/keystore/data-key",
        &VERSION.to_be_bytes(),
        installation.as_bytes(),
        slot,
    ])
}

#[cfg(test)]
impl SealedFile {
    /// The file that `json` describes, with a checksum that fits it.
    pub(super) fn with_fitting_checksum(json: &str) -> Vec<u8> {
        let mut file: Self = serde_json::from_str(json).expect("the form of a keystore");
        file.checksum = Blob(file.sum());
        file.to_bytes()
    }
}

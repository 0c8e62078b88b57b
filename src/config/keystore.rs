//! Settings of the keystore.

use std::path::PathBuf;

use super::{SecretFile, setting::section, value::choice};

choice! {
    /// How the keystore opens when the server starts.
    pub enum Seal {
        /// By itself, with a key that this machine holds.
        Unattended = "unattended",
        /// With a passphrase.
        Passphrase = "passphrase",
    }
}

section! {
    /// The keys of the installation.
    pub struct Keystore in "keystore";

    /// The directory of the sealed keys.
    dir: PathBuf as "./var/keys";
    /// `unattended` opens with a key that this machine holds; `passphrase` asks for one.
    seal: Seal = "unattended";
    /// A file with the passphrase, readable by nobody else. Without it the passphrase is asked for.
    passphrase_file: Option<SecretFile> as "/run/palisade/passphrase";
    /// The key of the unattended seal, readable by nobody else, e.g. a systemd credential.
    /// Without it a key is made next to the sealed keys, which protects copies of the
    /// database but not copies of the whole disk.
    seal_key_file: Option<SecretFile> as "/run/credentials/palisade.service/seal.key";
}

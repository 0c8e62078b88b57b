//! Updates of the image: what an update file is, who may have made it, how it
//! gets into the other slot, and what became of it.
//!
//! Owns: the file's format and signature, the checks before anything is
//! written, unpacking, systemd-sysupdate, the record of the last update, and
//! the mirror's index.
//! Must not know: who asked. The daemon and the command line call it.
//!
//! ```text
//! make -> archive + format + keys          on the machine that releases
//! mirror -> file                           when somebody asks for it
//! file -> verify -> admit -> unpack -> sysupdate -> record     (install)
//! record + boot entries -> state           what is said about it afterwards
//! ```
//!
//! A file is believed only as a whole: every byte of it is either signed, part
//! of a digest that is signed, or has one allowed value.

mod archive;
mod boot;
mod format;
mod install;
mod keep;
mod keys;
mod make;
mod mirror;
mod stage;
mod state;
mod system;
mod verify;

pub use format::{
    Artefact, DataFormat, INDEX, INDEX_SIGNATURE, Kind, MOST_FILE_BYTES, Manifest, file_name,
};
pub use install::{Job, Offer, Status, Updates, offered, uploads};
pub use keep::{Failure, Progress, Step};
pub use keys::{PublicKey, SecretKey, TrustedKeys};
pub use make::{Release, make};
pub use mirror::{Mirror, MirrorSettings, Newest};
pub use state::{Outcome, State, Verdict};
pub use verify::{Checked, Running, admit, inspect, verify};

#[cfg(test)]
mod tests;

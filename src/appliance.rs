//! The appliance itself, as system administrators run it: its server
//! certificate, its keys, the updates of its image and the health of its machine.
//!
//! Owns: which certificate is served and where it is kept, the rotation of
//! the installation's keys, and the update file that is uploaded.
//! Must not know: HTTP, or how a certificate is checked.

mod certificate;
mod health;
mod keys;
mod updates;

pub use certificate::{ServedCertificate, Source};
pub use health::{Bundle, Checks, Health};
pub use keys::{Keys, token_keys};
pub use updates::{InstallFrom, Updates, UpdatesNow};

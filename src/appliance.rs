//! The appliance itself, as system administrators run it: its server
//! certificate and its keys.
//!
//! Owns: which certificate is served and where it is kept, and the rotation of
//! the installation's keys.
//! Must not know: HTTP, or how a certificate is checked.

mod certificate;
mod keys;

pub use certificate::{ServedCertificate, Source};
pub use keys::{Keys, token_keys};

//! The appliance itself, as system administrators run it: its server
//! certificate and its keys.
//!
//! Owns: which certificate is served and where it is kept, the rotation of the
//! installation's keys, and the records of what was done on the machine itself.
//! Must not know: HTTP, or how a certificate is checked.

mod certificate;
mod keys;
mod records;

pub use certificate::{ServedCertificate, Source};
pub use keys::{Keys, token_keys};
pub use records::NodeRecords;

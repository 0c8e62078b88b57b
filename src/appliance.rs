//! The appliance itself, as system administrators run it: its server
//! certificate, its keys and the health of its machine.
//!
//! Owns: which certificate is served and where it is kept, the rotation of the
//! installation's keys, and the records of what was done on the machine itself.
//! Must not know: HTTP, or how a certificate is checked.

mod certificate;
mod health;
mod keys;
mod records;

pub use certificate::{ServedCertificate, Source};
pub use health::{Bundle, Checks, Health};
pub use keys::{Keys, token_keys};
pub use records::NodeRecords;

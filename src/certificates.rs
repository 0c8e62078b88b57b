//! The certificates of this installation and the TLS that uses them.
//!
//! Owns: issuing from the internal CA ([`InternalCa`]), checking what an
//! administrator imports ([`validate_import`]), the certificates by which the
//! nodes of a cluster know each other ([`NodeCertificate`]), what people read about a
//! certificate ([`CertificateInfo`]), and the TLS settings of the server, whose
//! certificate can be exchanged while connections are open
//! ([`CertificateStore`], [`server_config`]).
//! Must not know: where certificates are kept, or HTTP.
//!
//! Moments arrive as arguments; nothing here looks at the clock.

mod authority;
mod import;
mod info;
mod node;
mod pem;
mod server;
#[cfg(test)]
mod tests;
mod tls;

pub use authority::InternalCa;
pub use import::{ImportedCertificate, validate_import};
pub use info::{Alarm, CertificateInfo};
pub use node::{ClusterUser, NodeCertificate, Renewal};
pub use server::ServerCertificate;
pub use tls::{CertificateStore, server_config};

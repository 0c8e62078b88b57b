//! TLS of the HTTPS server.
//!
//! Owns: which versions and ciphers are spoken, and exchanging the certificate
//! while connections are open.
//! Must not know: what is served, or on which sockets.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    CipherSuite, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::server::ServerCertificate;
use crate::error::{Error, Result};

/// Authenticated encryption with forward secrecy, and nothing else.
const SUITES: [CipherSuite; 9] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// The certificate that new connections see. Open connections keep theirs.
#[derive(Debug)]
pub struct CertificateStore(ArcSwap<ServerCertificate>);

impl CertificateStore {
    /// Starts with `certificate`.
    pub fn new(certificate: ServerCertificate) -> Self {
        Self(ArcSwap::from_pointee(certificate))
    }

    /// Shows `certificate` to every connection from now on.
    pub fn swap(&self, certificate: ServerCertificate) {
        self.0.store(Arc::new(certificate));
    }

    /// The certificate that new connections see now.
    pub fn current(&self) -> Arc<ServerCertificate> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for CertificateStore {
    /// One certificate for everybody: a client that asks for another name, or
    /// for none, finds out by verifying it.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified())
    }
}

/// The crypto provider, reduced to [`SUITES`].
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| SUITES.contains(&suite.suite()));
    provider
}

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1. Sessions resume by tickets, whose
/// keys live in this process for some hours; early data is refused.
/// `Kind::Internal` when the crypto library cannot make a ticket key.
pub fn server_config(store: Arc<CertificateStore>) -> Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_cert_resolver(store);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(Error::internal)?;
    Ok(config)
}

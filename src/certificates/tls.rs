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
use crate::{
    bus::AGENT_ALPN,
    error::{Error, Result},
};

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

/// The certificates that new connections see. Open connections keep theirs.
///
/// Agents say by their protocol who they are and see a certificate of the
/// internal authority whatever people see: an administrator who imports another
/// certificate must not lose all clusters.
#[derive(Debug)]
pub struct CertificateStore {
    people: ArcSwap<ServerCertificate>,
    agents: ArcSwap<ServerCertificate>,
}

impl CertificateStore {
    /// Starts with `certificate` for everybody.
    pub fn new(certificate: ServerCertificate) -> Self {
        let certificate = Arc::new(certificate);
        Self { people: ArcSwap::new(Arc::clone(&certificate)), agents: ArcSwap::new(certificate) }
    }

    /// Shows `certificate` to people from now on.
    pub fn swap(&self, certificate: ServerCertificate) {
        self.people.store(Arc::new(certificate));
    }

    /// Shows `certificate` to agents from now on.
    pub fn swap_for_agents(&self, certificate: ServerCertificate) {
        self.agents.store(Arc::new(certificate));
    }

    /// The certificate that people see now.
    pub fn current(&self) -> Arc<ServerCertificate> {
        self.people.load_full()
    }

    /// The certificate that agents see now.
    pub fn for_agents(&self) -> Arc<ServerCertificate> {
        self.agents.load_full()
    }

    /// What an agent has to trust, in PEM: the authority of its certificate, and
    /// that of people's, which a load balancer in front may show to everybody.
    pub fn agent_anchors(&self) -> String {
        let (agents, people) = (self.for_agents(), self.current());
        if agents.anchor_pem() == people.anchor_pem() {
            return agents.anchor_pem().to_owned();
        }
        format!("{}\n{}", agents.anchor_pem().trim_end(), people.anchor_pem())
    }
}

impl ResolvesServerCert for CertificateStore {
    /// Whatever name is asked for: a client that wants another one finds out by
    /// verifying it.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let agent = hello.alpn().is_some_and(|mut offered| offered.any(|one| one == AGENT_ALPN));
        let slot = if agent { &self.agents } else { &self.people };
        Some(slot.load().certified())
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
    // Ours come first in the order of strength, whatever an old client prefers.
    config.ignore_client_order = true;
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(Error::internal)?;
    Ok(config)
}

//! A certificate with its key, ready to serve.
//!
//! Owns: [`ServerCertificate`] and making one of its stored parts.
//! Must not know: where the parts are stored.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{info::CertificateInfo, pem};
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// What the server shows its clients, and proves to own.
#[derive(Clone)]
pub struct ServerCertificate {
    chain_pem: String,
    key_pem: Secret<String>,
    anchor_pem: String,
    info: CertificateInfo,
    certified: Arc<CertifiedKey>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerCertificate").field(&self.info).finish()
    }
}

impl ServerCertificate {
    /// Makes one of stored parts, as [`Self::chain_pem`], [`Self::key_pem`] and
    /// [`Self::anchor_pem`] returned them. An expired certificate is accepted:
    /// a server that shows it can still be repaired. `Kind::Internal` when the
    /// parts are broken or do not belong together.
    pub fn from_parts(chain_pem: &str, key_pem: &Secret<String>, anchor_pem: &str) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(Error::internal)?;
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes()).map_err(Error::internal)?;
        Self::new(chain, key, anchor_pem.to_owned())
    }

    /// Of a chain that starts with the leaf, its key, and the CA certificate
    /// that clients have to trust.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        anchor_pem: String,
    ) -> Result<Self> {
        let key = Secret::new(key);
        let leaf = chain.first().ok_or_else(|| Error::internal("a chain without certificates"))?;
        let info = CertificateInfo::from_der(leaf).map_err(Error::internal)?;
        let chain_pem = chain.iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
        let (label, der) = match key.expose() {
            PrivateKeyDer::Pkcs1(key) => ("RSA PRIVATE KEY", key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(key) => ("EC PRIVATE KEY", key.secret_sec1_der()),
            PrivateKeyDer::Pkcs8(key) => ("PRIVATE KEY", key.secret_pkcs8_der()),
            _ => return Err(Error::internal("a private key of an unknown form")),
        };
        let key_pem = Secret::new(pem::encode(label, der));
        let signer = any_supported_type(key.expose()).map_err(Error::internal)?;
        let certified = CertifiedKey::new(chain, signer);
        certified.keys_match().map_err(Error::internal)?;
        Ok(Self { chain_pem, key_pem, anchor_pem, info, certified: Arc::new(certified) })
    }

    /// The certificates that are sent, leaf first.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The private key of the leaf.
    pub fn key_pem(&self) -> &Secret<String> {
        &self.key_pem
    }

    /// The CA certificate that agents and command line clients have to trust.
    pub fn anchor_pem(&self) -> &str {
        &self.anchor_pem
    }

    /// The leaf, readable.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// What rustls signs handshakes with.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

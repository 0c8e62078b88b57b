//! Which appliance is believed to be the right one.
//!
//! Owns: the three ways to trust (the system's CAs, one CA, one certificate by
//! its fingerprint), and the TLS of the client commands.
//! Must not know: HTTP, or where trust is kept.

use std::{
    error::Error as StdError,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use data_encoding::HEXUPPER;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use super::failure::{Exit, Failure, Result};

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex: String = text.chars().filter(|c| !matches!(c, ':' | ' ' | '-')).collect();
        HEXUPPER
            .decode(hex.to_ascii_uppercase().as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| "expected the 64 hexadecimal digits of a SHA-256".to_owned())
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

/// Whom to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Whoever has a certificate of one of the system's CAs.
    System,
    /// Whoever has a certificate of this CA, PEM.
    Ca(String),
    /// Whoever has this very certificate.
    Pin(Fingerprint),
    /// Whoever has a certificate of this CA, PEM, at whatever time: for questions to
    /// the own machine, whose clock may be wrong or whose certificate has expired.
    Own(String),
}

/// The certificate that was shown last, for messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown(Arc<Mutex<Option<Fingerprint>>>);

impl Shown {
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// TLS that believes as `trust` says and notes what it was shown in `shown`.
pub(super) fn tls(trust: &Trust, shown: &Shown) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = match trust {
        Trust::Pin(pin) => Judge::Pin(*pin),
        Trust::Own(pem) => Judge::AnyTime(chain_verifier(ca_roots(pem)?, &provider)?),
        Trust::Ca(pem) => Judge::Chain(chain_verifier(ca_roots(pem)?, &provider)?),
        Trust::System => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            // A machine without any CA still gets a clear answer: nothing is trusted.
            if roots.is_empty() {
                Judge::Nobody
            } else {
                Judge::Chain(chain_verifier(roots, &provider)?)
            }
        }
    };
    let verifier = Verifier { judge, shown: shown.clone(), provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Exit::Failed, format!("TLS cannot be set up: {error}.")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn ca_roots(pem: &str) -> Result<RootCertStore> {
    let unusable = |why: &str| {
        Failure::usage(
            format!("The CA cannot be used: {why}."),
            "It must be a PEM file with CERTIFICATE blocks, such as `ca.pem` in the data directory of the appliance.",
        )
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| unusable(&error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(&error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("there is no certificate in it")) } else { Ok(roots) }
}

fn chain_verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("TLS cannot be set up: {error}.")))
}

#[derive(Debug)]
enum Judge {
    Chain(Arc<WebPkiServerVerifier>),
    AnyTime(Arc<WebPkiServerVerifier>),
    Pin(Fingerprint),
    Nobody,
}

#[derive(Debug)]
struct Verifier {
    judge: Judge,
    shown: Shown,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(leaf);
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match &self.judge {
            Judge::Chain(chain) => chain.verify_server_cert(leaf, intermediates, name, ocsp, now),
            Judge::AnyTime(chain) => {
                let then = within_validity(leaf, now);
                chain.verify_server_cert(leaf, intermediates, name, ocsp, then)
            }
            Judge::Pin(pin) if *pin == shown => Ok(ServerCertVerified::assertion()),
            Judge::Pin(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Judge::Nobody => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// `now`, or the nearest moment at which the certificate is valid.
fn within_validity(leaf: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return now };
    let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let validity = certificate.validity();
    let (from, to) = (seconds(validity.not_before), seconds(validity.not_after));
    let then = now.as_secs().min(to).max(from);
    UnixTime::since_unix_epoch(Duration::from_secs(then))
}

/// What TLS objected to, if that is why something failed.
pub(super) fn tls_fault<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // The source of an I/O error is the source of what it wraps.
        let wrapped = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => current.source(),
        };
    }
    None
}

/// A TLS fault in words.
pub(super) fn in_words(fault: &rustls::Error) -> String {
    match fault {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is of a CA that is not trusted here".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "it has another certificate than the one with the given fingerprint".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name".to_owned(),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired".to_owned(),
        other => format!("TLS failed ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons_and_in_any_case() {
        let text = "AB".repeat(32);
        let plain: Fingerprint = text.parse().expect("accepted");
        let colons = plain.to_string();
        assert_eq!(colons.len(), 95);
        assert_eq!(colons.to_lowercase().parse::<Fingerprint>().expect("accepted"), plain);
        assert!("AB".repeat(31).parse::<Fingerprint>().is_err());
        assert!("xy".repeat(32).parse::<Fingerprint>().is_err());
    }
}

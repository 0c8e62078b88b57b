//! The signature of a manifest, in the form that vSphere reads: a line with the
//! RSA signature in hexadecimal, and the signer's certificate in PEM.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use data_encoding::HEXLOWER_PERMISSIVE;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// Checks that the certificate's key signed `manifest`; answers whose it is.
/// Whether the signer is to be believed is the reader's decision.
pub(super) fn check(certificate: &str, name: &str, manifest: &[u8]) -> Result<String, String> {
    let start = format!("SHA256({name})= ");
    let line = certificate.lines().next().and_then(|line| line.strip_prefix(&start));
    let line = line.ok_or_else(|| format!("its first line is not the signature of {name}"))?;
    let signature = HEXLOWER_PERMISSIVE
        .decode(line.trim().as_bytes())
        .map_err(|_| "its signature is no hexadecimal number".to_owned())?;
    let der = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|_| "there is no certificate in it".to_owned())?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|_| "its certificate cannot be read".to_owned())?;
    let key = &certificate.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(manifest, &signature).map_err(
        |_| format!("its signature is not one of {name} by the RSA key of its certificate"),
    )?;
    Ok(certificate.subject().to_string())
}

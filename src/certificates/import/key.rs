//! Reading the private key of an import.
//!
//! No message repeats any part of the key.

use std::sync::Arc;

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject},
    sign::SigningKey,
};

use crate::secret::Secret;

/// A key that can sign handshakes.
pub(super) struct Key {
    der: PrivateKeyDer<'static>,
    spki: SubjectPublicKeyInfoDer<'static>,
}

impl Key {
    /// Its public half, as certificates carry it.
    pub(super) fn public_spki(&self) -> &[u8] {
        &self.spki
    }

    /// The key itself.
    pub(super) fn into_der(self) -> PrivateKeyDer<'static> {
        self.der
    }
}

/// Reads the first private key in `pem`; the error is the end of a sentence.
pub(super) fn read(pem: &Secret<String>) -> Result<Key, String> {
    let text = pem.expose();
    if !text.contains("-----BEGIN ") {
        return Err(
            "this is not PEM: it must start with a line like -----BEGIN PRIVATE KEY-----".into()
        );
    }
    if text.contains("ENCRYPTED") {
        return Err("the key is encrypted with a passphrase; decrypt it first, e.g. \
                    openssl pkey -in key.pem -out plain.pem"
            .into());
    }
    if !text.contains("PRIVATE KEY-----") {
        return Err("there is no private key in it; is it the certificate?".into());
    }
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        "the key is damaged, or of a kind that TLS does not use; expected is RSA, ECDSA or Ed25519 \
         in PEM"
            .to_owned()
    })?;
    let signer: Arc<dyn SigningKey> = any_supported_type(&der).map_err(|_| {
        "the key cannot be used; expected is RSA with 2048 to 8192 bits, ECDSA on P-256, P-384 or \
         P-521, or Ed25519"
            .to_owned()
    })?;
    let spki = signer.public_key().ok_or("the public half of the key cannot be computed")?;
    Ok(Key { spki: spki.into_owned(), der })
}

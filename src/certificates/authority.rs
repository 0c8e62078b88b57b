//! The internal CA at work.
//!
//! Owns: the profile of the certificates that it issues.
//! Must not know: how the CA's key is kept; the keystore made it and hands it over.

use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer};

use super::{info::CertificateInfo, pem, server::ServerCertificate};
use crate::{
    clock::{Random, Timestamp, random_bytes},
    config::HostName,
    error::{Error, Result},
    secret::Secret,
};

/// The longest life that browsers accept, both ends included.
const LONGEST_LIFE: Duration =
    Duration::from_hours(397 * 24).saturating_sub(Duration::from_secs(1));
/// Certificates start earlier, because clocks of clients may run behind.
const HEAD_START: Duration = Duration::from_hours(1);

/// The CA of this installation.
#[derive(Debug)]
pub struct InternalCa {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    info: CertificateInfo,
    key_identifier: Option<Vec<u8>>,
    key_pem: Secret<String>,
}

impl InternalCa {
    /// The CA out of the keystore's material. `Kind::Internal` when the
    /// certificate is not a CA's or the key is not its own.
    pub fn new(certificate_pem: &str, key_pem: &Secret<String>) -> Result<Self> {
        let certificate =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(Error::internal)?;
        let info = CertificateInfo::from_der(&certificate).map_err(Error::internal)?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(Error::internal)?;
        if !parsed.is_ca() {
            return Err(Error::internal("the certificate of the internal CA is not a CA's"));
        }
        let key = Secret::new(KeyPair::from_pem(key_pem.expose()).map_err(Error::internal)?);
        if key.expose().public_key_raw() != &*parsed.public_key().subject_public_key.data {
            return Err(Error::internal("the key of the internal CA does not fit its certificate"));
        }
        let key_identifier =
            parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(found) => Some(found.0.to_vec()),
                _ => None,
            });
        Ok(Self {
            certificate_pem: pem::encode("CERTIFICATE", &certificate),
            key_identifier,
            certificate,
            info,
            key_pem: key_pem.clone(),
        })
    }

    /// The CA's certificate, for those who have to trust it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The CA's certificate, readable.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// What certificates name the CA's key by.
    pub(super) fn key_identifier(&self) -> Option<&[u8]> {
        self.key_identifier.as_deref()
    }

    /// Issues a certificate for a server with these names, and a key of its own
    /// (ECDSA P-256). With `subdomains_of`, names one level below that one are
    /// covered too, for the tenants' own addresses. It lives 397 days, or as
    /// long as the CA. `Kind::Invalid` without any name.
    pub fn issue_server(
        &self,
        names: &[HostName],
        subdomains_of: Option<&HostName>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<ServerCertificate> {
        let Some(first) = names.first() else {
            return Err(Error::invalid("names", "at least one name is needed"));
        };
        let profile = Profile {
            // RFC 5280 allows 64 characters there; the names that count come below.
            common_name: Some(first.as_str()).filter(|name| name.len() <= 64),
            names: alternative_names(names, subdomains_of)?,
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth],
            life: LONGEST_LIFE,
        };
        let (leaf, key) = self.issue(profile, now, random)?;
        ServerCertificate::new(vec![leaf], key, self.certificate_pem.clone())
    }

    /// Issues a certificate of this profile for a new ECDSA P-256 key. It lives
    /// as long as the profile says or as long as the CA, whichever is shorter.
    pub(super) fn issue(
        &self,
        profile: Profile<'_>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = profile.common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = profile.names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = profile.purposes;
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from_slice(&serial(random)));
        let from = now.minus(HEAD_START);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let to = from.plus(profile.life).min(self.info.not_after);
        params.not_before = epoch + from.since(Timestamp::from_seconds(0));
        params.not_after = epoch + to.since(Timestamp::from_seconds(0));

        let ca_key = KeyPair::from_pem(self.key_pem.expose()).map_err(Error::internal)?;
        let ca_key = Secret::new(ca_key);
        let issuer = Issuer::from_ca_cert_der(&self.certificate, ca_key.expose())
            .map_err(Error::internal)?;
        // aws-lc-rs draws keys from its own generator: it takes no other.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::internal)?;
        let key = Secret::new(key);
        let leaf = params.signed_by(key.expose(), &issuer).map_err(Error::internal)?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose().serialize_der()));
        Ok((leaf.der().clone(), der))
    }
}

/// What tells one kind of certificate from another.
pub(super) struct Profile<'a> {
    pub(super) common_name: Option<&'a str>,
    pub(super) names: Vec<SanType>,
    pub(super) purposes: Vec<ExtendedKeyUsagePurpose>,
    pub(super) life: Duration,
}

pub(super) fn alternative_names(
    names: &[HostName],
    subdomains_of: Option<&HostName>,
) -> Result<Vec<SanType>> {
    let wildcard =
        subdomains_of.filter(|name| name.address().is_none()).map(|name| format!("*.{name}"));
    let plain = names.iter().map(|name| match name.address() {
        Some(address) => Ok(SanType::IpAddress(address)),
        None => Ok(SanType::DnsName(name.as_str().try_into().map_err(Error::internal)?)),
    });
    let wildcard = wildcard
        .into_iter()
        .map(|name| Ok(SanType::DnsName(name.as_str().try_into().map_err(Error::internal)?)));
    plain.chain(wildcard).collect()
}

/// A serial number is positive and has no leading zero byte (RFC 5280).
fn serial(random: &dyn Random) -> [u8; 16] {
    let mut serial = random_bytes(random);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}

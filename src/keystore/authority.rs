//! The internal certificate authority: made once, when the keystore is.
//!
//! Owns: its key and certificate.
//! Must not know: which certificates it issues; that is `certificates`' work.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SerialNumber,
};

use super::{fault::Fault, names::InstallationId};
use crate::{
    clock::{Clock, Random, random_bytes},
    secret::Secret,
};

/// Twenty years of 365.25 days: an appliance outlives no certificate of its own.
const VALID_FOR: Duration = Duration::from_hours(20 * 8_766);
/// Certificates start a day early, since clocks of clusters may run behind.
const HEAD_START: Duration = Duration::from_hours(24);

/// The internal authority: who holds the key can pose as any part of the installation.
#[derive(Clone, Debug)]
pub struct CaMaterial {
    /// The self-signed certificate, PEM; public.
    pub certificate_pem: String,
    /// The ECDSA P-256 private key, PKCS#8 PEM.
    pub key_pem: Secret<String>,
}

/// Makes the authority of a new installation.
pub(super) fn make(
    installation: InstallationId,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<CaMaterial, Fault> {
    // aws-lc-rs draws this one key from its own generator: it takes no other.
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Fault::Authority)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Palisade internal CA {installation}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&serial(random)));
    let now = Duration::from_secs(u64::try_from(clock.now().as_seconds()).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(HEAD_START);
    params.not_after = epoch + (now + VALID_FOR);
    let certificate = params.self_signed(&key).map_err(Fault::Authority)?;
    Ok(CaMaterial { certificate_pem: certificate.pem(), key_pem: Secret::new(key.serialize_pem()) })
}

/// A serial number is positive and has no leading zero byte (RFC 5280).
fn serial(random: &dyn Random) -> [u8; 16] {
    let mut serial = random_bytes(random);
    serial[0] = (serial[0] & 0x7f) | 0x40;
    serial
}

#[cfg(test)]
mod tests {
    use x509_parser::{pem::parse_x509_pem, prelude::BasicExtension};

    use super::*;
    use crate::clock::{SystemRandom, TestClock, Timestamp};

    #[test]
    fn the_authority_is_a_p256_ca_for_twenty_years_under_the_installations_name() {
        let installation = InstallationId::random(&SystemRandom);
        let clock = TestClock::at(Timestamp::from_seconds(1_795_325_306));
        let ca = make(installation, &clock, &SystemRandom).expect("made");
        let (_, pem) = parse_x509_pem(ca.certificate_pem.as_bytes()).expect("PEM");
        let certificate = pem.parse_x509().expect("X.509");
        let subject = certificate.subject().to_string();
        assert_eq!(subject, format!("CN=Palisade internal CA {installation}"));
        assert_eq!(certificate.issuer(), certificate.subject());
        let validity = certificate.validity();
        assert_eq!(validity.not_before.timestamp(), 1_795_325_306 - 86_400);
        assert_eq!(validity.not_after.timestamp(), 1_795_325_306 + 20 * 31_557_600);
        let constraints = certificate.basic_constraints().expect("once").expect("present");
        assert!(matches!(
            constraints,
            BasicExtension { critical: true, value } if value.ca && value.path_len_constraint == Some(0)
        ));
        let key = KeyPair::from_pem(ca.key_pem.expose()).expect("the key reads back");
        assert_eq!(key.public_key_raw(), &*certificate.public_key().subject_public_key.data);
    }
}

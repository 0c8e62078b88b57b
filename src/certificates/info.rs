//! What people read about a certificate. Pure.
//!
//! Owns: [`CertificateInfo`] and when it is time to raise an [`Alarm`].
//! Must not know: whether the certificate is any good.

use std::time::Duration;

use data_encoding::{BASE64, HEXUPPER};
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer, X509Error},
};

use crate::clock::Timestamp;

const DAY: Duration = Duration::from_hours(24);

/// The readable parts of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Who it is for, e.g. `CN=palisade.example.com`.
    pub subject: String,
    /// The DNS names and IP addresses that it covers.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate: 32 pairs of upper-case hex digits with colons between.
    pub fingerprint: String,
    /// SHA-256 of its public key (the DER of its `SubjectPublicKeyInfo`) in
    /// Base64: what `curl --pinnedpubkey` takes after `sha256//`.
    pub pin: String,
}

/// How urgent it is to renew a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Less than 30 days are left.
    ThirtyDays,
    /// Less than 7 days are left.
    SevenDays,
    /// Less than one day is left.
    OneDay,
    /// It has expired.
    Expired,
}

impl CertificateInfo {
    /// Reads a certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, X509Error> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| match error {
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
            x509_parser::nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
        })?;
        let validity = certificate.validity();
        let digest = Sha256::digest(der);
        let pairs: Vec<String> = digest.iter().map(|byte| HEXUPPER.encode(&[*byte])).collect();
        Ok(Self {
            subject: certificate.subject().to_string(),
            names: names(&certificate)?,
            issuer: certificate.issuer().to_string(),
            not_before: Timestamp::from_seconds(validity.not_before.timestamp()),
            not_after: Timestamp::from_seconds(validity.not_after.timestamp()),
            fingerprint: pairs.join(":"),
            pin: BASE64.encode(&Sha256::digest(certificate.public_key().raw)),
        })
    }

    /// Whether it covers a DNS name or an IP address, as browsers see it: a star
    /// stands for one label.
    pub fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|covered| {
            covered.eq_ignore_ascii_case(name)
                || covered.strip_prefix("*.").is_some_and(|parent| {
                    let rest = name.split_once('.').map(|(_, rest)| rest);
                    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
                })
        })
    }

    /// Whole days until it expires; negative when it has expired.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_seconds() - now.as_seconds()).div_euclid(24 * 60 * 60)
    }

    /// The alarm that is due, if any: 30, 7 and 1 days before the end, and after it.
    pub fn alarm(&self, now: Timestamp) -> Option<Alarm> {
        let left = self.not_after.since(now);
        if self.not_after < now {
            Some(Alarm::Expired)
        } else if left < DAY {
            Some(Alarm::OneDay)
        } else if left < 7 * DAY {
            Some(Alarm::SevenDays)
        } else if left < 30 * DAY {
            Some(Alarm::ThirtyDays)
        } else {
            None
        }
    }

    /// Whether a third of its life or less is left, or it was made while the
    /// clock was ahead and nobody accepts it yet.
    pub fn is_due_for_renewal(&self, now: Timestamp) -> bool {
        now < self.not_before
            || self.not_after.since(now) <= self.not_after.since(self.not_before) / 3
    }
}

/// The names that browsers look at. The common name is not one of them.
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<String>, X509Error> {
    let Some(extension) = certificate.subject_alternative_name()? else { return Ok(Vec::new()) };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    Ok(names.collect())
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    let v6 = <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or(v6).ok()
}

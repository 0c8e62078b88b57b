//! Dates, strength and purpose of the certificates of an import.

use x509_parser::{oid_registry::Oid, public_key::PublicKey};

use super::{
    CERTIFICATE, Problems,
    chain::{Chain, Link},
};
use crate::clock::Timestamp;

/// The fewest bits of an RSA key that clients accept.
const RSA_BITS: usize = 2048;

/// Signatures that can be forged, by object identifier.
const WEAK_SIGNATURES: [(&[u64], &str); 6] = [
    (&[1, 2, 840, 113_549, 1, 1, 2], "MD2"),
    (&[1, 2, 840, 113_549, 1, 1, 4], "MD5"),
    (&[1, 2, 840, 113_549, 1, 1, 5], "SHA-1"),
    (&[1, 3, 14, 3, 2, 29], "SHA-1"),
    (&[1, 2, 840, 10_045, 4, 1], "SHA-1"),
    (&[1, 2, 840, 10_040, 4, 3], "SHA-1"),
];

/// Checks each certificate by itself.
pub(super) fn check(chain: &Chain<'_>, now: Timestamp, problems: &mut Problems) {
    for (position, link) in chain.0.iter().enumerate() {
        let title = chain.title(position);
        check_dates(link, &title, now, problems);
        check_strength(link, &title, problems);
        if position == 0 {
            check_leaf_purpose(link, &title, problems);
        } else {
            check_ca_purpose(link, &title, problems);
        }
    }
}

fn check_dates(link: &Link<'_>, title: &str, now: Timestamp, problems: &mut Problems) {
    if link.info.not_after < now {
        problems.add(CERTIFICATE, format!("{title} expired on {}", link.info.not_after));
    } else if link.info.not_before > now {
        problems.add(
            CERTIFICATE,
            format!(
                "{title} is not valid before {}; this appliance's clock says {now}",
                link.info.not_before
            ),
        );
    }
}

fn check_strength(link: &Link<'_>, title: &str, problems: &mut Problems) {
    if let Ok(PublicKey::RSA(key)) = link.parsed.public_key().parsed()
        && key.key_size() < RSA_BITS
    {
        problems.add(
            CERTIFICATE,
            format!(
                "{title} has an RSA key of {} bits; at least {RSA_BITS} are needed",
                key.key_size()
            ),
        );
    }
    // Nobody checks the signature of a root: it is trusted for what it is.
    if link.is_self_issued() {
        return;
    }
    let algorithm = &link.parsed.signature_algorithm.algorithm;
    let weak =
        WEAK_SIGNATURES.iter().find(|(oid, _)| Oid::from(oid).is_ok_and(|oid| oid == *algorithm));
    if let Some((_, name)) = weak {
        problems.add(
            CERTIFICATE,
            format!("{title} is signed with {name}, which can be forged; ask for SHA-256"),
        );
    }
}

fn check_leaf_purpose(leaf: &Link<'_>, title: &str, problems: &mut Problems) {
    let usage = leaf.parsed.key_usage();
    if matches!(&usage, Ok(Some(usage)) if !usage.value.digital_signature()) {
        problems.add(
            CERTIFICATE,
            format!("{title} may not be used for signatures (key usage digitalSignature)"),
        );
    }
    let purpose = leaf.parsed.extended_key_usage();
    if matches!(&purpose, Ok(Some(purpose)) if !purpose.value.server_auth) {
        problems.add(
            CERTIFICATE,
            format!("{title} is not meant for servers (extended key usage serverAuth)"),
        );
    }
    if usage.is_err() || purpose.is_err() {
        problems.add(CERTIFICATE, format!("{title} states its usage twice"));
    }
}

fn check_ca_purpose(ca: &Link<'_>, title: &str, problems: &mut Problems) {
    let may_sign = match ca.parsed.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    if !ca.parsed.is_ca() || !may_sign {
        problems
            .add(CERTIFICATE, format!("{title} is not a CA's, so nothing that it signed counts"));
    }
}

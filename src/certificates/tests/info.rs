//! What people read, when alarms ring, and what the internal CA issues.

use std::time::Duration;

use x509_parser::{pem::parse_x509_pem, prelude::X509Certificate};

use super::forge::{Authority, RANDOM, host, now};
use crate::{
    certificates::{Alarm, CertificateInfo, InternalCa, ServerCertificate},
    clock::Timestamp,
    error::Kind,
};

const DAY: Duration = Duration::from_hours(24);

fn internal() -> InternalCa {
    let root = Authority::root("Palisade CA");
    InternalCa::new(&root.pem(), &root.key_pem()).unwrap()
}

fn with_leaf(certificate: &ServerCertificate, look: impl FnOnce(&X509Certificate<'_>)) {
    let (_, pem) = parse_x509_pem(certificate.chain_pem().as_bytes()).unwrap();
    look(&pem.parse_x509().unwrap());
}

#[test]
fn an_issued_certificate_is_a_servers_for_at_most_397_days() {
    let names = [host("palisade.test"), host("10.1.2.3"), host("2001:db8::1")];
    let issued = internal().issue_server(&names, Some(&names[0]), now(), &RANDOM).unwrap();

    let info = issued.info();
    assert_eq!(info.subject, "CN=palisade.test");
    assert_eq!(info.issuer, "CN=Palisade CA");
    assert_eq!(info.names, ["palisade.test", "10.1.2.3", "2001:db8::1", "*.palisade.test"]);
    assert!(info.not_before < now());
    // Both ends count, so a difference of 397 days would be a second too long.
    assert!(info.not_after.since(info.not_before) < 397 * DAY);
    assert_eq!(info.days_left(now()), 396);
    with_leaf(&issued, |leaf| {
        let purpose = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(purpose.server_auth && !purpose.client_auth && !purpose.any);
        assert_eq!(leaf.key_usage().unwrap().unwrap().value.flags, 1, "digitalSignature only");
        assert!(!leaf.is_ca());
        assert_eq!(leaf.raw_serial().len(), 16);
    });
}

#[test]
fn an_address_has_no_wildcard_and_a_certificate_needs_a_name() {
    let address = host("10.1.2.3");
    let names = [address.clone()];
    let issued = internal().issue_server(&names, Some(&address), now(), &RANDOM).unwrap();
    assert_eq!(issued.info().names, ["10.1.2.3"]);
    let refused = internal().issue_server(&[], None, now(), &RANDOM).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
}

#[test]
fn an_issued_certificate_does_not_outlive_its_ca() {
    let late = "2035-12-20T00:00:00Z".parse().unwrap();
    let issued = internal().issue_server(&[host("a.test")], None, late, &RANDOM).unwrap();
    assert_eq!(issued.info().not_after, internal().info().not_after);
}

#[test]
fn the_material_of_the_ca_must_be_a_ca_and_its_own_key() {
    let (root, other) = (Authority::root("One"), Authority::root("Two"));
    assert!(InternalCa::new(&root.pem(), &other.key_pem()).is_err());
    let (leaf, key) = root.leaf();
    assert!(InternalCa::new(&leaf, &key).is_err());
    assert!(InternalCa::new("not a certificate", &key).is_err());
}

#[test]
fn a_certificate_survives_being_stored() {
    let issued = internal().issue_server(&[host("a.test")], None, now(), &RANDOM).unwrap();
    let again =
        ServerCertificate::from_parts(issued.chain_pem(), issued.key_pem(), issued.anchor_pem())
            .unwrap();
    assert_eq!(again.info(), issued.info());
    assert_eq!(again.key_pem().expose(), issued.key_pem().expose());

    let stranger = internal().issue_server(&[host("a.test")], None, now(), &RANDOM).unwrap();
    let mixed =
        ServerCertificate::from_parts(issued.chain_pem(), stranger.key_pem(), issued.anchor_pem());
    assert!(mixed.is_err(), "a key that does not belong to the certificate was accepted");
}

#[test]
fn neither_a_ca_nor_a_certificate_shows_its_key() {
    let ca = internal();
    let issued = ca.issue_server(&[host("a.test")], None, now(), &RANDOM).unwrap();
    let key_line = issued.key_pem().expose().lines().nth(1).unwrap();
    for shown in [format!("{ca:?}"), format!("{issued:?}")] {
        assert!(!shown.contains("PRIVATE") && !shown.contains(key_line), "{shown}");
    }
}

#[test]
fn the_fingerprint_is_thirty_two_pairs_of_the_sha256_of_the_certificate() {
    let issued = internal().issue_server(&[host("a.test")], None, now(), &RANDOM).unwrap();
    let fingerprint = &issued.info().fingerprint;
    let (_, pem) = parse_x509_pem(issued.chain_pem().as_bytes()).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pem.contents);
    let expected: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(*fingerprint, expected.join(":"));
}

#[test]
fn alarms_ring_at_thirty_days_seven_days_one_day_and_the_end() {
    let from = Timestamp::from_seconds(0);
    let end = from.plus(90 * DAY);
    let info = CertificateInfo {
        subject: String::new(),
        names: Vec::new(),
        issuer: String::new(),
        not_before: from,
        not_after: end,
        fingerprint: String::new(),
        pin: String::new(),
    };
    let second = Duration::from_secs(1);
    for (left, alarm, days) in [
        (31 * DAY, None, 31),
        (30 * DAY, None, 30),
        ((30 * DAY).saturating_sub(second), Some(Alarm::ThirtyDays), 29),
        ((7 * DAY).saturating_sub(second), Some(Alarm::SevenDays), 6),
        (DAY.saturating_sub(second), Some(Alarm::OneDay), 0),
        (Duration::ZERO, Some(Alarm::OneDay), 0),
    ] {
        assert_eq!(info.alarm(end.minus(left)), alarm, "{left:?}");
        assert_eq!(info.days_left(end.minus(left)), days, "{left:?}");
    }
    assert_eq!(info.alarm(end.plus(second)), Some(Alarm::Expired));
    assert_eq!(info.days_left(end.plus(second)), -1);
    assert!(!info.is_due_for_renewal(end.minus(30 * DAY + second)));
    assert!(info.is_due_for_renewal(end.minus(30 * DAY)));
    assert!(info.is_due_for_renewal(end.plus(DAY)));
}

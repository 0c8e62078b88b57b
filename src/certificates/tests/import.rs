//! Everything that can be wrong with what an administrator pastes.

use rcgen::{
    CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    SubjectPublicKeyInfo,
};

use super::forge::{Authority, host, now, valid};
use crate::{
    certificates::{ImportedCertificate, pem, validate_import},
    error::{Error, FieldError, Kind},
    secret::Secret,
};

fn import(chain: &str, key: &Secret<String>) -> Result<ImportedCertificate, Error> {
    validate_import(chain, key, &[host("palisade.test")], now())
}

/// The only problem of an import that must fail.
fn problem(chain: &str, key: &Secret<String>) -> FieldError {
    let error = import(chain, key).expect_err("this import must fail");
    assert_eq!(error.kind(), Kind::Invalid, "{}", error.chain());
    let [field] = error.fields() else { panic!("one problem, not {:?}", error.fields()) };
    for line in key.expose().lines().filter(|line| line.len() > 20 && !line.starts_with('-')) {
        assert!(!error.chain().contains(line), "the key is repeated");
    }
    field.clone()
}

/// Asserts that an import fails because of `field`, with a message that contains `words`.
fn refused(chain: &str, key: &Secret<String>, field: &str, words: &str) {
    let problem = problem(chain, key);
    assert_eq!(problem.field, field, "{problem:?}");
    assert!(problem.message.contains(words), "{words:?} is not in {:?}", problem.message);
}

#[test]
fn a_leaf_with_its_chain_is_accepted_and_the_root_is_not_sent() {
    let root = Authority::root("Root");
    let below = root.intermediate("Intermediate");
    let (leaf, key) = below.leaf();
    let imported = import(&(leaf.clone() + &below.pem() + &root.pem()), &key).unwrap();
    assert_eq!(imported.certificate.info().subject, "CN=palisade.test");
    assert_eq!(imported.certificate.chain_pem().matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(
        imported.certificate.anchor_pem().replace('\r', ""),
        root.pem().replace('\r', ""),
        "agents trust the root"
    );
    assert!(imported.notes.iter().any(|note| note.contains("*.palisade.test")));

    // Without the root, as many CAs deliver it.
    let imported = import(&(leaf + &below.pem()), &key).unwrap();
    assert!(imported.notes.iter().any(|note| note.contains("CN=Root")), "{:?}", imported.notes);
}

#[test]
fn rsa_keys_in_their_own_form_and_text_between_certificates_are_fine() {
    let root = Authority::root("Root");
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let leaf = root.leaf_with(&key, |_| {}).pem();
    let chain = format!("subject=palisade.test\n{leaf}\nissuer\n{}", root.pem());
    // PKCS#8 of RSA is a head of 26 bytes and then PKCS#1.
    let pkcs1 = pem::encode("RSA PRIVATE KEY", &key.serialized_der()[26..]);
    assert!(import(&chain, &Secret::new(pkcs1)).is_ok());
    let stored = import(&chain, &Secret::new(key.serialize_pem())).unwrap();
    assert!(!stored.certificate.chain_pem().contains("issuer"), "only certificates are kept");
}

#[test]
fn a_key_that_was_pasted_along_with_the_chain_is_not_kept() {
    let root = Authority::root("Root");
    let (leaf, key) = root.leaf();
    let chain = format!("{}{leaf}{}", key.expose(), root.pem());
    let stored = import(&chain, &key).unwrap();
    assert!(!stored.certificate.chain_pem().contains("PRIVATE"));
}

#[test]
fn what_is_not_pem_or_not_a_certificate_is_refused() {
    let root = Authority::root("Root");
    let (leaf, key) = root.leaf();
    refused("MIIB", &key, "certificate", "is not PEM");
    refused(key.expose(), &key, "certificate", "there is no certificate in it");
    refused(&leaf.replace("CERTIFICATE", "CERTIFICATE REQUEST"), &key, "certificate", "request");
    refused(&leaf[..leaf.len() / 2], &key, "certificate", "the PEM text is damaged");
    refused(&pem::encode("CERTIFICATE", b"nonsense"), &key, "certificate", "cannot be read");
    refused(&leaf.repeat(11), &key, "certificate", "at most 10");
}

#[test]
fn a_key_that_cannot_be_used_is_refused() {
    let root = Authority::root("Root");
    let (leaf, key) = root.leaf();
    let chain = leaf.clone() + &root.pem();
    let with = |text: &str| Secret::new(text.to_owned());
    let der: &[u8] = b"0123456789012345678901234567890123456789";
    refused(&chain, &with("hunter2"), "privateKey", "is not PEM");
    refused(&chain, &with(&leaf), "privateKey", "no private key in it");
    refused(&chain, &with(&pem::encode("PRIVATE KEY", der)), "privateKey", "cannot be used");
    let encrypted = pem::encode("ENCRYPTED PRIVATE KEY", der);
    refused(&chain, &with(&encrypted), "privateKey", "encrypted with a passphrase");
    let traditional = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                       DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    refused(&chain, &with(traditional), "privateKey", "encrypted with a passphrase");
    let (_, other) = root.leaf();
    refused(&chain, &other, "privateKey", "does not belong to");
    assert!(import(&chain, &key).is_ok());
}

#[test]
fn problems_of_both_fields_are_told_at_once() {
    let root = Authority::root("Root");
    let (leaf, _) = root.odd_leaf(valid((2020, 1, 1), (2021, 1, 1)));
    let (_, other) = root.leaf();
    let error = import(&(leaf + &root.pem()), &other).unwrap_err();
    let fields: Vec<_> = error.fields().iter().map(|fault| &*fault.field).collect();
    assert!(fields.contains(&"certificate") && fields.contains(&"privateKey"), "{fields:?}");
}

#[test]
fn a_chain_out_of_order_is_refused_and_told_the_right_order() {
    let root = Authority::root("Root");
    let below = root.intermediate("Intermediate");
    let (leaf, key) = below.leaf();
    let upside_down = root.pem() + &below.pem() + &leaf;
    refused(
        &upside_down,
        &key,
        "certificate",
        "certificate 3 (CN=palisade.test) belongs to the key",
    );
    refused(
        &(leaf.clone() + &root.pem() + &below.pem()),
        &key,
        "certificate",
        "must be followed by certificate 3 (CN=Intermediate)",
    );
    let stranger = Authority::root("Stranger");
    refused(
        &(leaf + &below.pem() + &root.pem() + &stranger.pem()),
        &key,
        "certificate",
        "certificate 3 (CN=Root) is the end of the chain, but certificate 4 (CN=Stranger) follows",
    );
}

#[test]
fn an_incomplete_chain_is_refused_and_the_missing_issuer_is_named() {
    let root = Authority::root("Root");
    let below = root.intermediate("Intermediate");
    let (leaf, key) = below.leaf();
    for chain in [leaf.clone(), leaf + &root.pem()] {
        refused(&chain, &key, "certificate", "the certificate of CN=Intermediate is missing");
    }
}

#[test]
fn a_self_signed_certificate_is_refused_and_the_way_out_is_explained() {
    let key = KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["palisade.test".to_owned()]).unwrap();
    for is_ca in [IsCa::NoCa, IsCa::Ca(rcgen::BasicConstraints::Unconstrained)] {
        params.is_ca = is_ca;
        let leaf = params.self_signed(&key).unwrap().pem();
        let key = Secret::new(key.serialize_pem());
        refused(&leaf, &key, "certificate", "is signed by itself");
        refused(&leaf, &key, "certificate", "make a CA");
    }
}

#[test]
fn the_certificate_of_a_ca_is_not_a_servers() {
    let root = Authority::root("Root");
    let below = root.intermediate("Intermediate");
    refused(&(below.pem() + &root.pem()), &below.key_pem(), "certificate", "is a CA's");
}

#[test]
fn an_expired_or_future_certificate_anywhere_in_the_chain_is_refused() {
    let root = Authority::root("Root");
    let (leaf, key) = root.odd_leaf(valid((2025, 1, 1), (2026, 1, 1)));
    refused(&(leaf + &root.pem()), &key, "certificate", "expired on 2026-01-01T00:00:00Z");
    let (leaf, key) = root.odd_leaf(valid((2027, 1, 1), (2028, 1, 1)));
    refused(&(leaf + &root.pem()), &key, "certificate", "not valid before 2027-01-01T00:00:00Z");

    let old = root.intermediate_with("Old", valid((2020, 1, 1), (2021, 1, 1)));
    let (leaf, key) = old.leaf();
    let chain = leaf + &old.pem();
    refused(&(chain.clone() + &root.pem()), &key, "certificate", "certificate 2 (CN=Old) expired");
    // As the anchor, where the verification of clients does not look at dates.
    refused(&chain, &key, "certificate", "certificate 2 (CN=Old) expired");
}

#[test]
fn names_that_are_not_covered_are_named() {
    let root = Authority::root("Root");
    let (leaf, key) = root.leaf();
    let wanted = [host("palisade.test"), host("other.test"), host("10.0.0.1")];
    let error = validate_import(&(leaf + &root.pem()), &key, &wanted, now()).unwrap_err();
    assert!(
        error.fields()[0]
            .message
            .contains("does not cover other.test, 10.0.0.1; it covers palisade.test"),
        "{error}"
    );
    let (leaf, key) = root.odd_leaf(|params| params.subject_alt_names.clear());
    refused(&(leaf + &root.pem()), &key, "certificate", "it covers no names at all");
    // A wildcard covers one level and not the name itself.
    let (leaf, key) = root.odd_leaf(|params| {
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName("*.palisade.test".try_into().unwrap())];
    });
    let chain = leaf + &root.pem();
    refused(&chain, &key, "certificate", "does not cover palisade.test");
    assert!(validate_import(&chain, &key, &[host("a.palisade.test")], now()).is_ok());
    assert!(validate_import(&chain, &key, &[host("a.b.palisade.test")], now()).is_err());
}

#[test]
fn a_small_rsa_key_is_refused() {
    // A public key of 1024 bits; nothing here needs its private half.
    let mut der = data_encoding::HEXLOWER
        .decode(b"30819f300d06092a864886f70d010101050003818d0030818902818100")
        .unwrap();
    der.extend([0xab; 127]);
    der.push(0xad);
    der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    let small = SubjectPublicKeyInfo::from_der(&der).unwrap();
    let root = Authority::root("Root");
    let leaf = root.leaf_with(&small, |_| {}).pem();
    let (_, key) = root.leaf();
    let error = import(&(leaf + &root.pem()), &key).unwrap_err();
    let told = |words: &str| error.fields().iter().any(|fault| fault.message.contains(words));
    assert!(told("has an RSA key of 1024 bits; at least 2048"), "{error}");
}

#[test]
fn a_signature_that_can_be_forged_is_refused() {
    // rcgen signs nothing with SHA-1, so a good certificate is relabelled; its
    // signature does not fit any more, but the label is what is refused.
    let root = Authority::root("Root");
    let key = KeyPair::generate().unwrap();
    let der = root.leaf_with(&key, |_| {}).der().to_vec();
    let (with_sha256, with_sha1) = (
        [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        // ecdsa-with-SHA1 has one arc less than ecdsa-with-SHA256.
        [0x30, 0x09, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01],
    );
    let relabelled = relabel(&der, &with_sha256, &with_sha1);
    refused(
        &(pem::encode("CERTIFICATE", &relabelled) + &root.pem()),
        &Secret::new(key.serialize_pem()),
        "certificate",
        "is signed with SHA-1",
    );
}

/// Replaces the algorithm in both places and shortens the lengths around it.
fn relabel(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = der;
    let mut replaced = 0_u16;
    while !rest.is_empty() {
        if rest.starts_with(from) {
            out.extend(to);
            rest = &rest[from.len()..];
            replaced += 1;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    assert_eq!(replaced, 2);
    // Both lengths are of the form 30 82 hh ll: the whole, and the signed part.
    for (at, shorter) in [(2, 2), (6, 1)] {
        let length = u16::from_be_bytes([out[at], out[at + 1]]) - shorter;
        out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    out
}

#[test]
fn a_certificate_for_another_purpose_is_refused() {
    let root = Authority::root("Root");
    let (leaf, key) = root.odd_leaf(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    refused(&(leaf + &root.pem()), &key, "certificate", "is not meant for servers");
    let (leaf, key) = root.odd_leaf(|params| {
        params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    });
    refused(&(leaf + &root.pem()), &key, "certificate", "may not be used for signatures");
}

#[test]
fn an_issuer_that_is_no_ca_is_refused() {
    let root = Authority::root("Root");
    let no_ca = root.intermediate_with("No CA", |params| params.is_ca = IsCa::ExplicitNoCa);
    let (leaf, key) = no_ca.leaf();
    let chain = leaf + &no_ca.pem();
    refused(&chain, &key, "certificate", "certificate 2 (CN=No CA) is not a CA's");
    refused(&(chain + &root.pem()), &key, "certificate", "certificate 2 (CN=No CA) is not a CA's");
    let no_sign = root.intermediate_with("No signing", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    let (leaf, key) = no_sign.leaf();
    refused(&(leaf + &no_sign.pem()), &key, "certificate", "(CN=No signing) is not a CA's");
}

#[test]
fn what_only_the_verification_of_clients_finds_is_refused_too() {
    // The issuer has the right name but another key.
    let (root, impostor) = (Authority::root("Root"), Authority::root("Root"));
    let (leaf, key) = root.leaf();
    refused(&(leaf + &impostor.pem()), &key, "certificate", "clients would refuse");
    // An extension that must be understood and is not.
    let (leaf, key) = root.odd_leaf(|params| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4, 5], vec![5, 0]);
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
    });
    refused(&(leaf + &root.pem()), &key, "certificate", "clients would refuse");
}

//! Tenant keys and sealed fields.

use std::collections::HashSet;

use super::*;

const PLACE: Place<'_> = Place { table: "user", column: "email", row: "00ab12cd34ef" };
const PLAIN: &[u8] = b"a@example.com";

fn tenant(text: &str) -> TenantId {
    text.parse().expect("a uid")
}

#[test]
fn a_sealed_field_opens_in_its_place() {
    let fixture = Fixture::unattended();
    let tenant = tenant("0123456789ab");
    let (key, wrapped) = fixture.keystore.new_tenant_key(tenant, 7, &SystemRandom);
    let again = fixture.open().expect("opened").unwrap_tenant_key(tenant, 7, &wrapped);
    let again = again.expect("unwrapped");
    assert_eq!((again.tenant(), again.version()), (tenant, 7));
    for plain in [b"".as_slice(), PLAIN, &vec![0; 100_000]] {
        let sealed = key.seal(PLACE, plain, &SystemRandom);
        assert_eq!(sealed.len(), plain.len() + 45);
        assert_eq!(TenantKey::sealed_version(&sealed), Some(7));
        assert_eq!(again.open(PLACE, &sealed).expect("opened").expose(), plain);
    }
}

#[test]
fn a_sealed_field_in_any_other_place_does_not_open() {
    let fixture = Fixture::unattended();
    let (key, _) = fixture.keystore.new_tenant_key(tenant("0123456789ab"), 1, &SystemRandom);
    let sealed = key.seal(PLACE, PLAIN, &SystemRandom);
    for place in [
        Place { table: "users", ..PLACE },
        Place { table: "", ..PLACE },
        Place { column: "name", ..PLACE },
        Place { row: "00ab12cd34ee", ..PLACE },
        Place { row: "", ..PLACE },
        // The same letters with other borders.
        Place { table: "usere", column: "mail", ..PLACE },
        Place { column: "email0", row: "0ab12cd34ef", ..PLACE },
        Place { table: "email", column: "user", ..PLACE },
    ] {
        let error = key.open(place, &sealed).expect_err("refused");
        assert_eq!((error.kind(), error.code()), (Kind::Internal, "sealed-value-damaged"));
    }
}

#[test]
fn a_sealed_field_of_another_tenant_does_not_open() {
    let fixture = Fixture::unattended();
    let (ours, _) = fixture.keystore.new_tenant_key(tenant("0123456789ab"), 1, &SystemRandom);
    let (theirs, _) = fixture.keystore.new_tenant_key(tenant("0123456789ac"), 1, &SystemRandom);
    let sealed = ours.seal(PLACE, PLAIN, &SystemRandom);
    assert!(theirs.open(PLACE, &sealed).is_err());
}

#[test]
fn the_tenant_is_bound_even_if_two_tenants_had_the_same_key() {
    let fixture = Fixture::unattended();
    let (key, _) = fixture.keystore.new_tenant_key(tenant("0123456789ab"), 1, &SystemRandom);
    let sealed = key.seal(PLACE, PLAIN, &SystemRandom);
    assert!(key.of_tenant(tenant("0123456789ac")).open(PLACE, &sealed).is_err());
    assert!(key.of_tenant(tenant("0123456789ab")).open(PLACE, &sealed).is_ok());
}

#[test]
fn a_sealed_field_of_another_key_version_does_not_open() {
    let fixture = Fixture::unattended();
    let tenant = tenant("0123456789ab");
    let (first, _) = fixture.keystore.new_tenant_key(tenant, 1, &SystemRandom);
    let (second, _) = fixture.keystore.new_tenant_key(tenant, 2, &SystemRandom);
    let mut sealed = first.seal(PLACE, PLAIN, &SystemRandom);
    let error = second.open(PLACE, &sealed).expect_err("refused");
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "key-version"));
    // Renumbered by hand, it is refused by the cipher.
    sealed[1..5].copy_from_slice(&2_u32.to_be_bytes());
    assert_eq!(second.open(PLACE, &sealed).expect_err("refused").code(), "sealed-value-damaged");
    let renumbered = first.of_version(2);
    assert!(renumbered.open(PLACE, &sealed).is_err(), "the version itself is bound, too");
}

#[test]
fn a_sealed_field_with_any_bit_flipped_or_cut_does_not_open() {
    let fixture = Fixture::unattended();
    let (key, _) = fixture.keystore.new_tenant_key(tenant("0123456789ab"), 1, &SystemRandom);
    let sealed = key.seal(PLACE, PLAIN, &SystemRandom);
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(key.open(PLACE, &flipped).is_err(), "bit {bit} was not noticed");
    }
    for length in 0..sealed.len() {
        assert!(key.open(PLACE, &sealed[..length]).is_err());
    }
    assert!(key.open(PLACE, &[sealed.as_slice(), &[0]].concat()).is_err());
    assert_eq!(TenantKey::sealed_version(&[1, 0, 0, 0, 1]), None);
    assert_eq!(TenantKey::sealed_version(&[2; 60]), None);
}

#[test]
fn a_wrapped_key_is_that_of_one_tenant_version_root_and_installation() {
    let (fixture, other) = (Fixture::unattended(), Fixture::unattended());
    let keystore = &fixture.keystore;
    let (ours, theirs) = (tenant("0123456789ab"), tenant("0123456789ac"));
    let (_, wrapped) = keystore.new_tenant_key(ours, 1, &SystemRandom);
    keystore.unwrap_tenant_key(ours, 1, &wrapped).expect("in its place");
    for (tenant, version) in [(theirs, 1), (ours, 2), (theirs, 2)] {
        let error = keystore.unwrap_tenant_key(tenant, version, &wrapped).expect_err("refused");
        assert_eq!(error.code(), "tenant-key-damaged");
        assert!(keystore.rewrap(tenant, version, &wrapped, &SystemRandom).is_err());
    }
    let error = other.keystore.unwrap_tenant_key(ours, 1, &wrapped).expect_err("refused");
    assert_eq!(error.code(), "root-key-unknown");
    let relabelled = Wrapped { root: other.keystore.current_root(), ..wrapped.clone() };
    assert!(other.keystore.unwrap_tenant_key(ours, 1, &relabelled).is_err());
    for bit in 0..wrapped.bytes.len() * 8 {
        let mut flipped = wrapped.clone();
        flipped.bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(keystore.unwrap_tenant_key(ours, 1, &flipped).is_err());
    }
}

#[test]
fn a_blind_index_finds_equal_values_of_one_column_of_one_tenant() {
    let fixture = Fixture::unattended();
    let (ours, _) = fixture.keystore.new_tenant_key(tenant("0123456789ab"), 1, &SystemRandom);
    let (theirs, _) = fixture.keystore.new_tenant_key(tenant("0123456789ac"), 1, &SystemRandom);
    let index = ours.blind_index("user", "email", PLAIN);
    assert_eq!(ours.blind_index("user", "email", PLAIN), index);
    for other in [
        ours.blind_index("user", "name", PLAIN),
        ours.blind_index("usere", "mail", PLAIN),
        ours.blind_index("user", "email", b"b@example.com"),
        theirs.blind_index("user", "email", PLAIN),
    ] {
        assert_ne!(other, index);
    }
}

#[test]
fn the_plain_text_does_not_occur_in_what_is_sealed() {
    let fixture = Fixture::unattended();
    let (key, wrapped) = fixture.keystore.new_tenant_key(TenantId::SYSTEM, 1, &SystemRandom);
    let sealed = key.seal(PLACE, PLAIN, &SystemRandom);
    assert!(!sealed.windows(4).any(|part| PLAIN.windows(4).any(|plain| plain == part)));
    assert_eq!(wrapped.bytes.len(), 105);
}

/// A million in an optimised build; unoptimised ciphers are 50 times slower.
const SEALS: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

#[test]
fn no_nonce_repeats_in_very_many_seals() {
    let fixture = Fixture::unattended();
    let (key, _) = fixture.keystore.new_tenant_key(TenantId::SYSTEM, 1, &SystemRandom);
    let mut seen = HashSet::with_capacity(SEALS);
    for _ in 0..SEALS {
        let sealed = key.seal(PLACE, b"", &SystemRandom);
        let nonce: [u8; 24] = sealed[5..29].try_into().expect("24 bytes");
        assert!(seen.insert(nonce), "a nonce repeats");
    }
}

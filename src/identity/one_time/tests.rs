use std::collections::HashSet;

use super::*;
use crate::clock::SystemRandom;

#[test]
fn a_secret_survives_its_text_and_keeps_its_digest() {
    for purpose in Purpose::ALL {
        let secret = OneTimeSecret::random(purpose, &SystemRandom);
        assert_eq!(secret.expose().len(), 3 + 43);
        let parsed = OneTimeSecret::parse(purpose, secret.expose()).unwrap();
        assert_eq!(parsed.digest(), secret.digest());
    }
}

#[test]
fn the_digest_is_the_sha_256_of_the_whole_text() {
    let text = format!("pr_{}", "A".repeat(43));
    let secret = OneTimeSecret::parse(Purpose::Refresh, &text).unwrap();
    let expected: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    assert_eq!(secret.digest().as_bytes(), &expected);
    let other = OneTimeSecret::parse(Purpose::Invitation, &text.replace("pr_", "pi_")).unwrap();
    assert_ne!(secret.digest(), other.digest());
}

#[test]
fn digests_that_differ_in_any_one_bit_are_different() {
    let digest = Digest::from_bytes([7; 32]);
    for bit in 0..256 {
        let mut bytes = *digest.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(digest, Digest::from_bytes(bytes), "bit {bit}");
    }
    assert_eq!(digest, Digest::from_bytes([7; 32]));
}

#[test]
fn a_secret_for_one_purpose_is_refused_for_every_other() {
    for made_for in Purpose::ALL {
        let secret = OneTimeSecret::random(made_for, &SystemRandom);
        for used_for in Purpose::ALL {
            let parsed = OneTimeSecret::parse(used_for, secret.expose());
            assert_eq!(parsed.is_ok(), made_for == used_for, "{made_for:?} as {used_for:?}");
        }
        assert!(ApiKeySecret::parse(secret.expose()).is_err());
    }
}

#[test]
fn every_secret_is_another_one() {
    let draw = || OneTimeSecret::random(Purpose::Refresh, &SystemRandom).expose().to_owned();
    let drawn: HashSet<String> = std::iter::repeat_with(draw).take(1_000).collect();
    assert_eq!(drawn.len(), 1_000);
}

#[test]
fn a_secret_has_exactly_one_text() {
    let good = format!("pr_{}A", "x".repeat(42));
    assert!(OneTimeSecret::parse(Purpose::Refresh, &good).is_ok());
    let body = "x".repeat(42);
    for text in [
        String::new(),
        "pr_".to_owned(),
        body.clone(),
        format!("pr_{body}"),
        format!("pr_{body}AA"),
        format!("pr_{body}B"), // the same bytes, with stray bits at the end
        format!("pr_{body}A="),
        format!(" pr_{body}A"),
        format!("pr_{body}A\n"),
        format!("PR_{body}A"),
        format!("pr_{}+A", "x".repeat(41)),
        format!("pr_{}éA", "x".repeat(40)),
    ] {
        assert!(OneTimeSecret::parse(Purpose::Refresh, &text).is_err(), "{text:?}");
    }
}

#[test]
fn an_api_key_names_itself() {
    let id: ApiKeyId = "00ab12cd34ef".parse().unwrap();
    let key = ApiKeySecret::random(id, &SystemRandom);
    assert!(ApiKeySecret::looks_like_one(key.expose()));
    let parsed = ApiKeySecret::parse(key.expose()).unwrap();
    assert_eq!((parsed.id(), parsed.digest()), (id, key.digest()));
    assert_eq!(key.shown_prefix(), "pk_00ab12cd34ef");
    // The random part may contain `_` itself.
    let odd = format!("pk_{id}_{}A", "_".repeat(42));
    assert_eq!(ApiKeySecret::parse(&odd).unwrap().id(), id);
}

#[test]
fn the_uid_inside_an_api_key_cannot_be_exchanged() {
    let key = ApiKeySecret::random("00ab12cd34ef".parse().unwrap(), &SystemRandom);
    let other = key.expose().replace("00ab12cd34ef", "00ab12cd34ee");
    assert_ne!(ApiKeySecret::parse(&other).unwrap().digest(), key.digest());
}

#[test]
fn text_that_is_no_api_key_is_refused() {
    let random_part = "x".repeat(42) + "A";
    for text in [
        format!("pk_{random_part}"),
        format!("pk__{random_part}"),
        format!("pk_00AB12CD34EF_{random_part}"),
        format!("pk_00ab12cd34e_{random_part}"),
        "pk_00ab12cd34ef_".to_owned(),
        format!("pr_00ab12cd34ef_{random_part}"),
    ] {
        assert!(ApiKeySecret::parse(&text).is_err(), "{text:?}");
    }
}

#[test]
fn a_set_up_code_has_four_groups_of_unmistakable_characters() {
    for _ in 0..200 {
        let shown = SetupCode::random(&SystemRandom).expose_grouped();
        let groups: Vec<&str> = shown.split('-').collect();
        assert_eq!(groups.len(), 4);
        assert!(groups.iter().all(|group| group.len() == 4), "{shown}");
        assert!(!shown.contains(['0', '1', 'I', 'O']), "{shown}");
    }
}

#[test]
fn a_set_up_code_may_be_typed_carelessly() {
    let code = SetupCode::random(&SystemRandom);
    let shown = code.expose_grouped();
    for typed in [
        shown.clone(),
        shown.to_lowercase(),
        shown.replace('-', ""),
        format!(" {} ", shown.replace('-', " - ")),
    ] {
        assert_eq!(SetupCode::parse(&typed).unwrap().digest(), code.digest(), "{typed:?}");
    }
}

#[test]
fn what_is_no_set_up_code_is_refused() {
    for typed in [
        "",
        "ABCD-EFGH-JKLM",
        "ABCD-EFGH-JKLM-NPQRS",
        "ABCD-EFGH-JKLM-NPQ0",
        "ABCD-EFGH-JKLM-NPQI",
        "ABCD-EFGH-JKLM-NPQé",
        "ABCD_EFGH_JKLM_NPQR",
    ] {
        assert!(SetupCode::parse(typed).is_err(), "{typed:?}");
    }
    assert!(SetupCode::parse(&"-".repeat(1_000_000)).is_err());
}

#[test]
fn debug_output_shows_no_secret_and_no_digest() {
    let secret = OneTimeSecret::random(Purpose::Refresh, &SystemRandom);
    let key = ApiKeySecret::random("00ab12cd34ef".parse().unwrap(), &SystemRandom);
    let code = SetupCode::parse("ABCD-EFGH-JKLM-NPQR").unwrap();
    let shown = format!("{secret:?} {key:?} {code:?} {:?}", secret.digest());
    assert!(!shown.contains(&secret.expose()[3..]));
    assert!(!shown.contains(&key.expose()[16..]));
    assert!(!shown.contains("ABCD"));
    assert!(shown.ends_with("[digest]"), "{shown}");
}

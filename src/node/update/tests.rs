//! An update file is believed as a whole or not at all.

use std::{fs, path::Path};

use super::{
    archive::{Writer, total},
    format::{Artefact, DataFormat, Facts, Kind, MANIFEST, Manifest, SIGNATURE},
    keys::{SecretKey, TrustedKeys},
    make::{Release, make},
    verify::{Running, admit, inspect, verify},
};
use crate::{clock::SystemRandom, error::Error, release::Version};

pub(super) const HASH: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";

pub(super) fn version(text: &str) -> Version {
    text.parse().unwrap_or_else(|_| panic!("{text} is a version"))
}

pub(super) fn key() -> SecretKey {
    SecretKey::generate("test", &SystemRandom).expect("a key")
}

pub(super) fn release(text: &str) -> Release {
    Release {
        version: version(text),
        released: "2026-11-22".to_owned(),
        installable_from: version("1.0.0"),
        data_format: DataFormat {
            number: crate::release::DATA_FORMAT,
            oldest_version: version("1.0.0"),
        },
        notes: format!("What is new in {text}.\n"),
    }
}

/// What `appliance/build` leaves, in small.
pub(super) fn built(place: &Path, text: &str) {
    for (position, kind) in Kind::ALL.into_iter().enumerate() {
        let content = format!("{text} {kind:?} ").repeat(40 * (position + 1));
        fs::write(place.join(kind.file_name(&version(text), HASH)), content).expect("written");
    }
}

/// An update file of this version.
pub(super) fn file(text: &str, key: &SecretKey) -> Vec<u8> {
    let place = tempfile::tempdir().expect("a directory");
    built(place.path(), text);
    let mut bytes = Vec::new();
    make(place.path(), release(text), key, &mut bytes).expect("made");
    bytes
}

pub(super) fn check(bytes: &[u8], key: &SecretKey) -> Result<Manifest, Error> {
    let trusted = TrustedKeys::new(vec![key.public()]);
    verify(bytes, &trusted, &mut |_| ()).map(|checked| checked.manifest)
}

#[test]
fn what_was_made_is_good_and_the_same_again() {
    let key = key();
    let bytes = file("1.2.0", &key);
    let manifest = check(&bytes, &key).expect("good");
    assert_eq!(manifest.version, version("1.2.0"));
    assert_eq!(manifest.notes, "What is new in 1.2.0.\n");
    assert_eq!(bytes, file("1.2.0", &key));
    let (inspected, line) = inspect(bytes.as_slice()).expect("readable");
    assert_eq!(inspected, manifest);
    assert!(line.contains(&key.public().id()));
    let known = [manifest.to_bytes().expect("text").len() as u64, line.len() as u64 + 1];
    let sizes = known.into_iter().chain(manifest.artefacts.iter().map(|a| a.size));
    assert_eq!(total(sizes), bytes.len() as u64);
}

#[test]
fn a_file_with_one_byte_changed_anywhere_is_refused() {
    let key = key();
    let good = file("1.2.0", &key);
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 1;
        assert!(check(&bytes, &key).is_err(), "byte {position} may be anything");
    }
}

#[test]
fn a_file_cut_at_any_byte_or_with_more_at_its_end_is_refused() {
    let key = key();
    let good = file("1.2.0", &key);
    for length in 0..good.len() {
        assert!(check(&good[..length], &key).is_err(), "cut after {length} bytes");
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(check(&longer, &key).expect_err("refused").code(), "update-damaged");
}

/// A file of these members, whatever they are.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, content) in members {
        writer.member(name, content.len() as u64, *content).expect("written");
    }
    writer.finish().expect("finished")
}

/// The parts of a good file: manifest, signature, and the artefacts by name.
fn parts(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("an entry");
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("content");
        (entry.path().expect("a path").display().to_string(), content)
    });
    entries.collect()
}

type Members<'a> = Vec<(&'a str, &'a [u8])>;

#[test]
fn members_that_are_missing_twice_there_or_elsewhere_are_refused() {
    let key = key();
    let parts = parts(&file("1.2.0", &key));
    let members: Members<'_> =
        parts.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    check(&archive(&members), &key).expect("the parts together are good");
    let mut wrong: Vec<(String, Members<'_>)> = Vec::new();
    for position in 0..members.len() {
        let name = members[position].0;
        let mut without = members.clone();
        without.remove(position);
        wrong.push((format!("without {name}"), without));
        let mut twice = members.clone();
        twice.insert(position, members[position]);
        wrong.push((format!("{name} twice"), twice));
        for path in ["../x", "/etc/passwd", "./manifest.json", ""] {
            let mut elsewhere = members.clone();
            elsewhere[position].0 = path;
            wrong.push((format!("{name} as {path:?}"), elsewhere));
        }
    }
    let mut more = members.clone();
    more.push(("install.sh", b"#!/bin/sh"));
    wrong.push(("one more".to_owned(), more));
    let mut swapped = members.clone();
    swapped.swap(2, 3);
    wrong.push(("in another order".to_owned(), swapped));
    for (what, members) in wrong {
        check(&archive(&members), &key).expect_err(&what);
    }
}

#[test]
fn a_file_that_is_unsigned_or_signed_for_something_else_is_refused_by_name() {
    let (key, other) = (key(), key());
    let code = |bytes: &[u8]| check(bytes, &key).expect_err("refused").code().to_owned();
    assert_eq!(code(&file("1.2.0", &other)), "update-unknown-key");

    let older = parts(&file("1.1.0", &key));
    let newer = parts(&file("1.2.0", &key));
    let with = |manifest: &[u8], signature: &[u8], rest: &[(String, Vec<u8>)]| {
        let mut members = vec![(MANIFEST, manifest), (SIGNATURE, signature)];
        members.extend(rest.iter().map(|(name, content)| (name.as_str(), content.as_slice())));
        archive(&members)
    };
    assert_eq!(code(&with(&newer[0].1, b"", &newer[2..])), "update-unsigned");
    assert_eq!(code(&with(&newer[0].1, &older[1].1, &newer[2..])), "update-signature");
    // A good manifest of another version over these artefacts.
    assert_eq!(code(&with(&older[0].1, &older[1].1, &newer[2..])), "update-damaged");
}

#[test]
fn a_signed_manifest_of_another_product_or_format_is_refused_by_name() {
    let key = key();
    let text = String::from_utf8(parts(&file("1.2.0", &key))[0].1.clone()).expect("UTF-8");
    let signed = |text: &str| {
        let line = key.sign(text.as_bytes());
        check(&archive(&[(MANIFEST, text.as_bytes()), (SIGNATURE, line.as_bytes())]), &key)
            .expect_err("refused")
    };
    let other = text.replace("\"product\": \"palisade\"", "\"product\": \"fence\"");
    assert_eq!(signed(&other).code(), "update-product");
    let newer = text.replace("\"format\": 1", "\"format\": 2, \"future\": true");
    let refused = signed(&newer);
    assert_eq!(refused.code(), "update-format");
    assert!(refused.message().contains("has format 2"), "{}", refused.message());
}

#[test]
fn what_may_be_installed_depends_on_what_runs_and_on_the_data() {
    // installed, running, oldest for its data, installable from, downgrade allowed, outcome
    let cases = [
        ("1.2.0", "1.1.0", "1.0.0", "1.0.0", false, "ok"),
        ("1.2.0", "1.2.0~rc1", "1.0.0", "1.0.0", false, "ok"),
        ("1.1.0", "1.1.0", "1.0.0", "1.0.0", true, "update-installed"),
        ("1.0.0", "1.1.0", "1.0.0", "1.0.0", false, "update-older"),
        ("1.0.0", "1.1.0", "1.0.0", "1.0.0", true, "ok"),
        ("1.0.0", "1.2.0", "1.1.0", "1.0.0", true, "update-older-than-data"),
        ("1.3.0", "1.1.0", "1.0.0", "1.2.0", false, "update-skips-a-version"),
        ("1.3.0", "1.1.0", "1.0.0", "1.2.0", true, "update-skips-a-version"),
    ];
    for (new, runs, oldest, from, allow, outcome) in cases {
        let artefacts = Kind::ALL.map(|kind| Artefact {
            name: kind.file_name(&version(new), HASH),
            size: 1,
            sha256: HASH.to_owned(),
        });
        let Release { released, data_format, notes, .. } = release(new);
        let manifest = Manifest::new(Facts {
            version: version(new),
            released,
            installable_from: version(from),
            data_format,
            root_hash: HASH.to_owned(),
            artefacts,
            notes,
        })
        .expect("valid");
        let running = Running { version: version(runs), oldest: version(oldest) };
        let found = admit(&manifest, &running, allow).map_err(|error| error.code().to_owned());
        assert_eq!(found.err().as_deref().unwrap_or("ok"), outcome, "{new} over {runs}, {allow}");
    }
}

#[test]
fn the_artefacts_must_be_there_once_and_named_after_their_root_hash() {
    let place = tempfile::tempdir().expect("a directory");
    let refused = || {
        let made = make(place.path(), release("1.2.0"), &key(), &mut Vec::new());
        made.expect_err("refused").code().to_owned()
    };
    assert_eq!(refused(), "update-artefacts");
    built(place.path(), "1.1.0");
    assert_eq!(refused(), "update-artefacts");
    built(place.path(), "1.2.0");
    let second = place.path().join(Kind::Root.file_name(&version("1.2.0"), &"ab".repeat(32)));
    fs::write(&second, "another root").expect("written");
    assert_eq!(refused(), "update-artefacts");
    fs::remove_file(&second).expect("removed");
    fs::remove_file(place.path().join("palisade_1.2.0.efi")).expect("removed");
    assert_eq!(refused(), "update-artefacts");
}

//! What opens a keystore, and what is said when it does not.

use std::os::unix::fs::symlink;

use super::*;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode set");
}

/// The refusal of `result`: it names the place, says what to do, and wrote nothing.
#[track_caller]
fn refused<T: fmt::Debug>(dir: &Path, result: Result<T>) -> (Kind, String, String) {
    let error = result.expect_err("refused");
    assert!(error.message().contains(&dir.display().to_string()), "{}", error.message());
    assert!(error.hint().is_some(), "no hint: {}", error.message());
    (error.kind(), error.code().to_owned(), error.message().to_owned())
}

#[test]
fn an_unattended_keystore_opens_by_its_key_file() {
    let fixture = Fixture::unattended();
    assert_same_secrets(&fixture.open().expect("opened"), &fixture.keystore);
}

#[test]
fn a_passphrase_opens_and_another_one_does_not() {
    let fixture = Fixture::sealed_by(SealMode::Passphrase(passphrase()));
    let before = snapshot(&fixture.dir());
    let opened = Keystore::open(&fixture.dir(), Unlock::Passphrase(passphrase())).expect("opened");
    assert_same_secrets(&opened, &fixture.keystore);
    assert_eq!(opened.status().seal, SealKind::Passphrase);

    let wrong = Unlock::Passphrase(Secret::new("correct horse battery stapler".to_owned()));
    let (kind, code, message) = refused(&fixture.dir(), Keystore::open(&fixture.dir(), wrong));
    assert_eq!((kind, code.as_str()), (Kind::Unauthenticated, "wrong-passphrase"));
    assert!(message.ends_with("the passphrase is wrong. Nothing was changed."), "{message}");
    let (_, code, _) = refused(&fixture.dir(), fixture.open());
    assert_eq!(code, "passphrase-needed");
    assert_eq!(snapshot(&fixture.dir()), before);
    assert!(!before.iter().any(|(path, ..)| path.ends_with("seal.key")));
}

#[test]
fn a_short_passphrase_is_refused_before_anything_is_written() {
    let home = TempDir::new().expect("a directory");
    set_mode(home.path(), 0o700);
    let short = SealMode::Passphrase(Secret::new("fourteen chars".to_owned()));
    let error = Keystore::create(home.path(), short, &TestClock::at(NOW), &SystemRandom)
        .expect_err("refused");
    assert_eq!((error.kind(), error.fields()[0].field.as_str()), (Kind::Invalid, "passphrase"));
    assert!(snapshot(home.path()).is_empty());
}

#[test]
fn a_passphrase_is_not_taken_for_an_unattended_keystore() {
    let fixture = Fixture::unattended();
    let result = Keystore::open(&fixture.dir(), Unlock::Passphrase(passphrase()));
    assert_eq!(refused(&fixture.dir(), result).1, "passphrase-unused");
}

#[test]
fn the_seal_key_may_come_from_outside_of_the_directory() {
    let fixture = Fixture::unattended();
    let credential = fixture.home.path().join("palisade-seal-key");
    fs::rename(fixture.dir().join("seal.key"), &credential).expect("moved");
    for mode in [0o400, 0o440, 0o600] {
        set_mode(&credential, mode);
        let unlock = Unlock::KeyFile(credential.clone());
        let opened = Keystore::open(&fixture.dir(), unlock).expect("opened");
        assert_same_secrets(&opened, &fixture.keystore);
    }
    assert_eq!(refused(&fixture.dir(), fixture.open()).1, "seal-key-missing");
    for mode in [0o404, 0o444, 0o460, 0o644] {
        set_mode(&credential, mode);
        let result = Keystore::open(&fixture.dir(), Unlock::KeyFile(credential.clone()));
        assert_eq!(refused(&fixture.dir(), result).1, "keystore-permissions");
    }
    let missing = Unlock::KeyFile(fixture.home.path().join("none"));
    let result = Keystore::open(&fixture.dir(), missing);
    assert_eq!(refused(&fixture.dir(), result).1, "seal-key-missing");
}

#[test]
fn a_new_keystore_can_be_sealed_by_a_key_that_exists_already() {
    let home = TempDir::new().expect("a directory");
    let credential = home.path().join("palisade-seal-key");
    fs::write(&credential, [7; 32]).expect("written");
    set_mode(&credential, 0o400);
    let dir = home.path().join("keystore");
    let seal = SealMode::KeyFile(credential.clone());
    let clock = TestClock::at(NOW);
    let (keystore, _) = Keystore::create(&dir, seal, &clock, &SystemRandom).expect("created");
    assert_eq!(snapshot(&dir).len(), 1);
    let opened = Keystore::open(&dir, Unlock::KeyFile(credential)).expect("opened");
    assert_same_secrets(&opened, &keystore);
}

#[test]
fn a_wrong_short_or_missing_seal_key_is_told_apart() {
    let fixture = Fixture::unattended();
    let path = fixture.dir().join("seal.key");
    fs::write(&path, [1; 32]).expect("written");
    let (_, code, message) = refused(&fixture.dir(), fixture.open());
    assert_eq!(code, "seal-key-wrong");
    assert!(message.contains("seal.key is not the key"), "{message}");
    fs::write(&path, [1; 31]).expect("written");
    let (_, code, message) = refused(&fixture.dir(), fixture.open());
    assert_eq!(code, "seal-key-wrong");
    assert!(message.contains("31 bytes instead of 32"), "{message}");
    fs::remove_file(&path).expect("removed");
    assert_eq!(refused(&fixture.dir(), fixture.open()).1, "seal-key-missing");
}

#[test]
fn the_seal_key_of_another_installation_does_not_open() {
    let (left, right) = (Fixture::unattended(), Fixture::unattended());
    fs::copy(left.dir().join("seal.key"), right.dir().join("seal.key")).expect("copied");
    assert_eq!(refused(&right.dir(), right.open()).1, "seal-key-wrong");
}

#[test]
fn a_directory_without_keystore_says_so() {
    let home = TempDir::new().expect("a directory");
    let dir = home.path().join("none");
    assert!(!Keystore::exists(&dir));
    let (kind, code, _) = refused(&dir, Keystore::open(&dir, Unlock::Unattended));
    assert_eq!((kind, code.as_str()), (Kind::NotFound, "keystore-missing"));
    assert!(!dir.exists());
}

#[test]
fn a_seal_key_without_its_keystore_is_neither_opened_nor_overwritten() {
    let fixture = Fixture::unattended();
    fs::remove_file(fixture.dir().join("keystore.json")).expect("removed");
    let before = snapshot(&fixture.dir());
    assert_eq!(refused(&fixture.dir(), fixture.open()).1, "keystore-lost");
    let again =
        Keystore::create(&fixture.dir(), SealMode::Unattended, &fixture.clock, &SystemRandom);
    assert_eq!(refused(&fixture.dir(), again).1, "keystore-lost");
    assert_eq!(snapshot(&fixture.dir()), before);
}

#[test]
fn files_and_directories_that_others_can_get_at_are_refused() {
    for (name, modes) in [
        ("keystore.json", [0o644, 0o640, 0o604, 0o700]),
        ("seal.key", [0o644, 0o660, 0o602, 0o601]),
        ("", [0o755, 0o750, 0o701, 0o777]),
    ] {
        let fixture = Fixture::unattended();
        let path = fixture.dir().join(name);
        for mode in modes {
            set_mode(&path, mode);
            let (kind, code, message) = refused(&fixture.dir(), fixture.open());
            assert_eq!(
                (kind, code.as_str()),
                (Kind::Conflict, "keystore-permissions"),
                "{name} {mode:o}"
            );
            assert!(message.contains(&format!("{mode:04o}")), "{message}");
            let change = fixture.keystore.rotate_jwt(&fixture.clock, &SystemRandom);
            if name != "seal.key" {
                assert_eq!(refused(&fixture.dir(), change).1, "keystore-permissions");
            }
        }
    }
}

#[test]
fn links_in_place_of_files_and_directories_are_refused() {
    for name in ["keystore.json", "seal.key"] {
        let fixture = Fixture::unattended();
        let (path, elsewhere) = (fixture.dir().join(name), fixture.home.path().join("elsewhere"));
        fs::rename(&path, &elsewhere).expect("moved");
        symlink(&elsewhere, &path).expect("linked");
        assert_eq!(refused(&fixture.dir(), fixture.open()).1, "keystore-permissions");
    }
    let fixture = Fixture::unattended();
    let link = fixture.home.path().join("link");
    symlink(fixture.dir(), &link).expect("linked");
    let result = Keystore::open(&link, Unlock::Unattended);
    assert_eq!(refused(&link, result).1, "keystore-permissions");
}

#[test]
fn opening_writes_nothing() {
    let fixture = Fixture::unattended();
    fs::write(fixture.dir().join("keystore.json.tmp"), "left by a crash").expect("written");
    let before = snapshot(&fixture.dir());
    fixture.open().expect("opened");
    fixture.open_with_kit().expect("opened");
    assert_eq!(snapshot(&fixture.dir()), before);
}

#[test]
fn a_flipped_bit_anywhere_in_the_file_is_noticed() {
    let fixture = Fixture::unattended();
    let path = fixture.dir().join("keystore.json");
    let intact = fs::read(&path).expect("read");
    // Every byte, with a bit that wanders: all bits of all bytes take minutes.
    for position in 0..intact.len() {
        let mut flipped = intact.clone();
        flipped[position] ^= 1 << (position % 8);
        fs::write(&path, &flipped).expect("written");
        match fixture.open() {
            // White space and the like: the meaning is the same.
            Ok(opened) => assert_eq!(opened.status(), fixture.keystore.status()),
            Err(error) => {
                assert!(
                    ["keystore-damaged", "keystore-newer"].contains(&error.code()),
                    "byte {position}: {}",
                    error.code()
                );
            }
        }
    }
    for length in (0..intact.len() - 1).step_by(97) {
        fs::write(&path, &intact[..length]).expect("written");
        assert_eq!(refused(&fixture.dir(), fixture.open()).1, "keystore-damaged");
    }
}

/// Rewrites fields of the file and makes its checksum fit again, as somebody
/// would who wants to mislead rather than damage.
fn forge(fixture: &Fixture, change: impl FnOnce(&mut serde_json::Value)) {
    let path = fixture.dir().join("keystore.json");
    let bytes = fs::read(&path).expect("read");
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    change(&mut value);
    let forged = format::SealedFile::with_fitting_checksum(&value.to_string());
    fs::write(&path, forged).expect("written");
}

#[test]
fn a_forged_header_with_a_fitting_checksum_does_not_open() {
    let fixture = Fixture::unattended();
    forge(&fixture, |_| {});
    fixture.open().expect("the forger changes only what the test wants");
    let foreign = Fixture::unattended().keystore.export_sealed();
    let foreign: serde_json::Value = serde_json::from_slice(&foreign).expect("JSON");
    for (pointer, value) in [
        ("/generation", serde_json::json!(2)),
        ("/createdAt", serde_json::json!("2026-11-22T05:28:27Z")),
        ("/recovery/number", foreign["recovery"]["number"].clone()),
        ("/recovery/createdAt", serde_json::json!("2026-11-22T05:28:27Z")),
        // Somebody makes the kit worthless, to be noticed in a disaster only.
        ("/recovery/wrapped", foreign["recovery"]["wrapped"].clone()),
        ("/payload", foreign["payload"].clone()),
    ] {
        let fixture = Fixture::unattended();
        forge(&fixture, |file| *file.pointer_mut(pointer).expect("a field") = value);
        assert_eq!(refused(&fixture.dir(), fixture.open()).1, "keystore-damaged", "{pointer}");
    }
    let fixture = Fixture::unattended();
    forge(&fixture, |file| file["installation"] = serde_json::json!("0".repeat(32)));
    assert_eq!(refused(&fixture.dir(), fixture.open()).1, "seal-key-wrong");
}

#[test]
fn a_slot_of_another_kind_or_file_does_not_open() {
    // The recovery slot in place of the seal's.
    let fixture = Fixture::unattended();
    forge(&fixture, |file| file["seal"]["wrapped"] = file["recovery"]["wrapped"].clone());
    assert_eq!(refused(&fixture.dir(), fixture.open()).1, "seal-key-wrong");
    // A payload of the same installation under an earlier data key.
    let fixture = Fixture::unattended();
    let path = fixture.dir().join("keystore.json");
    let old: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    fixture.keystore.new_recovery_kit(&fixture.clock, &SystemRandom).expect("a kit");
    forge(&fixture, |file| {
        file["payload"] = old["payload"].clone();
        file["generation"] = old["generation"].clone();
    });
    assert_eq!(refused(&fixture.dir(), fixture.open()).1, "keystore-damaged");
}

#[test]
fn a_passphrase_slot_that_asks_for_absurd_work_is_refused_at_once() {
    // Each is just beyond the limit, so that it would be done without it.
    for (field, memory_kib, value) in
        [("memoryKib", 0, 1_048_577_u32), ("passes", 64, 65), ("lanes", 1024, 17)]
    {
        let fixture = Fixture::sealed_by(SealMode::Passphrase(passphrase()));
        forge(&fixture, |file| {
            file["seal"]["stretch"]["memoryKib"] = memory_kib.into();
            file["seal"]["stretch"][field] = value.into();
        });
        let result = Keystore::open(&fixture.dir(), Unlock::Passphrase(passphrase()));
        assert_eq!(refused(&fixture.dir(), result).1, "keystore-damaged", "{field}");
    }
}

#[test]
fn a_format_of_a_later_release_is_named_as_such() {
    let fixture = Fixture::unattended();
    let path = fixture.dir().join("keystore.json");
    fs::write(&path, r#"{"format":"palisade-keystore","version":2,"new":true}"#).expect("written");
    let (_, code, message) = refused(&fixture.dir(), fixture.open());
    assert_eq!(code, "keystore-newer");
    assert!(message.contains("format 2"), "{message}");
}

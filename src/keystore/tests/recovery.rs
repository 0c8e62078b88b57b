//! Recovery kits, sealed copies and changing the seal.

use super::*;

fn recover(fixture: &Fixture, copy: Option<&[u8]>, seal: SealMode) -> Result<Keystore> {
    Keystore::recover(&fixture.dir(), copy, &fixture.kit.text(), seal, &SystemRandom)
}

#[test]
fn a_kit_opens_the_keystore_that_it_was_made_for_and_no_other() {
    let (fixture, other) = (Fixture::unattended(), Fixture::unattended());
    assert_same_secrets(&fixture.open_with_kit().expect("opened"), &fixture.keystore);
    let unlock = Unlock::RecoveryKit(other.kit.code());
    let error = Keystore::open(&fixture.dir(), unlock).expect_err("refused");
    assert_eq!((error.kind(), error.code()), (Kind::Unauthenticated, "wrong-recovery-kit"));
    for number in [fixture.kit.number(), other.kit.number()] {
        assert!(error.message().contains(&number), "{}", error.message());
    }
}

#[test]
fn a_mistyped_code_is_answered_with_the_group_at_fault() {
    let fixture = Fixture::unattended();
    let code = fixture.kit.code().expose().clone();
    let at = code.find("5: ").expect("group 5") + 3;
    let other = if &code[at..=at] == "Z" { "Y" } else { "Z" };
    let typed = Secret::new(format!("{}{other}{}", &code[..at], &code[at + 1..]));
    let error = Keystore::open(&fixture.dir(), Unlock::RecoveryKit(typed)).expect_err("refused");
    assert_eq!(error.code(), "recovery-code-mistyped");
    assert_eq!(error.message(), "Group 5 of the recovery code is wrong.");
    assert!(!error.chain().contains(&code[at + 1..at + 4]));
}

#[test]
fn a_new_kit_voids_the_old_one_also_together_with_an_old_copy() {
    let fixture = Fixture::unattended();
    let old_copy = fixture.keystore.export_sealed();
    let new = fixture.keystore.new_recovery_kit(&fixture.clock, &SystemRandom).expect("a kit");
    let error = fixture.open_with_kit().expect_err("refused");
    assert_eq!(error.code(), "wrong-recovery-kit");
    let opened = Keystore::open(&fixture.dir(), Unlock::RecoveryKit(new.code())).expect("opened");
    assert_same_secrets(&opened, &fixture.keystore);
    assert_same_secrets(&fixture.open().expect("the seal stays"), &fixture.keystore);
    // Old kit and old copy give the old data key: it does not open the new file.
    let kit = kit::KitKey::read(fixture.kit.code().expose()).expect("well-formed");
    let old_file = format::SealedFile::from_bytes(&old_copy).expect("intact");
    let old_data_key = seal::unlock_with_kit(&old_file, &kit).expect("of its time");
    assert!(old_file.open(&old_data_key).is_some());
    let new_file = format::SealedFile::from_bytes(&fixture.keystore.export_sealed());
    assert!(new_file.expect("intact").open(&old_data_key).is_none());
}

#[test]
fn the_sealed_copy_is_the_file_and_holds_no_plain_secret() {
    let fixture = Fixture::unattended();
    let copy = fixture.keystore.export_sealed();
    assert_eq!(copy, fs::read(fixture.dir().join("keystore.json")).expect("read"));
    let text = String::from_utf8(copy).expect("JSON");
    assert!(!text.contains("PRIVATE KEY") && !text.contains("BEGIN CERTIFICATE"));
    for key in signing_keys(&fixture.keystore) {
        assert!(!text.contains(&data_encoding::BASE64.encode(&key)));
    }
}

#[test]
fn a_sealed_copy_says_which_kit_it_needs() {
    let fixture = Fixture::sealed_by(SealMode::Passphrase(passphrase()));
    let info = Keystore::inspect(&fixture.keystore.export_sealed()).expect("read");
    let wanted = SealedInfo {
        installation: fixture.keystore.installation_id(),
        generation: 1,
        seal: SealKind::Passphrase,
        kit_number: fixture.kit.number(),
        kit_created_at: NOW,
    };
    assert_eq!(info, wanted);
    let error = Keystore::inspect(b"{}").expect_err("refused");
    assert_eq!(error.code(), "keystore-damaged");
}

#[test]
fn a_lost_directory_is_rebuilt_from_the_sealed_copy_and_the_kit() {
    let fixture = Fixture::unattended();
    let copy = fixture.keystore.export_sealed();
    fs::remove_dir_all(fixture.dir()).expect("removed");
    let recovered = recover(&fixture, Some(&copy), SealMode::Unattended).expect("recovered");
    assert_same_secrets(&recovered, &fixture.keystore);
    assert_same_secrets(&fixture.open().expect("opened"), &fixture.keystore);
    assert_same_secrets(&fixture.open_with_kit().expect("opened"), &fixture.keystore);
    recovered.new_recovery_kit(&fixture.clock, &SystemRandom).expect("the new seal is known");
}

#[test]
fn a_forgotten_passphrase_is_replaced_by_means_of_the_kit() {
    let fixture = Fixture::sealed_by(SealMode::Passphrase(passphrase()));
    let new = Secret::new("another passphrase altogether".to_owned());
    recover(&fixture, None, SealMode::Passphrase(new.clone())).expect("recovered");
    let opened = Keystore::open(&fixture.dir(), Unlock::Passphrase(new)).expect("opened");
    assert_same_secrets(&opened, &fixture.keystore);
    let old = Keystore::open(&fixture.dir(), Unlock::Passphrase(passphrase()));
    assert_eq!(old.expect_err("void").code(), "wrong-passphrase");
}

#[test]
fn a_damaged_keystore_is_replaced_by_the_copy_and_kept_aside() {
    let fixture = Fixture::unattended();
    let copy = fixture.keystore.export_sealed();
    let path = fixture.dir().join("keystore.json");
    fs::write(&path, &copy[..copy.len() / 2]).expect("written");
    let error = recover(&fixture, None, SealMode::Unattended).expect_err("refused");
    assert_eq!(error.code(), "keystore-damaged");
    recover(&fixture, Some(&copy), SealMode::Unattended).expect("recovered");
    assert_same_secrets(&fixture.open().expect("opened"), &fixture.keystore);
    let aside = fs::read(fixture.dir().join("keystore.json.before-recovery")).expect("kept");
    assert_eq!(aside, copy[..copy.len() / 2]);
}

#[test]
fn recovery_refuses_to_replace_what_it_should_not() {
    let fixture = Fixture::unattended();
    let old_copy = fixture.keystore.export_sealed();
    fixture.keystore.begin_root_rotation(&fixture.clock, &SystemRandom).expect("begun");
    let before = snapshot(&fixture.dir());
    let error = recover(&fixture, Some(&old_copy), SealMode::Unattended).expect_err("refused");
    assert_eq!(error.code(), "sealed-copy-older");
    let other = Fixture::unattended();
    let foreign = other.keystore.export_sealed();
    let error = Keystore::recover(
        &fixture.dir(),
        Some(&foreign),
        &other.kit.code(),
        SealMode::Unattended,
        &SystemRandom,
    )
    .expect_err("refused");
    assert_eq!(error.code(), "other-installation");
    let error = recover(&fixture, Some(&foreign), SealMode::Unattended).expect_err("refused");
    assert_eq!(error.code(), "wrong-recovery-kit");
    assert_eq!(snapshot(&fixture.dir()), before);
}

#[test]
fn recovery_with_a_wrong_kit_makes_no_directory() {
    let (fixture, other) = (Fixture::unattended(), Fixture::unattended());
    let dir = fixture.home.path().join("elsewhere");
    let copy = fixture.keystore.export_sealed();
    let kit = other.kit.code();
    Keystore::recover(&dir, Some(&copy), &kit, SealMode::Unattended, &SystemRandom)
        .expect_err("refused");
    assert!(!dir.exists());
    let error = Keystore::recover(&dir, None, &kit, SealMode::Unattended, &SystemRandom);
    assert_eq!(error.expect_err("refused").code(), "keystore-missing");
}

#[test]
fn the_seal_can_be_changed_in_every_direction() {
    let fixture = Fixture::unattended();
    let keystore = &fixture.keystore;
    let credential = fixture.home.path().join("credential");
    fs::write(&credential, [9; 32]).expect("written");
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).expect("mode set");
    let key_file = || (SealMode::KeyFile(credential.clone()), Unlock::KeyFile(credential.clone()));
    let by_passphrase = || (SealMode::Passphrase(passphrase()), Unlock::Passphrase(passphrase()));
    let unattended = || (SealMode::Unattended, Unlock::Unattended);
    let mut last: Option<Unlock> = Some(Unlock::Unattended);
    for (seal, unlock) in
        [unattended(), by_passphrase(), key_file(), unattended(), key_file(), by_passphrase()]
    {
        let old_key = fs::read(fixture.dir().join("seal.key")).ok();
        keystore.change_seal(seal, &SystemRandom).expect("changed");
        let opened = Keystore::open(&fixture.dir(), unlock.clone()).expect("opened");
        assert_same_secrets(&opened, keystore);
        fixture.open_with_kit().expect("the kit stays valid");
        let new_key = fs::read(fixture.dir().join("seal.key")).ok();
        assert!(old_key.is_none() || old_key != new_key, "an old seal key stayed behind");
        assert_eq!(new_key.is_some(), matches!(unlock, Unlock::Unattended));
        if !matches!((&last, &unlock), (Some(Unlock::Unattended), Unlock::Unattended)) {
            Keystore::open(&fixture.dir(), last.expect("one")).expect_err("the old seal is void");
        }
        last = Some(unlock);
    }
}

#[test]
fn a_key_file_inside_of_the_directory_is_not_cleared_away_while_in_use() {
    let fixture = Fixture::unattended();
    let path = fixture.dir().join("seal.key");
    let seal = SealMode::KeyFile(path.clone());
    fixture.keystore.change_seal(seal, &SystemRandom).expect("changed");
    Keystore::open(&fixture.dir(), Unlock::KeyFile(path)).expect("opened");
}

#[test]
fn a_keystore_opened_by_its_kit_makes_no_kit_before_it_has_a_seal() {
    let fixture = Fixture::unattended();
    let opened = fixture.open_with_kit().expect("opened");
    opened.rotate_jwt(&fixture.clock, &SystemRandom).expect("other changes work");
    let error = opened.new_recovery_kit(&fixture.clock, &SystemRandom).expect_err("refused");
    assert_eq!(error.code(), "seal-unknown");
    opened.change_seal(SealMode::Unattended, &SystemRandom).expect("sealed anew");
    opened.new_recovery_kit(&fixture.clock, &SystemRandom).expect("a kit");
    assert_same_secrets(&fixture.open().expect("opened"), &opened);
}

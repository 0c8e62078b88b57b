//! A process that dies between any two file operations loses nothing.
//!
//! Each case runs a change again and again, letting it die one operation
//! later each time, until it survives. After each death the directory is
//! opened as the next boot would open it.

use std::{cell::RefCell, sync::atomic::Ordering};

use super::*;

/// Lets the file operations of `directory` fail after `steps` more of them.
fn die_after(directory: &Directory, steps: usize) {
    directory.steps_left.store(steps, Ordering::SeqCst);
}

/// Runs `change` on fresh fixtures, dying after each number of operations in
/// turn; `check` looks at what each death and the final survival leave.
fn at_every_step(
    fixture: impl Fn() -> Fixture,
    change: impl Fn(&Fixture) -> Result<()>,
    check: impl Fn(&Fixture),
) {
    for steps in 0..100 {
        let fixture = fixture();
        die_after(&fixture.keystore.directory, steps);
        let survived = change(&fixture).is_ok();
        die_after(&fixture.keystore.directory, usize::MAX);
        check(&fixture);
        if survived {
            assert!(steps > 4, "only {steps} operations: the simulation does not bite");
            return;
        }
    }
    panic!("it never survives");
}

/// Opens with whichever of the seals fits.
#[track_caller]
fn open_by_any(fixture: &Fixture, seals: &[Unlock]) -> Keystore {
    let opened = seals.iter().find_map(|seal| Keystore::open(&fixture.dir(), seal.clone()).ok());
    opened.expect("neither the old nor the new seal opens it")
}

#[test]
fn creation_leaves_nothing_in_the_way_or_a_keystore_that_opens() {
    for steps in 0..100 {
        let home = TempDir::new().expect("a directory");
        let dir = home.path().join("keystore");
        let clock = TestClock::at(NOW);
        let directory = Directory::new(&dir);
        die_after(&directory, steps);
        let created =
            Keystore::create_in(directory, SealMode::Unattended, &clock, &SystemRandom).is_ok();
        if !Keystore::exists(&dir) {
            Keystore::create(&dir, SealMode::Unattended, &clock, &SystemRandom).expect("again");
        }
        let opened = Keystore::open(&dir, Unlock::Unattended).expect("opened");
        opened.new_recovery_kit(&clock, &SystemRandom).expect("a kit in place of the unseen one");
        if created {
            assert!(steps > 10);
            return;
        }
    }
    panic!("it never survives");
}

#[test]
fn a_root_rotation_loses_no_tenant_key_and_can_be_finished() {
    // The store: one tenant's key, as the rotation has last written it.
    let stored = RefCell::new(None);
    let tenant = TenantId::SYSTEM;
    let rotate = |keystore: &Keystore, clock: &TestClock| -> Result<()> {
        keystore.begin_root_rotation(clock, &SystemRandom)?;
        let old: Wrapped = stored.borrow().clone().expect("stored");
        let new = keystore.rewrap(tenant, 1, &old, &SystemRandom)?;
        stored.replace(Some(new));
        keystore.finish_root_rotation(&SystemRandom)
    };
    at_every_step(
        || {
            let fixture = Fixture::unattended();
            let (_, wrapped) = fixture.keystore.new_tenant_key(tenant, 1, &SystemRandom);
            stored.replace(Some(wrapped));
            fixture
        },
        |fixture| rotate(&fixture.keystore, &fixture.clock),
        |fixture| {
            let wrapped = stored.borrow().clone().expect("stored");
            // The next boot reads it, and so does the process if it lives on.
            let opened = fixture.open().expect("opened");
            opened.unwrap_tenant_key(tenant, 1, &wrapped).expect("readable after a boot");
            let keystore = &fixture.keystore;
            keystore.unwrap_tenant_key(tenant, 1, &wrapped).expect("readable in place");
            rotate(&opened, &fixture.clock).expect("finished after a boot");
            keystore.reload().expect("the process follows");
            let wrapped = stored.borrow().clone().expect("stored");
            for keystore in [&opened, keystore, &fixture.open().expect("opened")] {
                keystore.unwrap_tenant_key(tenant, 1, &wrapped).expect("readable at the end");
                assert!(!keystore.status().root_rotation_under_way());
            }
        },
    );
}

#[test]
fn a_rotation_of_the_signing_key_keeps_the_key_that_signed() {
    at_every_step(
        Fixture::unattended,
        |fixture| fixture.keystore.rotate_jwt(&fixture.clock, &SystemRandom),
        |fixture| {
            let kid = fixture.keystore.jwt_keys().current.kid.clone();
            let opened = fixture.open().expect("opened");
            assert!(opened.jwt_keys().verifying(kid.as_str(), NOW).is_some());
            opened.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated after a boot");
        },
    );
}

#[test]
fn a_new_recovery_kit_never_locks_the_seal_out() {
    at_every_step(
        Fixture::unattended,
        |fixture| fixture.keystore.new_recovery_kit(&fixture.clock, &SystemRandom).map(drop),
        |fixture| {
            let opened = fixture.open().expect("opened");
            assert_same_secrets(&opened, &fixture.keystore);
            let keystore = &fixture.keystore;
            let kit = keystore.new_recovery_kit(&fixture.clock, &SystemRandom).expect("again");
            Keystore::open(&fixture.dir(), Unlock::RecoveryKit(kit.code())).expect("opened");
        },
    );
}

#[test]
fn a_change_of_the_seal_leaves_the_old_or_the_new_one_valid() {
    let other = || Secret::new("another passphrase altogether".to_owned());
    let unattended = || (SealMode::Unattended, Unlock::Unattended);
    let by_passphrase = || (SealMode::Passphrase(passphrase()), Unlock::Passphrase(passphrase()));
    let by_other = || (SealMode::Passphrase(other()), Unlock::Passphrase(other()));
    for ((old_seal, old), (new_seal, new)) in [
        (unattended(), unattended()),
        (unattended(), by_passphrase()),
        (by_passphrase(), unattended()),
        (by_passphrase(), by_other()),
    ] {
        at_every_step(
            || Fixture::sealed_by(old_seal.clone()),
            |fixture| fixture.keystore.change_seal(new_seal.clone(), &SystemRandom),
            |fixture| {
                let opened = open_by_any(fixture, &[old.clone(), new.clone()]);
                assert_same_secrets(&opened, &fixture.keystore);
                assert_same_secrets(&fixture.open_with_kit().expect("opened"), &opened);
                opened.change_seal(new_seal.clone(), &SystemRandom).expect("again");
                let opened = Keystore::open(&fixture.dir(), new.clone()).expect("opened");
                assert_same_secrets(&opened, &fixture.keystore);
            },
        );
    }
}

#[test]
fn an_old_seal_key_that_cannot_be_removed_is_reported_and_the_new_seal_is_known() {
    let fixture = Fixture::unattended();
    let keystore = &fixture.keystore;
    let by_passphrase = || SealMode::Passphrase(passphrase());
    // The first death that comes after the keystore was saved.
    let error = (0..40)
        .map(|steps| {
            die_after(&keystore.directory, steps);
            keystore.change_seal(by_passphrase(), &SystemRandom).map_err(|e| e.code().to_owned())
        })
        .find(|result| *result != Err("keystore-io".to_owned()))
        .expect("some step");
    die_after(&keystore.directory, usize::MAX);
    assert_eq!(error, Err("seal-unsettled".to_owned()));
    Keystore::open(&fixture.dir(), Unlock::Passphrase(passphrase())).expect("opened");
    keystore.new_recovery_kit(&fixture.clock, &SystemRandom).expect("the new seal is known");
    keystore.change_seal(by_passphrase(), &SystemRandom).expect("again");
    assert!(!fixture.dir().join("seal.key").exists());
}

#[test]
fn two_deaths_in_a_row_within_changes_of_the_seal_lose_nothing() {
    for first in 0..40 {
        let first_death = || {
            let fixture = Fixture::unattended();
            die_after(&fixture.keystore.directory, first);
            let survived = fixture.keystore.change_seal(SealMode::Unattended, &SystemRandom);
            (fixture, survived.is_ok())
        };
        at_every_step(
            || first_death().0,
            |fixture| {
                let opened = fixture.open()?;
                let steps = fixture.keystore.directory.steps_left.load(Ordering::SeqCst);
                die_after(&opened.directory, steps);
                opened.change_seal(SealMode::Unattended, &SystemRandom)
            },
            |fixture| assert_same_secrets(&fixture.open().expect("opened"), &fixture.keystore),
        );
        if first_death().1 {
            return;
        }
    }
    panic!("it never survives");
}

#[test]
fn a_recovery_that_dies_can_be_repeated() {
    for with_copy in [false, true] {
        for steps in 0..100 {
            let fixture = Fixture::sealed_by(SealMode::Unattended);
            let copy = with_copy.then(|| fixture.keystore.export_sealed());
            let directory = Directory::new(&fixture.dir());
            die_after(&directory, steps);
            let kit = fixture.kit.code();
            let (copy, random) = (copy.as_deref(), &SystemRandom);
            let recovered =
                Keystore::recover_in(directory, copy, &kit, SealMode::Unattended, random).is_ok();
            // What was there before the recovery began to write it anew, or the result.
            assert_same_secrets(&fixture.open().expect("opened"), &fixture.keystore);
            let again = Keystore::recover(&fixture.dir(), None, &kit, SealMode::Unattended, random);
            assert_same_secrets(&again.expect("recovered"), &fixture.keystore);
            assert_same_secrets(&fixture.open().expect("opened"), &fixture.keystore);
            if recovered {
                break;
            }
            assert!(steps < 99, "it never survives");
        }
    }
}

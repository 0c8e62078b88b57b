//! Rotation of signing and root keys.

use std::{thread, time::Duration};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_replaced_signing_key_verifies_for_twenty_minutes() {
    let fixture = Fixture::unattended();
    let keystore = &fixture.keystore;
    let old = keystore.jwt_keys().current.clone();
    keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    let keys = keystore.jwt_keys();
    assert_ne!(keys.current.kid, old.kid);
    assert_ne!(keys.current.secret.expose(), old.secret.expose());
    let verifying = |after: Duration| keys.verifying(old.kid.as_str(), NOW.plus(after));
    let found = verifying(19 * MINUTE).expect("still verifies");
    assert_eq!(found.secret.expose(), old.secret.expose());
    assert!(verifying(20 * MINUTE).is_none());
    assert!(keys.verifying("jwt-0000000000000000", NOW).is_none());
    let current = keys.verifying(keys.current.kid.as_str(), NOW).expect("the current key");
    assert_eq!(current.secret.expose(), keys.current.secret.expose());
}

#[test]
fn a_signing_key_past_its_time_is_forgotten_at_the_next_rotation() {
    let fixture = Fixture::unattended();
    let keystore = &fixture.keystore;
    let kids = |keystore: &Keystore| -> Vec<_> {
        keystore.status().jwt.iter().map(|key| key.id.clone()).collect()
    };
    let first = kids(keystore);
    keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    fixture.clock.advance(19 * MINUTE);
    keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    assert_eq!(kids(keystore).len(), 3);
    fixture.clock.advance(2 * MINUTE);
    keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    assert_eq!(kids(keystore).len(), 3);
    assert!(!kids(keystore).contains(&first[0]));
    assert_same_secrets(&fixture.open().expect("opened"), keystore);
}

#[test]
fn a_clock_set_back_does_not_lengthen_the_life_of_a_replaced_key() {
    let fixture = Fixture::unattended();
    let year_ahead = TestClock::at(NOW.plus(Duration::from_hours(8_766)));
    fixture.keystore.rotate_jwt(&year_ahead, &SystemRandom).expect("rotated");
    fixture.keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    for previous in &fixture.keystore.jwt_keys().previous {
        assert!(previous.verifies_until <= NOW.plus(VERIFIES_FOR));
    }
}

#[test]
fn rotating_too_often_is_refused_rather_than_ending_a_key_early() {
    let fixture = Fixture::unattended();
    let first = fixture.keystore.jwt_keys().current.kid.clone();
    let refused = (0..17)
        .map(|_| fixture.keystore.rotate_jwt(&fixture.clock, &SystemRandom))
        .find_map(Result::err)
        .expect("refused in the end");
    assert_eq!(refused.kind(), Kind::RateLimited);
    assert!(refused.retry_after().is_some());
    assert!(fixture.keystore.jwt_keys().verifying(first.as_str(), NOW).is_some());
}

#[test]
fn tenant_keys_stay_readable_through_a_root_rotation() {
    let fixture = Fixture::unattended();
    let keystore = &fixture.keystore;
    let tenant = TenantId::random(&SystemRandom);
    let place = Place { table: "user", column: "email", row: "00ab12cd34ef" };
    let (key, wrapped) = keystore.new_tenant_key(tenant, 1, &SystemRandom);
    let sealed = key.seal(place, b"a@example.com", &SystemRandom);
    let reads = |keystore: &Keystore, wrapped: &Wrapped| {
        let key = keystore.unwrap_tenant_key(tenant, 1, wrapped)?;
        key.open(place, &sealed).map(|plain| plain.expose() == b"a@example.com")
    };

    keystore.begin_root_rotation(&fixture.clock, &SystemRandom).expect("begun");
    assert_ne!(keystore.current_root(), wrapped.root);
    assert!(keystore.status().root_rotation_under_way());
    assert!(reads(keystore, &wrapped).expect("the old root is kept"));
    let (_, during) = keystore.new_tenant_key(tenant, 2, &SystemRandom);
    assert_eq!(during.root, keystore.current_root());

    let rewrapped = keystore.rewrap(tenant, 1, &wrapped, &SystemRandom).expect("rewrapped");
    assert_eq!(rewrapped.root, keystore.current_root());
    keystore.finish_root_rotation(&SystemRandom).expect("finished");
    for keystore in [keystore, &fixture.open().expect("opened")] {
        assert!(!keystore.status().root_rotation_under_way());
        assert!(reads(keystore, &rewrapped).expect("the new root opens it"));
        let error = reads(keystore, &wrapped).expect_err("the old root is gone");
        assert_eq!(error.code(), "root-key-unknown");
    }
}

#[test]
fn a_rotation_that_is_under_way_is_continued_and_not_stacked() {
    let fixture = Fixture::unattended();
    let keystore = &fixture.keystore;
    keystore.begin_root_rotation(&fixture.clock, &SystemRandom).expect("begun");
    let roots = keystore.root_ids();
    keystore.begin_root_rotation(&fixture.clock, &SystemRandom).expect("continued");
    assert_eq!(keystore.root_ids(), roots);
    keystore.finish_root_rotation(&SystemRandom).expect("finished");
    let generation = keystore.status().generation;
    keystore.finish_root_rotation(&SystemRandom).expect("nothing to do");
    assert_eq!(keystore.status().generation, generation);
    assert_eq!(keystore.root_ids(), roots[..1]);
}

#[test]
fn a_change_by_another_process_is_built_upon_and_not_lost() {
    let fixture = Fixture::unattended();
    let service = &fixture.keystore;
    let command = fixture.open().expect("opened");
    command.begin_root_rotation(&fixture.clock, &SystemRandom).expect("begun");
    let tenant = TenantId::random(&SystemRandom);
    let (_, wrapped) = command.new_tenant_key(tenant, 1, &SystemRandom);
    service.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    service.unwrap_tenant_key(tenant, 1, &wrapped).expect("the new root is known");
    let opened = fixture.open().expect("opened");
    opened.unwrap_tenant_key(tenant, 1, &wrapped).expect("the new root is on disk");
    assert_same_secrets(&opened, service);
    assert!(command.reload().expect("reloaded"));
    assert!(!command.reload().expect("reloaded"));
    assert_same_secrets(&command, service);
}

#[test]
fn a_new_kit_or_seal_by_another_process_is_followed_or_named() {
    let fixture = Fixture::unattended();
    let service = &fixture.keystore;
    // A new kit brings a new data key, which the known seal opens.
    let command = fixture.open().expect("opened");
    command.new_recovery_kit(&fixture.clock, &SystemRandom).expect("a kit");
    assert!(service.reload().expect("reloaded"));
    // A new seal under the same data key is followed, but wraps no new kit.
    command.change_seal(SealMode::Unattended, &SystemRandom).expect("sealed anew");
    service.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    let error = service.new_recovery_kit(&fixture.clock, &SystemRandom).expect_err("refused");
    assert_eq!(error.code(), "seal-unknown");
    // Both at once lead nowhere from what the service knows.
    command.reload().expect("reloaded");
    command.new_recovery_kit(&fixture.clock, &SystemRandom).expect("a kit");
    let before = snapshot(&fixture.dir());
    let error = service.rotate_jwt(&fixture.clock, &SystemRandom).expect_err("refused");
    assert_eq!(error.code(), "keystore-changed");
    assert_eq!(snapshot(&fixture.dir()), before);
    fixture.open().expect("the seal key on disk fits");
}

/// Another node with the same keystore.
fn twin(fixture: &Fixture) -> (tempfile::TempDir, Keystore) {
    let home = tempfile::TempDir::new().expect("a directory");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("closed");
    for file in fs::read_dir(fixture.dir()).expect("readable") {
        let file = file.expect("an entry");
        fs::copy(file.path(), home.path().join(file.file_name())).expect("copied");
    }
    let keystore = Keystore::open(home.path(), Unlock::Unattended);
    (home, keystore.expect("opened"))
}

#[test]
fn a_draft_changes_nothing_until_it_is_adopted_and_then_on_every_node() {
    let fixture = Fixture::unattended();
    let (home, twin) = twin(&fixture);
    let (before, keys) = (snapshot(&fixture.dir()), signing_keys(&fixture.keystore));
    let drafted = fixture.keystore.draft_jwt_rotation(&fixture.clock, &SystemRandom);
    let (name, draft) = drafted.expect("drafted");
    let draft = draft.expect("something changes");
    assert_eq!(snapshot(&fixture.dir()), before);
    assert_eq!(signing_keys(&fixture.keystore), keys);
    for keystore in [&fixture.keystore, &twin] {
        assert!(keystore.adopt(&draft).expect("adopted"));
        assert!(!keystore.adopt(&draft).expect("nothing new"));
        assert_eq!(keystore.jwt_keys().current.kid, name);
    }
    let opened = Keystore::open(home.path(), Unlock::Unattended);
    assert_same_secrets(&opened.expect("on disk"), &fixture.keystore);

    // A kit brings a new data key, which the seal of every node opens.
    let drafted = twin.draft_recovery_kit(&fixture.clock, &SystemRandom);
    let draft = drafted.expect("drafted").1.expect("something changes");
    assert!(fixture.keystore.adopt(&draft).expect("adopted"));
    fixture.open().expect("the seal fits");
    assert!(
        !fixture.keystore.adopt(&before[0].2).expect("older"),
        "an older one counts for nothing"
    );
}

#[test]
fn a_copy_of_another_history_or_under_another_seal_is_not_adopted() {
    let fixture = Fixture::unattended();
    let (_home, twin) = twin(&fixture);
    fixture.keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    twin.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    let before = snapshot(&fixture.dir());
    let error = fixture.keystore.adopt(&twin.export_sealed()).expect_err("as many other changes");
    assert_eq!(error.code(), "keystore-forked");
    twin.change_seal(SealMode::Unattended, &SystemRandom).expect("sealed anew");
    let error = fixture.keystore.adopt(&twin.export_sealed()).expect_err("another seal");
    assert_eq!(error.code(), "keystore-changed");
    assert_eq!(snapshot(&fixture.dir()), before);
    let stranger = Fixture::unattended();
    let error = fixture.keystore.adopt(&stranger.keystore.export_sealed()).expect_err("another's");
    assert_eq!(error.code(), "other-installation");
}

#[test]
fn an_older_file_put_back_under_a_running_service_is_refused() {
    let fixture = Fixture::unattended();
    let path = fixture.dir().join("keystore.json");
    let old = fs::read(&path).expect("read");
    fixture.keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    let keys = signing_keys(&fixture.keystore);
    fs::write(&path, old).expect("written");
    let error = fixture.keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect_err("refused");
    assert_eq!(error.code(), "keystore-rolled-back");
    assert_eq!(signing_keys(&fixture.keystore), keys);
}

#[test]
fn the_keystore_of_another_installation_is_not_taken_over() {
    let (left, right) = (Fixture::unattended(), Fixture::unattended());
    fs::copy(right.dir().join("keystore.json"), left.dir().join("keystore.json")).expect("copied");
    let error = left.keystore.reload().expect_err("refused");
    assert_eq!(error.code(), "other-installation");
}

#[test]
fn readers_and_several_writers_at_once_lose_no_change() {
    let fixture = Fixture::unattended();
    let others: Vec<_> = (0..3).map(|_| fixture.open().expect("opened")).collect();
    thread::scope(|scope| {
        for keystore in others.iter().chain([&fixture.keystore]) {
            scope.spawn(|| {
                for _ in 0..3 {
                    keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
                    assert!(!keystore.jwt_keys().previous.is_empty());
                }
            });
        }
    });
    let opened = fixture.open().expect("opened");
    assert_eq!(opened.status().generation, 1 + 4 * 3);
    assert_eq!(opened.status().jwt.len(), 1 + 4 * 3);
}

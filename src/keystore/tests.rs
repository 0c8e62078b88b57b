//! The keystore as its callers see it, on a real file system.

mod crash;
mod fields;
mod kill;
mod opening;
mod recovery;
mod rotation;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use tempfile::TempDir;

use super::*;
use crate::clock::{SystemRandom, TestClock};

pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_795_325_306);
pub(super) const PASSPHRASE: &str = "correct horse battery staple";

/// A keystore in a directory of its own.
struct Fixture {
    home: TempDir,
    clock: TestClock,
    keystore: Keystore,
    kit: RecoveryKit,
}

impl Fixture {
    fn unattended() -> Self {
        Self::sealed_by(SealMode::Unattended)
    }

    fn sealed_by(seal: SealMode) -> Self {
        let home = TempDir::new().expect("a directory");
        let clock = TestClock::at(NOW);
        let (keystore, kit) =
            Keystore::create(&home.path().join("keystore"), seal, &clock, &SystemRandom)
                .expect("created");
        Self { home, clock, keystore, kit }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("keystore")
    }

    fn open(&self) -> Result<Keystore> {
        Keystore::open(&self.dir(), Unlock::Unattended)
    }

    fn open_with_kit(&self) -> Result<Keystore> {
        Keystore::open(&self.dir(), Unlock::RecoveryKit(self.kit.code()))
    }
}

pub(super) fn passphrase() -> Secret<String> {
    Secret::new(PASSPHRASE.to_owned())
}

/// Everything that two keystores of one installation must have in common.
#[track_caller]
fn assert_same_secrets(left: &Keystore, right: &Keystore) {
    assert_eq!(left.installation_id(), right.installation_id());
    assert_eq!(left.root_ids(), right.root_ids());
    assert_eq!(signing_keys(left), signing_keys(right));
    assert_eq!(left.password_pepper().expose(), right.password_pepper().expose());
    assert_eq!(left.email_index("a@example.com"), right.email_index("a@example.com"));
    assert_eq!(left.backup_key().expose(), right.backup_key().expose());
    assert_eq!(left.bus_seed().expose(), right.bus_seed().expose());
    assert_eq!(left.ca().certificate_pem, right.ca().certificate_pem);
    assert_eq!(left.ca().key_pem.expose(), right.ca().key_pem.expose());
    assert_eq!(left.audit_key().public_key(), right.audit_key().public_key());
}

fn signing_keys(keystore: &Keystore) -> Vec<[u8; 64]> {
    let keys = keystore.jwt_keys();
    let previous = keys.previous.iter().map(|previous| &previous.key);
    [&keys.current].into_iter().chain(previous).map(|key| *key.secret.expose()).collect()
}

/// Every file of a directory with its mode, to show that nothing was written.
fn snapshot(dir: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let mode = fs::metadata(&path).expect("metadata").permissions().mode();
            let content = fs::read(&path).expect("a file");
            (path, mode, content)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn two_installations_share_no_key() {
    let (left, right) = (Fixture::unattended(), Fixture::unattended());
    let secrets = |fixture: &Fixture| {
        let keystore = &fixture.keystore;
        let (tenant, wrapped) = keystore.new_tenant_key(TenantId::SYSTEM, 1, &SystemRandom);
        vec![
            keystore.installation_id().to_string().into_bytes(),
            keystore.current_root().as_str().as_bytes().to_vec(),
            keystore.jwt_keys().current.kid.as_str().as_bytes().to_vec(),
            keystore.jwt_keys().current.secret.expose().to_vec(),
            keystore.password_pepper().expose().to_vec(),
            keystore.email_index("a@example.com").to_vec(),
            keystore.backup_key().expose().to_vec(),
            keystore.bus_seed().expose().to_vec(),
            keystore.ca().certificate_pem.clone().into_bytes(),
            keystore.ca().key_pem.expose().clone().into_bytes(),
            keystore.audit_key().public_key().to_vec(),
            fixture.kit.code().expose().clone().into_bytes(),
            fs::read(fixture.dir().join("seal.key")).expect("a seal key"),
            tenant.blind_index("user", "email", b"a@example.com").to_vec(),
            tenant.audit_key().expose().to_vec(),
            wrapped.bytes,
        ]
    };
    for (ours, theirs) in secrets(&left).iter().zip(&secrets(&right)) {
        assert_ne!(ours, theirs);
    }
    // Within one installation, too, no two keys are alike.
    let mut own = secrets(&left);
    own.sort();
    own.dedup();
    assert_eq!(own.len(), 16);
}

#[test]
fn a_second_keystore_is_not_created_over_the_first() {
    let fixture = Fixture::unattended();
    let before = snapshot(&fixture.dir());
    let error =
        Keystore::create(&fixture.dir(), SealMode::Unattended, &fixture.clock, &SystemRandom)
            .expect_err("refused");
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "keystore-exists"));
    assert_eq!(snapshot(&fixture.dir()), before);
}

#[test]
fn the_directory_and_its_files_are_for_their_owner_only() {
    let fixture = Fixture::unattended();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&fixture.dir()), 0o700);
    let names: Vec<_> = snapshot(&fixture.dir())
        .iter()
        .map(|(path, mode, _)| (path.file_name().expect("a name").to_owned(), mode & 0o777))
        .collect();
    assert_eq!(names, [("keystore.json".into(), 0o600), ("seal.key".into(), 0o600)]);
}

#[test]
fn the_status_shows_names_times_and_states() {
    let fixture = Fixture::unattended();
    let status = fixture.keystore.status();
    assert_eq!(status.installation, fixture.keystore.installation_id());
    assert_eq!((status.created_at, status.kit_created_at), (NOW, NOW));
    assert_eq!(status.kit_number, fixture.kit.number());
    assert_eq!((status.generation, status.seal), (1, SealKind::Unattended));
    assert_eq!(status.roots[0].id, fixture.keystore.current_root());
    assert_eq!(status.roots[0].state, KeyState::Current);
    assert_eq!(status.jwt[0].id, fixture.keystore.jwt_keys().current.kid);
    assert!(!status.root_rotation_under_way());
}

#[test]
fn no_debug_output_shows_a_secret() {
    let fixture = Fixture::sealed_by(SealMode::Passphrase(passphrase()));
    let keystore = &fixture.keystore;
    let (tenant, wrapped) = keystore.new_tenant_key(TenantId::SYSTEM, 1, &SystemRandom);
    keystore.rotate_jwt(&fixture.clock, &SystemRandom).expect("rotated");
    let shown = [
        format!("{keystore:?}"),
        format!("{:?}", keystore.live.load()),
        format!("{:?}", keystore.fixed),
        format!("{:?}", keystore.status()),
        format!("{:?}", keystore.jwt_keys()),
        format!("{:?}", keystore.ca()),
        format!("{:?}", keystore.audit_key()),
        format!("{:?}", fixture.kit),
        format!("{:?}", fixture.kit.text()),
        format!("{tenant:?} {wrapped:?}"),
        format!("{:?}", SealMode::Passphrase(passphrase())),
        format!("{:?}", Unlock::Passphrase(passphrase())),
        format!("{:?}", Unlock::RecoveryKit(fixture.kit.code())),
    ]
    .join("\n");

    let state = keystore.live.load();
    let mut secrets: Vec<Vec<u8>> = vec![
        state.secrets.hash_salt.expose().to_vec(),
        state.secrets.audit_seed.expose().to_vec(),
        keystore.password_pepper().expose().to_vec(),
        keystore.backup_key().expose().to_vec(),
        keystore.bus_seed().expose().to_vec(),
        tenant.audit_key().expose().to_vec(),
    ];
    secrets.extend(signing_keys(keystore).iter().map(|key| key.to_vec()));
    secrets.extend(state.secrets.roots.iter().map(|root| root.key.expose().to_vec()));
    for secret in secrets {
        let listed = format!("{:?}", &secret[..4]);
        for form in [
            data_encoding::HEXLOWER.encode(&secret[..4]),
            data_encoding::HEXUPPER.encode(&secret[..4]),
            data_encoding::BASE64.encode(&secret[..6]),
            listed.trim_matches(['[', ']']).to_owned(),
        ] {
            assert!(!shown.contains(&form), "{form} is shown");
        }
    }
    let pem = keystore.ca().key_pem.expose().lines().nth(1).expect("a line").to_owned();
    let code = fixture.kit.code();
    let group = code.expose().split_whitespace().nth(1).expect("a group");
    for text in [PASSPHRASE, pem.as_str(), group, "PRIVATE KEY"] {
        assert!(!shown.contains(text), "{text} is shown");
    }
}

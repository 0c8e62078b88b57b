//! Updates from outside: making one offline, and what an older version does
//! with the data of a newer one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use palisade::store::{self, Store};
use tempfile::TempDir;

use crate::app::TestApp;

/// The halves are the UUIDs of the two partitions.
const ROOT: &str = "00112233-4455-6677-8899-aabbccddeeff";
const VERITY: &str = "01234567-89ab-cdef-fedc-ba9876543210";

fn palisade(place: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command.args(arguments).current_dir(place).env_clear().env("HOME", place);
    ended(command.stdin(Stdio::null()).output().expect("the program starts"))
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn good(place: &Path, arguments: &[&str]) -> String {
    let (code, out, err) = palisade(place, arguments);
    assert_eq!(code, 0, "{arguments:?}: {err}");
    out
}

/// What `appliance/build` leaves, in small.
fn built(place: &Path, version: &str) {
    let directory = place.join("built");
    fs::create_dir_all(&directory).expect("made");
    for name in [
        format!("palisade_{version}_{VERITY}.verity.raw"),
        format!("palisade_{version}_{ROOT}.root.raw"),
        format!("palisade_{version}.efi"),
    ] {
        fs::write(directory.join(&name), name.repeat(500)).expect("written");
    }
}

const MAKE: &[&str] = &[
    "update",
    "make",
    "--from",
    "built",
    "--version",
    "9.1.0",
    "--key",
    "release.key",
    "--notes",
    "notes.md",
    "--released",
    "2026-11-22",
    "--mirror",
    "--out",
];

#[test]
fn an_update_is_made_offline_twice_the_same_and_verified() {
    let place = TempDir::new().expect("a directory");
    let place = place.path();
    good(place, &["update", "key", "release"]);
    let mode =
        |name: &str| fs::metadata(place.join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode("release.key"), 0o600);
    let public = fs::read_to_string(place.join("release.pub")).expect("read");
    assert!(public.starts_with("palisade-update-key ") && public.lines().count() == 1, "{public}");
    let again = palisade(place, &["update", "key", "release"]);
    assert_eq!(again.0, 1, "a key is never overwritten: {}", again.2);

    built(place, "9.1.0");
    fs::write(place.join("notes.md"), "Faster.\n").expect("written");
    let misnamed = palisade(place, &[MAKE, &["one.update"]].concat());
    assert_eq!(misnamed.0, 2, "a mirror would offer a file under another name: {}", misnamed.2);
    let release = |directory: &str, to: &str| {
        fs::create_dir(place.join(directory)).expect("made");
        let file = format!("{directory}/palisade-9.1.0.update");
        good(place, &[MAKE, &[file.as_str()]].concat());
        fs::copy(place.join(file), place.join(to)).expect("copied");
    };
    release("one", "one.update");
    release("two", "two.update");
    let bytes = fs::read(place.join("one.update")).expect("read");
    assert_eq!(bytes, fs::read(place.join("two.update")).expect("read"));
    for name in ["one/latest.json", "one/latest.json.sig"] {
        assert!(place.join(name).exists(), "{name}");
    }
    let shown = good(place, &["update", "inspect", "one.update"]);
    for text in ["9.1.0", "2026-11-22", "Faster.", ROOT, "palisade-update-signature-1"] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let verify = ["update", "verify", "one.update", "--key", "release.pub"];
    assert!(good(place, &verify).contains("signed by"));
    // Another tool reads it.
    let listed = Command::new("tar").arg("-tf").arg(place.join("one.update")).output();
    let (code, listed, _) = ended(listed.expect("tar"));
    let names: Vec<_> = listed.lines().collect();
    assert_eq!((code, names.len(), names[0], names[1]), (0, 5, "manifest.json", "manifest.sig"));

    let mut altered = bytes;
    let position = altered.len() / 2;
    altered[position] ^= 1;
    fs::write(place.join("one.update"), altered).expect("written");
    let (code, out, err) = palisade(place, &verify);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("it was altered"), "{err}");
    good(place, &["update", "key", "other"]);
    let (code, _, err) = palisade(place, &["update", "verify", "two.update", "--key", "other.pub"]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("does not trust"), "{err}");
}

#[test]
fn a_secret_key_that_others_may_read_signs_nothing() {
    let place = TempDir::new().expect("a directory");
    let place = place.path();
    good(place, &["update", "key", "release"]);
    built(place, "9.1.0");
    fs::write(place.join("notes.md"), "").expect("written");
    fs::set_permissions(place.join("release.key"), fs::Permissions::from_mode(0o644)).expect("set");
    let (code, _, err) = palisade(place, &[MAKE, &["one.update"]].concat());
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("others may read"), "{err}");
    assert!(!place.join("one.update").exists() && !place.join("one.update.part").exists());
}

/// Does one statement in the database of a stopped appliance.
async fn statement(directory: &TempDir, sql: &str) {
    let path = directory.path().join("var/palisade.db");
    let store = Store::open(&store::StoreSettings::Sqlite { path }).await.expect("open");
    let mut tx = store.begin().await.expect("begin");
    tx.execute(sql, ()).await.expect("a statement");
    tx.commit().await.expect("commit");
    store.close().await;
}

fn serve(directory: &TempDir) -> (i32, String, String) {
    palisade(
        directory.path(),
        &["serve", "--set", "bus.mode=off", "--listen", "127.0.0.1:0", "--data-dir", "var"],
    )
}

#[tokio::test]
async fn an_older_version_refuses_data_of_a_newer_one_in_one_sentence() {
    let directory = TestApp::start().await.stop().await;
    statement(&directory, "UPDATE data_format SET version = '9.3.0', oldest_version = '9.2.0'")
        .await;
    let database = fs::read(directory.path().join("var/palisade.db")).expect("read");
    let (code, _, err) = serve(&directory);
    assert_eq!(code, 5, "{err}");
    let own = env!("CARGO_PKG_VERSION");
    let sentence = format!(
        "The data was last used by version 9.3.0 and needs version 9.2.0 or newer; this is version {own}"
    );
    assert!(err.contains(&sentence), "{err}");
    assert_eq!(fs::read(directory.path().join("var/palisade.db")).expect("read"), database);
}

#[tokio::test]
async fn the_data_of_before_an_update_is_put_back_by_a_command() {
    let directory = TestApp::start().await.stop().await;
    statement(&directory, "UPDATE data_format SET version = '0.0.9'").await;
    // The first start of this version on data of an older one.
    let directory = TestApp::start_in(directory, &[]).await.stop().await;
    statement(&directory, "UPDATE tenant SET name = 'Damaged' WHERE slug = 'system'").await;
    let restore = ["update", "restore-data", "--set", "bus.mode=off", "--data-dir", "var"];
    let (code, _, err) = palisade(directory.path(), &restore);
    assert_eq!(code, 2, "{err}");
    let (code, out, err) =
        palisade(directory.path(), &[&restore[..], &["--show", "--output=json"]].concat());
    assert_eq!(code, 0, "{err}");
    let shown: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(shown["version"], env!("CARGO_PKG_VERSION"));
    let said = palisade(directory.path(), &[&restore[..], &["--yes"]].concat());
    assert_eq!(said.0, 0, "{}", said.2);
    assert!(said.2.contains("before version"), "{}", said.2);
    let path = directory.path().join("var/palisade.db");
    let store = Store::open(&store::StoreSettings::Sqlite { path }).await.expect("open");
    let mut tx = store.read().await.expect("read");
    let name: String = tx
        .fetch_one("SELECT name FROM tenant WHERE slug = 'system'", ())
        .await
        .expect("the system scope");
    assert_eq!(name, "System");
    drop(tx);
    store.close().await;
    // Nobody may have it in use meanwhile.
    let t = TestApp::start_in(directory, &[]).await;
    let (code, _, err) = palisade(t.directory.path(), &[&restore[..], &["--yes"]].concat());
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("is in use"), "{err}");
    t.stop().await;
}

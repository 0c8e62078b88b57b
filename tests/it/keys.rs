//! The keystore from outside: recovery kits, other seals, and what keeps two
//! processes or two histories apart.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use palisade::{keystore::Keystore, store};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::{
    app::{PASSWORD, TestApp, eventually},
    client::Client,
};

fn palisade(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command
        .args(arguments)
        .args(["--set", "bus.mode=off", "--data-dir"])
        .arg(directory.path().join("var"))
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(directory: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    ended(palisade(directory, arguments).output().await.expect("the program starts"))
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// A stopped installation with the kit that its set-up gave.
async fn installed() -> (TempDir, String) {
    let t = TestApp::start().await;
    let body = json!({
        "code": t.setup_code(),
        "admin": {"email": "root@example.com", "name": "Root", "password": PASSWORD},
        "bearer": true,
    });
    let reply = t.anonymous().post("/v1/setup", body).await;
    reply.assert_status(201);
    let kit = reply.text("/recoveryKit").to_owned();
    (t.stop().await, kit)
}

async fn as_root(t: &TestApp) -> Client {
    let reply = t.try_log_in("root@example.com", PASSWORD, "system").await;
    reply.assert_status(200);
    t.anonymous().with_token(reply.text("/tokens/accessToken"))
}

fn keys(directory: &TempDir) -> PathBuf {
    directory.path().join("var/keys")
}

/// Every file below a directory with its content.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).expect("readable"));
        }
    }
    files
}

/// The copy of the keystore in the database of a stopped installation.
async fn copy(directory: &TempDir) -> Vec<u8> {
    let path = directory.path().join("var/palisade.db");
    let store = store::Store::open(&store::StoreSettings::Sqlite { path }).await.expect("opens");
    let mut tx = store.read().await.expect("a connection");
    let copy = store::installation::sealed_keystore(&mut tx).await.expect("answers");
    drop(tx);
    store.close().await;
    copy.expect("an installation")
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("private");
}

async fn assert_serves(directory: TempDir) -> TempDir {
    let t = TestApp::start_in(directory, &[]).await;
    t.try_log_in("root@example.com", PASSWORD, "system").await.assert_status(200);
    t.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kit_of_the_set_up_brings_back_a_keystore_whose_directory_is_lost() {
    let (directory, kit) = installed().await;
    fs::remove_dir_all(keys(&directory)).expect("removable");
    let file = directory.path().join("kit");
    write_private(&file, &kit);
    let file = file.display().to_string();

    let (code, _, said) = run(&directory, &["keys", "recover", "--kit-file", &file]).await;

    assert_eq!(code, 0, "{said}");
    assert!(said.contains("opens again"), "{said}");
    assert_eq!(
        fs::read(keys(&directory).join("keystore.json")).expect("there"),
        copy(&directory).await
    );
    assert_serves(directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kit_is_checked_against_the_newest_keystore_wherever_that_is() {
    let (directory, old) = installed().await;
    let stale = fs::read(keys(&directory).join("keystore.json")).expect("there");
    let (code, new, said) = run(&directory, &["keys", "kit"]).await;
    assert_eq!(code, 0, "{said}");
    let file = directory.path().join("kit");
    let path = file.display().to_string();
    for (kit, exit) in [(&old, 4), (&new, 0)] {
        write_private(&file, kit);
        let words = ["keys", "check", "--kit-file", &*path];
        let check = || run(&directory, &words);
        let keystore = keys(&directory).join("keystore.json");
        let newest = fs::read(&keystore).expect("there");
        assert_eq!(check().await.0, exit, "as it is");
        write_private(&keystore, std::str::from_utf8(&stale).expect("JSON"));
        assert_eq!(check().await.0, exit, "an old one was put back");
        write_private(&keystore, "damaged");
        assert_eq!(check().await.0, exit, "it cannot be read");
        let away = directory.path().join("away");
        fs::rename(keys(&directory), &away).expect("moved");
        assert_eq!(check().await.0, exit, "it is gone");
        assert!(!keys(&directory).exists(), "a check writes nothing");
        fs::rename(&away, keys(&directory)).expect("moved");
        write_private(&keystore, std::str::from_utf8(&newest).expect("JSON"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_seal_key_is_replaced_with_the_code_from_standard_input() {
    let (directory, kit) = installed().await;
    fs::remove_file(keys(&directory).join("seal.key")).expect("removable");
    let mut child = palisade(&directory, &["keys", "recover"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(kit.to_lowercase().as_bytes()).await.expect("written");
    drop(stdin);

    let (code, _, said) = ended(child.wait_with_output().await.expect("it ends"));

    assert_eq!(code, 0, "{said}");
    assert_serves(directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_kit_changes_nothing_whether_the_keystore_is_there_or_not() {
    let (directory, _) = installed().await;
    let (_, other_kit) = installed().await;
    let file = directory.path().join("kit");
    let path = file.display().to_string();
    for lost in [false, true] {
        if lost {
            fs::remove_dir_all(keys(&directory)).expect("removable");
        }
        for (kit, exit) in [(other_kit.as_str(), 4), ("0000-0000", 1)] {
            write_private(&file, kit);
            let before = content(directory.path());
            let (code, out, said) =
                run(&directory, &["keys", "recover", "--kit-file", &path]).await;
            assert_eq!((code, out.as_str()), (exit, ""), "{said}");
            let after = content(directory.path());
            let changed = |(path, bytes): (&PathBuf, &Vec<u8>)| {
                (before.get(path) != Some(bytes)).then(|| path.clone())
            };
            // The lock says which process has it; nothing reads that again.
            let changed: Vec<_> = after.iter().filter_map(changed).collect();
            assert!(changed.iter().all(|path| path.ends_with("serve.lock")), "{changed:?}");
            assert_eq!(before.len(), after.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_kit_replaces_the_old_one_and_its_copy_in_the_database() {
    let (directory, old) = installed().await;

    let taken = directory.path().join("taken");
    fs::write(&taken, "mine").expect("written");
    let taken = taken.display().to_string();
    let before = content(&keys(&directory));
    let (code, _, said) = run(&directory, &["keys", "kit", "--out", &taken]).await;
    assert_eq!(code, 1, "{said}");
    assert_eq!(before, content(&keys(&directory)), "a kit was made and lost");
    let (code, new, said) = run(&directory, &["keys", "kit"]).await;

    assert_eq!(code, 0, "{said}");
    assert!(new.starts_with("PALISADE RECOVERY KIT\n"), "{new}");
    assert!(!said.contains("Recovery code"), "the kit is on standard output alone");
    assert_eq!(
        fs::read(keys(&directory).join("keystore.json")).expect("there"),
        copy(&directory).await
    );
    let file = directory.path().join("kit");
    let path = file.display().to_string();
    write_private(&file, &old);
    assert_eq!(run(&directory, &["keys", "recover", "--kit-file", &path]).await.0, 4);
    write_private(&file, &new);
    assert_eq!(run(&directory, &["keys", "recover", "--kit-file", &path]).await.0, 0);
    let directory = assert_serves(directory).await;
    let t = TestApp::start_in(directory, &[]).await;
    let root = as_root(&t).await;
    let records = root.get("/v1/audit?action=platform.newRecoveryKit").await;
    assert_eq!(records.number("/total"), 1, "{}", records.body);
    let chain = eventually(Duration::from_secs(10), || async {
        let chain = root.get("/v1/audit/verify").await;
        (chain.json["ok"] == true).then_some(chain)
    });
    chain.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_seals_and_a_wrong_one_opens_nothing() {
    let (directory, _) = installed().await;
    let (right, wrong) = (directory.path().join("right"), directory.path().join("wrong"));
    write_private(&right, "correct horse battery staple\n");
    write_private(&wrong, "incorrect horse battery staple\n");
    let right = right.display().to_string();
    let (code, _, said) = run(&directory, &["keys", "seal", "--to-passphrase-file", &right]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("keystore.passphrase_file"), "{said}");
    assert!(!keys(&directory).join("seal.key").exists());

    let (code, _, said) = run(&directory, &["keys", "kit"]).await;
    assert_eq!(code, 4, "{said}");
    let with = |file: &str| format!("keystore.passphrase_file={file}");
    let wrong = with(&wrong.display().to_string());
    let right = with(&right);
    let arguments = |file| ["keys", "kit", "--set", "keystore.seal=passphrase", "--set", file];
    let (code, out, said) = run(&directory, &arguments(&wrong)).await;
    assert_eq!((code, out.as_str()), (4, ""), "{said}");
    let (code, _, said) = run(&directory, &arguments(&right)).await;
    assert_eq!(code, 0, "{said}");
}

/// Starts `palisade serve` and waits for its greeting.
async fn serve(directory: &TempDir) -> Child {
    let mut child = palisade(directory, &["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    while let Some(line) = lines.next_line().await.expect("readable") {
        if line.contains("listens on") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return child;
        }
    }
    panic!("it did not start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_belongs_to_one_server_until_that_dies() {
    let (directory, kit) = installed().await;
    let file = directory.path().join("kit");
    write_private(&file, &kit);
    let path = file.display().to_string();
    let mut first = serve(&directory).await;
    let keystore = content(&keys(&directory));

    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["keys", "recover", "--kit-file", &path],
        &["keys", "kit"],
        &["keys", "seal", "--to-unattended"],
    ] {
        let (code, out, said) = run(&directory, arguments).await;
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {said}");
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("error:")).collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(lines[0].contains("is in use by process"), "{said}");
    }
    assert_eq!(keystore, content(&keys(&directory)));

    first.kill().await.expect("killed");
    let mut second = serve(&directory).await;
    second.kill().await.expect("killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_that_was_put_back_from_before_is_brought_up_to_date_at_the_start() {
    let (directory, _) = installed().await;
    let file = keys(&directory).join("keystore.json");
    let old = fs::read(&file).expect("there");
    let t = TestApp::start_in(directory, &[]).await;
    let root = as_root(&t).await;
    root.post("/v1/keys/jwt/rotate", json!({})).await.assert_status(200);
    root.post("/v1/keys/root/rotate", json!({})).await.assert_status(200);
    let directory = t.stop().await;
    let newest = copy(&directory).await;
    write_private(&file, std::str::from_utf8(&old).expect("JSON"));

    assert_eq!(run(&directory, &["keys", "kit"]).await.0, 5, "a kit of an old keystore");
    let directory = assert_serves(directory).await;
    assert_eq!(fs::read(&file).expect("there"), newest);
    assert_eq!(copy(&directory).await, newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_of_an_earlier_seal_that_was_put_back_is_refused_and_recovered() {
    let (directory, kit) = installed().await;
    let old = fs::read(keys(&directory).join("keystore.json")).expect("there");
    let old_key = fs::read(keys(&directory).join("seal.key")).expect("there");
    let (code, _, said) = run(&directory, &["keys", "seal", "--to-unattended"]).await;
    assert_eq!(code, 0, "{said}");
    let t = TestApp::start_in(directory, &[]).await;
    let root = as_root(&t).await;
    root.post("/v1/keys/jwt/rotate", json!({})).await.assert_status(200);
    root.post("/v1/keys/root/rotate", json!({})).await.assert_status(200);
    let directory = t.stop().await;
    let newest = copy(&directory).await;
    let file = keys(&directory).join("keystore.json");
    assert_eq!(fs::read(&file).expect("there"), newest, "the copy follows every rotation");
    write_private(&file, std::str::from_utf8(&old).expect("JSON"));
    fs::write(keys(&directory).join("seal.key"), old_key).expect("written");

    let refused = crate::config::start_in(&directory).await.expect_err("refused");

    assert_eq!(refused.code(), "keystore-rolled-back");
    assert!(refused.hint().is_some_and(|hint| hint.contains("palisade keys recover")));
    assert_eq!(fs::read(&file).expect("there"), old, "the keystore was written");
    assert_eq!(copy(&directory).await, newest, "the copy was written");
    assert_eq!(run(&directory, &["keys", "kit"]).await.0, 5, "a kit of an old keystore");
    let kit_file = directory.path().join("kit");
    write_private(&kit_file, &kit);
    let path = kit_file.display().to_string();
    let (code, _, said) = run(&directory, &["keys", "recover", "--kit-file", &path]).await;
    assert_eq!(code, 0, "{said}");
    assert_serves(directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fell_behind_is_brought_up_to_date() {
    let (directory, _) = installed().await;
    let before = copy(&directory).await;
    let offline = Keystore::open(&keys(&directory), palisade::keystore::Unlock::Unattended);
    let (clock, random) = (palisade::clock::SystemClock, palisade::clock::SystemRandom);
    offline.expect("opens").rotate_jwt(&clock, &random).expect("rotated");

    let t = TestApp::start_in(directory, &[]).await;

    let read = || async {
        let mut tx = t.app.ledger().store().read().await.expect("a connection");
        store::installation::sealed_keystore(&mut tx).await.expect("answers").expect("there")
    };
    let at_start = read().await;
    assert_ne!(at_start, before);
    assert_eq!(at_start, t.app.ledger().vault().keystore().export_sealed());
    // Whoever changes the keystore while the server runs need not remember the copy.
    t.app.ledger().vault().keystore().rotate_jwt(&clock, &random).expect("rotated");
    eventually(Duration::from_secs(15), || async {
        let own = t.app.ledger().vault().keystore().export_sealed();
        (read().await == own).then_some(())
    })
    .await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_import_tokens_and_old_passwords_are_forgotten() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let project = acme.post("/v1/projects", json!({"name": "Web"})).await.text("/uid").to_owned();
    for name in ["old", "new"] {
        let body = json!({"name": name, "project": project});
        acme.post("/v1/clusters", body).await.assert_status(201);
    }
    let mut tx = t.app.ledger().store().begin().await.expect("begin");
    let old = "UPDATE import_token SET expires_at = 1 WHERE cluster_id IN
               (SELECT id FROM cluster WHERE name = 'old')";
    assert_eq!(tx.execute(old, ()).await.expect("a statement"), 1);
    let earlier = "INSERT INTO password_history (tenant_id, user_id, changed_at, password_hash)
                   SELECT tenant_id, user_id, changed_at - $1, 'x' FROM password_history
                   WHERE password_hash <> 'x'";
    let users = tx.execute(earlier, (1_i64,)).await.expect("a statement");
    for age in 2..30_i64 {
        tx.execute(earlier, (age,)).await.expect("a statement");
    }
    tx.commit().await.expect("commit");
    let directory = t.stop().await;

    let t = TestApp::start_in(directory, &[]).await;

    let counts = || async {
        let mut tx = t.app.ledger().store().read().await.expect("a connection");
        let tokens: i64 =
            tx.fetch_one("SELECT COUNT(*) FROM import_token", ()).await.expect("a count");
        let hashes: i64 =
            tx.fetch_one("SELECT COUNT(*) FROM password_history", ()).await.expect("a count");
        (tokens, hashes)
    };
    // The most that a policy can ask for is 24.
    let users = i64::try_from(users).expect("a few");
    eventually(Duration::from_secs(10), || async {
        (counts().await == (1, users * 24)).then_some(())
    })
    .await;
    t.stop().await;
}

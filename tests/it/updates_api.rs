//! Updates through the API, with the node daemon of a machine of the test's own
//! and scripts in the place of systemd's programs.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};

use futures_util::StreamExt;
use palisade::{
    clock::SystemRandom,
    node::{
        daemon::{self, Options},
        paths::Paths,
        update::{DataFormat, Kind, Release, SecretKey, make},
    },
    release::{self, Version},
};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{TestApp, eventually},
    client::{Client, Reply},
    small_disk,
};

const HASH: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";

const SYSUPDATE: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
root=$(dirname "$0")/../../..
while [ -e "$root/slow" ]; do sleep 0.05; done
: > "$root/boot/EFI/Linux/palisade_$3+2-0.efi"
"#;
const SYSTEMCTL: &str =
    "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" > \"$(dirname \"$0\")/../../rebooted\"\n";

/// An appliance of version 1.1.0 whose management plane is `t`.
struct Given {
    t: TestApp,
    root: PathBuf,
    key: SecretKey,
    stopping: CancellationToken,
}

impl Drop for Given {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Given {
    async fn new() -> Self {
        Self::in_directory(TempDir::new().expect("a directory")).await
    }

    async fn in_directory(directory: TempDir) -> Self {
        let root = directory.path().to_owned();
        let paths = Paths::below(&root);
        let key = SecretKey::generate("test", &SystemRandom).expect("a key");
        for path in [
            "usr/lib/palisade/update-keys",
            "usr/lib/systemd",
            "usr/bin",
            "etc",
            "boot/EFI/Linux",
            "var/lib/palisade-node",
            "run/palisade-node",
        ] {
            fs::create_dir_all(root.join(path)).expect("made");
        }
        let write = |path: &str, text: &str| {
            fs::write(root.join(path), text).expect("written");
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755)).expect("set");
        };
        write("usr/lib/palisade/update-keys/test.pub", &key.public().to_string());
        write("usr/lib/os-release", "IMAGE_ID=palisade\nIMAGE_VERSION=1.1.0\n");
        write("usr/lib/systemd/systemd-sysupdate", SYSUPDATE);
        write("usr/bin/systemctl", SYSTEMCTL);
        // This process is the management plane.
        let own = fs::metadata(&root).expect("there");
        let user = format!("palisade:x:{}:{}::/:/bin/false\n", own.uid(), own.gid());
        write("etc/passwd", &user);
        write("boot/EFI/Linux/palisade_1.1.0.efi", "");
        let stopping = CancellationToken::new();
        let options = Options { paths: paths.clone(), notify: None, stopping: stopping.clone() };
        tokio::spawn(daemon::run(options));
        while !paths.socket().exists() {
            tokio::task::yield_now().await;
        }
        let data = paths.data().display().to_string();
        let t = TestApp::start_in(directory, &[("storage.data_dir", &data)]).await;
        Self { t, root, key, stopping }
    }

    fn file(&self, version: &str) -> Vec<u8> {
        update(version, &self.key)
    }

    fn uploads(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.join("var/lib/palisade/uploads"));
        let names = entries
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.collect()
    }
}

fn update(text: &str, key: &SecretKey) -> Vec<u8> {
    let place = TempDir::new().expect("a directory");
    let (first, second) =
        ("00112233-4455-6677-8899-aabbccddeeff", "01234567-89ab-cdef-fedc-ba9876543210");
    assert_eq!(HASH, format!("{first}{second}").replace('-', ""));
    for kind in Kind::ALL {
        let name = match kind {
            Kind::Verity => format!("palisade_{text}_{second}.verity.raw"),
            Kind::Root => format!("palisade_{text}_{first}.root.raw"),
            Kind::Kernel => format!("palisade_{text}.efi"),
        };
        fs::write(place.path().join(&name), name.repeat(400)).expect("written");
    }
    let version = |text: &str| text.parse::<Version>().expect("a version");
    let release = Release {
        version: version(text),
        released: "2026-11-22".to_owned(),
        installable_from: version("1.0.0"),
        data_format: DataFormat { number: release::DATA_FORMAT, oldest_version: version("1.0.0") },
        notes: format!("What is new in {text}.\n"),
    };
    let mut bytes = Vec::new();
    make(place.path(), release, key, &mut bytes).expect("made");
    bytes
}

const UPDATES: &str = "/v1/platform/updates";

async fn upload(client: &Client, bytes: Vec<u8>) -> Reply {
    let request = client.request(Method::PUT, "/v1/platform/updates/upload");
    let request = request.header("content-type", "application/octet-stream");
    client.send(request.body(bytes)).await
}

async fn install(client: &Client, from: &str) -> Reply {
    client.post("/v1/platform/updates/install", json!({"from": from})).await
}

/// Looks again until the installation has ended.
async fn ended(client: &Client) -> Reply {
    loop {
        let reply = client.get(UPDATES).await;
        reply.assert_status(200);
        if reply.json["progress"]["running"] != true {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The outcomes of an action in the audit trail, newest first.
async fn outcomes(client: &Client, action: &str) -> Vec<(String, String)> {
    let records = client.get(&format!("/v1/audit?action={action}")).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let one =
        |record: &serde_json::Value| (text(&record["outcome"]), text(&record["detail"]["reason"]));
    records.items().iter().map(one).collect()
}

#[tokio::test]
async fn without_a_node_daemon_there_is_nothing_to_update() {
    let t = TestApp::start().await;
    let root = t.set_up().await;
    root.get(UPDATES).await.assert_problem(409, "not-an-appliance");
    install(&root, "mirror").await.assert_problem(409, "not-an-appliance");
    upload(&root, vec![0; 2048]).await.assert_problem(409, "not-an-appliance");
    let restart = root.post("/v1/platform/updates/restart", json!({})).await;
    restart.assert_problem(409, "not-an-appliance");
    let failed = [("failed".to_owned(), "not-an-appliance".to_owned())];
    assert_eq!(outcomes(&root, "platform.installUpdate").await, failed);
    assert_eq!(outcomes(&root, "platform.uploadUpdate").await, failed);
    assert_eq!(outcomes(&root, "platform.restartIntoUpdate").await, failed);
}

#[tokio::test]
async fn an_update_is_uploaded_installed_and_started() {
    let given = Given::new().await;
    let root = given.t.set_up().await;
    let before = root.get(UPDATES).await;
    before.assert_status(200);
    assert_eq!((before.text("/version"), &before.json["last"]), ("1.1.0", &json!(null)));
    install(&root, "upload").await.assert_problem(409, "no-upload");

    let offer = upload(&root, given.file("1.2.0")).await;
    offer.assert_status(200);
    assert_eq!(
        (offer.text("/version"), offer.text("/notes")),
        ("1.2.0", "What is new in 1.2.0.\n")
    );
    assert_eq!(root.get(UPDATES).await.text("/uploaded/version"), "1.2.0");

    install(&root, "upload").await.assert_status(202);
    let after = ended(&root).await;
    assert_eq!(after.text("/progress/step"), "done", "{}", after.body);
    assert_eq!(after.text("/last/result"), "waiting");
    assert_eq!(after.text("/last/message"), "1.2.0 is installed and starts with the next restart.");
    // The record of how it ended is made before the file is removed.
    while !given.uploads().is_empty() {
        tokio::task::yield_now().await;
    }
    let restart = root.post("/v1/platform/updates/restart", json!({})).await;
    restart.assert_status(202);
    assert_eq!(restart.text("/version"), "1.2.0");
    let asked = fs::read_to_string(given.root.join("rebooted")).expect("asked");
    assert_eq!(asked, "--no-block reboot\n");
    let success = ("success".to_owned(), String::new());
    assert_eq!(outcomes(&root, "platform.uploadUpdate").await, std::slice::from_ref(&success));
    assert_eq!(outcomes(&root, "platform.installUpdate").await[0], success);
    assert_eq!(outcomes(&root, "platform.restartIntoUpdate").await, [success]);
}

#[tokio::test]
async fn a_file_that_is_refused_is_gone_and_the_refusal_is_recorded() {
    let given = Given::new().await;
    let root = given.t.set_up().await;
    let mut altered = given.file("1.2.0");
    let position = altered.len() / 2;
    altered[position] ^= 1;
    let stranger = SecretKey::generate("stranger", &SystemRandom).expect("a key");
    for (bytes, code) in [
        (altered, "update-damaged"),
        (update("1.2.0", &stranger), "update-unknown-key"),
        (b"no update at all".to_vec(), "update-damaged"),
        (Vec::new(), "update-damaged"),
    ] {
        upload(&root, bytes).await.assert_problem(422, code);
        assert_eq!(given.uploads(), Vec::<String>::new(), "{code}");
        let newest = &outcomes(&root, "platform.uploadUpdate").await[0];
        assert_eq!(newest, &("failed".to_owned(), code.to_owned()));
    }
    upload(&root, given.file("1.0.0")).await.assert_problem(409, "update-older");
    let down = root.request(Method::PUT, "/v1/platform/updates/upload?allowDowngrade=true");
    root.send(down.body(given.file("1.0.0"))).await.assert_status(200);
}

#[tokio::test]
async fn one_installation_runs_at_a_time_and_goes_on_without_its_caller() {
    let given = Given::new().await;
    let root = given.t.set_up().await;
    upload(&root, given.file("1.2.0")).await.assert_status(200);
    fs::write(given.root.join("slow"), "").expect("written");
    install(&root, "upload").await.assert_status(202);
    install(&root, "upload").await.assert_problem(409, "update-in-progress");
    let step = root.get(UPDATES).await;
    assert_eq!(step.json["progress"]["running"], true, "{}", step.body);
    fs::remove_file(given.root.join("slow")).expect("removed");
    assert_eq!(ended(&root).await.text("/progress/step"), "done");
}

#[tokio::test]
async fn a_file_that_is_still_coming_is_not_offered_and_goes_with_its_sender() {
    let given = Given::new().await;
    let root = given.t.set_up().await;
    upload(&root, given.file("1.2.0")).await.assert_status(200);
    let mut half = given.file("1.3.0");
    half.truncate(half.len() / 2);
    let rest = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let body = futures_util::stream::iter([Ok(half)]).chain(rest);
    let request = root.request(Method::PUT, "/v1/platform/updates/upload");
    let request = request.header("content-type", "application/octet-stream");
    let request = request.body(reqwest::Body::wrap_stream(body));
    let sender = tokio::spawn(request.send());
    let patience = Duration::from_secs(20);
    eventually(patience, || async { (given.uploads() == ["upload.part"]).then_some(()) }).await;
    let now = root.get(UPDATES).await;
    now.assert_status(200);
    assert_eq!(now.json["uploaded"], json!(null));
    install(&root, "upload").await.assert_problem(409, "no-upload");
    upload(&root, given.file("1.2.0")).await.assert_problem(409, "upload-in-progress");
    sender.abort();
    eventually(patience, || async { given.uploads().is_empty().then_some(()) }).await;
}

#[tokio::test]
async fn many_may_look_at_the_uploaded_file_at_once_and_nobody_is_in_the_way() {
    let given = Given::new().await;
    let root = given.t.set_up().await;
    upload(&root, given.file("1.2.0")).await.assert_status(200);
    for _ in 0..20 {
        let looks = futures_util::future::join_all((0..4).map(|_| root.get(UPDATES))).await;
        for look in looks {
            assert_eq!(look.text("/uploaded/version"), "1.2.0");
        }
    }
    let (again, ..) =
        tokio::join!(upload(&root, given.file("1.3.0")), root.get(UPDATES), root.get(UPDATES),);
    again.assert_status(200);
    let (begun, ..) = tokio::join!(install(&root, "upload"), root.get(UPDATES), root.get(UPDATES));
    begun.assert_status(202);
}

#[tokio::test]
async fn what_a_crash_has_left_of_an_upload_is_gone_after_the_start() {
    let directory = TempDir::new().expect("a directory");
    let uploads = directory.path().join("var/lib/palisade/uploads");
    fs::create_dir_all(&uploads).expect("made");
    fs::write(uploads.join("upload.part"), "half").expect("written");
    let given = Given::in_directory(directory).await;
    assert_eq!(given.uploads(), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_mirror_nothing_is_asked() {
    let given = Given::new().await;
    let root = given.t.set_up().await;
    let asked = root.post("/v1/platform/updates/check", json!({})).await;
    asked.assert_problem(409, "no-mirror");
    install(&root, "mirror").await.assert_problem(409, "no-mirror");
}

#[tokio::test]
async fn a_body_that_cannot_be_an_update_is_refused_by_its_length() {
    let given = Given::new().await;
    let root = given.t.set_up().await;
    // It is longer than everything that is read into memory elsewhere.
    upload(&root, vec![0; 3 << 20]).await.assert_problem(422, "update-damaged");
    let request = root.request(Method::PUT, "/v1/platform/updates/upload");
    let stream = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request =
        request.header("content-length", 2_u64 << 30).body(reqwest::Body::wrap_stream(stream));
    root.send(request).await.assert_problem(413, "too-large");
    assert_eq!(given.uploads(), Vec::<String>::new());
}

/// Runs in a process of its own, whose folder is a small file system.
#[tokio::test]
async fn an_upload_on_a_tiny_disk() {
    let Some(folder) = small_disk::place() else { return };
    let given = Given::in_directory(tempfile::tempdir_in(folder).expect("made")).await;
    let root = given.t.set_up().await;
    upload(&root, vec![1; 16 << 20]).await.assert_problem(507, "storage-full");
    assert_eq!(given.uploads(), Vec::<String>::new());
    let newest = &outcomes(&root, "platform.uploadUpdate").await[0];
    assert_eq!(newest, &("failed".to_owned(), "storage-full".to_owned()));
}

#[test]
fn a_full_disk_answers_507_and_the_upload_is_gone() {
    let folder = TempDir::new().expect("a folder");
    small_disk::passes("updates_api::an_upload_on_a_tiny_disk", folder.path(), "size=8m");
}

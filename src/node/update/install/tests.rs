//! The way into the other slot, with a script in the place of systemd-sysupdate.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::{
    clock::{TestClock, Timestamp},
    node::update::{
        keys::SecretKey,
        make::make,
        mirror::MirrorSettings,
        state::Verdict,
        tests::{built, file, key, release, version},
    },
};

/// An appliance of version 1.1.0 below a directory of its own.
struct Given {
    root: tempfile::TempDir,
    key: SecretKey,
    updates: Updates,
}

/// Does what systemd-sysupdate does to the boot partition, and notes what it saw.
const SYSUPDATE: &str = r#"#!/bin/sh
set -e
PATH=/usr/bin:/bin
root=$(dirname "$0")/../../..
ls "$root/var/lib/palisade-node/update" > "$root/seen"
echo "$@" >> "$root/seen"
for kernel in "$root/boot/EFI/Linux/palisade_$3.efi" "$root/boot/EFI/Linux/palisade_$3+"*; do
    [ ! -e "$kernel" ] || { echo "already installed. Skipping update."; exit 0; }
done
[ ! -e "$root/broken" ] || { echo "no space left on slot" >&2; exit 1; }
[ -e "$root/forgetful" ] || : > "$root/boot/EFI/Linux/palisade_$3+2-0.efi"
"#;

const SYSTEMCTL: &str =
    "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" > \"$(dirname \"$0\")/../../rebooted\"\n";

impl Given {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(root.path());
        let key = key();
        let keys = paths.image().join("update-keys");
        for directory in [
            keys.clone(),
            paths.state(),
            paths.run(),
            uploads(&paths),
            paths.at("/boot/EFI/Linux"),
            paths.at("/usr/lib/systemd"),
            paths.at("/usr/bin"),
        ] {
            fs::create_dir_all(directory).expect("made");
        }
        fs::write(keys.join("test.pub"), key.public().to_string()).expect("written");
        fs::write(
            paths.at("/usr/lib/os-release"),
            "ID=debian\nIMAGE_ID=palisade\nIMAGE_VERSION=1.1.0\n",
        )
        .expect("written");
        fs::write(paths.at("/boot/EFI/Linux/palisade_1.1.0.efi"), "").expect("written");
        let script = |path: &str, text: &str| {
            fs::write(paths.at(path), text).expect("written");
            fs::set_permissions(paths.at(path), fs::Permissions::from_mode(0o755)).expect("set");
        };
        script("/usr/lib/systemd/systemd-sysupdate", SYSUPDATE);
        script("/usr/bin/systemctl", SYSTEMCTL);
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_795_000_000)));
        let updates = Updates::new(paths, clock);
        Self { root, key, updates }
    }

    fn upload(&self, bytes: &[u8]) {
        fs::write(uploads(&self.updates.paths).join("x.update"), bytes).expect("written");
    }

    async fn install(&self) -> Result<Version> {
        sendable(self.updates.begin().expect("begun").install_upload("x.update", false)).await
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn runs(&self, text: &str) {
        let release = format!("IMAGE_ID=palisade\nIMAGE_VERSION={text}\n");
        fs::write(self.at("usr/lib/os-release"), release).expect("written");
    }

    fn rename_kernel(&self, from: &str, to: &str) {
        let name = |counter: &str| self.at(&format!("boot/EFI/Linux/palisade_{counter}.efi"));
        fs::rename(name(from), name(to)).expect("renamed");
    }

    /// Every file below the root with its content, but for what only says how far it is.
    fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        fn walk(directory: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(directory).expect("readable") {
                let path = entry.expect("an entry").path();
                let name = path.display().to_string();
                if path.is_dir() {
                    found.insert(format!("{name}/"), Vec::new());
                    walk(&path, found);
                } else if !name.ends_with("update.lock") && !name.ends_with("update-progress.json")
                {
                    found.insert(name, fs::read(&path).expect("readable"));
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.root.path(), &mut found);
        found
    }
}

/// The daemon works on it in a task.
fn sendable<F: Future + Send>(work: F) -> F {
    work
}

#[tokio::test]
async fn a_good_file_is_handed_to_sysupdate_and_leaves_nothing_but_the_record() {
    let given = Given::new();
    given.upload(&file("1.2.0", &given.key));
    assert_eq!(given.install().await.expect("installed"), version("1.2.0"));
    let seen = fs::read_to_string(given.at("seen")).expect("it was called");
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines.len(), 4, "{seen}");
    assert_eq!(lines[0], "palisade_1.2.0.efi");
    assert!(lines[1].ends_with(".root.raw") && lines[2].ends_with(".verity.raw"), "{seen}");
    assert_eq!(lines[3], "--no-pager update 1.2.0");
    assert!(!given.at("var/lib/palisade-node/update").exists());
    let status = given.updates.status().expect("a status");
    let last = status.state.last.expect("an outcome");
    assert_eq!(last.result, Verdict::Waiting);
    assert_eq!(last.notes, "What is new in 1.2.0.\n");
    let progress = status.progress.expect("progress");
    assert_eq!((progress.step, progress.version), (Step::Done, Some(version("1.2.0"))));
}

#[tokio::test]
async fn what_is_refused_is_refused_before_anything_is_written() {
    let given = Given::new();
    let good = file("1.2.0", &given.key);
    let step = good.len() / 40;
    let mut wrong: Vec<(String, Vec<u8>)> = (0..good.len())
        .step_by(step)
        .map(|position| {
            let mut bytes = good.clone();
            bytes[position] ^= 0x20;
            (format!("byte {position}"), bytes)
        })
        .collect();
    wrong.push(("cut".to_owned(), good[..good.len() - 1].to_vec()));
    wrong.push(("another key".to_owned(), file("1.2.0", &key())));
    wrong.push(("older".to_owned(), file("1.0.0", &given.key)));
    wrong.push(("the same".to_owned(), file("1.1.0", &given.key)));
    for (what, bytes) in wrong {
        given.upload(&bytes);
        let before = given.everything();
        given.install().await.expect_err(&what);
        assert_eq!(given.everything(), before, "{what}");
        let progress = given.updates.status().expect("a status").progress.expect("progress");
        assert_eq!(progress.step, Step::Failed);
    }
}

#[tokio::test]
async fn a_file_that_is_exchanged_between_checking_and_unpacking_is_not_installed() {
    let given = Given::new();
    given.upload(&file("1.2.0", &given.key));
    let mut first = given.updates.upload("x.update").expect("there");
    let checked = given.updates.check(&mut first, false, &mut |_| ()).expect("good");
    // Signed as well, but not what was checked; and one that was altered.
    let mut altered = file("1.2.0", &given.key);
    let position = altered.len() - 1100;
    altered[position] ^= 1;
    for (bytes, code) in
        [(file("1.3.0", &given.key), "update-changed"), (altered, "update-damaged")]
    {
        fs::write(given.at("var/lib/palisade/uploads/x.update"), bytes).expect("written");
        let second = given.updates.upload("x.update").expect("there");
        let refused = given.updates.unpack(second, &checked, &mut |_| ()).expect_err("refused");
        assert_eq!(refused.code(), code);
    }
    assert!(!given.at("seen").exists());
}

#[tokio::test]
async fn a_downgrade_is_installed_only_when_it_was_asked_for_and_steps_aside_at_the_restart() {
    let given = Given::new();
    given.upload(&file("1.0.0", &given.key));
    assert_eq!(given.install().await.expect_err("refused").code(), "update-older");
    let job = given.updates.begin().expect("begun");
    job.install_upload("x.update", true).await.expect("installed");
    assert!(given.at("boot/EFI/Linux/palisade_1.1.0.efi").exists());
    given.updates.restart().await.expect("restarted");
    assert!(given.at("boot/EFI/Linux/palisade_1.1.0+0-1.efi").exists());
    assert!(given.at("rebooted").exists());
}

#[tokio::test]
async fn going_back_to_the_version_in_the_other_slot_writes_it_anew_and_waits_for_a_restart() {
    let given = Given::new();
    fs::write(given.at("boot/EFI/Linux/palisade_1.0.0.efi"), "of before the update").expect("made");
    given.upload(&file("1.0.0", &given.key));
    let job = given.updates.begin().expect("begun");
    job.install_upload("x.update", true).await.expect("installed");
    assert!(!given.at("boot/EFI/Linux/palisade_1.0.0.efi").exists());
    assert!(given.at("boot/EFI/Linux/palisade_1.0.0+2-0.efi").exists());
    assert!(given.at("boot/EFI/Linux/palisade_1.1.0.efi").exists(), "what runs stays");
    let last = given.updates.status().expect("a status").state.last.expect("an outcome");
    assert_eq!(last.result, Verdict::Waiting);
    assert_eq!(given.updates.restart().await.expect("restarted"), version("1.0.0"));
}

#[test]
fn the_kernel_that_runs_is_never_removed() {
    let given = Given::new();
    given.updates.make_way(&version("1.1.0"), &version("1.1.0")).expect("nothing to do");
    assert!(given.at("boot/EFI/Linux/palisade_1.1.0.efi").exists());
}

#[tokio::test]
async fn without_room_nothing_is_unpacked() {
    let mut given = Given::new();
    given.updates.free = |_| Ok(64 * 1024 * 1024);
    given.upload(&file("1.2.0", &given.key));
    let before = given.everything();
    let refused = given.install().await.expect_err("refused");
    assert_eq!((refused.kind(), refused.code()), (Kind::StorageFull, "update-no-room"));
    assert!(refused.message().contains("65 MiB on the data disk; 64 MiB are free"));
    assert_eq!(given.everything(), before);
}

#[tokio::test]
async fn a_failing_sysupdate_is_told_and_can_be_tried_again() {
    let given = Given::new();
    given.upload(&file("1.2.0", &given.key));
    fs::write(given.at("broken"), "").expect("written");
    let refused = given.install().await.expect_err("refused");
    assert_eq!(refused.code(), "update-not-written");
    assert!(refused.chain().contains("no space left on slot"), "{}", refused.chain());
    assert!(!given.at("var/lib/palisade-node/update").exists());
    let last = given.updates.status().expect("a status").state.last.expect("an outcome");
    assert_eq!(last.result, Verdict::Interrupted);
    fs::remove_file(given.at("broken")).expect("removed");
    fs::write(given.at("forgetful"), "").expect("written");
    assert_eq!(given.install().await.expect_err("refused").code(), "update-not-written");
    fs::remove_file(given.at("forgetful")).expect("removed");
    given.install().await.expect("installed");
}

#[tokio::test]
async fn a_version_that_was_given_up_is_tried_anew_when_it_is_installed_again() {
    let given = Given::new();
    given.upload(&file("1.2.0", &given.key));
    given.install().await.expect("installed");
    given.rename_kernel("1.2.0+2-0", "1.2.0+0-2");
    let last = given.updates.status().expect("a status").state.last.expect("an outcome");
    assert_eq!(last.message, "1.2.0 failed its health check twice and 1.1.0 runs again.");
    assert_eq!(given.updates.restart().await.expect_err("refused").code(), "no-update");
    given.install().await.expect("installed");
    assert!(!given.at("boot/EFI/Linux/palisade_1.2.0+0-2.efi").exists());
    assert!(given.at("boot/EFI/Linux/palisade_1.2.0+2-0.efi").exists());
}

#[tokio::test]
async fn while_a_version_is_on_trial_the_slot_of_the_good_one_is_not_overwritten() {
    let given = Given::new();
    given.upload(&file("1.2.0", &given.key));
    given.install().await.expect("installed");
    given.runs("1.2.0");
    given.rename_kernel("1.2.0+2-0", "1.2.0+1-1");
    given.upload(&file("1.3.0", &given.key));
    let before = given.everything();
    assert_eq!(given.install().await.expect_err("refused").code(), "update-on-trial");
    assert_eq!(given.everything(), before);
    given.rename_kernel("1.2.0+1-1", "1.2.0");
    given.install().await.expect("installed");
}

#[tokio::test]
async fn two_installations_at_a_time_are_refused_and_a_cut_one_is_tidied_away() {
    let given = Given::new();
    let first = given.updates.begin().expect("begun");
    assert_eq!(given.updates.begin().expect_err("refused").code(), "update-in-progress");
    let staged = given.at("var/lib/palisade-node/update");
    fs::create_dir(&staged).expect("made");
    fs::write(staged.join("palisade_1.2.0.efi"), "half").expect("written");
    given.updates.tidy().expect("tidy");
    assert!(staged.exists(), "somebody works there");
    drop(first);
    given.updates.tidy().expect("tidy");
    assert!(!staged.exists());
    assert_eq!(given.updates.status().expect("a status").progress, None);
}

#[test]
fn only_plain_files_of_the_upload_directory_are_read() {
    let given = Given::new();
    let uploads = uploads(&given.updates.paths);
    fs::write(given.at("secret.update"), "x").expect("written");
    symlink(given.at("secret.update"), uploads.join("link.update")).expect("linked");
    fs::create_dir(uploads.join("directory.update")).expect("made");
    for name in ["link.update", "directory.update", "missing.update"] {
        let refused = given.updates.check_upload(name, false).expect_err(name);
        assert_eq!(refused.kind(), Kind::NotFound, "{name}");
    }
    for name in ["../../../secret.update", "/etc/passwd", ".hidden", "", "a/b", "a\0b"] {
        let refused = given.updates.check_upload(name, false).expect_err(name);
        assert_eq!(refused.kind(), Kind::Invalid, "{name}");
    }
    given.upload(&file("1.2.0", &given.key));
    given.updates.check_upload("x.update", false).expect("good");
    fs::rename(&uploads, given.at("elsewhere")).expect("renamed");
    symlink(given.at("elsewhere"), &uploads).expect("linked");
    given.updates.check_upload("x.update", false).expect_err("the directory is a link");
}

#[test]
fn elsewhere_than_on_our_image_there_are_no_updates() {
    let given = Given::new();
    for text in ["ID=debian\nVERSION_ID=13\n", "IMAGE_ID=other\nIMAGE_VERSION=1.0.0\n", ""] {
        fs::write(given.at("usr/lib/os-release"), text).expect("written");
        assert_eq!(given.updates.status().expect_err("refused").code(), "not-an-appliance");
    }
}

fn mirror_of(given: &Given) -> Mirror {
    let url = format!("file://{}", given.at("mirror").display());
    Mirror::new(&MirrorSettings { url, proxy: None, no_proxy: Vec::new(), ca_pem: None })
        .expect("a mirror")
}

/// Publishes a version as `palisade update make --mirror` does.
fn publish(given: &Given, text: &str, key: &SecretKey) {
    let (place, built_here) = (given.at("mirror/palisade"), tempfile::tempdir().expect("made"));
    fs::create_dir_all(&place).expect("made");
    built(built_here.path(), text);
    let mut bytes = Vec::new();
    let (index, line) = make(built_here.path(), release(text), key, &mut bytes).expect("an update");
    fs::write(place.join("latest.json"), index).expect("written");
    fs::write(place.join("latest.json.sig"), line).expect("written");
    fs::write(place.join(format!("palisade-{text}.update")), bytes).expect("written");
}

#[tokio::test]
async fn a_mirror_offers_what_is_newer_and_it_can_be_installed() {
    let given = Given::new();
    let mirror = mirror_of(&given);
    let empty = given.updates.check_mirror(&mirror).await.expect_err("nothing there");
    assert_eq!(empty.code(), "mirror-empty");
    publish(&given, "1.1.0", &given.key);
    assert_eq!(given.updates.check_mirror(&mirror).await.expect("read"), None);
    publish(&given, "1.2.0", &given.key);
    let offer = given.updates.check_mirror(&mirror).await.expect("read").expect("newer");
    assert_eq!(
        (offer.version, offer.notes.as_str()),
        (version("1.2.0"), "What is new in 1.2.0.\n")
    );
    let job = given.updates.begin().expect("begun");
    let installed = sendable(job.install_newest(&mirror)).await;
    assert_eq!(installed.expect("installed"), version("1.2.0"));
    assert!(given.at("boot/EFI/Linux/palisade_1.2.0+2-0.efi").exists());
    assert!(!given.at("var/lib/palisade-node/update-download").exists());
}

#[tokio::test]
async fn a_mirror_is_believed_only_what_is_signed() {
    let given = Given::new();
    let mirror = mirror_of(&given);
    publish(&given, "1.2.0", &key());
    let refused = given.updates.check_mirror(&mirror).await.expect_err("another key");
    assert_eq!(refused.code(), "update-unknown-key");
    publish(&given, "1.2.0", &given.key);
    let index = given.at("mirror/palisade/latest.json");
    let text = fs::read_to_string(&index).expect("read");
    fs::write(&index, text.replace("What is new", "Nothing new")).expect("written");
    let refused = given.updates.check_mirror(&mirror).await.expect_err("altered");
    assert_eq!(refused.code(), "update-signature");

    publish(&given, "1.2.0", &given.key);
    let path = given.at("mirror/palisade/palisade-1.2.0.update");
    let good = fs::read(&path).expect("read");
    let before_byte = good.len() - 1100;
    let mut altered = good.clone();
    altered[before_byte] ^= 1;
    let longer = [good.as_slice(), &[0]].concat();
    for (bytes, code) in [
        (altered, "update-damaged"),
        (good[..good.len() - 1].to_vec(), "mirror-damaged"),
        (longer, "mirror-damaged"),
    ] {
        fs::write(&path, bytes).expect("written");
        let before = given.everything();
        let job = given.updates.begin().expect("begun");
        assert_eq!(job.install_newest(&mirror).await.expect_err("refused").code(), code);
        assert_eq!(given.everything(), before, "{code}");
    }
}

#[test]
fn a_mirror_is_reached_through_tls_or_a_directory_and_no_other_way() {
    let new = |url: &str, proxy: Option<&str>| {
        Mirror::new(&MirrorSettings {
            url: url.to_owned(),
            proxy: proxy.map(|proxy| crate::secret::Secret::new(proxy.to_owned())),
            no_proxy: Vec::new(),
            ca_pem: None,
        })
    };
    let refused = new("not a url", None).expect_err("no URL");
    assert_eq!(refused.code(), "mirror-settings");
    let refused = new("https://mirror.test", Some("ftp://ada:hunter2@:x")).expect_err("no proxy");
    assert!(!format!("{refused:?}{}", refused.chain()).contains("hunter2"));
}

#[tokio::test]
async fn a_mirror_without_tls_is_not_asked() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let given = Given::new();
    let settings = MirrorSettings {
        url: "http://127.0.0.1:9".to_owned(),
        proxy: None,
        no_proxy: Vec::new(),
        ca_pem: None,
    };
    let refused = match Mirror::new(&settings) {
        Ok(mirror) => given.updates.check_mirror(&mirror).await.expect_err("not asked"),
        Err(refused) => refused,
    };
    assert!(["mirror-unreachable", "mirror-settings"].contains(&refused.code()));
    assert!(!refused.message().contains("refused"), "{}", refused.message());
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_is_told_before_the_caller_gives_up() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let given = Given::new();
    // It takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let settings = MirrorSettings { url, proxy: None, no_proxy: Vec::new(), ca_pem: None };
    let mut mirror = Mirror::new(&settings).expect("a mirror");
    assert!(mirror.time_for_index <= Duration::from_secs(20), "requests have half a minute");
    mirror.time_for_index = Duration::from_millis(200);
    let refused = given.updates.check_mirror(&mirror).await.expect_err("it is silent");
    assert_eq!((refused.kind(), refused.code()), (Kind::Unavailable, "mirror-unreachable"));
    assert!(refused.message().contains("127.0.0.1"), "{}", refused.message());
}

//! Canaries in every source, and none in the bundle.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{clock::TestClock, config::Sources, doctor::redact::CANARIES};

fn put(root: &Path, path: &str, text: &str, mode: u32) {
    let path = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
}

/// Every canary, a line with a mark before and after: the mark has to be found.
fn planted() -> (String, String) {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let mark = format!("mark-{}-of-a-source", NEXT.fetch_add(1, Ordering::SeqCst));
    // A block that does not end hides what follows: it comes last.
    let mut texts: Vec<_> = CANARIES.iter().map(|(text, _)| *text).collect();
    texts.sort_by_key(|text| text.contains("BEGIN") && !text.contains("END"));
    (format!("{mark}\n{}\n", texts.join("\n")), mark)
}

/// A machine all of whose files and programs tell secrets.
fn talkative() -> (tempfile::TempDir, Machine, Vec<String>) {
    let root = tempfile::tempdir().expect("a directory");
    let mut marks = Vec::new();
    for (_, path) in FILES {
        let (text, mark) = planted();
        put(root.path(), path, &text, 0o600);
        marks.push(mark);
    }
    let mut names: Vec<_> =
        PROGRAMS.iter().filter_map(|(_, command)| command.split(' ').next()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (text, mark) = planted();
        put(root.path(), &format!("/said/{name}"), &text, 0o600);
        let script = format!("#!/bin/sh\ncat {}/said/{name}\n", root.path().display());
        put(root.path(), &format!("/usr/bin/{name}"), &script, 0o755);
        marks.push(mark);
    }
    for path in [
        "/var/lib/palisade/keys/keystore",
        "/var/lib/palisade/palisade.db",
        "/var/lib/palisade/setup-code",
        "/var/lib/palisade-node/answers.json",
        "/var/lib/palisade-node/ssh/host_key",
        "/run/palisade-node/serve.toml",
    ] {
        put(root.path(), path, &planted().0, 0o600);
    }
    let machine = Machine::below(root.path());
    (root, machine, marks)
}

async fn bundle(machine: &Machine, extra: Extra) -> Vec<(String, String)> {
    let config =
        Config::load(Sources::only([("bus.mode", "off")])).map_err(|error| error.to_string());
    let clock = TestClock::at(Timestamp::from_seconds(1_795_325_306));
    let mut out = Vec::new();
    write(machine, &config, &Targets::default(), extra, &clock, &mut out).await.expect("written");
    let mut archive = tar::Archive::new(&out[..]);
    let members = archive.entries().expect("members").map(|member| {
        let mut member = member.expect("a member");
        assert_eq!(member.header().mode().expect("a mode"), 0o600);
        let name = member.path().expect("a name").display().to_string();
        let mut text = String::new();
        member.read_to_string(&mut text).expect("text");
        (name, text)
    });
    members.collect()
}

#[tokio::test]
async fn no_canary_reaches_the_bundle_and_every_source_does() {
    let (_root, machine, mut marks) = talkative();
    let (text, mark) = planted();
    marks.push(mark);
    let members = bundle(&machine, vec![("metrics.txt".to_owned(), text)]).await;
    let whole: String = members.iter().map(|(_, text)| text.as_str()).collect();
    for (_, canary) in CANARIES {
        let found = members.iter().find(|(_, text)| text.contains(canary));
        assert!(found.is_none(), "{canary} is in {}", found.expect("found").0);
    }
    for mark in marks {
        assert!(whole.contains(&mark), "{mark} is missing: its source was not read");
    }
    // The bundle knows of the keystore, and has nothing of it.
    assert!(whole.contains("/var/lib/palisade/keys/keystore"));
}

#[tokio::test]
async fn the_manifest_says_what_is_inside_and_what_is_not() {
    let root = tempfile::tempdir().expect("a directory");
    put(root.path(), "/proc/version", "Linux version 6.12\npassword=hunter2\n", 0o600);
    let members = bundle(&Machine::below(root.path()), Vec::new()).await;
    assert_eq!(members[0].0, "palisade-support/manifest.json");
    let manifest: serde_json::Value = serde_json::from_str(&members[0].1).expect("JSON");
    let inside = manifest["members"].as_array().expect("members");
    for (member, (name, text)) in inside.iter().zip(&members[1..]) {
        assert_eq!(format!("palisade-support/{}", member["name"].as_str().expect("a name")), *name);
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        assert_eq!(member["sha256"], digest.as_str());
    }
    let kernel = inside.iter().find(|member| member["name"] == "system/kernel.txt").expect("there");
    assert_eq!(kernel["removed"], 1);
    let left_out = manifest["leftOut"].to_string();
    assert!(left_out.contains("there is no program journalctl"), "{left_out}");
    assert!(left_out.contains("recovery kit"), "{left_out}");
    for name in ["doctor.txt", "doctor.json", "cis.txt", "cis.json", "settings.txt", "files.txt"] {
        assert!(inside.iter().any(|member| member["name"] == name), "{name}");
    }
}

#[test]
fn of_a_long_text_the_last_whole_lines_stay() {
    let mut collected = Collected::default();
    collected.add("short.txt", "one\ntwo\n");
    let long = "a line of some length\n".repeat(LARGEST_MEMBER / 20);
    collected.add("long.txt", &long);
    assert!(!collected.members[0].cut && collected.members[1].cut);
    assert!(collected.texts[1].len() <= LARGEST_MEMBER);
    assert!(collected.texts[1].starts_with("a line of"));
    for number in 0..10 {
        collected.add(&format!("{number}.txt"), &long);
    }
    assert!(collected.size <= LARGEST);
    assert!(collected.left_out.iter().any(|left| left.why.contains("too large")));
}

#[test]
fn files_are_listed_by_their_paths_whatever_their_letters_and_sizes() {
    let root = tempfile::tempdir().expect("a directory");
    for name in ["b", "é", "a/ü"] {
        put(root.path(), &format!("/var/log/{name}"), "x", 0o600);
    }
    // A length that is wider than its column; the file takes no room.
    let large = fs::File::create(root.path().join("var/log/large")).expect("made");
    large.set_len(1_000_000_000_000).expect("as long");
    let text = listing(&Machine::below(root.path()), None);
    let log = root.path().join("var/log").display().to_string();
    let names: Vec<_> =
        text.lines().filter_map(|line| line.split_once(&log)).map(|(_, name)| name).collect();
    assert_eq!(names, ["", "/a", "/a/ü", "/b", "/large", "/é"]);
}

#[tokio::test]
async fn of_a_long_journal_the_newest_lines_stay_and_the_manifest_says_so() {
    let root = tempfile::tempdir().expect("a directory");
    let script = "#!/bin/sh\necho oldest\n/usr/bin/yes 'a line' | /usr/bin/head -c 9000000\necho\necho newest\n";
    put(root.path(), "/usr/bin/networkctl", script, 0o755);
    let members = bundle(&Machine::below(root.path()), Vec::new()).await;
    let links = members.iter().find(|(name, _)| name.ends_with("network/links.txt"));
    let text = &links.expect("there").1;
    assert!(text.ends_with("newest\n") && !text.contains("oldest"));
    let manifest: serde_json::Value = serde_json::from_str(&members[0].1).expect("JSON");
    let inside = manifest["members"].as_array().expect("members");
    let links = inside.iter().find(|member| member["name"] == "network/links.txt");
    assert_eq!(links.expect("there")["cut"], true);
    assert!(inside.iter().filter(|member| member["cut"] == true).count() == 1);
}

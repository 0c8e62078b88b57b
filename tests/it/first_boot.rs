//! The machine of the appliance and its package, with the real programs:
//! `palisade node …`, `ova/build`, and an importer that is not ours.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    app::eventually,
    peers::{Running, free_port, peer},
    process::{Installation, program},
};

/// What was run, with its output as text.
struct Ran {
    good: bool,
    out: String,
    err: String,
}

fn ran(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { good: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

#[track_caller]
fn good(command: &mut Command) -> String {
    let Ran { good, out, err } = ran(&command.output().expect("it starts"));
    assert!(good, "{command:?}: {out}{err}");
    out
}

fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// A script of ours that uses the program under test.
fn script(name: &str) -> Command {
    let mut command = clean(Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    command.env("PALISADE_BINARY", program());
    command
}

/// A disk of 8 MiB that is neither empty nor all alike.
fn disk(directory: &Path) -> PathBuf {
    let path = directory.join("palisade-1.2.3.raw");
    let mut bytes = vec![0_u8; 8 << 20];
    let mut state = 1_u32;
    for byte in &mut bytes[3 << 20..4 << 20] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = state.to_be_bytes()[0];
    }
    fs::write(&path, bytes).expect("written");
    path
}

fn build(directory: &Path, disk: &Path, name: &str, more: &[&Path]) -> PathBuf {
    let out = directory.join(name);
    good(script("ova/build").arg("--disk").arg(disk).arg("--out").arg(&out).args(more));
    out.join("palisade-1.2.3.ova")
}

#[test]
fn the_same_disk_gives_the_same_package_and_one_changed_byte_is_named() {
    let home = TempDir::new().expect("a directory");
    let disk = disk(home.path());
    let first = build(home.path(), &disk, "first", &[]);
    let second = build(home.path(), &disk, "second", &[]);
    let mut bytes = fs::read(&first).expect("read");
    assert_eq!(bytes, fs::read(&second).expect("read"), "two builds differ");
    let names = good(clean("tar").arg("-tf").arg(&first));
    assert_eq!(names, "palisade.ovf\npalisade.mf\npalisade-disk1.vmdk\n");
    let listed = good(script("ova/verify").arg(&first));
    assert_eq!(listed.lines().count(), 3, "{listed}");
    // The archive ends with two empty blocks; the disk is before them.
    let place = bytes.len() - 300_000;
    bytes[place] ^= 0x10;
    fs::write(&first, bytes).expect("written");
    let verified = ran(&script("ova/verify").arg(&first).output().expect("it starts"));
    assert!(!verified.good && verified.out.is_empty());
    let said = "palisade-disk1.vmdk is damaged: its digest is not that of palisade.mf";
    assert!(verified.err.contains(said), "{}", verified.err);
}

#[test]
fn a_package_can_be_signed() {
    let home = TempDir::new().expect("a directory");
    let disk = disk(home.path());
    let (key, cert) = (home.path().join("key.pem"), home.path().join("cert.pem"));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"];
    good(
        clean("openssl")
            .args(request)
            .arg("/CN=Releases")
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert),
    );
    let package = build(home.path(), &disk, "out", &[Path::new("--sign"), &key, &cert]);
    let verified = ran(&script("ova/verify").arg(&package).output().expect("it starts"));
    assert!(verified.good, "{}", verified.err);
    assert!(verified.err.contains("is whole, signed by CN=Releases"), "{}", verified.err);
    let names = good(clean("tar").arg("-tf").arg(&package));
    assert_eq!(names, "palisade.ovf\npalisade.mf\npalisade.cert\npalisade-disk1.vmdk\n");
}

/// The schema of the DMTF is in no package registry that the tests use: whoever
/// has its files names their directory in `OVF_SCHEMA_DIR` (DSP8023 1.x as
/// `dsp8023*.xsd`, with what it imports).
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests may have the schema")]
fn schema() -> Option<PathBuf> {
    let directory = std::env::var_os("OVF_SCHEMA_DIR")?;
    let entries = fs::read_dir(&directory).expect("OVF_SCHEMA_DIR can be read");
    let mut files = entries.map(|entry| entry.expect("an entry").path());
    let is_schema = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        name.starts_with("dsp8023") && path.extension().is_some_and(|ending| ending == "xsd")
    };
    Some(files.find(is_schema).expect("OVF_SCHEMA_DIR has a dsp8023*.xsd"))
}

#[test]
fn the_descriptor_is_valid_and_a_broken_copy_is_not() {
    let home = TempDir::new().expect("a directory");
    let package = build(home.path(), &disk(home.path()), "out", &[]);
    good(clean("tar").arg("-xf").arg(&package).arg("-C").arg(home.path()));
    let whole = home.path().join("palisade.ovf");
    good(clean("xmllint").args(["--nonet", "--noout"]).arg(&whole));
    let text = fs::read_to_string(&whole).expect("read");
    let schema = schema();
    let valid = |text: &str| {
        let path = home.path().join("copy.ovf");
        fs::write(&path, text).expect("written");
        let schema = schema.as_ref()?;
        let mut command = clean("xmllint");
        command.args(["--nonet", "--noout", "--schema"]).arg(schema).arg(&path);
        Some(ran(&command.output().expect("it starts")).good)
    };
    assert_ne!(valid(&text), Some(false));
    for (from, to) in [
        // Not in the order of the schema.
        ("<rasd:Address>0</rasd:Address>\n", ""),
        ("<Info>The networks of the appliance</Info>", ""),
        ("ovf:href=\"palisade-disk1.vmdk\"", ""),
    ] {
        let mut broken = text.replacen(from, to, 1);
        if to.is_empty() && from.starts_with("<rasd:Address>") {
            broken = broken.replacen(
                "<rasd:ResourceType>6</rasd:ResourceType>\n",
                "<rasd:ResourceType>6</rasd:ResourceType>\n        <rasd:Address>0</rasd:Address>\n",
                1,
            );
        }
        assert_ne!(broken, text, "{from} is not in it");
        assert_ne!(valid(&broken), Some(true), "{from} may be missing");
    }
}

/// The simulator of a vCenter, as long as this value lives.
struct Center {
    url: String,
    _running: Running,
}

impl Center {
    async fn start(directory: &Path) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let log = directory.join("vcsim.log");
        let running =
            Running::start(peer("VCSIM"), |command| _ = command.args(["-l", &address]), &log);
        let url = format!("https://user:pass@{address}/sdk");
        let center = Self { url, _running: running };
        eventually(Duration::from_secs(20), || async {
            let about = center.govc(&["about"]).output();
            about.is_ok_and(|output| output.status.success()).then_some(())
        })
        .await;
        center
    }

    fn govc(&self, arguments: &[&str]) -> Command {
        let mut command = clean(peer("GOVC"));
        command.env("GOVC_URL", &self.url).env("GOVC_INSECURE", "1");
        command.env("GOVC_RESOURCE_POOL", "/DC0/host/DC0_H0/Resources");
        // It would leave a session in the working directory.
        command.env("GOVC_PERSIST_SESSION", "false").args(arguments);
        command
    }
}

#[tokio::test]
async fn an_importer_takes_the_package_with_every_property_answered() {
    let home = TempDir::new().expect("a directory");
    let package = build(home.path(), &disk(home.path()), "out", &[]);
    let package = package.to_str().expect("text");
    let center = Center::start(home.path()).await;
    let spec: Value = serde_json::from_str(&good(&mut center.govc(&["import.spec", package])))
        .expect("a specification");
    let keys: Vec<String> = spec["PropertyMapping"]
        .as_array()
        .expect("properties")
        .iter()
        .map(|property| property["Key"].as_str().expect("a key").to_owned())
        .collect();
    let known: Vec<_> = palisade::node::properties::TABLE.iter().map(|p| p.key).collect();
    assert_eq!(keys, known, "the importer sees the table");
    let options = ["standalone-small", "standalone-medium", "ha", "pcg"];
    assert_eq!(spec["Deployment"], json!(options[0]));
    let networks: Vec<_> = ["Management", "Cluster"]
        .iter()
        .map(|name| json!({"Name": name, "Network": "VM Network"}))
        .collect();
    for option in options {
        let name = format!("palisade-{option}");
        let values: Vec<_> = keys
            .iter()
            .map(|key| json!({"Key": key, "Value": format!("{option} {key}")}))
            .collect();
        let chosen = json!({
            "Deployment": option,
            "DiskProvisioning": "thin",
            "PropertyMapping": values,
            "NetworkMapping": networks,
            "PowerOn": false,
            "MarkAsTemplate": false,
            "Name": name,
        });
        let file = home.path().join("options.json");
        fs::write(&file, chosen.to_string()).expect("written");
        let file = format!("-options={}", file.display());
        good(&mut center.govc(&["import.ova", &file, package]));
        let shown = good(&mut center.govc(&["vm.info", "-json", &name]));
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        let config = &shown["VirtualMachines"][0]["Config"];
        // This simulator keeps the answers beside the other extra settings.
        let extra = config["ExtraConfig"].as_array().expect("settings");
        for key in &keys {
            let answer = json!(format!("{option} {key}"));
            let kept = extra.iter().any(|entry| entry["Key"] == *key && entry["Value"] == answer);
            assert!(kept, "{key} of {option} has not arrived");
        }
        let devices = config["Hardware"]["Device"].as_array().expect("devices").clone();
        let adapters = devices.iter().filter(|device| !device["MacAddress"].is_null()).count();
        assert_eq!(adapters, if option == "ha" { 2 } else { 1 }, "{option}");
        let known = palisade::node::properties::OPTIONS;
        let known = known.iter().find(|known| known.id == option).expect("an option");
        assert_eq!(config["Hardware"]["NumCPU"], json!(known.processors), "{option}");
        assert_eq!(config["Hardware"]["MemoryMB"], json!(known.memory), "{option}");
    }
}

/// A directory that looks like the appliance's root.
fn root(directory: &Path) -> PathBuf {
    let root = directory.join("root");
    let programs = root.join("programs");
    fs::create_dir_all(&programs).expect("made");
    for name in ["hostname", "systemctl", "networkctl", "udevadm", "systemd-detect-virt"] {
        let path = programs.join(name);
        fs::write(&path, "#!/bin/sh\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }
    root
}

fn node(root: &Path, arguments: &[&str]) -> Ran {
    let mut command = clean(program());
    command.arg("node").args(arguments).arg("--root").arg(root);
    ran(&command.output().expect("it starts"))
}

#[test]
fn answers_are_shown_and_changed_on_the_command_line() {
    let home = TempDir::new().expect("a directory");
    let root = root(home.path());
    assert!(node(&root, &["answers"]).err.contains("Nothing has been answered"));
    let booted = node(&root, &["first-boot"]);
    assert!(booted.good && booted.err.starts_with("Answers from nobody:"), "{}", booted.err);
    let changed = node(
        &root,
        &["answers", "--set", "hostname=one.example.com", "--set", "ipv4=192.0.2.10/24"],
    );
    assert!(changed.good, "{}", changed.err);
    let refused = node(&root, &["answers", "--set", "gateway=198.51.100.1"]);
    assert!(!refused.good && refused.out.is_empty());
    let said =
        "gateway: \"198.51.100.1\" is outside the network 192.0.2.0/24; write an address inside";
    assert!(refused.err.contains(said), "{}", refused.err);
    let secret = root.join("secret.json");
    fs::write(&secret, r#"{"http_proxy": "http://ada:hunter2@192.0.2.8:3128"}"#).expect("written");
    let mut command = clean(program());
    command.args(["node", "answers", "--stdin", "--root"]).arg(&root);
    command.stdin(File::open(&secret).expect("opened"));
    assert!(ran(&command.output().expect("it starts")).good);
    let shown = node(&root, &["answers"]);
    assert_eq!(
        shown.out,
        "hostname = one.example.com\nipv4 = 192.0.2.10/24\n\
         http_proxy = http://(hidden)@192.0.2.8:3128\n"
    );
    let network = root.join("run/systemd/network/10-palisade.network");
    assert!(fs::read_to_string(network).expect("there").contains("Address=192.0.2.10/24"));
}

#[tokio::test]
async fn a_version_is_healthy_while_its_management_plane_works() {
    let installation = Installation::with_bus(&[]);
    let running = installation.start().await;
    let root = root(installation.path());
    let port = installation.url().rsplit(':').next().expect("a port").to_owned();
    let settings = root.join("run/palisade-node/serve.toml");
    fs::create_dir_all(settings.parent().expect("a directory")).expect("made");
    let data = installation.data();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[storage]\ndata_dir = \"{}\"\n",
        data.display()
    );
    fs::write(&settings, text).expect("written");
    let healthy = node(&root, &["healthy", "--wait", "30s"]);
    assert!(healthy.good, "{}{}", healthy.out, healthy.err);
    for part in ["store", "bus", "keystore"] {
        let line = healthy.out.lines().find(|line| line.split_whitespace().nth(1) == Some(part));
        assert!(line.is_some_and(|line| line.starts_with("good ")), "{part}: {}", healthy.out);
    }
    drop(running);
    let stopped = node(&root, &["healthy"]);
    assert!(!stopped.good && stopped.out.starts_with("BAD "), "{}", stopped.out);
    // Nothing is waited for when the unit has failed.
    fs::write(root.join("programs/systemctl"), "#!/bin/sh\necho ActiveState=failed\n")
        .expect("written");
    let failed = node(&root, &["healthy", "--wait", "1h"]);
    assert!(!failed.good && failed.out.contains("has failed"), "{}", failed.out);
    // A role that waits for the operator is no fault of the version.
    fs::remove_file(&settings).expect("removed");
    assert!(!node(&root, &["healthy"]).good, "first boot has not come to its end");
    let report = r#"{"source": "nobody", "mistakes": [], "notes": [], "waiting": "It waits."}"#;
    fs::write(root.join("run/palisade-node/mistakes.json"), report).expect("written");
    assert!(node(&root, &["healthy"]).good);
}

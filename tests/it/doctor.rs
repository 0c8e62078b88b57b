//! The doctor and the support bundle as programs, beside a real server.

use std::{
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
    time::{Duration, Instant},
};

use palisade::{
    doctor::{causes, cis, facts},
    node::{
        daemon::{self, Options},
        paths::Paths,
    },
};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{TestApp, eventually},
    process::{Installation, free_address, program},
};

/// Longer than any look, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(2);

fn run(t: &Installation, arguments: &[&str]) -> Output {
    let began = Instant::now();
    let mut command = Command::new(program());
    command.current_dir(t.path()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.args(arguments).output().expect("the program runs");
    assert!(began.elapsed() < PATIENCE, "{arguments:?} hangs");
    output
}

fn report(t: &Installation, listen: &str, arguments: &[&str]) -> (Value, Option<i32>) {
    let listen = format!("server.listen={listen}");
    let data = t.data().display().to_string();
    let common =
        ["doctor", "-o", "json", "--data-dir", &data, "--set", &listen, "--set", "bus.mode=off"];
    let output = run(t, &[&common, arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr))
    });
    (value, output.status.code())
}

/// Everything that was found, consequences included: cause and sentence.
fn found(report: &Value) -> Vec<(String, String)> {
    let mut waiting = vec![report["findings"].clone()];
    let mut found = Vec::new();
    while let Some(list) = waiting.pop() {
        for finding in list.as_array().into_iter().flatten() {
            let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
            found.push((text("cause"), text("what")));
            waiting.push(finding["consequences"].clone());
        }
    }
    found
}

fn names(report: &Value, cause: &str) -> Option<String> {
    found(report).into_iter().find(|(found, _)| found == cause).map(|(_, what)| what)
}

#[tokio::test]
async fn beside_a_running_server_the_doctor_finds_nothing_wrong_with_it() {
    let t = Installation::new(&[("bus.mode", "off")]);
    let running = t.start().await;
    let listen = t.url().replace("https://localhost", "127.0.0.1");
    let (seen, _) = report(&t, &listen, &[]);
    for cause in ["port-in-use", "not-running", "certificate", "wrong-settings", "not-ready"] {
        assert_eq!(names(&seen, cause), None, "{seen:#}");
    }
    // The port and its certificate are looked at, not only connected to.
    let (closed, code) = report(&t, &listen, &["--cis"]);
    let check = |number: &str| {
        let items = closed["items"].as_array().expect("items").iter();
        let mut of = items.filter(|item| item["number"] == number);
        of.next().expect("the check").clone()
    };
    assert_eq!(check("9.7")["outcome"], "pass", "{:#}", check("9.7"));
    assert_eq!(check("9.8")["outcome"], "pass", "{:#}", check("9.8"));
    assert_eq!(check("9.9")["outcome"], "fail", "the seal lies beside the keys");
    assert_eq!(code, Some(1), "a machine that is no appliance does not pass");
    running.stop().await;
    let (seen, code) = report(&t, &listen, &[]);
    assert!(names(&seen, "not-running").is_some(), "{seen:#}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn whoever_has_the_port_is_named() {
    let t = Installation::new(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (seen, code) = report(&t, &address, &[]);
    let what = names(&seen, "port-in-use").expect("found");
    assert!(what.contains(&format!("process {}", std::process::id())), "{what}");
    assert_eq!((names(&seen, "not-running"), code), (None, Some(1)));
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_a_cause() {
    let t = Installation::new(&[]);
    let file = t.path().join("bad.toml");
    std::fs::write(&file, "[server]\nlisten = \"nowhere\"\n").expect("written");
    let output = run(&t, &["doctor", "--config", &file.display().to_string()]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("PROBLEM  The settings cannot be used."), "{text}");
    assert!(text.contains("server.listen"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_support_bundle_of_a_running_server_holds_none_of_its_secrets() {
    let t = Installation::new(&[("bus.mode", "off")]);
    let _running = t.start().await;
    let code = std::fs::read_to_string(t.data().join("setup-code")).expect("a code");
    let listen = format!("server.listen={}", free_address());
    let (data, out) = (t.data().display().to_string(), t.path().join("bundle.tar"));
    let arguments = [
        "support-bundle",
        "--data-dir",
        &data,
        "--set",
        &listen,
        "--out",
        &out.display().to_string(),
    ];
    let output = run(&t, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mode = std::fs::metadata(&out).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let mut archive = tar::Archive::new(std::fs::File::open(&out).expect("readable"));
    let mut whole = String::new();
    for member in archive.entries().expect("members") {
        member.expect("a member").read_to_string(&mut whole).expect("text");
    }
    assert!(whole.contains("setup-code"), "the file is named");
    assert!(!whole.contains(code.trim()), "its content is there");
    for kept in ["keys", "palisade.db"] {
        assert!(whole.contains(kept), "{kept} is listed");
    }
    let again = run(&t, &arguments);
    assert_eq!(again.status.code(), Some(1), "a file that exists is not written over");
}

/// Stands in for our own program on the appliance.
const OURS: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
here="${0%/*}/../.."
case "$*" in
"doctor --output=json") cat "$here/doctor.json"; exit 1 ;;
"doctor --cis --output=json") cat "$here/cis.json"; exit 1 ;;
support-bundle*)
    out="${2#--out=}" extra="${3#--extra=}"
    { cat "$extra"; head -c 2500000 /dev/zero; } > "$out" ;;
*) exit 2 ;;
esac
"#;

/// An appliance: the management plane beside a node daemon.
async fn with_node() -> (TestApp, CancellationToken) {
    let directory = TempDir::new().expect("a directory");
    let paths = Paths::below(directory.path());
    std::fs::create_dir_all(paths.run()).expect("made");
    let data = paths.data().display().to_string();
    let t = TestApp::start_in(directory, &[("storage.data_dir", &data)]).await;
    let ours = paths.at("/usr/bin/palisade");
    for file in [&ours, &paths.at("/etc/passwd")] {
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
    }
    let uid = rustix::process::getuid().as_raw();
    let users = format!("palisade:x:{uid}:{uid}::/:\n");
    std::fs::write(paths.at("/etc/passwd"), users).expect("written");
    std::fs::write(&ours, OURS).expect("written");
    std::fs::set_permissions(&ours, std::fs::Permissions::from_mode(0o755)).expect("set");
    let diagnosis = causes::diagnose(&causes::Observed {
        settings: Some("setting x does not exist".to_owned()),
        ..causes::Observed::default()
    });
    let report = cis::evaluate(&facts::Facts::default());
    let write = |name: &str, text: String| std::fs::write(paths.at(name), text).expect("written");
    write("/doctor.json", serde_json::to_string(&diagnosis).expect("JSON"));
    write("/cis.json", serde_json::to_string(&report).expect("JSON"));
    let stopping = CancellationToken::new();
    let options = Options { paths: paths.clone(), notify: None, stopping: stopping.clone() };
    let task = tokio::spawn(daemon::run(options));
    eventually(PATIENCE, || {
        assert!(!task.is_finished(), "the daemon ended");
        std::future::ready(paths.socket().exists().then_some(()))
    })
    .await;
    (t, stopping)
}

#[tokio::test]
async fn the_api_shows_what_the_node_has_seen() {
    let (t, stopping) = with_node().await;
    let system = t.set_up().await;
    let reply = system.get("/v1/platform/checks").await;
    reply.assert_status(200);
    assert_eq!(reply.json["doctor"]["healthy"], false);
    assert_eq!(reply.text("/doctor/findings/0/what"), "The settings cannot be used.");
    assert_eq!(reply.text("/hardening/items/0/number"), "1.1");
    assert_eq!(reply.text("/hardening/items/0/outcome"), "fail");
    assert!(reply.text("/hardening/text").contains("FAIL 1.1"));
    stopping.cancel();
}

#[tokio::test]
async fn a_support_bundle_comes_whole_through_the_api_and_is_recorded() {
    let (t, stopping) = with_node().await;
    let system = t.set_up().await;
    let answer = system.request(Method::POST, "/v1/platform/support-bundle").send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-tar");
    let length: usize =
        answer.headers()["content-length"].to_str().expect("text").parse().expect("a number");
    let bytes = answer.bytes().await.expect("the whole body");
    assert_eq!(bytes.len(), length);
    assert!(bytes.len() > 2_500_000);
    let start = String::from_utf8_lossy(&bytes[..2_000]);
    assert!(start.contains("readiness.json") && start.contains("database.json"), "{start}");
    let facts = String::from_utf8_lossy(&bytes[..200_000]);
    for of_the_database in
        [r#"\"dataFormat\":{"#, r#"\"oldestVersion\":"#, r#"\"migrations\":[1,2"#]
    {
        assert!(facts.contains(of_the_database), "{of_the_database}");
    }
    let records = system.get("/v1/audit?action=platform.supportBundle").await;
    assert_eq!(records.items().len(), 1, "{}", records.body);
    // It lies in memory there: it is gone once it was fetched.
    let left = std::fs::read_dir(t.directory.path().join("run/palisade-node/support"));
    let tars = left
        .expect("a directory")
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "tar"));
    assert_eq!(tars.count(), 0);
    stopping.cancel();
}

#[tokio::test]
async fn without_the_appliance_the_api_says_where_to_look() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let reply = system.get("/v1/platform/checks").await;
    reply.assert_problem(409, "not-an-appliance");
    let reply = system.post("/v1/platform/support-bundle", serde_json::json!({})).await;
    reply.assert_problem(409, "not-an-appliance");
}

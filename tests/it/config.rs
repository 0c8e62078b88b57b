//! What keeps the server from starting, as the command says it.

use std::{process::Command, sync::Arc};

use palisade::{
    app::{App, Parts},
    clock::{SystemClock, SystemRandom},
    config::{Config, Sources},
};
use tempfile::TempDir;

/// Starts the application in a directory, without a server.
pub(crate) async fn start_in(directory: &TempDir) -> palisade::error::Result<App> {
    let data = directory.path().join("var");
    let settings =
        [("storage.data_dir", data.to_str().expect("a plain path")), ("bus.mode", "off")];
    let parts = Parts {
        config: Config::load(Sources::only(settings)).expect("valid settings"),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        metrics: None,
    };
    App::start(parts).await
}

fn palisade(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command.current_dir(directory).env_clear().env("PATH", "/usr/bin:/bin");
    command
}

/// Runs the command, and answers its exit code and what it said.
fn outcome(mut command: Command) -> (i32, String) {
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_nothing_starts() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("palisade.toml");
    std::fs::write(&file, "[server]\nlisten = \"127.0.0.1:0\"\nfqnd = \"x\"\n").expect("written");
    let mut command = palisade(&directory);
    command.arg("serve");
    let (code, said) = outcome(command);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("server.fqnd") && said.contains("palisade.toml"), "{said}");
    assert!(!directory.path().join("var").exists(), "something was written");
}

#[test]
fn a_wrong_type_in_the_environment_is_named_with_its_variable() {
    let directory = TempDir::new().expect("a directory");
    let mut command = palisade(&directory);
    command.args(["config", "check"]).env("PALISADE_SERVER_PUBLIC_PORT", "many");
    let (code, said) = outcome(command);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("PALISADE_SERVER_PUBLIC_PORT"), "{said}");
}

#[test]
fn a_missing_file_is_named() {
    let directory = TempDir::new().expect("a directory");
    let mut command = palisade(&directory);
    command.args(["config", "check", "--config", "nowhere.toml"]);
    let (code, said) = outcome(command);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nowhere.toml"), "{said}");
}

#[test]
fn a_taken_port_is_one_sentence_and_nothing_is_started() {
    let directory = TempDir::new().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut command = palisade(&directory);
    command.args(["serve", "--listen", &address]);
    let (code, said) = outcome(command);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&address) && said.contains("another program"), "{said}");
    assert!(!directory.path().join("var").exists(), "something was written");
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("palisade.toml");
    std::fs::write(&file, "[server]\nfqdn = \"file.example\"\n").expect("written");
    let show = |environment: bool, flag: bool| {
        let mut command = palisade(&directory);
        command.args(["config", "check"]);
        if environment {
            command.env("PALISADE_SERVER_FQDN", "environment.example");
        }
        if flag {
            command.args(["--set", "server.fqdn=flag.example"]);
        }
        let output = command.output().expect("the program runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(show(false, false).contains("file.example"));
    assert!(show(true, false).contains("environment.example"));
    assert!(show(true, true).contains("flag.example"));
}

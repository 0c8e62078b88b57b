//! The command line for a person: on a terminal, which `script` provides.

use std::{os::unix::process::ExitStatusExt, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStdin, ChildStdout, Command},
};

use crate::{
    app::{PASSWORD, TestApp, eventually},
    cli::Shell,
};

/// A program on a terminal, and a person who reads before typing.
struct Person {
    child: tokio::process::Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Person {
    fn at(shell: &Shell, arguments: &[&str]) -> Self {
        let quoted: Vec<_> = arguments.iter().map(|text| format!("'{text}'")).collect();
        let line = format!("exec {} {}", env!("CARGO_BIN_EXE_palisade"), quoted.join(" "));
        let mut command = Command::new("script");
        command
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .env("XDG_CONFIG_HOME", &shell.home)
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("script is part of every Debian");
        let keyboard = child.stdin.take().expect("piped");
        let screen = child.stdout.take().expect("piped");
        Self { child, keyboard, screen, seen: String::new() }
    }

    /// Reads until the screen shows `text`.
    async fn sees(&mut self, text: &str) {
        let mut bytes = [0; 1024];
        while !self.seen.contains(text) {
            let count = self.screen.read(&mut bytes).await.expect("readable");
            assert_ne!(count, 0, "it ended without {text:?}: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Waits until the terminal does not show what is typed.
    async fn hides(&self) {
        let script = self.child.id().expect("it runs");
        eventually(Duration::from_secs(10), || async {
            let children = format!("/proc/{script}/task/{script}/children");
            let program = std::fs::read_to_string(children).ok()?;
            let terminal = std::fs::read_link(format!("/proc/{}/fd/0", program.trim())).ok()?;
            let modes =
                Command::new("stty").arg("-F").arg(terminal).arg("-a").output().await.ok()?;
            let modes = String::from_utf8_lossy(&modes.stdout).into_owned();
            modes.split_whitespace().any(|mode| mode == "-echo").then_some(())
        })
        .await;
    }

    async fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).await.expect("it reads");
    }

    /// The exit code and all that was on the screen.
    async fn ends(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).await.expect("readable");
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let status = self.child.wait().await.expect("it ends");
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        (code, self.seen)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_for_what_is_missing_and_the_password_is_not_shown() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    t.tenant(&system, "acme").await;
    let shell = Shell::new(&t, "ada");
    let ca = shell.ca.display().to_string();
    let mut person = Person::at(&shell, &["login", "--url", &t.url, "--ca-file", &ca]);
    person.sees("E-mail: ").await;
    person.types("admin@acme.example.com\n").await;
    person.sees("Password: ").await;
    person.hides().await;
    person.types(&format!("{PASSWORD}\n")).await;
    let (code, screen) = person.ends().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Logged in at") && !screen.contains(PASSWORD), "{screen}");

    shell.good(&["create", "project", "Web"]).await;
    let mut person = Person::at(&shell, &["delete", "project", "Web"]);
    person.sees("[y/N] ").await;
    person.types("\n").await;
    let (code, screen) = person.ends().await;
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("Nothing was deleted"), "{screen}");
    shell.good(&["get", "project", "Web"]).await;

    let mut person = Person::at(&shell, &["delete", "project", "Web"]);
    person.sees("[y/N] ").await;
    person.types("\u{3}").await;
    let (code, screen) = person.ends().await;
    assert_eq!(code, 130, "{screen}");
    shell.good(&["get", "project", "Web"]).await;

    let mut person = Person::at(&shell, &["delete", "project", "Web"]);
    person.sees("[y/N] ").await;
    person.types("y\n").await;
    let (code, screen) = person.ends().await;
    assert_eq!(code, 0, "{screen}");
    shell.bad(3, &["get", "project", "Web"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_keystore_wants_a_passphrase_asks_for_it() {
    let t = TestApp::start().await;
    let shell = Shell::new(&t, "operator");
    let data = shell.home.join("var").display().to_string();
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &data,
        "--set",
        "bus.mode=off",
        "--set",
        "keystore.seal=passphrase",
    ];
    let passphrase = "correct horse battery staple\n";
    let error = shell.bad(1, &arguments).await;
    assert!(error.contains("passphrase") && error.contains("terminal"), "{error}");

    let mut person = Person::at(&shell, &arguments);
    person.sees("A new passphrase").await;
    person.hides().await;
    person.types(passphrase).await;
    person.sees("Once more: ").await;
    person.hides().await;
    person.types(passphrase).await;
    person.sees("Set-up code: ").await;
    person.types("\u{3}").await;
    let (code, screen) = person.ends().await;
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains("battery"), "{screen}");

    let mut person = Person::at(&shell, &arguments);
    person.sees("Passphrase of the keystore: ").await;
    person.hides().await;
    person.types("incorrect horse battery staple\n").await;
    let (code, screen) = person.ends().await;
    assert_eq!(code, 4, "{screen}");
    assert!(screen.contains("the passphrase is wrong"), "{screen}");

    let mut person = Person::at(&shell, &arguments);
    person.sees("Passphrase of the keystore: ").await;
    person.hides().await;
    person.types(passphrase).await;
    person.sees("Set-up code: ").await;
    person.types("\u{3}").await;
    assert_eq!(person.ends().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_s_own_screen_answers_keys_redraws_and_ends() {
    let t = TestApp::start().await;
    let shell = Shell::new(&t, "operator");
    let root = shell.home.join("machine").display().to_string();
    let mut person = Person::at(&shell, &["console", "--root", &root]);
    // Without the daemon it shows what it can see itself.
    person.sees("does not answer").await;
    person.sees("F1/1").await;
    person.hides().await;
    person.types("3").await;
    person.sees("Management plane").await;
    // A function key, as a terminal sends it.
    person.types("\u{1b}OP").await;
    person.sees("Data disk").await;
    person.seen.clear();
    person.types("\u{c}").await;
    person.sees("does not answer").await;
    person.types("\u{3}").await;
    let (code, screen) = person.ends().await;
    assert_eq!(code, 0, "{screen}");
    // The cursor is back, and the mode of the terminal.
    assert!(screen.ends_with("\u{1b}[?25h\r"), "{screen:?}");

    let mut command = shell.command(&["console", "--root", &root]);
    let refused = command.output().await.expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--once"), "{said}");
}

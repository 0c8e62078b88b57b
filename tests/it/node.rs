//! The machine's own screen and the node daemon beside an appliance that runs:
//! real processes, the real protocol, the real management plane. Only systemd's
//! programs are stand-ins.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use palisade::{
    node::{
        client::{Client, NoAnswer},
        paths::Paths,
        protocol::{
            Ask, Credentials, Failure, Health, Power, RecoverKeystore, RenewCertificate,
            ResetAdministrator, RestoreData, RestorePoint, SetUp, StatusRequest,
        },
    },
    secret::Secret,
    store::{Store, StoreSettings},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::app::{PASSWORD, TestApp, eventually};

const EMAIL: &str = "root@example.com";

/// Notes how it was called, and does nothing.
const STAND_IN: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>\"${0%/*}/called\"\n";

/// Stands in for the service manager, which runs what follows the two dashes.
const RUNNER: &str = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";

/// A machine: the layout of an appliance below a directory, and its daemon, for
/// whom this process is the screen.
struct Machine {
    paths: Paths,
    daemon: Child,
    directory: PathBuf,
}

/// An appliance whose data are where the layout wants them.
async fn appliance() -> TestApp {
    started(TempDir::new().expect("a directory")).await
}

async fn started(directory: TempDir) -> TestApp {
    let paths = Paths::below(directory.path());
    fs::create_dir_all(paths.run()).expect("made");
    let data = paths.data();
    let data = data.to_str().expect("a plain path").to_owned();
    TestApp::start_in(directory, &[("storage.data_dir", &data)]).await
}

impl Machine {
    async fn around(t: &TestApp) -> Self {
        let directory = t.directory.path().to_owned();
        let paths = Paths::below(&directory);
        for part in ["/etc", "/usr/bin", "/run/palisade-node"] {
            fs::create_dir_all(paths.at(part)).expect("made");
        }
        for program in ["systemctl", "journalctl"] {
            let path = paths.at("/usr/bin").join(program);
            fs::write(&path, STAND_IN).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        let runner = paths.at("/usr/bin/systemd-run");
        fs::write(&runner, RUNNER).expect("written");
        fs::set_permissions(&runner, fs::Permissions::from_mode(0o755)).expect("executable");
        symlink(env!("CARGO_BIN_EXE_palisade"), paths.at("/usr/bin/palisade")).expect("linked");
        let port = t.url.rsplit(':').next().expect("a port");
        let settings = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n[storage]\ndata_dir = \"{}\"\n\
             [bus]\nmode = \"off\"\n",
            paths.data().display()
        );
        fs::write(paths.serve_settings(), settings).expect("written");
        Self::daemon(directory, "palisade-console").await
    }

    /// A daemon for whom the processes of this test are `account`.
    async fn daemon(directory: PathBuf, account: &str) -> Self {
        let paths = Paths::below(&directory);
        let own = fs::metadata(&directory).expect("there");
        let users = format!("{account}:x:{}:{}::/:\n", own.uid(), own.gid());
        fs::write(paths.at("/etc/passwd"), users).expect("written");
        let mut command = palisade(&["node", "daemon"], &paths);
        let daemon = command.stderr(Stdio::null()).spawn().expect("it starts");
        eventually(Duration::from_secs(20), || async {
            tokio::net::UnixStream::connect(paths.socket()).await.ok().map(drop)
        })
        .await;
        Self { paths, daemon, directory }
    }

    /// The same machine, on which the processes of this test are the management plane.
    async fn for_the_management_plane(self) -> Self {
        let directory = self.directory.clone();
        self.end().await;
        Self::daemon(directory, "palisade").await
    }

    fn client(&self) -> Client {
        Client::of(&self.paths)
    }

    async fn refused<A: Ask>(&self, ask: A, credentials: Credentials) -> Failure
    where
        A::Answer: std::fmt::Debug,
    {
        match self.client().ask_as(ask, Some(credentials), None, |_| ()).await {
            Err(NoAnswer::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    fn called(&self) -> String {
        fs::read_to_string(self.directory.join("usr/bin/called")).unwrap_or_default()
    }

    /// The screen as it is now.
    async fn screen(&self) -> String {
        let output = palisade(&["console", "--once"], &self.paths).output().await;
        String::from_utf8(output.expect("it runs").stdout).expect("UTF-8")
    }

    /// The service manager ends the daemon.
    async fn end(mut self) {
        let id = self.daemon.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(rustix::process::Pid::from_raw).expect("it runs");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("told");
        let ended = tokio::time::timeout(Duration::from_secs(10), self.daemon.wait()).await;
        assert!(ended.expect("in time").expect("a child").success());
    }
}

fn palisade(arguments: &[&str], paths: &Paths) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    command.args(arguments).arg("--root").arg(paths.at("/"));
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn password(password: &str) -> Credentials {
    Credentials::Password { email: EMAIL.to_owned(), password: Secret::new(password.to_owned()) }
}

fn kit(text: &str) -> Credentials {
    Credentials::RecoveryKit(Secret::new(text.to_owned()))
}

/// Completes the set-up; the recovery kit's text.
async fn set_up(t: &TestApp) -> String {
    let body = json!({
        "code": t.setup_code(),
        "admin": {"email": EMAIL, "name": "Root", "password": PASSWORD},
        "bearer": true,
    });
    let reply = t.anonymous().post("/v1/setup", body).await;
    reply.assert_status(201);
    reply.text("/recoveryKit").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_shows_what_a_browser_and_its_administrator_need() {
    let t = appliance().await;
    let machine = Machine::around(&t).await;
    fs::write(t.app.setup_code_file(), t.setup_code()).expect("written");

    let status = machine.client().ask(StatusRequest {}).await.expect("a status");
    assert!(matches!(status.health, Health::Answers { .. }), "{:?}", status.health);
    let fingerprint = t.app.certificate().fingerprint;
    assert_eq!(status.fingerprint.as_ref(), Some(&fingerprint));
    assert_eq!(status.set_up, SetUp::Open { code: Some(t.setup_code().to_owned()) });
    let port = t.url.rsplit(':').next().expect("a port");
    let url = format!("https://localhost:{port}");
    assert_eq!(status.urls[0], url);

    let screen = machine.screen().await;
    for wanted in [t.setup_code(), &url, &fingerprint[..47], "Data disk"] {
        assert!(screen.lines().any(|row| row.contains(wanted)), "{wanted} in {screen}");
    }
    let said = palisade(&["node", "status"], &machine.paths).output().await.expect("it runs");
    let said = String::from_utf8(said.stdout).expect("UTF-8");
    assert!(said.contains(&url) && said.contains(t.setup_code()), "{said}");

    let paths = machine.paths.clone();
    machine.end().await;
    let screen = palisade(&["console", "--once"], &paths).output().await.expect("it runs");
    let screen = String::from_utf8(screen.stdout).expect("UTF-8");
    assert!(screen.contains("does not answer") && screen.contains("Memory"), "{screen}");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_the_screen_wants_an_administrator_and_reaches_the_audit_trail() {
    let t = appliance().await;
    set_up(&t).await;
    let machine = Machine::around(&t).await;
    let refused = machine.refused(Power::Reboot, password("not-the-password")).await;
    assert_eq!(refused.code, "wrong-credentials", "{refused:?}");
    assert!(!machine.called().contains("reboot"), "{}", machine.called());
    let done = machine.client().ask_as(Power::Reboot, Some(password(PASSWORD)), None, |_| ()).await;
    done.expect("an administrator may");
    assert!(machine.called().contains("systemctl --no-block reboot"), "{}", machine.called());

    let machine = machine.for_the_management_plane().await;
    let system = t.try_log_in(EMAIL, PASSWORD, "system").await;
    let own = system.text("/session/user/uid").to_owned();
    let system = t.anonymous().with_token(system.text("/tokens/accessToken"));
    let records = eventually(Duration::from_secs(20), || async {
        let reply = system.get("/v1/audit?action=node.reboot").await;
        (reply.items().len() >= 2).then(|| reply.items().to_vec())
    })
    .await;
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            (
                record["outcome"].clone(),
                record["actor"]["kind"].clone(),
                record["actor"]["uid"].clone(),
            )
        })
        .collect();
    assert_eq!(seen.len(), 2, "each of them once: {records:?}");
    assert!(seen.contains(&(json!("success"), json!("console"), json!(own))), "{records:?}");
    assert!(seen.iter().any(|(outcome, ..)| outcome == "denied"), "{records:?}");
    // The session that proved it was ended.
    let ended = system.get("/v1/audit?action=auth.logout").await;
    assert!(!ended.items().is_empty());
    // Nothing is recorded twice, however often it is collected.
    machine.client().ask(Power::ShutDown).await.expect("it has its permit");
    eventually(Duration::from_secs(20), || async {
        let reply = system.get("/v1/audit?action=node.shutDown").await;
        (reply.items().len() == 1).then_some(())
    })
    .await;
    assert_eq!(system.get("/v1/audit?action=node.reboot").await.items().len(), 2);
    machine.end().await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_which_the_daemon_did_not_hear_are_forgotten_after_the_next_start() {
    let t = appliance().await;
    set_up(&t).await;
    let machine = Machine::around(&t).await;
    let done = machine.client().ask_as(Power::Reboot, Some(password(PASSWORD)), None, |_| ()).await;
    done.expect("an administrator may");
    let events = machine.paths.state().join("events.jsonl");
    let untaken = fs::read(&events).expect("there");
    let patience = Duration::from_secs(20);
    let forgotten = || async {
        let text = fs::read_to_string(&events).ok()?;
        (text.lines().count() == 1).then_some(())
    };
    let machine = machine.for_the_management_plane().await;
    eventually(patience, forgotten).await;
    // As if the management plane had died between its record and the word to the daemon.
    let place = machine.directory.clone();
    machine.end().await;
    let directory = t.stop().await;
    fs::write(&events, untaken).expect("written");
    let machine = Machine::daemon(place, "palisade").await;
    let t = started(directory).await;
    eventually(patience, forgotten).await;
    let system = t.try_log_in(EMAIL, PASSWORD, "system").await;
    let system = t.anonymous().with_token(system.text("/tokens/accessToken"));
    let recorded = system.get("/v1/audit?action=node.reboot").await;
    assert_eq!(recorded.items().len(), 1, "{}", recorded.body);
    machine.end().await;
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_who_cannot_log_in_gets_a_link_with_the_recovery_kit() {
    let t = appliance().await;
    let text = set_up(&t).await;
    let machine = Machine::around(&t).await;
    // As systemd does it; the stand-in only notes that it was told to.
    let directory = t.stop().await;

    let ask = || ResetAdministrator { email: None };
    let other = kit("0000-0000");
    assert_eq!(machine.refused(ask(), other).await.code, "wrong-recovery-kit");
    assert_eq!(machine.refused(ask(), password(PASSWORD)).await.code, "password-unchecked");
    let link = machine.client().ask_as(ask(), Some(kit(&text)), None, |_| ()).await;
    let link = link.expect("the kit of this installation");
    assert_eq!((link.email.as_str(), link.enabled), (EMAIL, false));
    let called = machine.called();
    let (stop, start) = (called.find("systemctl stop palisade"), called.find("systemctl start"));
    assert!(stop.is_some() && stop < start, "{called}");
    assert!(!machine.paths.run().join("recovering").exists(), "it is over");
    let stranger = ResetAdministrator { email: Some("ada@example.com".to_owned()) };
    let refused = machine.refused(stranger, kit(&text)).await;
    assert!(refused.message.contains("No system administrator"), "{refused:?}");

    let renewed =
        machine.client().ask_as(RenewCertificate {}, Some(kit(&text)), None, |_| ()).await;
    let renewed = renewed.expect("it is our own");

    let t = started(directory).await;
    assert_eq!(t.app.certificate().fingerprint, renewed.fingerprint);
    let machine = machine.for_the_management_plane().await;
    let (_, token) = link.url.split_once("#token=").expect("a token");
    let new = "another-violet-anchor-72";
    let body = json!({"token": token, "password": new});
    t.anonymous().post("/v1/auth/invite/accept", body.clone()).await.assert_status(204);
    t.anonymous().post("/v1/auth/invite/accept", body).await.assert_problem(404, "link-used-up");
    t.try_log_in(EMAIL, PASSWORD, "system").await.assert_status(401);
    let system = t.try_log_in(EMAIL, new, "system").await;
    let system = t.anonymous().with_token(system.text("/tokens/accessToken"));
    for action in ["user.recover", "node.resetAdministrator", "certificate.reset"] {
        eventually(Duration::from_secs(20), || async {
            let reply = system.get(&format!("/v1/audit?action={action}&outcome=success")).await;
            (!reply.items().is_empty()).then_some(())
        })
        .await;
    }
    machine.end().await;
    t.stop().await;
}

/// Does one statement in the database of a stopped appliance.
async fn statement(paths: &Paths, sql: &str) {
    let path = paths.data().join("palisade.db");
    let store = Store::open(&StoreSettings::Sqlite { path }).await.expect("open");
    let mut tx = store.begin().await.expect("begin");
    tx.execute(sql, ()).await.expect("a statement");
    tx.commit().await.expect("commit");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystore_without_its_seal_or_without_itself_is_opened_at_the_screen() {
    let t = appliance().await;
    let text = set_up(&t).await;
    let machine = Machine::around(&t).await;
    let mut directory = t.stop().await;
    let keys = machine.paths.data().join("keys");
    let ask = |text: &str| RecoverKeystore { kit: Secret::new(text.to_owned()) };
    // A whole kit with another character in its third group.
    let third = text.find("3: ").expect("numbered groups") + 3;
    let other = if &text[third..=third] == "X" { "Y" } else { "X" };
    let mistyped = [&text[..third], other, &text[third + 1..]].concat();

    for lost in [keys.join("seal.key"), keys.clone()] {
        let gone = if lost.is_dir() { fs::remove_dir_all(&lost) } else { fs::remove_file(&lost) };
        gone.expect("removable");
        let refused = machine.client().ask(ask(&mistyped)).await.expect_err("mistyped");
        assert!(refused.to_string().contains("Group 3 of the recovery code"), "{refused}");
        assert!(!lost.exists(), "nothing was changed");
        let opened = machine.client().ask(ask(&text)).await.expect("the kit of the set-up");
        assert!(text.contains(&opened.installation) && text.contains(&opened.recovery_kit));

        let t = started(directory).await;
        t.try_log_in(EMAIL, PASSWORD, "system").await.assert_status(200);
        directory = t.stop().await;
    }
    let called = machine.called();
    assert_eq!(called.matches("systemctl stop palisade").count(), 2, "{called}");
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_an_update_has_damaged_is_put_back_at_the_screen() {
    let t = appliance().await;
    let text = set_up(&t).await;
    let machine = Machine::around(&t).await;
    let directory = t.stop().await;
    let refused = machine.client().ask(RestorePoint {}).await.expect_err("there is none yet");
    assert!(refused.to_string().contains("There is no copy"), "{refused}");
    statement(&machine.paths, "UPDATE data_format SET version = '0.0.9'").await;
    let directory = started(directory).await.stop().await;
    statement(&machine.paths, "UPDATE tenant SET name = 'Damaged' WHERE slug = 'system'").await;
    // So that the version that runs again does not start on it.
    let newer = "UPDATE data_format SET version = '9.3.0', oldest_version = '9.2.0'";
    statement(&machine.paths, newer).await;

    let point = machine.client().ask(RestorePoint {}).await.expect("the copy of before");
    assert_eq!(point.version.to_string(), env!("CARGO_PKG_VERSION"));
    let ask = || RestoreData { before: point.version.clone() };
    assert_eq!(machine.refused(ask(), kit("0000-0000")).await.code, "wrong-recovery-kit");
    let data = machine.client().ask_as(ask(), Some(kit(&text)), None, |_| ()).await;
    assert_eq!(data.expect("the kit of this installation"), point);

    let t = started(directory).await;
    let system = t.try_log_in(EMAIL, PASSWORD, "system").await;
    system.assert_status(200);
    let machine = machine.for_the_management_plane().await;
    let system = t.anonymous().with_token(system.text("/tokens/accessToken"));
    eventually(Duration::from_secs(20), || async {
        let reply = system.get("/v1/audit?action=node.restoreData&outcome=success").await;
        (!reply.items().is_empty()).then_some(())
    })
    .await;
    machine.end().await;
    t.stop().await;
}

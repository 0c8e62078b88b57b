//! The daemon over its real socket, in a root directory of its own, with
//! scripts in the place of systemd's programs.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
};

use super::*;
use crate::{
    error::Kind,
    node::{
        answers::{self, Report},
        client::{Client, NoAnswer},
        properties::salvage,
        protocol::{
            Amend, Answers, Ask, Credentials, Events, EventsTaken, Failure, Health, KeepBundle,
            LONGEST_REQUEST, LogSource, Logs, NodeEvent, Power, RecoverKeystore, RestoreData,
            RestorePoint, SetUp, StatusRequest,
        },
    },
    secret::Secret,
};

struct Running {
    place: tempfile::TempDir,
    stopping: CancellationToken,
    task: JoinHandle<Result<()>>,
}

/// What `systemctl` and `journalctl` are here: they note how they were called.
const SCRIPT: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>\"${0%/*}/../../called\"\n\
    case \"$*\" in *show*) printf 'Id=palisade.service\\nActiveState=active\\n';;\n\
    *lines*) echo \"a line of $*\";; esac\n";

impl Running {
    /// A daemon for whom this process is `account`.
    async fn start(account: &str) -> Self {
        // As the program does first of all; the second time it is there already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let place = tempfile::tempdir().expect("a directory");
        let paths = Paths::below(place.path());
        for directory in ["/etc", "/usr/bin"] {
            fs::create_dir_all(paths.at(directory)).expect("made");
        }
        fs::create_dir_all(paths.data()).expect("made");
        let uid = rustix::process::getuid().as_raw();
        fs::write(paths.at("/etc/passwd"), format!("{account}:x:{uid}:{uid}::/:\n"))
            .expect("users");
        for program in ["systemctl", "journalctl", "palisade"] {
            let path = paths.at("/usr/bin").join(program);
            fs::write(&path, SCRIPT).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        let stopping = CancellationToken::new();
        let options = Options { paths: paths.clone(), notify: None, stopping: stopping.clone() };
        let task = tokio::spawn(run(options));
        while !paths.socket().exists() {
            assert!(!task.is_finished(), "the daemon ended");
            tokio::task::yield_now().await;
        }
        Self { place, stopping, task }
    }

    fn paths(&self) -> Paths {
        Paths::below(self.place.path())
    }

    fn client(&self) -> Client {
        Client::of(&self.paths())
    }

    async fn refused<A: Ask>(&self, ask: A, credentials: Option<Credentials>) -> Failure
    where
        A::Answer: std::fmt::Debug,
    {
        match self.client().ask_as(ask, credentials, None, |_| ()).await {
            Err(NoAnswer::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// The installation gets its first administrator.
    fn set_up(&self) {
        fs::write(self.paths().data().join("palisade.db"), "").expect("written");
    }

    fn called(&self) -> String {
        fs::read_to_string(self.place.path().join("called")).unwrap_or_default()
    }

    fn recorded(&self) -> Vec<NodeEvent> {
        let text = fs::read_to_string(self.paths().state().join("events.jsonl")).expect("there");
        let lines = text.lines().filter_map(|line| line.strip_prefix("{\"ended\":"));
        lines.map(|line| serde_json::from_str(&line[..line.len() - 1]).expect("an event")).collect()
    }

    /// The service manager starts another daemon.
    async fn start_again(&mut self) {
        self.stopping.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), &mut self.task).await;
        ended.expect("in time").expect("no panic").expect("no failure");
        let paths = self.paths();
        let _ = fs::remove_file(paths.socket());
        self.stopping = CancellationToken::new();
        let stopping = self.stopping.clone();
        self.task = tokio::spawn(run(Options { paths: paths.clone(), notify: None, stopping }));
        while !paths.socket().exists() {
            assert!(!self.task.is_finished(), "the daemon ended");
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) {
        self.stopping.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        ended.expect("in time").expect("no panic").expect("no failure");
    }
}

fn kit(text: &str) -> Credentials {
    Credentials::RecoveryKit(Secret::new(text.to_owned()))
}

/// Stands in for the service manager, which runs what follows the two dashes.
const RUNNER: &str = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";

/// Stands in for our own program, which knows the recovery kit.
fn let_kit_be(running: &Running, right: &str) {
    let path = running.paths().at("/usr/bin/palisade");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = 'keys check' ] || exit 1\n\
         read -r typed; [ \"$typed\" = '{right}' ] && exit 0\necho 'error: This is another kit.' >&2\nexit 4\n"
    );
    for (path, text) in
        [(path, script.as_str()), (running.paths().at("/usr/bin/systemd-run"), RUNNER)]
    {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }
}

#[tokio::test]
async fn the_screen_reads_without_any_proof_and_changes_only_with_one_once_set_up_is_done() {
    let running = Running::start("palisade-console").await;
    fs::write(running.paths().data().join("setup-code"), "ABCD-EFGH\n").expect("written");
    let status = running.client().ask(StatusRequest {}).await.expect("a status");
    assert_eq!(status.set_up, SetUp::Open { code: Some("ABCD-EFGH".to_owned()) });
    assert!(matches!(status.health, Health::Silent { .. }), "{:?}", status.health);
    assert_eq!(status.units[0].state, "active");
    running.client().ask(Power::Reboot).await.expect("nobody is there to ask");
    assert!(running.called().contains("systemctl --no-block reboot\n"), "{}", running.called());

    fs::remove_file(running.paths().data().join("setup-code")).expect("used");
    running.set_up();
    let_kit_be(&running, "the right kit");
    let refused = running.refused(Power::ShutDown, None).await;
    assert_eq!((refused.kind(), &*refused.code), (Kind::Unauthenticated, "credentials-needed"));
    let refused = running.refused(Power::ShutDown, Some(kit("another"))).await;
    assert_eq!(refused.message, "This is another kit.");
    assert!(!running.called().contains("poweroff"), "{}", running.called());
    let proved =
        running.client().ask_as(Power::ShutDown, Some(kit("the right kit")), None, |_| ()).await;
    proved.expect("the right kit");
    assert!(running.called().contains("systemctl --no-block poweroff\n"), "{}", running.called());
    running.client().ask(StatusRequest {}).await.expect("reading needs no proof");

    let seen: Vec<_> = running
        .recorded()
        .into_iter()
        .map(|event| (event.action, event.outcome, event.origin, event.proof, event.reason))
        .collect();
    let event = |action: &str, outcome: &str, proof: Option<&str>, reason: Option<&str>| {
        let text = |text: &str| text.to_owned();
        (text(action), text(outcome), text("console"), proof.map(text), reason.map(text))
    };
    assert_eq!(
        seen,
        [
            event("node.reboot", "success", None, None),
            event("node.shutDown", "denied", None, Some("wrong-recovery-kit")),
            event("node.shutDown", "success", Some("recoveryKit"), None),
        ]
    );
    running.end().await;
}

#[tokio::test]
async fn after_wrong_proofs_even_the_right_one_has_to_wait() {
    let running = Running::start("palisade-console").await;
    running.set_up();
    let_kit_be(&running, "the right kit");
    for _ in 0..3 {
        let refused = running.refused(Power::Reboot, Some(kit("a guess"))).await;
        assert_eq!(refused.code, "wrong-recovery-kit");
    }
    let refused = running.refused(Power::Reboot, Some(kit("the right kit"))).await;
    assert_eq!(refused.kind(), Kind::RateLimited);
    assert!(!running.called().contains("reboot"), "{}", running.called());
    running.end().await;
}

#[tokio::test]
async fn a_password_nobody_can_check_opens_nothing() {
    let running = Running::start("palisade-console").await;
    running.set_up();
    let password = Credentials::Password {
        email: "ada@example.com".to_owned(),
        password: Secret::new("any".to_owned()),
    };
    let refused = running.refused(Power::Reboot, Some(password)).await;
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert!(!running.called().contains("reboot"), "{}", running.called());
    running.end().await;
}

#[tokio::test]
async fn a_stranger_learns_nothing_and_the_screen_does_not_collect_events() {
    let running = Running::start("palisade-console").await;
    let refused = running.refused(Events { after: 0 }, None).await;
    assert_eq!(refused.kind(), Kind::Forbidden);
    running.end().await;
    if rustix::process::getuid().is_root() {
        return; // root is never a stranger; the table of `peers` has this case.
    }
    let running = Running::start("somebody-else").await;
    let refused = running.refused(StatusRequest {}, None).await;
    assert_eq!(refused.kind(), Kind::Forbidden);
    running.end().await;
}

#[tokio::test]
async fn the_management_plane_collects_events_and_names_for_whom_it_asks() {
    let running = Running::start("palisade").await;
    running.set_up();
    let client = running.client();
    let user = Some("0123456789ab".to_owned());
    client.ask_as(Power::Reboot, None, user.clone(), |_| ()).await.expect("it has its permit");
    let list = client.ask(Events { after: 0 }).await.expect("a list");
    let [event] = &list.events[..] else { panic!("{list:?}") };
    assert_eq!((event.number, &*event.origin, &event.user), (1, "managementPlane", &user));
    client.ask(EventsTaken { through: 1 }).await.expect("forgotten");
    let rest = client.ask(Events { after: 0 }).await.expect("a list");
    assert_eq!((rest.outbox, rest.events), (list.outbox, Vec::new()));
    running.end().await;
}

#[tokio::test]
async fn a_log_is_asked_for_by_its_name_only() {
    let running = Running::start("palisade-console").await;
    let ask = Logs { source: LogSource::Kernel, lines: u16::MAX };
    let lines = running.client().ask(ask).await.expect("lines").lines;
    assert_eq!(
        lines,
        ["a line of --no-pager --quiet --output=short-iso --no-hostname --dmesg --lines=1000"]
    );
    running.end().await;
}

#[tokio::test]
async fn other_answers_are_checked_kept_and_put_into_effect() {
    let running = Running::start("palisade-console").await;
    let amend =
        |key: &str, value: &str| Amend { properties: [(key.to_owned(), value.to_owned())].into() };
    let refused = running.refused(amend("ipv4", "192.0.2.300/24"), None).await;
    let [(field, wrong)] = &refused.fields[..] else { panic!("{refused:?}") };
    assert_eq!(field, "ipv4");
    assert!(wrong.contains("192.0.2.300/24") && !wrong.starts_with("ipv4"), "{wrong}");
    assert_eq!(running.called(), "", "nothing is done with a wrong answer");

    let view = running.client().ask(amend("dns", "192.0.2.53")).await.expect("a good answer");
    assert_eq!(view.properties["dns"], "192.0.2.53");
    let root = running.paths().at("/").display().to_string();
    assert_eq!(running.called(), format!("palisade node answers --apply --root={root}\n"));
    running.client().ask(amend("join_code", "alder-birch-cedar")).await.expect("a good answer");
    let view = running.client().ask(Answers {}).await.expect("a view");
    assert_eq!(view.properties["join_code"], "(hidden)");
    // What first boot has found is what the status says.
    let kept = answers::load(&running.paths()).expect("read").expect("kept");
    let mut report = Report::of(kept.source, &salvage(&kept.given));
    report.waiting = Some("The role pcg is not available in this version yet.".to_owned());
    answers::write_report(&running.paths(), &report).expect("written");
    let status = running.client().ask(StatusRequest {}).await.expect("a status");
    assert_eq!(status.role.as_deref(), Some("standalone"));
    assert_eq!(status.waiting, report.waiting);
    let silent = Health::Silent { reason: report.waiting.expect("a reason") };
    assert_eq!(status.health, silent, "it is not said to be broken when it is not to be started");
    running.end().await;
}

#[tokio::test]
async fn a_bundle_of_the_console_is_where_the_operator_can_fetch_it() {
    let running = Running::start("palisade-console").await;
    let path = running.paths().at("/usr/bin/palisade");
    let script =
        "#!/bin/sh\n[ \"$1\" = support-bundle ] && umask 077 && echo bundle >\"${2#--out=}\"\n";
    fs::write(&path, script).expect("written");
    let bundle = running.client().ask(KeepBundle {}).await.expect("a bundle");
    assert_eq!(
        (fs::read_to_string(&bundle.path).expect("there").as_str(), bundle.size),
        ("bundle\n", 7)
    );
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let path = std::path::Path::new(&bundle.path);
    assert_eq!((mode(path), mode(path.parent().expect("a directory"))), (0o640, 0o750));
    fs::write(
        running.paths().at("/usr/bin/palisade"),
        "#!/bin/sh\necho 'error: no room' >&2\nexit 1\n",
    )
    .expect("written");
    let refused = running.refused(KeepBundle {}, None).await;
    assert!(refused.message.contains("no room"), "{}", refused.message);
    running.end().await;
}

/// Sends bytes as they are, and reads the whole answer.
async fn raw(running: &Running, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(running.paths().socket()).await.expect("connected");
    // The daemon may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_too_long_or_not_understood_is_refused_with_a_reason() {
    let running = Running::start("palisade").await;
    let long = vec![b' '; LONGEST_REQUEST + 2];
    assert!(raw(&running, &long).await.contains("request-too-long"));
    let answer = raw(&running, b"{\"request\":{\"shell\":\"id\"}}\n").await;
    assert!(answer.contains("unknown-request") && answer.contains("shell"), "{answer}");
    let answer = raw(&running, b"{\"request\":{\"status\":{}}").await;
    assert!(answer.contains("unknown-request"), "half a request is none: {answer}");
    running.client().ask(StatusRequest {}).await.expect("it goes on");
    running.end().await;
}

#[tokio::test]
async fn callers_who_say_nothing_stop_nobody_and_too_many_are_told_so() {
    let running = Running::start("palisade").await;
    let connect = || UnixStream::connect(running.paths().socket());
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect().await.expect("connected"));
    }
    running.client().ask(StatusRequest {}).await.expect("the others are slow, not we");
    for _ in 0..12 {
        silent.push(connect().await.expect("connected"));
    }
    let mut refused = connect().await.expect("connected");
    let mut answer = String::new();
    refused.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.contains("busy"), "{answer}");
    drop(silent);
    loop {
        match running.client().ask(StatusRequest {}).await {
            Ok(_) => break,
            Err(NoAnswer::Failed(failure)) => assert!(failure.message.contains("busy")),
            Err(other) => panic!("{other:?}"),
        }
    }
    running.end().await;
}

/// Stands in for our own program, which notes what it is told and what it reads.
const RECOVERING: &str = "#!/bin/sh\necho \"palisade $*\" >>\"${0%/*}/../../called\"\n\
    case \"$1 $2\" in 'keys check'|'keys recover') read -r typed\n\
    [ \"$typed\" = 'the right kit' ] || { echo 'error: Group 3 is wrong.' >&2; exit 4; };; esac\n\
    case \"$1 $2\" in 'keys recover') echo '{\"installation\":\"i1\",\"recoveryKit\":\"0a1b\"}';;\n\
    update*) echo '{\"version\":\"1.2.0\",\"at\":\"2026-11-20T14:03:00Z\"}';; esac\n";
/// Likewise for the service manager.
const NOTING_RUNNER: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>\"${0%/*}/../../called\"\n\
    while [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";

fn let_programs_recover(running: &Running) {
    for (program, text) in [("palisade", RECOVERING), ("systemd-run", NOTING_RUNNER)] {
        let path = running.paths().at("/usr/bin").join(program);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }
}

/// Where each of these begins in what was called, which has to be in this order.
fn in_order(called: &str, parts: &[&str]) {
    let places: Vec<_> = parts.iter().map(|part| called.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{parts:?} in {called}");
}

#[tokio::test]
async fn the_keystore_is_opened_with_the_kit_alone_and_a_wrong_one_stops_nothing() {
    let running = Running::start("palisade-console").await;
    running.set_up();
    let_programs_recover(&running);
    let ask = |text: &str| RecoverKeystore { kit: Secret::new(text.to_owned()) };
    let refused = running.refused(ask("the wrong kit"), None).await;
    assert_eq!((refused.kind(), &*refused.code), (Kind::Unauthenticated, "wrong-recovery-kit"));
    assert_eq!(refused.message, "Group 3 is wrong.");
    assert!(!running.called().contains("systemctl"), "{}", running.called());

    let opened = running.client().ask(ask("the right kit")).await.expect("its own proof");
    assert_eq!((&*opened.installation, &*opened.recovery_kit), ("i1", "0a1b"));
    let called = running.called();
    assert!(!called.contains("the right kit"), "everybody can read arguments: {called}");
    let recover = "palisade keys recover --output=json --config";
    in_order(
        &called,
        &["systemctl stop palisade.service", recover, "systemctl start --no-block palisade"],
    );
    assert!(!running.paths().run().join("recovering").exists(), "it is over");
    let seen: Vec<_> = running
        .recorded()
        .into_iter()
        .map(|event| (event.action, event.outcome, event.proof))
        .collect();
    let event = |outcome: &str, proof: Option<&str>| {
        ("node.recoverKeystore".to_owned(), outcome.to_owned(), proof.map(str::to_owned))
    };
    assert_eq!(seen, [event("denied", None), event("success", Some("recoveryKit"))]);
    running.end().await;
}

#[tokio::test]
async fn which_data_can_be_put_back_is_said_to_everybody_and_done_for_administrators() {
    let running = Running::start("palisade-console").await;
    running.set_up();
    let_programs_recover(&running);
    let point = running.client().ask(RestorePoint {}).await.expect("there is one");
    assert_eq!(point.version.to_string(), "1.2.0");
    assert!(!running.called().contains("systemctl"), "{}", running.called());
    let ask = || RestoreData { before: point.version.clone() };
    let refused = running.refused(ask(), None).await;
    assert_eq!(refused.code, "credentials-needed");
    assert!(!running.called().contains("--yes"), "{}", running.called());

    let proof = Some(kit("the right kit"));
    let data = running.client().ask_as(ask(), proof, None, |_| ()).await.expect("the right kit");
    assert_eq!(data, point);
    let restore = "palisade update restore-data --yes --before=1.2.0 --output=json --config";
    in_order(
        &running.called(),
        &["systemctl stop palisade.service", restore, "systemctl start --no-block palisade"],
    );
    running.end().await;
}

#[tokio::test]
async fn a_recovery_that_was_cut_off_is_ended_by_the_next_daemon() {
    let mut running = Running::start("palisade").await;
    let paths = running.paths();
    let marker = paths.run().join("recovering");
    fs::write(paths.serve_settings(), "").expect("written");
    running.start_again().await;
    // Whoever asks is answered after everything that the start does.
    running.client().ask(StatusRequest {}).await.expect("a status");
    assert!(!running.called().contains("systemctl start"), "{}", running.called());

    fs::write(&marker, "").expect("as the last daemon has left it");
    running.start_again().await;
    running.client().ask(StatusRequest {}).await.expect("a status");
    let called = running.called();
    assert!(called.contains("systemctl start --no-block palisade.service"), "{called}");
    assert!(!marker.exists());
    running.end().await;
}

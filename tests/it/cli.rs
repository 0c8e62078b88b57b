//! The command line: the real program against the appliance under test.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    app::{PASSWORD, TestApp, eventually},
    client::Client,
};

/// A user at a shell: a home of its own and nothing else in the environment.
pub(crate) struct Shell {
    url: String,
    pub(crate) home: PathBuf,
    pub(crate) ca: PathBuf,
    password: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shell {
    pub(crate) fn new(t: &TestApp, name: &str) -> Self {
        let home = t.directory.path().join(name);
        fs::create_dir_all(&home).expect("a home");
        let (ca, password) = (home.join("ca.pem"), home.join("password"));
        fs::write(&ca, t.app.certificates().current().anchor_pem()).expect("written");
        fs::write(&password, format!("{PASSWORD}\n")).expect("written");
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("private");
        Self { url: t.url.clone(), home, ca, password }
    }

    fn session_file(&self) -> PathBuf {
        self.home.join("palisade/session.json")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command
            .args(arguments)
            .env_clear()
            .env("XDG_CONFIG_HOME", &self.home)
            .env("NO_PROXY", "*")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments).output().await.expect("the program starts"))
    }

    /// Runs what has to succeed; its standard output.
    #[track_caller]
    pub(crate) fn good<'a>(
        &'a self,
        arguments: &'a [&'a str],
    ) -> impl Future<Output = String> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let run = self.run(arguments).await;
            assert_eq!(run.code, 0, "{place}: {arguments:?}: {}{}", run.err, run.out);
            run.out
        }
    }

    /// Runs what has to end with `code`; its standard error.
    #[track_caller]
    pub(crate) fn bad<'a>(
        &'a self,
        code: i32,
        arguments: &'a [&'a str],
    ) -> impl Future<Output = String> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let run = self.run(arguments).await;
            assert_eq!(run.code, code, "{place}: {arguments:?}: {}{}", run.err, run.out);
            assert_eq!(run.out, "", "{place}: data of a command that failed");
            run.err
        }
    }

    pub(crate) async fn log_in(&self, email: &str, scope: &str) {
        let (ca, password) = (self.ca.display().to_string(), self.password.display().to_string());
        self.good(&[
            "login",
            "--url",
            &self.url,
            "--email",
            email,
            "--password-file",
            &password,
            "--scope",
            scope,
            "--ca-file",
            &ca,
        ])
        .await;
    }
}

fn finish(output: Output) -> Run {
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An appliance with a tenant, and its administrator at a shell.
async fn at_work() -> (TestApp, Client, Shell) {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    t.tenant(&system, "acme").await;
    let shell = Shell::new(&t, "ada");
    shell.log_in("admin@acme.example.com", "tenant").await;
    (t, system, shell)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_without_the_password_and_ends_at_the_appliance_too() {
    let (t, _, shell) = at_work().await;
    let file = shell.session_file();
    let text = fs::read_to_string(&file).expect("a session");
    assert!(!text.contains(PASSWORD), "the password is on the disk");
    assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let who = shell.good(&["whoami"]).await;
    assert!(who.contains("admin@acme.example.com (tenant acme)"), "{who}");
    let me = parsed(&shell.good(&["whoami", "-o", "json"]).await);
    assert_eq!(me["tenant"]["slug"], "acme");

    let token = parsed(&text)["credential"]["accessToken"].as_str().expect("a token").to_owned();
    let before = t.anonymous().with_token(&token).get("/v1/auth/me").await;
    before.assert_status(200);
    shell.good(&["logout"]).await;
    assert!(!file.exists());
    t.anonymous().with_token(&token).get("/v1/auth/me").await.assert_status(401);
    let error = shell.bad(4, &["get", "projects"]).await;
    assert!(error.contains("not logged in") && error.contains("palisade login"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_read_from_a_file_or_the_environment_and_never_asked_without_a_terminal() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    t.tenant(&system, "acme").await;
    let shell = Shell::new(&t, "ada");
    let ca = shell.ca.display().to_string();
    let email = "admin@acme.example.com";
    let login = ["login", "--url", &t.url, "--ca-file", &ca, "--email", email];
    let error = shell.bad(2, &login).await;
    assert!(error.contains("--password-file"), "{error}");

    let run = shell.command(&login).env("PALISADE_PASSWORD", PASSWORD).output().await;
    assert_eq!(finish(run.expect("it starts")).code, 0);
    let run = shell.command(&login).env("PALISADE_PASSWORD", "wrong-wrong-wrong").output().await;
    let run = finish(run.expect("it starts"));
    assert_eq!(run.code, 4, "{}", run.err);
    assert!(!run.err.contains("wrong-wrong-wrong"));

    fs::set_permissions(&shell.password, fs::Permissions::from_mode(0o644)).expect("opened");
    let file = shell.password.display().to_string();
    let error = shell.bad(2, &[&login[..], &["--password-file", &file]].concat()).await;
    assert!(error.contains("chmod 600"), "{error}");
}

/// Looks at the process list while a login is under way: it never has the password.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_never_in_the_process_list() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    t.tenant(&system, "acme").await;
    let shell = Shell::new(&t, "ada");
    // Something that accepts connections and never answers holds the login still.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", silent.local_addr().expect("bound"));
    let mut child = shell
        .command(&["login", "--url", &url, "--email", "a@example.com"])
        .env("PALISADE_PASSWORD", PASSWORD)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let _connection = silent.accept().await.expect("a connection");
    let pid = child.id().expect("it runs");
    let line = fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
    assert!(String::from_utf8_lossy(&line).contains("login"));
    assert!(!String::from_utf8_lossy(&line).contains(PASSWORD));

    // Until the program listens for it, the signal ends it without its help.
    eventually(Duration::from_secs(10), || async {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim();
        let caught = u64::from_str_radix(caught, 16).expect("hexadecimal");
        (caught & 1 << 1 != 0).then_some(())
    })
    .await;
    let pid = rustix::process::Pid::from_raw(pid.try_into().expect("small")).expect("positive");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let status = child.wait().await.expect("it ends");
    assert_eq!(status.code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_access_token_is_renewed_once_by_many_commands_at_once() {
    let (_t, _, shell) = at_work().await;
    let file = shell.session_file();
    for _ in 0..3 {
        // As if fifteen minutes had passed.
        let mut login = parsed(&fs::read_to_string(&file).expect("a session"));
        login["credential"]["expiresAt"] = json!("2020-01-01T00:00:00Z");
        let before = login["credential"]["refreshToken"].clone();
        fs::write(&file, login.to_string()).expect("written");
        let runs = (0..6).map(|_| shell.run(&["get", "projects", "-o", "json"]));
        for run in futures_util::future::join_all(runs).await {
            assert_eq!(run.code, 0, "{}", run.err);
        }
        let after = parsed(&fs::read_to_string(&file).expect("a session"));
        assert_ne!(after["credential"]["refreshToken"], before);
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
    // A token that the appliance does not take is renewed as well.
    let mut login = parsed(&fs::read_to_string(&file).expect("a session"));
    login["credential"]["accessToken"] = json!("not.a.token");
    fs::write(&file, login.to_string()).expect("written");
    shell.good(&["whoami"]).await;
    // And a session that has ended says so.
    login["credential"]["refreshToken"] = json!("pr_wrong");
    login["credential"]["accessToken"] = json!("not.a.token");
    fs::write(&file, login.to_string()).expect("written");
    let error = shell.bad(4, &["whoami"]).await;
    assert!(error.contains("session-ended") && error.contains("palisade login"), "{error}");
    // A file that others may read is not used.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("opened");
    assert!(shell.bad(1, &["whoami"]).await.contains("Others may read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_need_no_login_but_a_url_a_key_file_and_a_ca() {
    let (t, _, shell) = at_work().await;
    let key = shell.home.join("key");
    let path = key.display().to_string();
    let out = shell.good(&["create", "api-key", "ci", "--expires-in", "30d", "--out", &path]).await;
    assert_eq!(out.trim(), path);
    assert_eq!(key.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    let script = Shell::new(&t, "script");
    let ca = script.ca.display().to_string();
    let flags = ["--url", &t.url, "--api-key-file", &path, "--ca-file", &ca];
    script.good(&[&["get", "projects"], &flags[..]].concat()).await;
    assert!(!script.session_file().exists(), "flags leave nothing behind");
    let run = script
        .command(&["create", "project", "Web", "-o", "name"])
        .env("PALISADE_URL", &t.url)
        .env("PALISADE_API_KEY_FILE", &path)
        .env("PALISADE_CA_FILE", &ca)
        .output()
        .await;
    let run = finish(run.expect("it starts"));
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.starts_with("project/"), "{}", run.out);
    // A login with a key keeps the file's name and not the key.
    script.good(&[&["login"], &flags[..]].concat()).await;
    let kept = fs::read_to_string(script.session_file()).expect("kept");
    assert!(!kept.contains(fs::read_to_string(&key).expect("a key").trim()));
    script.good(&["get", "projects"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_certificate_ends_with_8_and_says_how_to_trust() {
    let t = TestApp::start().await;
    t.set_up().await;
    let shell = Shell::new(&t, "ada");
    let fingerprint = t.app.certificate().fingerprint;
    let file = shell.password.display().to_string();
    let login = [
        "login",
        "--url",
        &t.url,
        "--email",
        "root@example.com",
        "--scope",
        "system",
        "--password-file",
        &file,
    ];
    let error = shell.bad(8, &login).await;
    assert!(error.contains("--ca-file") && error.contains("--fingerprint"), "{error}");
    assert!(error.contains(&fingerprint), "{error}");
    assert!(!shell.session_file().exists());

    let wrong = "00".repeat(32);
    let error = shell.bad(8, &[&login[..], &["--fingerprint", &wrong]].concat()).await;
    assert!(error.contains("another certificate"), "{error}");
    shell.good(&[&login[..], &["--fingerprint", &fingerprint]].concat()).await;
    shell.good(&["whoami"]).await;

    let closed = ["get", "tenants", "--url", "https://127.0.0.1:1", "--api-key-file", &file];
    let error = shell.bad(8, &closed).await;
    assert!(error.contains("was not reached"), "{error}");
    assert!(shell.bad(2, &["whoami", "--url", "http://localhost"]).await.contains("https"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_created_shown_changed_and_deleted() {
    let (_t, _, shell) = at_work().await;
    let uid = shell.good(&["create", "project", "Web", "--description", "shops"]).await;
    assert_eq!(uid.trim().len(), 12);
    let link = shell
        .good(&[
            "create",
            "user",
            "--email",
            "bob@acme.example.com",
            "--name",
            "Bob",
            "--role",
            "project-viewer",
            "--project",
            "Web",
        ])
        .await;
    assert!(link.trim().starts_with("https://") && link.lines().count() == 1, "{link}");
    shell.good(&["create", "team", "Shift", "--member", "bob@acme.example.com"]).await;
    shell
        .good(&[
            "create",
            "role",
            "Watcher",
            "--scope",
            "project",
            "--permission",
            "cluster.get,cluster.list",
        ])
        .await;
    shell
        .good(&["create", "assignment", "--role", "Watcher", "--team", "Shift", "--project", "Web"])
        .await;
    let key = shell.good(&["create", "api-key", "ci"]).await;
    assert!(key.trim().starts_with("pk_") || key.trim().len() > 30, "{key}");
    let command = shell.good(&["create", "cluster", "plant-1", "--project", "Web"]).await;
    assert!(command.contains("kubectl apply -f") && command.lines().count() == 1, "{command}");
    assert!(command.contains("--pinnedpubkey"), "kubectl does not know the CA of {command}");

    for (kind, wanted) in [
        ("projects", "Web"),
        ("user", "bob@acme.example.com"),
        ("tm", "Shift"),
        ("roles", "Watcher"),
        ("apikeys", "ci"),
        ("assignments", "Watcher"),
        ("cl", "plant-1"),
        ("audit", "cluster.import"),
    ] {
        let table = shell.good(&["get", kind]).await;
        assert!(table.contains(wanted), "{kind}: {table}");
        let list = parsed(&shell.good(&["get", kind, "-o", "json"]).await);
        assert!(list["items"].as_array().is_some_and(|items| !items.is_empty()), "{list}");
        let names = shell.good(&["get", kind, "-o", "name"]).await;
        assert!(names.lines().all(|line| line.contains('/')), "{names}");
        // Reading the trail is recorded in it.
        if kind != "audit" {
            assert_eq!(Some(names.lines().count() as u64), list["total"].as_u64());
        }
    }
    let described = shell.good(&["describe", "user", "bob@acme.example.com"]).await;
    assert!(described.contains("Project Viewer") && described.contains("in Web"), "{described}");
    let described = shell.good(&["describe", "cluster", "plant-1"]).await;
    assert!(described.contains("cluster.import"), "{described}");
    let yaml = shell.good(&["get", "cluster", "plant-1", "-o", "yaml"]).await;
    assert!(yaml.contains("\nphase: pending\n"), "{yaml}");
    let long = "a name of very many words that no terminal of sixty columns shows in one line";
    shell.good(&["create", "project", long]).await;
    assert!(shell.good(&["get", "projects"]).await.contains(long), "a pipe has no width");
    let narrow = shell.command(&["get", "projects", "-o", "wide"]).env("COLUMNS", "60").output();
    let narrow = finish(narrow.await.expect("it starts")).out;
    assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
    assert!(narrow.lines().next().is_some_and(|line| line.contains("DESCRIPTION")), "{narrow}");
    shell.good(&["delete", "project", long, "--yes"]).await;
    explained_changed_and_deleted(&shell).await;
}

/// What is there after the creation above goes again.
async fn explained_changed_and_deleted(shell: &Shell) {
    let why = shell.good(&["why", "bob@acme.example.com", "cluster.get", "--project", "Web"]).await;
    assert!(why.contains("Project Viewer"), "{why}");
    let able = shell.good(&["who-can", "cluster.get", "--project", "Web"]).await;
    assert!(able.contains("bob@acme.example.com") && able.contains("in Web"), "{able}");
    let able = shell.good(&["who-can", "cluster.get", "-o", "name"]).await;
    assert_eq!(able.lines().count(), 1, "only the administrator, everywhere: {able}");

    let diff = shell.good(&["set", "cluster", "plant-1", "name=plant-2", "--dry-run"]).await;
    assert_eq!(diff, "- name: plant-1\n+ name: plant-2\n");
    shell.good(&["set", "cluster", "plant-1", "name=plant-2"]).await;
    shell.good(&["set", "team", "Shift", "--remove-member", "bob@acme.example.com"]).await;
    let team = parsed(&shell.good(&["get", "team", "Shift", "-o", "json"]).await);
    assert_eq!(team["members"], json!([]));

    let would = shell.good(&["delete", "cluster", "plant-2", "--dry-run"]).await;
    assert!(would.starts_with("would delete cluster plant-2 ("), "{would}");
    let error = shell.bad(2, &["delete", "cluster", "plant-2"]).await;
    assert!(error.contains("--yes"), "{error}");
    shell.good(&["delete", "cluster", "plant-2", "--yes", "--wait"]).await;
    shell.bad(3, &["get", "cluster", "plant-2"]).await;
    let assigned = shell.good(&["get", "assignments", "--team", "Shift", "-o", "name"]).await;
    shell.good(&["delete", "assignment", assigned.trim(), "--yes"]).await;
    for (kind, name) in [
        ("api-key", "ci"),
        ("role", "Watcher"),
        ("team", "Shift"),
        ("user", "bob@acme.example.com"),
    ] {
        shell.good(&["delete", kind, name, "--yes"]).await;
    }
    shell.good(&["delete", "project", "Web", "-y"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn system_administrators_handle_tenants_and_keys() {
    let t = TestApp::start().await;
    t.set_up().await;
    let shell = Shell::new(&t, "root");
    shell.log_in("root@example.com", "system").await;
    let link = shell
        .good(&[
            "create",
            "tenant",
            "Acme Works",
            "--admin-email",
            "a@example.com",
            "--admin-name",
            "Ada",
        ])
        .await;
    assert!(link.starts_with("https://"), "{link}");
    let tenant = parsed(&shell.good(&["get", "tenant", "acme-works", "-o", "json"]).await);
    assert_eq!(tenant["name"], "Acme Works");
    let before = parsed(&shell.good(&["keys", "status", "-o", "json"]).await);
    shell.good(&["keys", "rotate", "root"]).await;
    shell.good(&["keys", "rotate", "jwt"]).await;
    assert_eq!(shell.good(&["keys", "rotate", "tenant", "acme-works"]).await, "version 2\n");
    let after = parsed(&shell.good(&["keys", "status", "-o", "json"]).await);
    for list in ["rootKeys", "jwtKeys"] {
        assert_ne!(before[list][0]["id"], after[list][0]["id"], "{list}");
    }
    assert!(shell.good(&["keys", "status"]).await.contains("recovery kit"));
    shell.good(&["delete", "tenant", "acme-works", "--yes", "--wait=1m"]).await;
    shell.bad(3, &["get", "tenant", "acme-works"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_code_means_what_it_says() {
    let (t, _, shell) = at_work().await;
    shell.good(&["create", "project", "Web"]).await;
    // 1: a value that the appliance does not take, with the field.
    let error = shell.bad(1, &["create", "project", " "]).await;
    assert!(error.contains("[invalid]") && error.contains("\n  name: "), "{error}");
    // 2: usage, without a request.
    for wrong in [
        &["get", "nonsense"][..],
        &["get", "users", "--phase", "healthy"],
        &["create"],
        &["create", "cluster", "x"],
        &["wait", "project", "Web", "--for", "healthy"],
        &["wait", "cluster", "x", "--timeout", "soon"],
    ] {
        shell.bad(2, wrong).await;
    }
    // 3, also for a foreign uid.
    shell.bad(3, &["describe", "cluster", "nowhere"]).await;
    shell.bad(3, &["get", "cluster", "0123456789ab"]).await;
    // 4: no right.
    let key = parsed(&fs::read_to_string(shell.session_file()).expect("a session"));
    let admin =
        t.anonymous().with_token(key["credential"]["accessToken"].as_str().expect("a token"));
    let project = parsed(&shell.good(&["get", "project", "Web", "-o", "json"]).await);
    let project = project["uid"].as_str().expect("a uid");
    let role = parsed(&shell.good(&["get", "role", "project viewer", "-o", "json"]).await);
    let role = role["uid"].as_str().expect("a uid");
    t.user_with_role(&admin, "eve@acme.example.com", role, Some(project)).await;
    let eve = Shell::new(&t, "eve");
    eve.log_in("eve@acme.example.com", "tenant").await;
    let error = eve.bad(4, &["create", "project", "Mine"]).await;
    assert!(error.contains("[forbidden]"), "{error}");
    eve.good(&["get", "clusters"]).await;
    // 5: the name is taken.
    shell.bad(5, &["create", "project", "Web"]).await;
    // 6: not in time.
    shell.good(&["create", "cluster", "plant", "--project", "Web"]).await;
    let error =
        shell.bad(6, &["wait", "cluster", "plant", "--for", "healthy", "--timeout", "2s"]).await;
    assert!(error.contains("plant is pending") && error.contains("within 2 s"), "{error}");
    let run = shell.run(&["create", "cluster", "plant-b", "--project", "Web", "--wait=1s"]).await;
    assert_eq!(run.code, 6, "{}", run.err);
    assert!(run.out.contains("kubectl"), "the command is printed before the waiting");
    // 7: it cannot happen any more.
    let mut waiting = shell
        .command(&["wait", "cluster", "plant", "--for", "healthy", "--timeout", "60s"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(waiting.stderr.take().expect("piped")).lines();
    let seen = lines.next_line().await.expect("readable").expect("a line");
    assert_eq!(seen, "plant is pending");
    shell.good(&["delete", "cluster", "plant", "--yes"]).await;
    let said = lines.next_line().await.expect("readable").expect("a line");
    assert!(said.contains("was deleted"), "{said}");
    assert_eq!(waiting.wait().await.expect("it ends").code(), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_follow_their_pages_and_documents_create_in_order() {
    let (_t, _, shell) = at_work().await;
    let projects = (0..230).map(|number| format!("kind: project\nname: p-{number:03}\n---\n"));
    let mut documents: String = projects.collect();
    documents.push_str("kind: cluster\nname: plant\nproject: p-007\n");
    let file = shell.home.join("fleet.yaml");
    fs::write(&file, documents).expect("written");
    let file = file.display().to_string();
    let plan = shell.good(&["create", "-f", &file, "--dry-run"]).await;
    assert!(plan.contains("# POST /v1/clusters\nname: plant\n"), "{plan}");
    assert_eq!(shell.good(&["get", "projects", "-o", "name"]).await, "", "nothing was sent");
    shell.good(&["create", "-f", &file, "-o", "name"]).await;
    let all = shell.good(&["get", "projects", "--all", "-o", "json", "--sort", "-name"]).await;
    let all = parsed(&all);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(230));
    assert_eq!(all["items"][0]["name"], "p-229");
    let few = shell.run(&["get", "projects", "--limit", "3", "-o", "name"]).await;
    assert_eq!(few.out.lines().count(), 3);
    let in_project = shell.good(&["get", "clusters", "--project", "p-007", "-o", "name"]).await;
    assert_eq!(in_project.lines().count(), 1);
    let elsewhere = shell.run(&["get", "clusters", "--project", "p-008"]).await;
    assert_eq!((elsewhere.code, elsewhere.out.as_str()), (0, ""));

    // A reader who has seen enough is no failure.
    let pipe = format!(
        "set -o pipefail; {} get projects --all -o json | head -c 1 >/dev/null",
        env!("CARGO_BIN_EXE_palisade")
    );
    let mut command = Command::new("bash");
    command.args(["-c", &pipe]).env("XDG_CONFIG_HOME", &shell.home).env("NO_PROXY", "*");
    assert_eq!(finish(command.output().await.expect("bash")).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_comes_back_as_it_was_kept() {
    let (_t, _, shell) = at_work().await;
    shell.good(&["create", "project", "Web"]).await;
    shell.good(&["create", "cluster", "plant", "--project", "Web"]).await;
    let file = shell.home.join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster: {server: 'https://a'}\n\
                contexts:\n- name: a\n  context: {cluster: a, user: a}\ncurrent-context: a\n\
                users:\n- name: a\n  user: {token: abc}\n";
    fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    shell.bad(3, &["kubeconfig", "get", "plant"]).await;
    shell.good(&["kubeconfig", "set", "plant", &path]).await;
    assert_eq!(shell.good(&["kubeconfig", "get", "plant"]).await, text);
    let copy = shell.home.join("copy");
    shell.good(&["kubeconfig", "get", "plant", "--out", &copy.display().to_string()]).await;
    assert_eq!(copy.metadata().expect("there").permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_tenants_is_chosen_by_its_short_name() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let rival = t.tenant(&system, "rival").await;
    for admin in [&acme, &rival] {
        let body = json!({"email": "both@example.com", "name": "Both", "password": PASSWORD});
        admin.post("/v1/users", body).await.assert_status(201);
    }
    let shell = Shell::new(&t, "both");
    let (ca, file) = (shell.ca.display().to_string(), shell.password.display().to_string());
    let login = [
        "login",
        "--url",
        &t.url,
        "--ca-file",
        &ca,
        "--email",
        "both@example.com",
        "--password-file",
        &file,
    ];
    let error = shell.bad(2, &login).await;
    assert!(error.contains("acme") && error.contains("rival"), "{error}");
    shell.bad(4, &[&login[..], &["--tenant", "third"]].concat()).await;
    shell.good(&[&login[..], &["--tenant", "rival"]].concat()).await;
    assert!(shell.good(&["whoami"]).await.contains("tenant rival"));
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_scripts_know_the_commands() {
    let shell = env!("CARGO_BIN_EXE_palisade");
    for kind in ["bash", "zsh", "fish"] {
        let output = Command::new(shell).args(["completion", kind]).output().await;
        let run = finish(output.expect("it starts"));
        assert_eq!(run.code, 0);
        assert!(run.out.contains("kubeconfig") && run.out.contains("palisade"), "{kind}");
    }
}

//! The broker's process: how it starts, crashes, restarts and dies.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command, time::Instant};

use super::{
    gateway::Pki,
    link::{connected, direct, free_port},
    *,
};
use crate::bus::{
    agent::{AgentLink, BusAddress, LinkState},
    server::located,
};

fn processes_of(directory: &Path) -> Vec<i32> {
    let config = directory.join("nats-server.conf");
    let runs = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            line.windows(config.as_os_str().len())
                .any(|part| part == config.as_os_str().as_encoded_bytes())
        })
    };
    std::fs::read_dir("/proc")
        .expect("a list of processes")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(runs)
        .collect()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}

async fn refusal(settings: &BusSettings) -> crate::error::Error {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let started = Bus::start(settings, trust(), Vec::new(), None, clock, random).await;
    started.err().expect("the bus must not start")
}

fn script(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

#[tokio::test]
async fn a_missing_or_old_broker_is_named() {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(&directory);
    settings.binary = "/nowhere/nats-server".into();
    let error = refusal(&settings).await;
    assert_eq!(error.code(), "bus-binary-missing");
    assert!(error.message().contains("/nowhere/nats-server"), "{error}");

    settings.binary = script(&directory, "old", "echo 'nats-server: v2.8.4'");
    let error = refusal(&settings).await;
    assert_eq!(error.code(), "bus-binary-old");
    assert!(error.message().contains("2.8"), "{error}");

    settings.binary = script(&directory, "other", "echo 'something else 3.0'");
    assert_eq!(refusal(&settings).await.code(), "bus-binary-unknown");
}

#[tokio::test]
async fn a_broker_that_is_not_in_the_search_path_is_found_among_the_servers() {
    let directory = TempDir::new().expect("a directory");
    let name = Path::new("broker-of-this-test");
    assert_eq!(located(name, directory.path()).await, name, "it is nowhere");
    let among_servers = script(&directory, "broker-of-this-test", "");
    assert_eq!(located(name, directory.path()).await, among_servers);
    script(&directory, "sh", "");
    assert_eq!(located(Path::new("sh"), directory.path()).await, Path::new("sh"));
    assert_eq!(located(Path::new("/nowhere/sh"), directory.path()).await, Path::new("/nowhere/sh"));
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_setting() {
    let directory = TempDir::new().expect("a directory");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("an address");
    for field in ["bus.websocket", "bus.listen", "bus.monitoring"] {
        let mut settings = settings(&directory);
        match field {
            "bus.websocket" => settings.websocket = taken,
            "bus.listen" => settings.listen = Some(taken),
            _ => settings.monitoring = Some(taken),
        }
        let error = refusal(&settings).await;
        assert_eq!(error.code(), "bus-port-taken");
        let text = format!("{} {}", error.message(), error.hint().unwrap_or_default());
        assert!(text.contains(&taken.to_string()) && text.contains(field), "{text}");
    }
    drop(holder);
}

#[tokio::test]
async fn a_listener_without_tls_must_be_on_loopback() {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(&directory);
    settings.websocket = SocketAddr::from(([0, 0, 0, 0], 0));
    assert_eq!(refusal(&settings).await.fields()[0].field, "bus.websocket");
}

#[tokio::test]
async fn a_broker_that_does_not_start_gives_its_last_words() {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(&directory);
    let text = "[ \"$1\" = --version ] && exec echo 'nats-server: v2.9.10'\necho '[1] [FTL] no luck today' >&2\nexit 3";
    settings.binary = script(&directory, "broken", text);
    let error = refusal(&settings).await;
    assert_eq!(error.code(), "bus-not-starting");
    assert!(error.message().contains("exit status: 3"), "{error}");
    assert!(error.message().contains("no luck today"), "{error}");
}

#[tokio::test]
async fn a_stopped_bus_leaves_no_process_behind() {
    let directory = TempDir::new().expect("a directory");
    let (bus, _inbound) = start(&settings(&directory), &[]).await;
    assert_eq!(processes_of(directory.path()).len(), 1);
    bus.shutdown().await;
    assert_eq!(processes_of(directory.path()), Vec::<i32>::new());
}

#[tokio::test]
async fn a_crashed_broker_comes_back_and_so_do_the_agents() {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let agent = rig.agent(tenant(1), cluster(1)).await;
    for pid in processes_of(rig.directory.path()) {
        kill(pid);
    }
    // A revocation while the broker is away is an error now, and done later.
    let absent = AgentKey::generate(&SystemRandom).public_key();
    let failed = rig.bus.revoke(tenant(1), &absent, SystemClock.now()).await;
    let restarted = async {
        while rig.bus.status().restarts == 0 || !rig.bus.status().connected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), restarted).await.expect("it comes back");
    if let Err(error) = failed {
        assert_eq!(error.kind(), crate::error::Kind::Unavailable);
    }
    let arrived = async {
        loop {
            agent.client.publish(subject::heartbeat(cluster(1)), heartbeat(1)).await.expect("sent");
            if tokio::time::timeout(SILENCE, rig.inbound.recv()).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), arrived).await.expect("heartbeats again");
    let done = rig.bus.control.reconcile().await.expect("compared");
    assert_eq!((done.pushed, done.unchanged), (0, 1), "the revocation was pushed on reconnection");
}

#[tokio::test]
async fn a_broker_that_keeps_crashing_is_started_with_growing_pauses() {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(&directory);
    let (broken, tries) = (directory.path().join("broken"), directory.path().join("tries"));
    let text = format!(
        "[ \"$1\" = --version ] && exec {0} --version\n[ -e {1} ] && {{ echo x >> {2}; echo '[1] [FTL] boom' >&2; exit 1; }}\nexec {0} \"$@\"",
        settings.binary.display(),
        broken.display(),
        tries.display()
    );
    settings.binary = script(&directory, "flaky", &text);
    let (bus, _inbound) = start(&settings, &[]).await;
    std::fs::write(&broken, "").expect("written");
    let begin = Instant::now();
    for pid in processes_of(directory.path()) {
        kill(pid);
    }
    let mut state = bus.supervisor.as_ref().expect("managed").state();
    let boom = state.wait_for(
        |(state, _)| matches!(state, BrokerState::Restarting { reason } if reason.contains("boom")),
    );
    tokio::time::timeout(PATIENCE, boom).await.expect("in time").expect("a state");
    tokio::time::sleep(Duration::from_millis(1_600).saturating_sub(begin.elapsed())).await;
    // The pauses are 0.1, 0.2, 0.4, 0.8 s.
    let count = std::fs::read_to_string(&tries).expect("tries").lines().count();
    assert!((2..=4).contains(&count), "{count} tries in 1.6 s");
    std::fs::remove_file(&broken).expect("removed");
    let ready = state.wait_for(|(state, _)| *state == BrokerState::Ready);
    tokio::time::timeout(Duration::from_secs(10), ready).await.expect("in time").expect("ready");
    bus.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_was_left_behind_is_replaced() {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(&directory);
    settings.websocket.set_port(free_port().await);
    let (bus, _inbound) = start(&settings, &[]).await;
    bus.shutdown().await;
    // Nothing ties this one to anybody.
    let mut stray = Command::new(broker_binary())
        .arg("-c")
        .arg(directory.path().join("nats-server.conf"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a broker");
    while tokio::net::TcpStream::connect(settings.websocket).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // As init would, we take note of its end.
    let reaper = std::thread::spawn(move || stray.wait());
    let (bus, _inbound) = start(&settings, &[tenant(1)]).await;
    assert!(reaper.join().expect("no panic").is_ok());
    assert_eq!(processes_of(directory.path()).len(), 1);
    bus.shutdown().await;
}

/// Not a test of its own: the process that the next test kills. It does
/// nothing unless it is told where.
#[tokio::test]
async fn helper_that_serves_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the next test speaks to its helper")]
    let Ok(place) = std::env::var("PALISADE_TEST_BUS_HELPER") else { return };
    let (directory, port) = place.rsplit_once(':').expect("directory and port");
    let mut settings = BusSettings::in_directory(directory);
    settings.binary = broker_binary();
    settings.listen = None;
    settings.websocket.set_port(port.parse().expect("a port"));
    let (_bus, _inbound) = start(&settings, &[tenant(1)]).await;
    std::fs::write(settings.directory.join("ready"), "").expect("written");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn after_our_process_was_killed_the_next_one_is_ready_in_two_seconds() {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(&directory);
    settings.websocket.set_port(free_port().await);
    let place = format!("{}:{}", directory.path().display(), settings.websocket.port());
    let mut helper = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "bus::tests::broker::helper_that_serves_until_it_is_killed"])
        .env("PALISADE_TEST_BUS_HELPER", &place)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the helper starts");
    let ready = async {
        while !directory.path().join("ready").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready).await.expect("the helper serves");
    // While it lives, its broker is not ours to stop.
    assert_eq!(refusal(&settings).await.code(), "bus-directory-in-use");
    let before = processes_of(directory.path());

    helper.kill().expect("killed");
    helper.wait().expect("gone");
    let begin = Instant::now();
    let (bus, _inbound) = start(&settings, &[tenant(1)]).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "ready after {took:?}");
    let after = processes_of(directory.path());
    assert!(after.len() == 1 && !before.contains(&after[0]), "{before:?}, then {after:?}");
    bus.shutdown().await;
}

#[tokio::test]
async fn a_new_certificate_is_served_without_dropping_a_connection() {
    let directory = TempDir::new().expect("a directory");
    let (old, new) = (Pki::new(), Pki::new());
    let files = old.write_leaf(&directory);
    let mut settings = settings(&directory);
    let port = free_port().await;
    settings.listen = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let tenants = vec![TenantAccount { tenant: tenant(1), revocations: Revocations::new() }];
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let started = Bus::start(&settings, trust(), tenants, Some(&files), clock, random).await;
    let (bus, inbound) = started.expect("the bus starts");
    let rig = Rig { bus, inbound, directory };
    let address = BusAddress::Tls { host: "localhost".into(), port };
    let (first, _commands) =
        AgentLink::connect(direct(&rig, address.clone(), old.tls())).await.expect("a link");
    connected(&first).await;
    let mut state = first.state();
    state.mark_unchanged();

    new.write_leaf(&rig.directory);
    rig.bus.reload_certificate().await;
    let (second, _commands) =
        AgentLink::connect(direct(&rig, address, new.tls())).await.expect("a link");
    connected(&second).await;
    assert!(!state.has_changed().expect("a state"), "the first link was dropped");
    assert_eq!(*state.borrow(), LinkState::Connected);
}

#[tokio::test]
async fn a_broker_that_somebody_else_runs_is_used_as_it_is() {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(&directory);
    settings.managed = false;
    settings.websocket.set_port(free_port().await);
    let now = SystemClock.now();
    let text = configuration(&settings, &trust(), None, now).expect("a configuration");
    let config = directory.path().join("theirs.conf");
    std::fs::write(&config, text).expect("written");
    let mut theirs = Command::new(broker_binary())
        .arg("-c")
        .arg(&config)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("a broker");
    let (bus, inbound) = start(&settings, &[tenant(1)]).await;
    let mut rig = Rig { bus, inbound, directory };
    let agent = rig.agent(tenant(1), cluster(1)).await;
    agent.client.publish(subject::heartbeat(cluster(1)), heartbeat(1)).await.expect("sent");
    assert_eq!(rig.next().await.tenant, tenant(1));
    assert_eq!(rig.bus.status().broker, BrokerState::External);
    theirs.kill().expect("killed");
    theirs.wait().expect("gone");
}

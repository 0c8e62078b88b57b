//! Boots of a machine made of directories, undisturbed and cut short.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::*;
use crate::node::{ha::place::Phase, paths::Paths, render::place_of};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH ada";

/// A machine with two network cards, an OVF environment on a disc, and
/// programs that note how they were called.
struct Machine {
    home: tempfile::TempDir,
    host: Host,
}

impl Machine {
    fn new(answers: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let root = home.path().to_owned();
        let host = Host::below(&root, &root.join("programs"));
        let machine = Self { home, host };
        for (name, mac) in [("ens192", "00:50:56:AA:00:01"), ("ens224", "00:50:56:aa:00:02")] {
            machine.put(&format!("sys/class/net/{name}/address"), &format!("{mac}\n"));
            machine.put(&format!("sys/class/net/{name}/device/vendor"), "0x15ad\n");
        }
        machine.put("sys/class/net/lo/address", "00:00:00:00:00:00\n");
        machine.put("etc/ssl/certs/ca-certificates.crt", "SYSTEM\n");
        machine.put("dev/sr0/kind", "disc");
        machine.disc(answers);
        let note = format!("echo \"$(basename $0) $*\" >>'{}/called'\n", root.display());
        let note = |rest: &str| format!("#!/bin/sh\n{note}{rest}");
        for name in ["hostname", "systemctl", "networkctl"] {
            machine.program(name, &note(""));
        }
        machine.program("umount", "#!/bin/sh\nrm -rf \"$1\"; mkdir \"$1\"\n");
        for name in ["udevadm", "systemd-detect-virt"] {
            machine.program(name, "#!/bin/sh\n");
        }
        machine.program(
            "mount",
            "#!/bin/sh\nrm -rf \"$6\"; mkdir \"$6\"; cp \"$5/ovf-env.xml\" \"$6\"\n",
        );
        let keygen = "while [ \"$1\" != -f ]; do shift; done\n\
                      echo private >\"$2\"; echo public >\"$2.pub\"\n";
        machine.program("ssh-keygen", &note(keygen));
        machine
    }

    fn disc(&self, answers: &[(&str, &str)]) {
        let property = |(key, value): &(&str, &str)| {
            format!("<Property e:key=\"{key}\" e:value=\"{value}\"/>")
        };
        let properties = answers.iter().map(property).collect::<Vec<_>>().concat();
        let namespace = "http://schemas.dmtf.org/ovf/environment/1";
        self.put(
            "dev/sr0/ovf-env.xml",
            &format!(
                "<Environment xmlns=\"{namespace}\" xmlns:e=\"{namespace}\"><PropertySection>\
                 {properties}</PropertySection></Environment>"
            ),
        );
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn program(&self, name: &str, text: &str) {
        let path = format!("programs/{name}");
        self.put(&path, text);
        let path = self.home.path().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.home.path().join(path)).ok()
    }

    fn paths(&self) -> &Paths {
        self.host.paths()
    }

    async fn boot(&self) -> String {
        run(&self.host).await.expect("it boots")
    }

    /// Forgets what a power cut forgets.
    fn power_off(&self) {
        let _ = fs::remove_dir_all(self.home.path().join("run"));
    }

    fn called(&self) -> Vec<String> {
        let lines = self.read("called").unwrap_or_default();
        let _ = fs::remove_file(self.home.path().join("called"));
        lines.lines().map(str::to_owned).collect()
    }

    async fn amend(&self, key: &str, value: &str) -> Result<Report, AmendError> {
        amend(&self.host, [(key.to_owned(), value.to_owned())]).await
    }

    /// Every file below `/run` and `/var` with its mode.
    fn state(&self) -> BTreeMap<PathBuf, (u32, String)> {
        let mut found = BTreeMap::new();
        for top in ["run", "var"] {
            walk(&self.home.path().join(top), &mut found);
        }
        let root = self.home.path();
        let inside = |path: PathBuf| path.strip_prefix(root).expect("below").to_owned();
        found.into_iter().map(|(path, file)| (inside(path), file)).collect()
    }
}

fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, (u32, String)>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
            found.insert(path.clone(), (mode, fs::read_to_string(&path).expect("text")));
        }
    }
}

const GOOD: &[(&str, &str)] = &[
    ("hostname", "one.example.com"),
    ("ipv4", "192.0.2.10/24"),
    ("gateway", "192.0.2.1"),
    ("dns", "192.0.2.53"),
    ("ssh_public_key", KEY),
    ("http_proxy", "http://ada:hunter2@proxy.example.com:3128"),
];

#[tokio::test]
async fn answers_that_are_damaged_are_put_aside_and_the_sources_are_asked_again() {
    let machine = Machine::new(&[("hostname", "one.example.com")]);
    for damaged in ["", "{\"format\": 1, \"sour", "[]"] {
        machine.put("var/lib/palisade-node/answers.json", damaged);
        run(&machine.host).await.expect("it boots");
        let kept = answers::load(machine.paths()).expect("read").expect("kept");
        assert_eq!(kept.given.get("hostname"), Some("one.example.com"), "{damaged}");
        let aside = machine.read("var/lib/palisade-node/answers.damaged");
        assert_eq!(aside.as_deref(), Some(damaged));
    }
}

#[tokio::test]
async fn a_first_boot_does_all_that_was_answered() {
    let machine = Machine::new(GOOD);
    let sentence = machine.boot().await;
    assert_eq!(
        sentence,
        "Answers from the OVF environment (CD-ROM): one.example.com with 192.0.2.10/24 on ens192, \
         role standalone."
    );
    let network = machine.read("run/systemd/network/10-palisade.network").expect("there");
    assert!(network.contains("MACAddress=00:50:56:aa:00:01"), "{network}");
    assert!(network.contains("Address=192.0.2.10/24"), "{network}");
    assert_eq!(
        machine.read("var/lib/palisade-node/hostname").as_deref(),
        Some("one.example.com\n")
    );
    assert_eq!(machine.read("run/palisade-node/keys/admin"), Some(format!("{KEY}\n")));
    assert!(machine.read("run/palisade-node/serve.toml").is_some());
    let key = machine.paths().state().join(HOST_KEY);
    assert_eq!(fs::metadata(&key).expect("made").permissions().mode() & 0o777, 0o600);
    let called = machine.called();
    assert!(called.contains(&"hostname one.example.com".to_owned()), "{called:?}");
    assert!(called.contains(&"systemctl --no-block start ssh.service".to_owned()), "{called:?}");
    let network = machine.paths().at("/run/systemd/network");
    let mode = fs::metadata(&network).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o755, "networkd is no root");
    for (path, (mode, text)) in machine.state() {
        assert!(mode == 0o600 || !text.contains("hunter2"), "{}", path.display());
    }
}

#[tokio::test]
async fn power_may_be_lost_before_any_step() {
    let undisturbed = Machine::new(GOOD);
    undisturbed.boot().await;
    let whole = undisturbed.state();
    let machine_root = |machine: &Machine| machine.home.path().display().to_string();
    let there = machine_root(&undisturbed);
    let mut cuts = 0;
    for step in 0.. {
        let machine = Machine::new(GOOD);
        files::fail_after(step);
        let outcome = run(&machine.host).await;
        files::fail_after(usize::MAX);
        if outcome.is_ok() {
            break;
        }
        cuts += 1;
        machine.power_off();
        machine.boot().await;
        let here = machine_root(&machine);
        let state: BTreeMap<_, _> = machine
            .state()
            .into_iter()
            .map(|(path, (mode, text))| (path, (mode, text.replace(&here, &there))))
            .collect();
        assert_eq!(state, whole, "cut before step {step}");
    }
    assert!(cuts > 20, "only {cuts} steps were cut");
}

#[tokio::test]
async fn later_boots_do_not_ask_again() {
    let machine = Machine::new(GOOD);
    machine.boot().await;
    let before = machine.state();
    machine.disc(&[("hostname", "evil.example.com")]);
    machine.power_off();
    machine.boot().await;
    assert_eq!(machine.state(), before);
    let made = machine.called().iter().filter(|line| line.starts_with("ssh-keygen")).count();
    assert_eq!(made, 1, "the host key is made once");
}

#[tokio::test]
async fn mistakes_can_be_mended_where_they_were_made() {
    let machine = Machine::new(&[("hostname", "one.example.com"), ("ipv4", "192.0.2.10")]);
    let sentence = machine.boot().await;
    assert!(sentence.ends_with("One property is wrong; the console says which."), "{sentence}");
    let report = answers::read_report(machine.paths()).expect("read").expect("there");
    assert_eq!(report.mistakes[0].key, "ipv4");
    let network = machine.read("run/systemd/network/10-palisade.network").expect("there");
    assert!(network.contains("DHCP=yes"), "{network}");
    machine.disc(&[("hostname", "one.example.com"), ("ipv4", "192.0.2.10/24")]);
    machine.power_off();
    machine.boot().await;
    let report = answers::read_report(machine.paths()).expect("read").expect("there");
    assert_eq!(report.mistakes, []);
    let network = machine.read("run/systemd/network/10-palisade.network").expect("there");
    assert!(network.contains("Address=192.0.2.10/24"), "{network}");
}

#[tokio::test]
async fn mistakes_can_be_mended_on_the_console_without_a_reboot() {
    let machine = Machine::new(&[("hostname", "one.example.com"), ("ipv4", "192.0.2.10")]);
    machine.boot().await;
    machine.called();
    let report = machine.amend("ipv4", "192.0.2.10/24").await.expect("mended");
    assert_eq!(report.mistakes, []);
    let network = machine.read("run/systemd/network/10-palisade.network").expect("there");
    assert!(network.contains("Address=192.0.2.10/24"), "{network}");
    assert_eq!(
        machine.called(),
        ["networkctl reload", "systemctl --no-block restart palisade.service"],
        "the certificate has the address too"
    );
    // The disc still has the mistake.
    machine.power_off();
    machine.boot().await;
    let report = answers::read_report(machine.paths()).expect("read").expect("there");
    assert_eq!((report.mistakes, report.source), (Vec::new(), Source::Console));
}

#[tokio::test]
async fn ssh_is_switched_on_and_off_by_its_key() {
    let machine = Machine::new(&[]);
    machine.boot().await;
    machine.called();
    assert!(!machine.paths().state().join(HOST_KEY).exists());
    machine.amend("ssh_public_key", KEY).await.expect("accepted");
    let called = machine.called();
    assert!(called[0].starts_with("ssh-keygen -q -t ed25519"), "{called:?}");
    assert_eq!(
        called[1..],
        ["systemctl reload nftables.service", "systemctl --no-block start ssh.service"]
    );
    machine.amend("ssh_public_key", "").await.expect("accepted");
    assert_eq!(
        machine.called(),
        ["systemctl reload nftables.service", "systemctl --no-block stop ssh.service"]
    );
    assert_eq!(machine.read("run/palisade-node/keys/admin"), None);
}

#[tokio::test]
async fn a_role_that_cannot_be_carried_out_is_said_and_nothing_is_started() {
    let url = ("management_url", "https://palisade.example.com");
    let machine = Machine::new(&[("role", "pcg"), url]);
    let sentence = machine.boot().await;
    assert!(sentence.ends_with("The role pcg is not available in this version yet."));
    assert_eq!(machine.read("run/palisade-node/serve.toml"), None);
    machine.called();
    machine.amend("role", "standalone").await.expect("accepted");
    assert!(machine.read("run/palisade-node/serve.toml").is_some());
    let last = machine.called().pop();
    assert_eq!(last.as_deref(), Some("systemctl --no-block restart palisade.service"));
}

/// The first of three nodes, whose cluster is this far.
fn first_of_three(phase: Phase) -> Machine {
    let machine = Machine::new(&[
        ("role", "ha-first"),
        ("ipv4", "192.0.2.11/24"),
        ("cluster_ipv4", "10.9.0.11/24"),
        ("virtual_ip", "192.0.2.20"),
    ]);
    let place = place_of("n1", 3, phase);
    let place = Place { virtual_address: Some([192, 0, 2, 20].into()), ..place };
    place.save(machine.paths()).expect("kept");
    machine
}

#[tokio::test]
async fn a_node_of_a_cluster_comes_back_by_itself() {
    let machine = first_of_three(Phase::Running);
    for _ in 0..2 {
        let sentence = machine.boot().await;
        assert!(sentence.ends_with("role ha-first."), "{sentence}");
        let called = machine.called();
        assert_eq!(
            called[called.len() - 3..],
            [
                "systemctl --no-block start palisade-etcd.service",
                "systemctl --no-block start palisade-patroni.service",
                "systemctl --no-block start keepalived.service"
            ]
        );
        for file in ["etcd.yml", "patroni.yml", "first-database", "keepalived.conf"] {
            assert!(machine.read(&format!("run/palisade-node/cluster/{file}")).is_some(), "{file}");
        }
        let serve = machine.read("run/palisade-node/serve.toml").expect("there");
        assert!(serve.contains("database = \"postgres\""), "{serve}");
        machine.power_off();
    }
}

#[tokio::test]
async fn engines_of_a_cluster_that_forms_are_not_started_by_a_boot() {
    let machine = first_of_three(Phase::Forming);
    machine.boot().await;
    assert!(machine.read("run/palisade-node/cluster/etcd.yml").is_some(), "for the node daemon");
    assert_eq!(machine.read("run/palisade-node/cluster/keepalived.conf"), None);
    assert_eq!(machine.called(), ["hostname palisade"]);
    let serve = machine.read("run/palisade-node/serve.toml").expect("there");
    assert!(!serve.contains("postgres"), "it goes on alone: {serve}");
}

#[tokio::test]
async fn a_change_of_the_members_tells_those_who_can_take_it_up_while_they_run() {
    let machine = first_of_three(Phase::Running);
    machine.boot().await;
    machine.called();
    let place = Place::load(machine.paths()).expect("read").expect("there");
    let fewer = place_of("n1", 2, Phase::Running).members;
    place.with_members(fewer).save(machine.paths()).expect("kept");
    apply(&machine.host).await.expect("applied");
    assert_eq!(
        machine.called(),
        [
            "systemctl reload nftables.service",
            "systemctl try-reload-or-restart palisade-patroni.service",
            "systemctl --no-block reload-or-restart keepalived.service",
            "systemctl --no-block restart palisade.service"
        ]
    );
    Place::forget(machine.paths()).expect("forgotten");
    apply(&machine.host).await.expect("applied");
    assert_eq!(
        machine.called()[1..4],
        [
            "systemctl --no-block stop palisade-etcd.service",
            "systemctl --no-block stop palisade-patroni.service",
            "systemctl --no-block stop keepalived.service"
        ]
    );
    assert_eq!(machine.read("run/palisade-node/nftables/cluster.nft"), None);
}

#[tokio::test]
async fn a_node_that_does_not_know_its_place_starts_nothing_and_says_why() {
    let machine = first_of_three(Phase::Running);
    let file = "var/lib/palisade-node/cluster.json";
    let good = machine.read(file).expect("there");
    machine.put(file, &good[..good.len() / 2]);
    let sentence = machine.boot().await;
    assert!(sentence.contains("This node does not know its place in its cluster: "), "{sentence}");
    assert!(sentence.contains("is damaged"), "{sentence}");
    assert_eq!(machine.read("run/palisade-node/serve.toml"), None, "it must not begin anew");
    assert_eq!(machine.read("run/palisade-node/cluster/etcd.yml"), None);
    assert!(machine.read("run/systemd/network/20-palisade-cluster.network").is_some());
    // While it runs, a disk that cannot be read ends nothing.
    machine.put(file, &good);
    machine.boot().await;
    machine.put(file, "");
    machine.called();
    let report = apply(&machine.host).await.expect("applied");
    assert!(report.waiting.is_some());
    assert_eq!(machine.called(), Vec::<String>::new());
    assert!(machine.read("run/palisade-node/serve.toml").is_some());
}

#[tokio::test]
async fn a_node_that_is_to_join_waits() {
    let machine = Machine::new(&[("role", "ha-join"), ("ipv4", "192.0.2.12/24")]);
    let sentence = machine.boot().await;
    assert!(
        sentence.ends_with("waits to join a cluster: type the code that the first node shows."),
        "{sentence}"
    );
    assert_eq!(machine.read("run/palisade-node/serve.toml"), None);
    let report = answers::read_report(machine.paths()).expect("read").expect("there");
    assert!(report.waiting.is_some_and(|why| sentence.ends_with(&why)));
}

#[tokio::test]
async fn a_machine_without_answers_asks_dhcp_and_waits_for_the_console() {
    let machine = Machine::new(&[]);
    fs::remove_dir_all(machine.home.path().join("dev")).expect("no drive");
    let sentence = machine.boot().await;
    assert_eq!(
        sentence,
        "Answers from nobody: palisade with an address from DHCP on ens192, role standalone."
    );
    let kept = answers::load(machine.paths()).expect("read").expect("there");
    assert!(!kept.settled, "a disc that is put in later still counts");
}

#[tokio::test]
async fn a_service_that_does_not_start_is_reported_and_the_others_are_told() {
    let machine = Machine::new(&[]);
    machine.boot().await;
    machine.program("networkctl", "#!/bin/sh\necho 'no bus' >&2\nexit 1\n");
    machine.called();
    let failed = machine.amend("ipv4", "192.0.2.10/24").await.expect_err("one has failed");
    let AmendError::Io(error) = failed else { panic!("{failed:?}") };
    assert!(error.to_string().contains("no bus"), "{error}");
    assert_eq!(machine.called(), ["systemctl --no-block restart palisade.service"]);
}

#[test]
fn secrets_are_hidden_when_answers_are_shown() {
    let given = [
        ("role", "ha-join"),
        ("join_code", "alder-birch"),
        ("http_proxy", "http://ada:hunter2@proxy.example.com:3128"),
        ("jion_code", "misspelt"),
    ];
    let shown = shown(&given.into_iter().collect());
    let lines: Vec<_> = shown.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        lines,
        [
            "role=ha-join",
            "join_code=(hidden)",
            "http_proxy=http://(hidden)@proxy.example.com:3128",
            "jion_code=(hidden)",
        ]
    );
}

//! The engines of a cluster, with the configuration and the certificates that
//! they get from us, each node at a loopback address of its own.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use palisade::{
    certificates::{InternalCa, NodeCertificate},
    clock::{Clock, SystemClock, SystemRandom},
    ids::Uid,
    node::{
        ha::{
            members::{Member, Members},
            render::{self, Engines, EtcdStart, KeyReader, Keys},
        },
        paths::Paths,
    },
    secret::Secret,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::peers::{Running, peer};

/// How long a cluster may take to agree on a machine that does other things too.
const PATIENCE: Duration = Duration::from_mins(1);

/// Three nodes on one machine.
struct Cluster {
    home: TempDir,
    authority: InternalCa,
    members: Members,
}

/// A CA of its own.
pub(crate) fn authority() -> InternalCa {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a CA");
    InternalCa::new(&certificate.pem(), &Secret::new(key.serialize_pem())).expect("a CA")
}

impl Cluster {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let authority = authority();
        // Several test processes may run at once; every one has a network of its own.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let member = |number: u8| Member {
            name: format!("n{number}").parse().expect("a name"),
            address: Ipv4Addr::new(127, 64 + high % 128, low, number),
            host: None,
            joined: SystemClock.now(),
            certificate: format!("{number}"),
        };
        let founded = Members::founded(Uid::random(&SystemRandom), member(1)).expect("founded");
        let members = [2, 3]
            .map(member)
            .into_iter()
            .fold(founded, |all, one| all.with(one).expect("there is room"));
        Self { home, authority, members }
    }

    fn paths(&self, member: &Member) -> Paths {
        Paths::below(self.home.path().join(member.name.as_str()))
    }

    /// Renders what a node needs, and answers where etcd's part of it is.
    fn prepare(&self, member: &Member) -> PathBuf {
        let paths = self.paths(member);
        let name = member.name.as_str().parse().expect("a host name");
        let certificate = self
            .authority
            .issue_node(&name, member.address.into(), SystemClock.now(), &SystemRandom)
            .expect("issued");
        self.write_keys(&render::keys(&paths, KeyReader::Etcd, "node"), &certificate);
        let engines = Engines::of_image(EtcdStart::New);
        let files = render::files(&paths, &self.members, &member.name, &engines).expect("rendered");
        for file in &files {
            palisade::files::replace(&file.path, file.content.as_bytes(), file.mode)
                .expect("written");
        }
        let etcd = files.iter().find(|file| file.engine == render::Engine::Etcd);
        etcd.expect("there is one").path.clone()
    }

    fn write_keys(&self, keys: &Keys, certificate: &NodeCertificate) {
        let write = |path: &Path, text: &str| {
            palisade::files::replace(path, text.as_bytes(), palisade::files::PRIVATE)
                .expect("written");
        };
        write(&keys.certificate, certificate.certificate_pem());
        write(&keys.key, certificate.key_pem().expose());
        write(&keys.authority, self.authority.certificate_pem());
    }

    fn start(&self) -> Vec<Running> {
        let start = |member: &Member| {
            let config = self.prepare(member);
            let log = self.home.path().join(format!("{}.log", member.name));
            Running::start(
                peer("ETCD"),
                |command| {
                    command.arg("--config-file").arg(config);
                },
                &log,
            )
        };
        self.members.all().iter().map(start).collect()
    }

    /// Asks the etcd of a member; nothing when it does not answer.
    fn ask(&self, member: &Member, keys: Option<&Keys>, path: &str, body: &str) -> Option<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "5"]);
        let own = render::keys(&self.paths(member), KeyReader::Etcd, "node");
        curl.arg("--cacert").arg(own.authority);
        if let Some(keys) = keys {
            curl.arg("--cert").arg(&keys.certificate).arg("--key").arg(&keys.key);
        }
        if !body.is_empty() {
            curl.args(["--data", body]);
        }
        let output =
            curl.arg(format!("https://{}:2379{path}", member.address)).output().expect("curl");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
    }
}

#[test]
fn three_etcds_agree_by_what_was_rendered_and_hear_nobody_without_a_certificate() {
    let cluster = Cluster::new();
    let running = cluster.start();
    let [first, second, _] = cluster.members.all() else { panic!("three members") };
    // Any member's certificate is a client's at every other one.
    let keys = render::keys(&cluster.paths(second), KeyReader::Etcd, "node");
    let deadline = Instant::now() + PATIENCE;
    for (member, process) in cluster.members.all().iter().zip(&running) {
        loop {
            let health = cluster.ask(member, Some(&keys), "/health", "");
            if health.is_some_and(|text| text.contains("\"true\"")) {
                break;
            }
            assert!(Instant::now() < deadline, "{} is not healthy: {}", member.name, process.log());
        }
    }
    // "who" is "n1", in Base64.
    let put = r#"{"key":"d2hv","value":"bjE="}"#;
    cluster.ask(first, Some(&keys), "/v3/kv/put", put).expect("written");
    let read = cluster.ask(second, Some(&keys), "/v3/kv/range", r#"{"key":"d2hv"}"#);
    assert!(read.expect("read").contains("\"bjE=\""));

    assert_eq!(cluster.ask(first, None, "/health", ""), None, "no certificate");
    let stranger =
        render::keys(&Paths::below(cluster.home.path().join("stranger")), KeyReader::Etcd, "node");
    let foreign = authority()
        .issue_node(
            &"n1".parse().expect("a name"),
            first.address.into(),
            SystemClock.now(),
            &SystemRandom,
        )
        .expect("issued");
    cluster.write_keys(&stranger, &foreign);
    assert_eq!(cluster.ask(first, Some(&stranger), "/health", ""), None, "another CA's");
    drop(running);
}

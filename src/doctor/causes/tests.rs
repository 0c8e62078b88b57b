//! From observations to root causes.

use std::net::IpAddr;

use super::*;
use crate::{certificates::CertificateInfo, clock::Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_795_325_306);
const DAY: std::time::Duration = std::time::Duration::from_hours(24);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn certificate(fingerprint: &str) -> CertificateInfo {
    CertificateInfo {
        subject: "CN=palisade.example.com".to_owned(),
        names: vec!["palisade.example.com".to_owned(), "10.0.2.15".to_owned()],
        issuer: "CN=Example CA".to_owned(),
        not_before: NOW.minus(10 * DAY),
        not_after: NOW.plus(90 * DAY),
        fingerprint: fingerprint.to_owned(),
        pin: String::new(),
    }
}

/// A machine on which nothing is wrong.
fn healthy() -> Observed {
    Observed {
        now: NOW,
        built: Some(NOW.minus(30 * DAY)),
        appliance: true,
        clock: ClockState {
            synchronised: Some(true),
            offset: Some(0.01),
            servers: vec![("ntp.example.com".to_owned(), Ok(()))],
        },
        links: vec![Link { name: "eth0".to_owned(), up: true }],
        gateways: vec![Gateway {
            address: ip("10.0.2.1"),
            link: "eth0".to_owned(),
            answers: Some(true),
        }],
        beyond_answers: true,
        servers: vec![Server { address: ip("9.9.9.9"), beyond: true, answer: Ok(()) }],
        own_name: Some(OwnName {
            name: "palisade.example.com".to_owned(),
            addresses: vec![ip("10.0.2.15")],
            own: vec![ip("10.0.2.15")],
        }),
        disks: vec![Disk {
            path: "/var".to_owned(),
            size: 100 << 30,
            free: 50 << 30,
            files: 1_000_000,
            files_free: 900_000,
            read_only: false,
        }],
        memory: Some(Memory { size: 4 << 30, available: 2 << 30, kills: 0, victims: Vec::new() }),
        port: Some(OwnPort {
            address: "[::]:443".to_owned(),
            holder: Holder::Us,
            checks: Some(vec![("bus".to_owned(), true, "connected".to_owned())]),
        }),
        certificates: Certificates {
            own: Some(certificate("AA")),
            by_name: Some(certificate("AA")),
            names: vec!["palisade.example.com".to_owned()],
        },
        proxy: Some(ProxyState {
            address: "proxy.example.com:3128".to_owned(),
            by_name: true,
            answer: ProxyAnswer::Works,
        }),
        mirror: Some(("https://mirror.example.com/".to_owned(), Ok(()))),
        broker: Some(true),
        ..Observed::default()
    }
}

/// The causes at the root of what a change does to a healthy machine.
fn roots(change: impl FnOnce(&mut Observed)) -> Vec<(Cause, Severity)> {
    let mut observed = healthy();
    change(&mut observed);
    let diagnosis = diagnose(&observed);
    diagnosis.findings.iter().map(|finding| (finding.cause, finding.severity)).collect()
}

fn unit(name: &str, result: &str, last: &str) -> Unit {
    Unit { name: name.to_owned(), result: result.to_owned(), last: vec![last.to_owned()] }
}

#[test]
fn nothing_is_wrong_with_a_healthy_machine() {
    let diagnosis = diagnose(&healthy());
    assert!(diagnosis.healthy, "{}", diagnosis.text());
    assert_eq!(diagnosis.findings, Vec::new());
    assert_eq!(diagnosis.text(), "Nothing is wrong.");
}

/// What is broken, and the cause and severity that must be named first.
type Case = (&'static str, fn(&mut Observed), Cause, Severity);

const CASES: &[Case] = &[
    (
        "property",
        |o| {
            o.mistakes.push(MistakeOf {
                key: "ip".into(),
                given: Some("10.0.0.1/99".into()),
                wrong: "is no address".into(),
                instead: "write e.g. 10.0.0.1/24".into(),
            });
        },
        Cause::WrongProperty,
        Severity::Error,
    ),
    (
        "settings",
        |o| o.settings = Some("setting x does not exist".into()),
        Cause::WrongSettings,
        Severity::Error,
    ),
    ("full", |o| o.disks[0].free = 1 << 20, Cause::Disk, Severity::Error),
    ("inodes", |o| o.disks[0].files_free = 10, Cause::Disk, Severity::Error),
    ("read-only", |o| o.disks[0].read_only = true, Cause::Disk, Severity::Error),
    ("nearly full", |o| o.disks[0].free = 8 << 30, Cause::DiskNearlyFull, Severity::Warning),
    ("few inodes", |o| o.disks[0].files_free = 50_000, Cause::DiskNearlyFull, Severity::Warning),
    (
        "oom",
        |o| {
            let m = o.memory.as_mut().expect("there");
            m.kills = 1;
            m.available = 1 << 28;
        },
        Cause::Memory,
        Severity::Error,
    ),
    (
        "oom long ago",
        |o| o.memory.as_mut().expect("there").kills = 1,
        Cause::Memory,
        Severity::Warning,
    ),
    (
        "little memory",
        |o| o.memory.as_mut().expect("there").available = 1 << 27,
        Cause::Memory,
        Severity::Warning,
    ),
    (
        "clock before build",
        |o| {
            o.built = Some(o.now.plus(2 * DAY));
        },
        Cause::Clock,
        Severity::Error,
    ),
    (
        "clock before certificate",
        |o| {
            o.now = NOW.minus(20 * DAY);
        },
        Cause::Clock,
        Severity::Error,
    ),
    ("skew", |o| o.clock.offset = Some(-42.0), Cause::Clock, Severity::Error),
    (
        "unsynchronised",
        |o| o.clock.synchronised = Some(false),
        Cause::TimeNotSet,
        Severity::Warning,
    ),
    (
        "ntp silent",
        |o| o.clock.servers[0].1 = Err("no answer".into()),
        Cause::TimeNotSet,
        Severity::Warning,
    ),
    ("no carrier", |o| o.links[0].up = false, Cause::NoLink, Severity::Error),
    ("no gateway", |o| o.gateways.clear(), Cause::NoGateway, Severity::Warning),
    (
        "no dns",
        |o| {
            o.servers.clear();
            o.own_name = None;
        },
        Cause::NoNameServer,
        Severity::Warning,
    ),
    (
        "dns silent",
        |o| {
            o.servers[0].answer = Err("no answer".into());
            o.own_name.as_mut().expect("there").addresses.clear();
            o.beyond_answers = false;
        },
        Cause::NameServerSilent,
        Severity::Error,
    ),
    (
        "name unknown",
        |o| o.own_name.as_mut().expect("there").addresses.clear(),
        Cause::OwnName,
        Severity::Warning,
    ),
    (
        "name of another",
        |o| {
            o.own_name.as_mut().expect("there").addresses = vec![ip("10.9.9.9")];
            o.certificates.by_name = Some(certificate("BB"));
        },
        Cause::OwnName,
        Severity::Error,
    ),
    (
        "proxy gone",
        |o| o.proxy.as_mut().expect("there").answer = ProxyAnswer::Unreachable("refused".into()),
        Cause::Proxy,
        Severity::Error,
    ),
    (
        "proxy 407",
        |o| o.proxy.as_mut().expect("there").answer = ProxyAnswer::WantsCredentials,
        Cause::Proxy,
        Severity::Error,
    ),
    (
        "proxy 403",
        |o| o.proxy.as_mut().expect("there").answer = ProxyAnswer::Refuses("403".into()),
        Cause::Proxy,
        Severity::Error,
    ),
    (
        "proxy mitm",
        |o| {
            o.proxy.as_mut().expect("there").answer =
                ProxyAnswer::Intercepts("CN=Inspector".into());
        },
        Cause::Proxy,
        Severity::Error,
    ),
    (
        "port",
        |o| {
            o.port.as_mut().expect("there").holder =
                Holder::Other(Some(Process { pid: 7, name: "nginx".into() }));
        },
        Cause::PortInUse,
        Severity::Error,
    ),
    (
        "not running",
        |o| o.port.as_mut().expect("there").holder = Holder::Nobody,
        Cause::NotRunning,
        Severity::Error,
    ),
    (
        "sealed",
        |o| o.sealed = Some("the key is missing".into()),
        Cause::KeystoreSealed,
        Severity::Error,
    ),
    (
        "failed",
        |o| o.units.push(unit("x.service", "exit-code", "boom")),
        Cause::ServiceFailed,
        Severity::Error,
    ),
    (
        "expired",
        |o| o.certificates.own.as_mut().expect("there").not_after = NOW.minus(DAY),
        Cause::Certificate,
        Severity::Error,
    ),
    (
        "ending",
        |o| o.certificates.own.as_mut().expect("there").not_after = NOW.plus(3 * DAY),
        Cause::CertificateEnding,
        Severity::Warning,
    ),
    (
        "not covered",
        |o| o.certificates.names.push("other.example.com".into()),
        Cause::Certificate,
        Severity::Error,
    ),
    (
        "another served",
        |o| o.certificates.by_name = Some(certificate("BB")),
        Cause::Certificate,
        Severity::Error,
    ),
    (
        "key mismatch",
        |o| {
            o.units.push(unit(
                "palisade.service",
                "exit-code",
                "error: internal: InconsistentKeys(KeyMismatch)",
            ));
        },
        Cause::CertificateKey,
        Severity::Error,
    ),
    (
        "mirror",
        |o| o.mirror.as_mut().expect("there").1 = Err("refused".into()),
        Cause::Mirror,
        Severity::Error,
    ),
    ("broker", |o| o.broker = Some(false), Cause::Broker, Severity::Error),
    (
        "bus",
        |o| {
            o.port.as_mut().expect("there").checks =
                Some(vec![("bus".into(), false, "no broker".into())]);
        },
        Cause::Broker,
        Severity::Error,
    ),
    (
        "store",
        |o| {
            o.port.as_mut().expect("there").checks =
                Some(vec![("store".into(), false, "locked".into())]);
        },
        Cause::NotReady,
        Severity::Error,
    ),
];

#[test]
fn every_fault_is_named_as_the_one_root_cause_with_evidence_and_a_next_step() {
    for (name, change, cause, severity) in CASES {
        let mut observed = healthy();
        change(&mut observed);
        let diagnosis = diagnose(&observed);
        let first = diagnosis.findings.first().unwrap_or_else(|| panic!("{name}: nothing found"));
        assert_eq!((first.cause, first.severity), (*cause, *severity), "{name}");
        assert_eq!(diagnosis.findings.len(), 1, "{name}: {}", diagnosis.text());
        assert!(!first.evidence.is_empty() && !first.next.is_empty(), "{name}");
        assert_eq!(diagnosis.healthy, *severity == Severity::Warning, "{name}");
    }
}

#[test]
fn every_cause_is_found_in_some_case() {
    let found: Vec<_> = CASES.iter().map(|(_, _, cause, _)| *cause).collect();
    for cause in [
        Cause::WrongProperty,
        Cause::WrongSettings,
        Cause::Disk,
        Cause::DiskNearlyFull,
        Cause::Memory,
        Cause::Clock,
        Cause::NoLink,
        Cause::NoGateway,
        Cause::NoNameServer,
        Cause::NameServerSilent,
        Cause::OwnName,
        Cause::Proxy,
        Cause::TimeNotSet,
        Cause::PortInUse,
        Cause::KeystoreSealed,
        Cause::CertificateKey,
        Cause::ServiceFailed,
        Cause::NotRunning,
        Cause::Broker,
        Cause::Certificate,
        Cause::CertificateEnding,
        Cause::Mirror,
        Cause::NotReady,
    ] {
        assert!(found.contains(&cause), "{cause:?}");
    }
}

/// Everything beyond the gateway fails with it.
fn behind_a_silent_gateway(o: &mut Observed) {
    o.gateways[0].answers = Some(false);
    o.beyond_answers = false;
    o.servers[0].answer = Err("no answer in 3 s".to_owned());
    o.own_name.as_mut().expect("there").addresses.clear();
    o.clock.servers[0].1 = Err("no answer in 3 s".to_owned());
    o.clock.synchronised = Some(false);
    o.proxy.as_mut().expect("there").answer = ProxyAnswer::Unreachable("timed out".to_owned());
    o.mirror.as_mut().expect("there").1 = Err("timed out".to_owned());
}

#[test]
fn a_silent_gateway_is_the_one_root_cause_and_the_rest_follows() {
    let mut observed = healthy();
    behind_a_silent_gateway(&mut observed);
    let diagnosis = diagnose(&observed);
    assert_eq!(diagnosis.findings.len(), 1, "{}", diagnosis.text());
    let root = &diagnosis.findings[0];
    assert_eq!(root.cause, Cause::GatewaySilent);
    let follows: Vec<_> = root.consequences.iter().map(|finding| finding.cause).collect();
    assert_eq!(follows, [Cause::NameServerSilent, Cause::Proxy, Cause::TimeNotSet, Cause::Mirror]);
    assert!(
        diagnosis.text().contains("follows DNS does not answer: 9.9.9.9."),
        "{}",
        diagnosis.text()
    );
}

#[test]
fn a_name_server_in_the_local_network_is_no_consequence_of_the_gateway() {
    let found = roots(|o| {
        behind_a_silent_gateway(o);
        o.servers[0].beyond = false;
    });
    assert_eq!(
        found,
        [(Cause::GatewaySilent, Severity::Error), (Cause::NameServerSilent, Severity::Error)]
    );
}

#[test]
fn a_gateway_that_passes_packets_on_need_not_answer() {
    assert_eq!(roots(|o| o.gateways[0].answers = Some(false)), []);
}

#[test]
fn a_wrong_property_explains_the_missing_gateway() {
    let found = roots(|o| {
        behind_a_silent_gateway(o);
        o.gateways.clear();
        o.mistakes.push(MistakeOf {
            key: "gateway".to_owned(),
            given: Some("10.9.0.1".to_owned()),
            wrong: "is outside of 10.0.2.0/24".to_owned(),
            instead: "write an address of it".to_owned(),
        });
    });
    assert_eq!(found[0], (Cause::WrongProperty, Severity::Error));
    assert!(!found.iter().any(|(cause, _)| *cause == Cause::NoGateway), "{found:?}");
}

#[test]
fn a_full_disk_explains_the_services_that_failed_and_the_port_that_nobody_has() {
    let found = roots(|o| {
        o.disks[0].free = 0;
        o.units.push(unit("palisade.service", "exit-code", "boom"));
        let port = o.port.as_mut().expect("there");
        (port.holder, port.checks) = (Holder::Nobody, None);
    });
    assert_eq!(found, [(Cause::Disk, Severity::Error)]);
}

#[test]
fn a_warning_explains_no_error() {
    let found = roots(|o| {
        o.servers[0].beyond = false;
        o.gateways.clear();
        o.mirror.as_mut().expect("there").1 = Err("timed out".to_owned());
    });
    assert_eq!(found, [(Cause::Mirror, Severity::Error), (Cause::NoGateway, Severity::Warning)]);
}

#[test]
fn the_last_words_of_a_service_name_the_cause() {
    for (words, cause) in [
        ("write failed: No space left on device (os error 28)", Cause::Disk),
        ("bind: Address already in use (os error 98)", Cause::PortInUse),
    ] {
        let found = roots(|o| o.units.push(unit("palisade.service", "exit-code", words)));
        assert_eq!(found, [(cause, Severity::Error)], "{words}");
    }
}

/// Everything that is to be done, of causes and consequences.
fn steps(findings: &[Finding]) -> Vec<String> {
    let below = findings.iter().flat_map(|finding| steps(&finding.consequences));
    findings.iter().map(|finding| finding.next.clone()).chain(below).collect()
}

#[test]
fn on_the_appliance_nobody_is_sent_to_a_shell() {
    let words = [
        "write failed: No space left on device (os error 28)",
        "bind: Address already in use (os error 98)",
        "use the recovery kit",
        "InconsistentKeys",
    ];
    let with_words = words.map(|words| {
        let mut observed = healthy();
        observed.units.push(unit("palisade.service", "exit-code", words));
        observed
    });
    let cases = CASES.iter().map(|(_, change, ..)| {
        let mut observed = healthy();
        change(&mut observed);
        observed
    });
    for observed in cases.chain(with_words) {
        let observed = Observed { appliance: true, ..observed };
        for step in steps(&diagnose(&observed).findings) {
            for impossible in
                ["`", "systemctl", "journalctl", "server.listen", "Appliance, Updates"]
            {
                assert!(!step.contains(impossible), "{step}");
            }
        }
    }
}

#[test]
fn no_credentials_of_a_proxy_are_ever_told() {
    let mut observed = healthy();
    observed.proxy.as_mut().expect("there").answer = ProxyAnswer::WantsCredentials;
    assert!(diagnose(&observed).text().contains("USER:PASSWORD@proxy.example.com:3128"));
}

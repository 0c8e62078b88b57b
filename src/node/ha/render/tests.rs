//! What the engines read.

use serde_yaml_ng::Value;

use super::*;
use crate::node::ha::members::tests::{cluster, member, name};

fn engines() -> Engines {
    Engines {
        virtual_address: Some(VirtualAddress {
            address: Interface { address: [192, 0, 2, 9].into(), prefix: 24 },
            card: "ens192".to_owned(),
            cluster_card: "ens224".to_owned(),
        }),
        ..Engines::of_image(EtcdStart::New)
    }
}

fn rendered(nodes: u8, own: u8, engines: &Engines) -> Vec<EngineFile> {
    let paths = Paths::below("/node");
    files(&paths, &cluster(nodes), &member(own).name, engines).expect("rendered")
}

fn content(files: &[EngineFile], name: &str) -> String {
    files.iter().find(|file| file.path.ends_with(name)).expect("a file").content.clone()
}

fn parsed(files: &[EngineFile], name: &str) -> Value {
    serde_yaml_ng::from_str(&content(files, name)).expect("YAML")
}

fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    found(value, path).as_str().unwrap_or_else(|| panic!("{path:?} is no text"))
}

fn found<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, key| {
        value.get(*key).unwrap_or_else(|| panic!("there is no {key} of {path:?}"))
    })
}

#[test]
fn etcd_hears_certificates_only_and_knows_all_members() {
    let files = rendered(3, 2, &engines());
    let etcd = parsed(&files, "etcd.yml");
    assert_eq!(text(&etcd, &["name"]), "n2");
    assert_eq!(text(&etcd, &["listen-client-urls"]), "https://10.9.0.12:2379");
    assert_eq!(text(&etcd, &["listen-peer-urls"]), "https://10.9.0.12:2380");
    assert_eq!(
        text(&etcd, &["initial-cluster"]),
        "n1=https://10.9.0.11:2380,n2=https://10.9.0.12:2380,n3=https://10.9.0.13:2380"
    );
    assert_eq!(text(&etcd, &["initial-cluster-state"]), "new");
    assert_eq!(text(&etcd, &["initial-cluster-token"]), "palisade-0123456789ab");
    for setting in ["pre-vote", "enable-grpc-gateway"] {
        assert_eq!(found(&etcd, &[setting]), &Value::Bool(true), "{setting}");
    }
    for part in ["client-transport-security", "peer-transport-security"] {
        assert_eq!(found(&etcd, &[part, "client-cert-auth"]), &Value::Bool(true));
        let key = text(&etcd, &[part, "key-file"]);
        assert_eq!(key, "/node/var/lib/palisade-node/cluster-keys/etcd/node.key");
    }
    let later = Engines { start: EtcdStart::Existing, ..engines() };
    let etcd = parsed(&rendered(3, 2, &later), "etcd.yml");
    assert_eq!(text(&etcd, &["initial-cluster-state"]), "existing");
}

#[test]
fn patroni_has_the_settings_that_lose_nothing() {
    let files = rendered(3, 1, &engines());
    let patroni = parsed(&files, "patroni.yml");
    let dcs = found(&patroni, &["bootstrap", "dcs"]);
    for (key, wanted) in [("ttl", 20), ("loop_wait", 2), ("retry_timeout", 3)] {
        assert_eq!(found(dcs, &[key]).as_u64(), Some(wanted), "{key}");
    }
    for key in ["synchronous_mode", "synchronous_mode_strict", "check_timeline"] {
        assert_eq!(found(dcs, &[key]), &Value::Bool(true), "{key}");
    }
    let parameters = found(dcs, &["postgresql", "parameters"]);
    assert_eq!(text(parameters, &["wal_log_hints"]), "on");
    assert_eq!(found(parameters, &["tcp_user_timeout"]).as_u64(), Some(3_000));
    let hosts = found(&patroni, &["etcd3", "hosts"]).as_sequence().expect("a list");
    assert_eq!(hosts, &[Value::from("10.9.0.11:2379")], "its own member and no other");
    assert_eq!(text(&patroni, &["restapi", "verify_client"]), "optional");
    assert_eq!(text(&patroni, &["watchdog", "mode"]), "automatic");
    assert_eq!(text(&patroni, &["watchdog", "device"]), "/node/dev/watchdog", "not of who tests");
    assert_eq!(text(&patroni, &["postgresql", "bin_dir"]), "/usr/lib/postgresql/17/bin");
    let backup = found(&patroni, &["postgresql", "basebackup"]).get(0).expect("one option");
    assert_eq!(text(backup, &["checkpoint"]), "fast");
    let patch: Value = serde_yaml_ng::from_str(AFTER_FIRST_STANDBY).expect("JSON");
    assert_eq!(text(&patch, &["synchronous_mode"]), "quorum");
}

#[test]
fn only_members_with_a_certificate_reach_a_database() {
    let files = rendered(2, 1, &engines());
    let patroni = parsed(&files, "patroni.yml");
    let access = found(&patroni, &["postgresql", "pg_hba"]).as_sequence().expect("a list");
    let lines: Vec<_> = access.iter().map(|line| line.as_str().expect("a text")).collect();
    assert_eq!(
        lines,
        [
            "local all postgres peer",
            "hostssl replication replicator 10.9.0.11/32 cert",
            "hostssl postgres rewind 10.9.0.11/32 cert",
            "hostssl palisade palisade 10.9.0.11/32 cert",
            "hostssl replication replicator 10.9.0.12/32 cert",
            "hostssl postgres rewind 10.9.0.12/32 cert",
            "hostssl palisade palisade 10.9.0.12/32 cert",
        ]
    );
    for user in ["replication", "rewind"] {
        let user = found(&patroni, &["postgresql", "authentication", user]);
        assert_eq!(text(user, &["sslmode"]), "verify-full");
        assert!(user.get("password").is_none());
    }
}

#[test]
fn programs_and_watchdog_are_those_of_the_machine() {
    let other = Engines {
        postgres_programs: "/usr/lib/postgresql/15/bin".into(),
        watchdog: false,
        ..engines()
    };
    let files = rendered(1, 1, &other);
    let patroni = parsed(&files, "patroni.yml");
    assert_eq!(text(&patroni, &["postgresql", "bin_dir"]), "/usr/lib/postgresql/15/bin");
    assert_eq!(text(&patroni, &["watchdog", "mode"]), "off");
    let script = content(&files, "first-database");
    assert!(script.contains("\n/usr/lib/postgresql/15/bin/createdb --host=/node/run/postgresql "));
    let odd = Engines { postgres_programs: "/opt/a b;reboot/bin".into(), ..engines() };
    let refused = super::files(&Paths::below("/node"), &cluster(1), &member(1).name, &odd);
    assert!(matches!(refused, Err(RenderFault::Text(_))), "{refused:?}");
}

#[test]
fn a_node_named_like_a_truth_value_stays_a_name() {
    for odd in ["no", "on", "true", "null", "1e3", "0"] {
        let mut first = member(1);
        first.name = name(odd);
        let members = Members::founded(cluster(1).cluster(), first).expect("founded");
        let files = files(&Paths::below("/node"), &members, &name(odd), &engines());
        let files = files.expect("rendered");
        for file in ["etcd.yml", "patroni.yml"] {
            assert_eq!(text(&parsed(&files, file), &["name"]), odd);
            // Readers of other versions of YAML see the quotes.
            assert!(content(&files, file).contains(&format!("\"name\": \"{odd}\"")));
        }
    }
}

#[test]
fn the_virtual_address_goes_to_members_in_their_order_and_stays_where_it_is() {
    let wanted = "\
# Rendered from the cluster's members; changes are lost.
global_defs {
    router_id n2
    enable_script_security
    script_user palisade
}
vrrp_script runs {
    script \"/usr/bin/systemctl is-active --quiet palisade.service\"
    interval 3
    timeout 8
    fall 2
    rise 2
    init_fail
}
vrrp_script ready {
    script \"/usr/bin/palisade node healthy\"
    interval 3
    timeout 8
    fall 12
    rise 2
    init_fail
}
vrrp_instance palisade {
    state BACKUP
    nopreempt
    interface ens224
    virtual_router_id 9
    priority 140
    advert_int 1
    unicast_src_ip 10.9.0.12
    unicast_peer {
        10.9.0.11
        10.9.0.13
    }
    virtual_ipaddress {
        192.0.2.9/24 dev ens192
    }
    track_interface {
        ens192
    }
    track_script {
        runs
        ready
    }
}
";
    assert_eq!(content(&rendered(3, 2, &engines()), "keepalived.conf"), wanted);
    let mut newer = engines();
    newer.virtual_address.as_mut().expect("there").address =
        Interface { address: "2001:db8::9".parse().expect("an address"), prefix: 64 };
    let text = content(&rendered(1, 1, &newer), "keepalived.conf");
    assert!(
        text.contains("virtual_ipaddress_excluded {\n        2001:db8::9/64 dev ens192\n    }\n"),
        "{text}"
    );
    let none = Engines::of_image(EtcdStart::New);
    assert!(!rendered(3, 2, &none).iter().any(|file| file.engine == Engine::VirtualAddress));
    let mut odd = engines();
    odd.virtual_address.as_mut().expect("there").card = "eth0\n}".to_owned();
    let refused = files(&Paths::below("/node"), &cluster(1), &member(1).name, &odd);
    assert_eq!(refused, Err(RenderFault::Text("eth0\n}".to_owned())));
}

#[test]
fn engines_are_reached_by_the_other_members_and_nobody_else() {
    let rules = |nodes, engines: &Engines| {
        content(&rendered(nodes, 1, engines), "cluster.nft")
            .lines()
            .skip(1)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(rules(1, &engines()), "", "alone, nobody");
    assert_eq!(
        rules(3, &engines()),
        "add rule inet palisade more ip saddr { 10.9.0.12, 10.9.0.13 } ip daddr 10.9.0.11 \
         tcp dport { 2379, 2380, 5432, 8008, 6222, 7444 } accept\n\
         add rule inet palisade more ip saddr { 10.9.0.12, 10.9.0.13 } ip daddr 10.9.0.11 \
         ip protocol 112 accept"
    );
    let network = Interface { address: [10, 9, 0, 11].into(), prefix: 24 };
    let inviting = Engines { join_from: Some(network), ..engines() };
    assert_eq!(
        rules(1, &inviting),
        "add rule inet palisade more ip saddr 10.9.0.0/24 ip daddr 10.9.0.11 tcp dport 7443 accept"
    );
}

#[test]
fn no_file_holds_a_secret_and_a_stranger_has_none() {
    let places = places(&Paths::below("/node"));
    assert_eq!(rendered(3, 1, &engines()).len(), places.len());
    for file in rendered(3, 1, &engines()) {
        assert!(places.contains(&(file.path.clone(), file.engine)), "{}", file.path.display());
        for word in ["BEGIN", "password:", "\"password\""] {
            assert!(!file.content.contains(word), "{} has {word}", file.path.display());
        }
        assert_eq!(file.mode, PUBLIC);
    }
    let stranger = files(&Paths::below("/node"), &cluster(2), &name("n3"), &engines());
    assert_eq!(stranger, Err(RenderFault::Member(MemberFault::Unknown(name("n3")))));
}

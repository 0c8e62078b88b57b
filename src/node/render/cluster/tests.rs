//! What a place in a cluster makes of a machine.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::{
    clock::Timestamp,
    config::{Config, Database, Sources},
    node::{
        ha::members::{Member, Members},
        properties::salvage,
        render::files,
    },
};

const FIRST: &[(&str, &str)] =
    &[("role", "ha-first"), ("ipv4", "192.0.2.11/24"), ("cluster_ipv4", "10.9.0.11/24")];
const JOINING: &[(&str, &str)] = &[("role", "ha-join"), ("cluster_ipv4", "10.9.0.12/24")];

/// The node `n<number>` of a cluster of so many, at `10.9.0.1<number>`.
pub(in crate::node) fn place(own: &str, nodes: u8, phase: Phase) -> Place {
    let member = |number: u8| Member {
        name: format!("n{number}").parse().expect("a name"),
        address: [10, 9, 0, 10 + number].into(),
        host: None,
        joined: Timestamp::from_seconds(1_795_325_306),
        certificate: format!("AA:{number:02}"),
    };
    let founded = Members::founded("0123456789ab".parse().expect("a uid"), member(1));
    let members = (2..=nodes)
        .fold(founded.expect("founded"), |all, number| all.with(member(number)).expect("it fits"));
    Place { own: own.parse().expect("a name"), epoch: 1, phase, virtual_address: None, members }
}

fn moving(place: Place, address: &str) -> Place {
    Place { virtual_address: Some(address.parse().expect("an address")), ..place }
}

fn salvaged(answers: &[(&str, &str)]) -> Salvaged {
    salvage(&answers.iter().copied().collect())
}

fn cards(names: &[&str]) -> Vec<Card> {
    let card = |name: &&str| Card { name: (*name).to_owned(), mac: "00:50:56:00:00:01".to_owned() };
    names.iter().map(card).collect()
}

fn standing(place: Place, answers: &[(&str, &str)], card_names: &[&str]) -> Standing {
    let answers = salvaged(answers).answers;
    Standing::of(&Paths::below("/node"), Ok(Some(place)), &answers, &cards(card_names))
}

fn wanted<'a>(files: &'a [Wanted], name: &str) -> Option<&'a str> {
    let file = files.iter().find(|file| file.path.ends_with(name)).expect("a file");
    file.content.as_deref()
}

#[test]
fn the_management_plane_runs_where_and_when_the_cluster_says() {
    let plane = |place, answers: &[_]| {
        let standing = standing(place, answers, &["ens192"]);
        match standing.plane(&salvaged(answers)) {
            Ok(Plane::Alone) => "alone".to_owned(),
            Ok(Plane::Among(place)) => format!("among {}", place.members.all().len()),
            Err(why) => why,
        }
    };
    let waits =
        "This node is joining a cluster; its management plane starts when the cluster runs.";
    assert_eq!(plane(place("n1", 1, Phase::Forming), FIRST), "alone");
    assert_eq!(plane(place("n1", 3, Phase::Forming), &[]), "alone", "whatever its role was");
    assert_eq!(plane(place("n2", 2, Phase::Forming), JOINING), waits);
    assert_eq!(plane(place("n2", 2, Phase::Forming), &[]), waits, "whatever its role was");
    assert_eq!(plane(place("n1", 3, Phase::Running), FIRST), "among 3");
    assert_eq!(plane(place("n3", 3, Phase::Running), JOINING), "among 3");
    let wrong = [("role", "queen")];
    assert_eq!(plane(place("n3", 3, Phase::Running), &wrong), "among 3", "it is a member");
}

#[test]
fn without_a_place_the_role_decides() {
    let plane = |answers: &[_]| Standing::Alone.plane(&salvaged(answers)).map(drop);
    assert_eq!(plane(&[]), Ok(()));
    assert_eq!(plane(FIRST), Ok(()));
    let why = plane(JOINING).expect_err("it has no data of its own");
    assert!(why.contains("waits to join"), "{why}");
    let why = plane(&[("role", "queen")]).expect_err("nobody knows what was meant");
    assert!(why.contains("not clear"), "{why}");
}

#[test]
fn a_place_that_cannot_be_read_is_no_reason_to_begin_anew() {
    let answers = salvaged(FIRST);
    let broken = Err(FileFault::Version { found: 9 });
    let paths = Paths::below("/node");
    let standing = Standing::of(&paths, broken, &answers.answers, &cards(&["ens192"]));
    let why = standing.plane(&answers).expect_err("unknown");
    assert!(why.starts_with("This node does not know its place in its cluster: "), "{why}");
    assert!(why.ends_with("start the version that wrote it."), "{why}");
    let files = files(&paths, &answers, &standing, &[], "");
    assert!(!files.iter().any(|file| file.path.ends_with("serve.toml")), "left as it is");
    assert!(!files.iter().any(|file| file.path.ends_with("etcd.yml")), "left as it is");
    let odd = standing_of_a_card_that_cannot_be_written();
    assert!(odd.plane(&answers).expect_err("unknown").contains("cannot stand in"));
}

fn standing_of_a_card_that_cannot_be_written() -> Standing {
    standing(moving(place("n1", 3, Phase::Running), "192.0.2.20"), FIRST, &["ens\n192"])
}

#[test]
fn the_address_that_moves_is_at_a_cluster_that_runs() {
    let keepalived = |place, answers: &[_], card_names: &[&str]| {
        let files = standing(place, answers, card_names).wanted(&Paths::below("/node"));
        wanted(&files, "keepalived.conf").map(str::to_owned)
    };
    let running = || moving(place("n1", 3, Phase::Running), "192.0.2.20");
    let two = keepalived(running(), FIRST, &["ens192", "ens224"]).expect("there");
    assert!(two.contains("192.0.2.20/32 dev ens192\n"), "{two}");
    assert!(two.contains("interface ens224\n"), "{two}");
    let one = keepalived(running(), &[("ipv4", "10.9.0.11/24")], &["eth0"]).expect("there");
    assert!(one.contains("192.0.2.20/32 dev eth0\n") && one.contains("interface eth0\n"), "{one}");
    let second = moving(place("n1", 3, Phase::Running), "2001:db8::20");
    let v6 = keepalived(second, FIRST, &["ens192", "ens224"]).expect("there");
    assert!(v6.contains("2001:db8::20/128 dev ens192\n"), "{v6}");
    let forming = moving(place("n1", 3, Phase::Forming), "192.0.2.20");
    assert_eq!(keepalived(forming, FIRST, &["ens192", "ens224"]), None);
    assert_eq!(keepalived(place("n1", 3, Phase::Running), FIRST, &["ens192"]), None);
}

#[test]
fn engines_are_those_below_the_root_and_know_whether_the_others_run_already() {
    let file = |phase, name: &str| {
        let files = standing(place("n2", 3, phase), JOINING, &["ens192", "ens224"]);
        wanted(&files.wanted(&Paths::below("/node")), name).expect("there").to_owned()
    };
    assert!(file(Phase::Forming, "etcd.yml").contains("\"initial-cluster-state\": \"new\""));
    assert!(file(Phase::Running, "etcd.yml").contains("\"initial-cluster-state\": \"existing\""));
    let patroni = file(Phase::Running, "patroni.yml");
    assert!(patroni.contains("\"bin_dir\": \"/node/usr/lib/postgresql/17/bin\""), "{patroni}");
    let alone = Standing::Alone.wanted(&Paths::below("/node"));
    assert_eq!(alone.len(), render::places(&Paths::below("/node")).len());
    assert!(alone.iter().all(|file| file.content.is_none()), "what was there goes");
}

#[test]
fn the_real_loader_accepts_the_settings_of_a_node_of_three() {
    let home = tempfile::tempdir().expect("a directory");
    let paths = Paths::below(home.path());
    let keys_directory = paths.state().join("cluster-keys/palisade");
    fs::create_dir_all(&keys_directory).expect("made");
    for file in ["node.crt", "node.key", "palisade.crt", "palisade.key", "authority.crt"] {
        let file = keys_directory.join(file);
        fs::write(&file, "PEM").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("closed");
    }
    let load = |place, answers: &[_]| {
        let answers = salvaged(answers);
        let standing = Standing::of(&paths, Ok(Some(place)), &answers.answers, &cards(&["eth0"]));
        let files = files(&paths, &answers, &standing, &[], "");
        let file = home.path().join("serve.toml");
        fs::write(&file, wanted(&files, "serve.toml").expect("there")).expect("written");
        Config::load(Sources { file: Some(file), ..Sources::default() }).expect("accepted")
    };
    let running = || moving(place("n2", 3, Phase::Running), "192.0.2.20");
    let named = [JOINING, &[("hostname", "two.example.com")]].concat();
    let config = load(running(), &named);
    assert_eq!(config.storage.database, Database::Postgres);
    assert_eq!(
        config.postgres.url.as_ref().expect("there").as_str(),
        "postgresql://palisade@10.9.0.11:5432,10.9.0.12:5432,10.9.0.13:5432/palisade"
    );
    let user = config.postgres.key_file.as_ref().expect("there").path();
    assert_eq!(user, keys_directory.join("palisade.key"));
    assert_eq!(config.postgres.cert_file, Some(keys_directory.join("palisade.crt")));
    assert_eq!(config.postgres.ca_file, Some(keys_directory.join("authority.crt")));
    let brokers = &config.bus_cluster;
    assert_eq!(brokers.name.as_deref(), Some("n2"));
    assert_eq!(brokers.listen.expect("there").to_string(), "10.9.0.12:6222");
    let peers: Vec<_> = brokers.peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.9.0.11:6222", "10.9.0.13:6222"]);
    assert_eq!(brokers.key.as_ref().expect("there").path(), keys_directory.join("node.key"));
    assert_eq!(config.server.fqdn.to_string(), "two.example.com");
    let covered = |config: &Config, name: &str| {
        config.server.names().iter().any(|known| known.to_string() == name)
    };
    assert!(covered(&config, "192.0.2.20") && covered(&config, "10.9.0.12"));

    let unnamed = [("ipv4", "10.9.0.12/24")];
    let config = load(running(), &unnamed);
    assert_eq!(config.server.fqdn.to_string(), "192.0.2.20", "it works when a node does not");
    assert!(covered(&config, "10.9.0.12"));
    let config = load(place("n2", 3, Phase::Running), &unnamed);
    assert_eq!(config.server.fqdn.to_string(), "10.9.0.12");
    let last = load(place("n1", 1, Phase::Running), FIRST);
    assert!(last.bus_cluster.listen.is_none(), "nobody is left to listen for");
    let forming = load(moving(place("n1", 3, Phase::Forming), "192.0.2.20"), FIRST);
    assert_eq!(forming.storage.database, Database::Sqlite);
    assert_eq!(forming.server.fqdn.to_string(), "192.0.2.11", "nobody has the address yet");
}

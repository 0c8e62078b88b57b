//! What the nodes of a cluster show each other.

use std::{net::IpAddr, time::Duration};

use x509_parser::pem::parse_x509_pem;

use super::forge::{Authority, RANDOM, host, now};
use crate::{
    certificates::{ClusterUser, InternalCa, NodeCertificate, Renewal},
    secret::Secret,
};

const DAY: Duration = Duration::from_hours(24);

fn internal(name: &str) -> InternalCa {
    let root = Authority::root(name);
    InternalCa::new(&root.pem(), &root.key_pem()).unwrap()
}

fn address() -> IpAddr {
    "10.9.0.11".parse().unwrap()
}

/// Whether it is a server's, and whether it is a client's.
fn purposes(certificate: &NodeCertificate) -> (bool, bool) {
    let (_, pem) = parse_x509_pem(certificate.certificate_pem().as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    assert!(!leaf.is_ca());
    let purpose = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(!purpose.any);
    (purpose.server_auth, purpose.client_auth)
}

#[test]
fn a_nodes_certificate_is_a_servers_and_a_clients_for_ninety_days() {
    let issued = internal("CA").issue_node(&host("n1"), address(), now(), &RANDOM).unwrap();
    let info = issued.info();
    assert_eq!(info.names, ["n1", "10.9.0.11", "127.0.0.1"]);
    assert_eq!(info.issuer, "CN=CA");
    assert_eq!(info.not_after.since(info.not_before), 90 * DAY);
    assert!(info.not_before < now());
    assert_eq!(purposes(&issued), (true, true));
}

#[test]
fn a_users_certificate_is_a_clients_only_and_a_node_of_that_name_is_not_that_user() {
    let authority = internal("CA");
    for user in ClusterUser::ALL {
        let issued = authority.issue_user(user, now(), &RANDOM).unwrap();
        assert_eq!(issued.info().subject, format!("CN={}", user.name()));
        assert_eq!(issued.info().names, Vec::<String>::new());
        assert_eq!(purposes(&issued), (false, true));
        let namesake = authority.issue_node(&host(user.name()), address(), now(), &RANDOM).unwrap();
        assert_ne!(namesake.info().subject, issued.info().subject);
    }
}

#[test]
fn a_long_name_of_a_node_is_among_its_names_and_nowhere_else() {
    let long = "x".repeat(63);
    let issued = internal("CA").issue_node(&host(&long), address(), now(), &RANDOM).unwrap();
    assert!(issued.info().covers(&long));
    assert_eq!(issued.info().subject, "CN=node");
}

#[test]
fn a_certificate_is_due_when_a_third_of_its_life_is_left() {
    let authority = internal("CA");
    let (name, address) = (host("n1"), address());
    let issued = authority.issue_node(&name, address, now(), &RANDOM).unwrap();
    let due = |when| issued.renewal_of_node(&name, address, &authority, when).unwrap();
    assert_eq!(due(now()), None);
    let third = issued.info().not_after.minus(30 * DAY);
    assert_eq!(due(third.minus(Duration::from_secs(1))), None);
    assert_eq!(due(third), Some(Renewal::Due));
    assert_eq!(due(issued.info().not_after.plus(DAY)), Some(Renewal::Due));
    assert_eq!(due(now().minus(DAY)), Some(Renewal::Due), "it was made by a clock that was ahead");
}

#[test]
fn another_name_another_address_or_another_ca_needs_another_certificate() {
    let authority = internal("CA");
    let issued = authority.issue_node(&host("n1"), address(), now(), &RANDOM).unwrap();
    let other = "10.9.0.12".parse().unwrap();
    let due = |name, address, authority| {
        issued.renewal_of_node(&host(name), address, authority, now()).unwrap()
    };
    assert_eq!(due("n1", address(), &authority), None);
    assert_eq!(due("n2", address(), &authority), Some(Renewal::Names));
    assert_eq!(due("n1", other, &authority), Some(Renewal::Names));
    // The name of the CA is the same; its key is not.
    assert_eq!(due("n1", address(), &internal("CA")), Some(Renewal::Authority));
}

#[test]
fn stored_parts_are_read_again_and_foreign_ones_refused() {
    let authority = internal("CA");
    let issued = authority.issue_user(ClusterUser::Palisade, now(), &RANDOM).unwrap();
    let again = NodeCertificate::from_parts(issued.certificate_pem(), issued.key_pem()).unwrap();
    assert_eq!(again.info(), issued.info());
    assert_eq!(again.renewal(&authority, now()), None);
    let other = authority.issue_user(ClusterUser::Palisade, now(), &RANDOM).unwrap();
    assert!(NodeCertificate::from_parts(issued.certificate_pem(), other.key_pem()).is_err());
    let broken = Secret::new("no key".to_owned());
    assert!(NodeCertificate::from_parts(issued.certificate_pem(), &broken).is_err());
    assert!(!format!("{issued:?}").contains("PRIVATE"));
}

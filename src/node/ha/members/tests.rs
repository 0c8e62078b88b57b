//! Members, good and bad ones, kept and read again.

use std::time::Duration;

use super::*;

pub(in crate::node::ha) fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

/// The node `n<number>` at `10.9.0.1<number>`.
pub(in crate::node::ha) fn member(number: u8) -> Member {
    Member {
        name: name(&format!("n{number}")),
        address: Ipv4Addr::new(10, 9, 0, 10 + number),
        host: Some(format!("host {number}")),
        joined: Timestamp::from_seconds(1_795_325_306 + i64::from(number)),
        certificate: format!("AA:{number:02}"),
    }
}

/// A cluster of so many nodes.
pub(in crate::node::ha) fn cluster(nodes: u8) -> Members {
    let founded = Members::founded("0123456789ab".parse().expect("a uid"), member(1));
    (2..=nodes)
        .fold(founded.expect("founded"), |all, number| all.with(member(number)).expect("it fits"))
}

#[test]
fn a_text_is_read_as_it_was_written_or_refused_with_a_reason() {
    for nodes in 1..=3 {
        let text = cluster(nodes).to_json();
        assert_eq!(Members::from_json(&text).expect("read"), cluster(nodes));
    }
    let good = cluster(2).to_json();
    let twice = good.replace("10.9.0.12", "10.9.0.11");
    let stranger = good.replace("\"cluster\"", "\"leader\":1,\"cluster\"");
    let empty = "{\"version\":1,\"cluster\":\"0123456789ab\",\"members\":[]}".to_owned();
    for text in [good[..good.len() - 3].to_owned(), twice, stranger, empty] {
        let fault = Members::from_json(&text).expect_err("refused");
        assert!(matches!(fault, TextFault::Damaged(_)), "{fault}");
    }
    let newer = Members::from_json("{\"version\":2,\"nodes\":{}}").expect_err("refused");
    assert!(matches!(newer, TextFault::Version { found: 2 }), "{newer}");
    assert!(newer.to_string().contains("start the version that wrote it"), "{newer}");
}

#[test]
fn no_two_members_share_name_address_or_certificate() {
    let two = cluster(2);
    let mut same = member(3);
    same.name = name("n1");
    assert_eq!(two.with(same), Err(MemberFault::SameName(name("n1"))));
    let mut same = member(3);
    same.address = member(2).address;
    let fault = MemberFault::SameAddress { address: member(2).address, holder: name("n2") };
    assert_eq!(two.could_take(&same.name, same.address), Err(fault.clone()));
    assert_eq!(two.with(same), Err(fault));
    let mut same = member(3);
    same.certificate = member(1).certificate;
    assert_eq!(two.with(same), Err(MemberFault::SameCertificate(name("n1"))));
}

#[test]
fn three_nodes_are_all_and_none_is_too_few() {
    assert_eq!(cluster(3).with(member(4)), Err(MemberFault::Full));
    assert_eq!(cluster(3).could_take(&name("n4"), member(4).address), Err(MemberFault::Full));
    assert_eq!(cluster(1).without(&name("n1")), Err(MemberFault::Empty));
    assert_eq!(cluster(2).free_name(&name("n2")), name("n2-2"));
    assert_eq!(cluster(1).without(&name("n2")), Err(MemberFault::Unknown(name("n2"))));
}

#[test]
fn who_leaves_makes_room_for_a_new_machine_in_the_same_place() {
    let left = cluster(3).without(&name("n2")).expect("it leaves");
    let names: Vec<_> = left.all().iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["n1", "n3"]);
    let back = left.with(member(2)).expect("the place is free");
    assert_eq!(back.others(&name("n1")).count(), 2);
}

#[test]
fn a_renewed_certificate_is_the_members_own() {
    let three = cluster(3);
    let renewed = three.with_certificate(&name("n2"), "BB").expect("renewed");
    assert_eq!(renewed.get(&name("n2")).expect("there").certificate, "BB");
    assert_eq!(renewed.get(&name("n3")).expect("there").certificate, "AA:03");
    let stolen = three.with_certificate(&name("n2"), "AA:03");
    assert_eq!(stolen, Err(MemberFault::SameCertificate(name("n2"))));
}

#[test]
fn an_address_of_nobody_and_a_host_that_cannot_be_shown_are_refused() {
    for address in ["0.0.0.0", "255.255.255.255", "224.0.0.18"] {
        let mut wrong = member(2);
        wrong.address = address.parse().expect("an address");
        let fault = cluster(1).with(wrong).expect_err("refused");
        assert!(matches!(fault, MemberFault::NoHostAddress(_)), "{fault}");
    }
    for host in ["", "a\u{1b}[2Jb", &"x".repeat(65)] {
        let wrong = Member { host: Some(host.to_owned()), ..member(2) };
        assert_eq!(cluster(1).with(wrong), Err(MemberFault::Host), "{host:?}");
    }
}

#[test]
fn members_on_one_host_are_named() {
    let mut second = member(2);
    second.host = member(1).host;
    let mut third = member(3);
    third.host = None;
    let all = cluster(1).with(second).expect("fits").with(third).expect("fits");
    let warnings: Vec<_> = all.warnings(&[]).iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("n1 and n2 share a failure domain"), "{warnings:?}");
    assert!(cluster(3).warnings(&[]).is_empty());
}

#[test]
fn clocks_that_differ_are_named_with_the_two_that_are_furthest_apart() {
    let reading = |number: u8, micros: i64| Reading {
        name: member(number).name,
        shows: Timestamp::from_micros(1_795_325_306_000_000 + micros),
    };
    let all = cluster(3);
    let near = [reading(1, 0), reading(2, 1_000_000), reading(3, 400_000)];
    assert_eq!(all.warnings(&near), []);
    let far = [reading(1, 0), reading(2, 3_600_000_000), reading(3, -1)];
    assert_eq!(
        all.warnings(&far),
        [Warning::ClockDifference {
            behind: name("n3"),
            ahead: name("n2"),
            difference: Duration::from_micros(3_600_000_001),
        }]
    );
}

#[test]
fn a_name_is_one_label_and_a_taken_one_gets_a_number() {
    for wrong in ["", "-a", "a-", "A", "a.b", "a b", "ä", "a\n", &"x".repeat(64)] {
        assert_eq!(wrong.parse::<NodeName>(), Err(NotANodeName), "{wrong:?}");
    }
    let taken = [name("palisade"), name("palisade-2")];
    assert_eq!(name("palisade").free_among(&taken), name("palisade-3"));
    assert_eq!(name("other").free_among(&taken), name("other"));
    let long = name(&"x".repeat(63));
    let free = long.free_among(std::slice::from_ref(&long));
    assert_eq!(free.as_str().parse(), Ok(free.clone()));
    assert_eq!(free.as_str().len(), 63);
}

//! Who gets in, and everybody who does not.

mod attacks;
mod connections;

use std::time::Duration;

use super::*;
use crate::{
    clock::{SystemRandom, TestClock, Timestamp},
    node::ha::members::tests::{cluster, member},
    secret::Secret,
};

const RANDOM: SystemRandom = SystemRandom;

fn clock() -> TestClock {
    TestClock::at(Timestamp::from_seconds(1_795_325_306))
}

fn introduction(number: u8) -> Introduction {
    let member = member(number);
    Introduction::new(member.name, member.address, member.host)
}

/// What the second node is given.
pub(super) fn hand_over() -> HandOver {
    let credential = |name: &str| Credential {
        name: name.to_owned(),
        certificate_pem: format!("the certificate of {name}"),
        key_pem: Secret::new(format!("the key of {name}")),
    };
    HandOver {
        name: member(2).name,
        members: cluster(2),
        authority_pem: "the authority".to_owned(),
        credentials: vec![credential("node"), credential("palisade")],
        keystore: Secret::new(vec![7; 100]),
    }
}

/// Where a message is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Hello,
    Answer,
    ProofOfJoining,
    ProofOfMember,
    HandOver,
    Receipt,
}

const STEPS: [Step; 6] = [
    Step::Hello,
    Step::Answer,
    Step::ProofOfJoining,
    Step::ProofOfMember,
    Step::HandOver,
    Step::Receipt,
];

/// How an exchange ended: what the new node has, and what each side thinks.
#[derive(Debug)]
struct Outcome {
    joined: Result<Joined, Refusal>,
    received: Result<Introduction, Refusal>,
}

impl Outcome {
    /// Neither has the new node anything nor does the member count it in.
    fn refused(self) -> (Refusal, Refusal) {
        (self.joined.expect_err("nothing is handed over"), self.received.expect_err("no member"))
    }
}

/// One whole exchange, in which `way` sees every message and may alter it.
fn exchange(
    code: &JoinCode,
    invitation: &mut Invitation,
    clock: &TestClock,
    mut way: impl FnMut(Step, &mut Vec<u8>),
) -> Outcome {
    let mut way = |step, mut message| {
        way(step, &mut message);
        message
    };
    let gone = Refusal::Disconnected;
    let told = |refusal: &Refusal| message::refusal(refusal);

    let (joining, hello) = Joining::start(code, introduction(2), &RANDOM);
    let hello = way(Step::Hello, hello);
    let greeted = Receiving::greeted(Some(invitation), &introduction(1), &hello, clock, &RANDOM);
    let (receiving, answer) = match greeted {
        Ok(step) => step,
        Err(refusal) => {
            let joined = joining.answered(&told(&refusal)).map(|_| unreachable!("a refusal"));
            return Outcome { joined, received: Err(refusal) };
        }
    };
    let (proving, proof) = match joining.answered(&way(Step::Answer, answer)) {
        Ok(step) => step,
        Err(refusal) => return Outcome { joined: Err(refusal), received: Err(gone) },
    };
    let proof = way(Step::ProofOfJoining, proof);
    let (admitted, proof) = match receiving.proved(Some(invitation), &proof, clock) {
        Ok(step) => step,
        Err(refusal) => {
            let joined = proving.proved(&told(&refusal)).map(|_| unreachable!("a refusal"));
            return Outcome { joined, received: Err(refusal) };
        }
    };
    let waiting = match proving.proved(&way(Step::ProofOfMember, proof)) {
        Ok(step) => step,
        Err(refusal) => return Outcome { joined: Err(refusal), received: Err(gone) },
    };
    assert_eq!(waiting.fingerprint(), admitted.fingerprint());
    assert_eq!((admitted.newcomer(), waiting.member()), (&introduction(2), &introduction(1)));
    let (handing, content) = admitted.hand_over(&hand_over(), &RANDOM);
    let (joined, receipt) = match waiting.received(&way(Step::HandOver, content)) {
        Ok(step) => step,
        Err(refusal) => return Outcome { joined: Err(refusal), received: Err(gone) },
    };
    Outcome { joined: Ok(joined), received: handing.received(&way(Step::Receipt, receipt)) }
}

fn undisturbed(code: &JoinCode, invitation: &mut Invitation, clock: &TestClock) -> Outcome {
    exchange(code, invitation, clock, |_, _| ())
}

/// An invitation, and its code as the new node has typed it.
fn invited(clock: &TestClock) -> (Invitation, JoinCode) {
    let invitation = Invitation::new(clock, &RANDOM);
    let shown = invitation.code().expose_grouped();
    let typed = JoinCode::parse(&shown.expose().to_lowercase()).expect("typed well");
    (invitation, typed)
}

#[test]
fn the_right_code_lets_the_node_in() {
    let clock = clock();
    let (mut invitation, code) = invited(&clock);
    clock.advance(LIFETIME.saturating_sub(Duration::from_secs(1)));
    let outcome = undisturbed(&code, &mut invitation, &clock);
    assert_eq!(outcome.received, Ok(introduction(2)));
    let joined = outcome.joined.expect("it is in");
    assert_eq!(joined.hand_over.members, cluster(2));
    assert_eq!(joined.hand_over.keystore.expose(), &vec![7; 100]);
    assert_eq!(joined.member, introduction(1));
    let fingerprint = joined.fingerprint.to_string();
    assert_eq!((fingerprint.len(), fingerprint.find('-')), (9, Some(4)), "{fingerprint}");
}

#[test]
fn every_exchange_has_a_fingerprint_of_its_own() {
    let clock = clock();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let (mut invitation, code) = invited(&clock);
        let joined = undisturbed(&code, &mut invitation, &clock).joined.expect("it is in");
        assert!(seen.insert(joined.fingerprint.to_string()));
    }
}

#[test]
fn a_wrong_code_is_refused_and_the_third_one_ends_the_invitation() {
    let clock = clock();
    let (mut invitation, right) = invited(&clock);
    for tries_left in [2, 1, 0] {
        let wrong = JoinCode::random(&RANDOM);
        let (joining, member) = undisturbed(&wrong, &mut invitation, &clock).refused();
        assert_eq!(member, Refusal::WrongCode { tries_left });
        assert_eq!(joining, Refusal::Told(Box::new(member)));
        assert_eq!(invitation.tries_left(), tries_left);
    }
    let (joining, member) = undisturbed(&right, &mut invitation, &clock).refused();
    assert_eq!(member, Refusal::TooManyTries);
    let sentence = joining.to_string();
    assert!(sentence.contains("make a new join code on the first node"), "{sentence}");
    assert_eq!(invitation.left(&clock), Duration::ZERO);
}

#[test]
fn two_wrong_codes_do_not_keep_the_right_one_out() {
    let clock = clock();
    let (mut invitation, right) = invited(&clock);
    for _ in 0..2 {
        undisturbed(&JoinCode::random(&RANDOM), &mut invitation, &clock).refused();
    }
    assert!(undisturbed(&right, &mut invitation, &clock).received.is_ok());
}

#[test]
fn an_expired_code_is_refused_however_the_clock_is_set() {
    let clock = clock();
    let (mut invitation, code) = invited(&clock);
    assert_eq!(invitation.left(&clock), LIFETIME);
    clock.advance(LIFETIME);
    clock.set(Timestamp::from_seconds(0));
    let (joining, member) = undisturbed(&code, &mut invitation, &clock).refused();
    assert_eq!((joining, member), (Refusal::Told(Box::new(Refusal::Expired)), Refusal::Expired));
}

#[test]
fn a_code_that_expires_during_the_exchange_lets_nobody_in() {
    let clock = clock();
    let (mut invitation, code) = invited(&clock);
    clock.advance(LIFETIME.saturating_sub(Duration::from_secs(1)));
    let outcome = exchange(&code, &mut invitation, &clock, |step, _| {
        if step == Step::ProofOfJoining {
            clock.advance(Duration::from_secs(1));
        }
    });
    assert_eq!(outcome.refused().1, Refusal::Expired);
}

#[test]
fn a_code_that_was_used_is_refused() {
    let clock = clock();
    let (mut invitation, code) = invited(&clock);
    undisturbed(&code, &mut invitation, &clock).joined.expect("the first is in");
    assert_eq!(undisturbed(&code, &mut invitation, &clock).refused().1, Refusal::Used);
}

#[test]
fn of_two_that_know_the_code_one_gets_in() {
    let clock = clock();
    let (mut invitation, code) = invited(&clock);
    let begin = |invitation: &Invitation, number: u8| {
        let (joining, hello) = Joining::start(&code, introduction(number), &RANDOM);
        let own = introduction(1);
        let (receiving, answer) =
            Receiving::greeted(Some(invitation), &own, &hello, &clock, &RANDOM).expect("invited");
        let (_, proof) = joining.answered(&answer).expect("answered");
        (receiving, proof)
    };
    let (first, first_proof) = begin(&invitation, 2);
    let (second, second_proof) = begin(&invitation, 3);
    assert!(first.proved(Some(&mut invitation), &first_proof, &clock).is_ok());
    let late = second.proved(Some(&mut invitation), &second_proof, &clock);
    assert_eq!(late.err(), Some(Refusal::Used));
}

#[test]
fn an_exchange_ends_with_its_invitation_and_not_with_the_next_one() {
    let clock = clock();
    let (old, code) = invited(&clock);
    let (joining, hello) = Joining::start(&code, introduction(2), &RANDOM);
    let (receiving, answer) =
        Receiving::greeted(Some(&old), &introduction(1), &hello, &clock, &RANDOM).expect("invited");
    let (_, proof) = joining.answered(&answer).expect("answered");
    let (mut new, new_code) = invited(&clock);
    let late = receiving.proved(Some(&mut new), &proof, &clock);
    assert_eq!(late.err(), Some(Refusal::Expired));
    assert_eq!(new.tries_left(), TRIES, "the new code was not guessed at");
    assert!(undisturbed(&new_code, &mut new, &clock).received.is_ok());
}

#[test]
fn nobody_gets_in_without_an_invitation() {
    let clock = clock();
    let (_, hello) = Joining::start(&JoinCode::random(&RANDOM), introduction(2), &RANDOM);
    let none = Receiving::greeted(None, &introduction(1), &hello, &clock, &RANDOM);
    assert_eq!(none.err(), Some(Refusal::NotInvited));
}

#[test]
fn releases_that_cannot_work_together_are_named_before_the_code_is_tried() {
    let clock = clock();
    let (invitation, code) = invited(&clock);
    let release = |version: &str, oldest: &str| Introduction {
        version: version.parse().expect("a version"),
        oldest: oldest.parse().expect("a version"),
        ..introduction(2)
    };
    let greet = |joining: Introduction, cluster: Introduction| {
        let (_, hello) = Joining::start(&code, joining, &RANDOM);
        Receiving::greeted(Some(&invitation), &cluster, &hello, &clock, &RANDOM).map(|_| ())
    };
    let cluster = || release("2.1.0", "2.0.0");
    for (version, oldest) in [("2.1.0", "2.0.0"), ("2.0.0", "1.0.0"), ("2.2.0", "2.1.0")] {
        assert_eq!(greet(release(version, oldest), cluster()), Ok(()), "{version}");
    }
    for (version, oldest) in [("1.9.0", "1.0.0"), ("3.0.0", "2.2.0")] {
        let refusal = greet(release(version, oldest), cluster()).expect_err("refused");
        let wanted = Refusal::Versions {
            joining: version.parse().expect("a version"),
            cluster: cluster().version,
        };
        assert_eq!(refusal, wanted);
        assert!(refusal.to_string().contains("bring the new node to 2.1.0"), "{refusal}");
    }
    // The node that joins looks too.
    let (joining, _) = Joining::start(&code, release("1.9.0", "1.0.0"), &RANDOM);
    let answer = message::greeting(message::Kind::Answer, &cluster(), &[0; 33]);
    assert!(matches!(joining.answered(&answer).err(), Some(Refusal::Versions { .. })));
}

#[test]
fn another_form_of_the_protocol_is_named_whatever_follows_its_number() {
    let clock = clock();
    let (invitation, code) = invited(&clock);
    let own = introduction(1);
    let hello = [&[message::Kind::Hello as u8, 0, 2][..], b"what nobody knows yet"].concat();
    let refused = Receiving::greeted(Some(&invitation), &own, &hello, &clock, &RANDOM).err();
    assert_eq!(refused, Some(Refusal::Protocol { joining: 2, cluster: PROTOCOL }));
    let (joining, _) = Joining::start(&code, introduction(2), &RANDOM);
    let answer = [message::Kind::Answer as u8, 0, 2];
    let refused = joining.answered(&answer).err();
    assert_eq!(refused, Some(Refusal::Protocol { joining: PROTOCOL, cluster: 2 }));
}

#[test]
fn a_refusal_from_anybody_cannot_disturb_the_screen() {
    let shout = Refusal::Failed { why: format!("\u{1b}[2J{}", "x".repeat(4_000)) };
    let (joining, _) = Joining::start(&JoinCode::random(&RANDOM), introduction(2), &RANDOM);
    let told = joining.answered(&message::refusal(&shout)).err().expect("refused");
    let Refusal::Told(inner) = told else { panic!("{told}") };
    let Refusal::Failed { why } = *inner else { panic!("{inner}") };
    assert!(why.len() <= 300 && why.starts_with("[2J"), "{why}");
}

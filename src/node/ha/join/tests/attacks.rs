//! Somebody between the two who can read and write everything but the code.

use super::*;
use crate::node::ha::members::NodeName;

#[test]
fn a_byte_altered_anywhere_in_any_message_ends_the_exchange() {
    let clock = clock();
    let mut tried = 0;
    for step in STEPS {
        for place in 0.. {
            let (mut invitation, code) = invited(&clock);
            let mut within = false;
            let outcome = exchange(&code, &mut invitation, &clock, |at, message| {
                if at == step && place < message.len() {
                    message[place] ^= 1 << (place % 8);
                    within = true;
                }
            });
            if !within {
                assert!(outcome.received.is_ok(), "nothing was altered");
                break;
            }
            tried += 1;
            let refusal = outcome.received.expect_err("the member counts nobody in");
            if step == Step::Receipt {
                assert_eq!(refusal, Refusal::Malformed, "byte {place} of {step:?}");
            } else {
                let refusal = outcome.joined.expect_err("nothing is handed over");
                assert!(refusal.to_string().len() > 40, "byte {place} of {step:?}: {refusal}");
            }
        }
    }
    assert!(tried > 500, "only {tried} bytes");
}

#[test]
fn a_message_cut_or_grown_ends_the_exchange() {
    let clock = clock();
    let changes: [fn(&mut Vec<u8>); 3] =
        [|message| message.truncate(message.len() - 1), |message| message.push(0), Vec::clear];
    for step in STEPS {
        for change in changes {
            let (mut invitation, code) = invited(&clock);
            let outcome = exchange(&code, &mut invitation, &clock, |at, message| {
                if at == step {
                    change(message);
                }
            });
            assert!(outcome.received.is_err(), "{step:?}");
            assert!(step == Step::Receipt || outcome.joined.is_err(), "{step:?}");
        }
    }
}

/// Plays the member to the one that joins and the node that joins to the
/// member, each with its own shares.
#[test]
fn a_man_in_the_middle_who_guesses_the_code_is_refused_by_both() {
    let clock = clock();
    let (mut invitation, code) = invited(&clock);
    let (guess, mut own_invitation) = (JoinCode::random(&RANDOM), Invitation::new(&clock, &RANDOM));

    let (joining, hello) = Joining::start(&code, introduction(2), &RANDOM);
    let (fake_member, fake_answer) =
        Receiving::greeted(Some(&own_invitation), &introduction(1), &hello, &clock, &RANDOM)
            .expect("he plays along");
    let (proving, proof) = joining.answered(&fake_answer).expect("nothing shows yet");
    let caught = fake_member.proved(Some(&mut own_invitation), &proof, &clock);
    assert!(caught.is_err(), "he cannot tell that this was the code");
    // All he can send instead of the member's proof is something made up.
    let (fake, fake_hello) = Joining::start(&guess, introduction(2), &RANDOM);
    let (receiving, answer) =
        Receiving::greeted(Some(&invitation), &introduction(1), &fake_hello, &clock, &RANDOM)
            .expect("invited");
    let (_, fake_proof) = fake.answered(&answer).expect("nothing shows yet");
    for made_up in [&proof, &fake_proof] {
        let as_members = [&[message::Kind::ProofOfMember as u8][..], &made_up[1..]].concat();
        let (again, hello) = Joining::start(&code, introduction(2), &RANDOM);
        let (_, answer) =
            Receiving::greeted(Some(&own_invitation), &introduction(1), &hello, &clock, &RANDOM)
                .expect("he plays along");
        let (again, _) = again.answered(&answer).expect("nothing shows yet");
        assert_eq!(again.proved(&as_members).err(), Some(Refusal::Impostor));
    }
    assert!(proving.proved(&fake_proof).is_err());
    let refused = receiving.proved(Some(&mut invitation), &fake_proof, &clock).err();
    assert_eq!(refused, Some(Refusal::WrongCode { tries_left: 2 }));
}

/// Hands the shares on untouched, which both sides would agree over, and
/// changes who they come from.
#[test]
fn a_man_in_the_middle_cannot_put_himself_in_the_place_of_either() {
    let clock = clock();
    let change_of = |step: Step, change: fn(&mut Introduction)| {
        let (mut invitation, code) = invited(&clock);
        let mut changed = false;
        let outcome = exchange(&code, &mut invitation, &clock, |at, message| {
            if at == step {
                let kind =
                    if step == Step::Hello { message::Kind::Hello } else { message::Kind::Answer };
                let (mut of, share) = message::read_greeting(kind, message).expect("a greeting");
                change(&mut of);
                let altered = message::greeting(kind, &of, &share);
                changed = altered != *message;
                *message = altered;
            }
        });
        assert!(changed);
        assert_eq!(outcome.refused().1, Refusal::WrongCode { tries_left: 2 });
    };
    for step in [Step::Hello, Step::Answer] {
        change_of(step, |of| of.address = [10, 9, 0, 66].into());
        change_of(step, |of| of.name = "mallory".parse::<NodeName>().expect("a name"));
        change_of(step, |of| of.host = None);
        change_of(step, |of| of.version = "0.1.1".parse().expect("a version"));
    }
}

#[test]
fn what_a_side_has_sent_does_not_count_when_it_comes_back() {
    let clock = clock();
    let (invitation, code) = invited(&clock);
    let (joining, hello) = Joining::start(&code, introduction(2), &RANDOM);
    let mut back = hello.clone();
    back[0] = message::Kind::Answer as u8;
    assert_eq!(joining.answered(&back).err(), Some(Refusal::Malformed));

    let (joining, hello) = Joining::start(&code, introduction(2), &RANDOM);
    let (_, answer) =
        Receiving::greeted(Some(&invitation), &introduction(1), &hello, &clock, &RANDOM)
            .expect("invited");
    let (proving, mut proof) = joining.answered(&answer).expect("answered");
    proof[0] = message::Kind::ProofOfMember as u8;
    assert_eq!(proving.proved(&proof).err(), Some(Refusal::Impostor));
}

#[test]
fn messages_of_an_earlier_exchange_are_worth_nothing() {
    let clock = clock();
    // Even with the same code, which a member that starts again never draws twice.
    let (mut recorded, code) = invited(&clock);
    let mut tape = Vec::new();
    exchange(&code, &mut recorded, &clock, |_, message| tape.push(message.clone()))
        .joined
        .expect("the real one is in");
    assert_eq!(tape.len(), STEPS.len());

    // To a member: all that the node said.
    let mut invitation = Invitation::new(&clock, &RANDOM);
    let own = introduction(1);
    let (receiving, _) =
        Receiving::greeted(Some(&invitation), &own, &tape[0], &clock, &RANDOM).expect("invited");
    let refused = receiving.proved(Some(&mut invitation), &tape[2], &clock).err();
    assert_eq!(refused, Some(Refusal::WrongCode { tries_left: 2 }));

    // To a node that joins by the same code: all that the member said.
    let (joining, _) = Joining::start(&code, introduction(2), &RANDOM);
    let (proving, _) = joining.answered(&tape[1]).expect("nothing shows yet");
    assert_eq!(proving.proved(&tape[3]).err(), Some(Refusal::Impostor));

    // Each message alone, in the place of the same one of a good exchange.
    for (step, old) in STEPS.into_iter().zip(&tape) {
        let (mut invitation, code) = invited(&clock);
        let outcome = exchange(&code, &mut invitation, &clock, |at, message| {
            if at == step {
                message.clone_from(old);
            }
        });
        assert!(outcome.received.is_err(), "{step:?}");
        assert!(step == Step::Receipt || outcome.joined.is_err(), "{step:?}");
    }
}

#[test]
fn who_only_listens_sees_neither_the_code_nor_what_is_handed_over() {
    let clock = clock();
    let (mut invitation, code) = invited(&clock);
    let mut heard = Vec::new();
    exchange(&code, &mut invitation, &clock, |_, message| heard.extend_from_slice(message))
        .joined
        .expect("it is in");
    let contains = |secret: &[u8]| heard.windows(secret.len()).any(|part| part == secret);
    assert!(!contains(code.expose()));
    assert!(!contains(code.expose_grouped().expose().as_bytes()));
    assert!(!contains(b"the key of node") && !contains(&[7; 16]));
    assert!(contains(b"10.9.0.12"), "the addresses are no secret");
}

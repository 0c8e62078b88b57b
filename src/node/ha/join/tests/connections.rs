//! The same over connections: streams in memory, and a real socket.

use std::sync::Mutex;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
};

use super::{
    wire::{Door, Limits, dial, receive},
    *,
};
use crate::clock::SystemClock;

/// Short where nothing is waited for but what never comes.
const IMPATIENT: Duration = Duration::from_millis(100);

fn door(invitation: &Mutex<Option<Invitation>>, limits: Limits) -> Door<'_> {
    Door { own: introduction(1), invitation, clock: &SystemClock, random: &RANDOM, limits }
}

fn open() -> (Mutex<Option<Invitation>>, JoinCode) {
    let invitation = Invitation::new(&SystemClock, &RANDOM);
    let code = invitation.code().clone();
    (Mutex::new(Some(invitation)), code)
}

/// Both sides over these two ends; what was shown, and how it ended.
async fn both(
    mut joining: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    mut member: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    code: &JoinCode,
    invitation: &Mutex<Option<Invitation>>,
    prepared: Result<HandOver, Refusal>,
) -> (Outcome, [Option<Fingerprint>; 2]) {
    let (mut left, mut right) = (None, None);
    let door = door(invitation, Limits::default());
    let limits = Limits::default();
    let (joined, received) = tokio::join!(
        dial(&mut joining, code, introduction(2), &RANDOM, &limits, |waiting| {
            left = Some(waiting.fingerprint());
        }),
        receive(&mut member, &door, async |newcomer: &Introduction, fingerprint| {
            assert_eq!(*newcomer, introduction(2));
            right = Some(fingerprint);
            prepared
        }),
    );
    (Outcome { joined, received }, [left, right])
}

#[tokio::test]
async fn a_node_joins_over_a_stream_that_carries_few_bytes_at_a_time() {
    let (invitation, code) = open();
    let (joining, member) = duplex(7);
    let (outcome, [left, right]) = both(joining, member, &code, &invitation, Ok(hand_over())).await;
    assert_eq!(outcome.received, Ok(introduction(2)));
    assert_eq!(outcome.joined.expect("in").hand_over.members, cluster(2));
    assert!(left.is_some() && left == right, "{left:?} and {right:?}");
}

#[tokio::test]
async fn a_node_joins_over_a_socket_and_another_one_with_the_same_code_does_not() {
    let (invitation, code) = open();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    for first in [true, false] {
        let (joining, member) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (joining, (member, _)) = (joining.expect("connected"), member.expect("accepted"));
        let (outcome, shown) = both(joining, member, &code, &invitation, Ok(hand_over())).await;
        if first {
            assert_eq!(outcome.received, Ok(introduction(2)));
            assert!(outcome.joined.is_ok());
        } else {
            assert_eq!(shown, [None, None]);
            let (joining, member) = outcome.refused();
            assert_eq!(member, Refusal::Used);
            assert_eq!(joining, Refusal::Told(Box::new(Refusal::Used)));
        }
    }
}

#[tokio::test]
async fn both_sides_hear_why_a_wrong_code_is_refused() {
    let (invitation, _) = open();
    let (joining, member) = duplex(4_096);
    let wrong = JoinCode::random(&RANDOM);
    let (outcome, shown) = both(joining, member, &wrong, &invitation, Ok(hand_over())).await;
    let (joining, member) = outcome.refused();
    assert_eq!(member, Refusal::WrongCode { tries_left: 2 });
    assert_eq!(joining, Refusal::Told(Box::new(member)));
    assert_eq!(shown, [None, None], "nobody is asked to compare anything");
}

#[tokio::test]
async fn a_member_without_an_invitation_says_so() {
    let (joining, member) = duplex(4_096);
    let none = Mutex::new(None);
    let code = JoinCode::random(&RANDOM);
    let (outcome, _) = both(joining, member, &code, &none, Ok(hand_over())).await;
    assert_eq!(outcome.refused().1, Refusal::NotInvited);
}

#[tokio::test]
async fn what_cannot_be_prepared_is_told_to_the_node() {
    let (invitation, code) = open();
    let (joining, other_end) = duplex(4_096);
    let full = cluster(3).with(member(4)).expect_err("full").to_string();
    let why = Refusal::NotAMember { why: full };
    let (outcome, _) = both(joining, other_end, &code, &invitation, Err(why.clone())).await;
    assert_eq!(outcome.refused(), (Refusal::Told(Box::new(why.clone())), why));
}

fn impatient() -> Limits {
    Limits { step: IMPATIENT, preparation: IMPATIENT, hand_over: 4_096 }
}

/// The member's side against somebody who does what he likes with the other end.
async fn against(act: impl AsyncFnOnce(&mut DuplexStream)) -> Refusal {
    let (invitation, _) = open();
    let (mut other, mut member) = duplex(64 * 1_024);
    let door = door(&invitation, impatient());
    let nothing = async |_: &Introduction, _: Fingerprint| -> Result<HandOver, Refusal> {
        panic!("nothing is prepared for a stranger")
    };
    let receiving = receive(&mut member, &door, nothing);
    let (received, ()) = tokio::join!(receiving, act(&mut other));
    let left = invitation.lock().expect("whole").as_ref().expect("open").tries_left();
    assert_eq!(left, TRIES, "no code was tried");
    received.expect_err("refused")
}

#[tokio::test]
async fn the_member_waits_for_nobody_for_ever() {
    assert_eq!(against(async |_| ()).await, Refusal::TimedOut, "silence");
    let slow = against(async |other| {
        for byte in [0, 0, 1, 0, 1] {
            other.write_all(&[byte]).await.expect("sent");
        }
    });
    assert_eq!(slow.await, Refusal::TimedOut, "half a message");
}

#[tokio::test]
async fn the_member_refuses_what_is_too_large_before_it_arrives() {
    let large = against(async |other| {
        other.write_all(&u32::MAX.to_be_bytes()).await.expect("sent");
        let length = other.read_u32().await.expect("an answer");
        let mut told = vec![0; usize::try_from(length).expect("small")];
        other.read_exact(&mut told).await.expect("whole");
        let refusal = message::body(message::Kind::Answer, &told).expect_err("a refusal");
        assert_eq!(refusal, Refusal::Told(Box::new(Refusal::Malformed)));
    });
    assert_eq!(large.await, Refusal::Malformed);
}

#[tokio::test]
async fn the_member_survives_noise() {
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 0], &[0, 0, 0, 1, 9]] {
        let heard = against(async |other| other.write_all(noise).await.expect("sent"));
        assert_eq!(heard.await, Refusal::Malformed, "{noise:?}");
    }
}

#[tokio::test]
async fn a_node_that_breaks_off_before_its_receipt_is_no_member() {
    let (invitation, code) = open();
    let (mut joining, mut member) = duplex(64 * 1_024);
    let door = door(&invitation, Limits::default());
    let prepare = async |_: &Introduction, _: Fingerprint| Ok(hand_over());
    let leave = async {
        let limits = Limits { hand_over: 10, ..Limits::default() };
        let result = dial(&mut joining, &code, introduction(2), &RANDOM, &limits, |_| ()).await;
        drop(joining);
        result
    };
    let (received, joined) = tokio::join!(receive(&mut member, &door, prepare), leave);
    assert_eq!(received, Err(Refusal::Disconnected));
    assert_eq!(joined.expect_err("too large for it"), Refusal::Malformed);
}

#[tokio::test]
async fn a_member_that_prepares_for_too_long_gives_up_and_says_so() {
    let (invitation, code) = open();
    let (mut joining, mut member) = duplex(64 * 1_024);
    let door = door(&invitation, Limits { preparation: IMPATIENT, ..Limits::default() });
    let never = async |_: &Introduction, _: Fingerprint| -> Result<HandOver, Refusal> {
        std::future::pending().await
    };
    let limits = Limits::default();
    let (received, joined) = tokio::join!(
        receive(&mut member, &door, never),
        dial(&mut joining, &code, introduction(2), &RANDOM, &limits, |_| ()),
    );
    assert_eq!(received, Err(Refusal::TimedOut));
    assert_eq!(joined.expect_err("told"), Refusal::Told(Box::new(Refusal::TimedOut)));
}

#[tokio::test]
async fn the_node_that_joins_waits_for_nobody_for_ever_either() {
    let (mut joining, _member) = duplex(64 * 1_024);
    let code = JoinCode::random(&RANDOM);
    let limits = impatient();
    let silence = dial(&mut joining, &code, introduction(2), &RANDOM, &limits, |_| ()).await;
    assert_eq!(silence.expect_err("nobody answers"), Refusal::TimedOut);
    let (mut joining, member) = duplex(64 * 1_024);
    drop(member);
    let gone = dial(&mut joining, &code, introduction(2), &RANDOM, &limits, |_| ()).await;
    assert_eq!(gone.expect_err("nobody is there"), Refusal::Disconnected);
}

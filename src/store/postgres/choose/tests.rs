use super::*;

fn place(timeline: i64, position: i64) -> Place {
    Place { system: Some(7), timeline: Some(timeline), position: Some(position), started: 0 }
}

fn primary(timeline: i64) -> Answer {
    Answer::Primary(place(timeline, 100))
}

fn standby(timeline: i64) -> Answer {
    Answer::Standby(place(timeline, 90))
}

fn down() -> Answer {
    Answer::Down("Connection refused".into())
}

fn silent() -> Answer {
    Answer::Silent("nothing".into())
}

fn following(server: usize, timeline: i64) -> Known {
    Known { system: Some(7), timeline: Some(timeline), current: Some(server), missed: 0 }
}

fn decide(known: &Known, answers: &[Answer]) -> Choice {
    let names: Vec<_> = (1..=answers.len()).map(|number| format!("db{number}")).collect();
    choose(known, &names, answers)
}

#[track_caller]
fn follows(known: &Known, answers: &[Answer]) -> (usize, String) {
    match decide(known, answers) {
        Choice::Follow(server, why) => (server, why),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn nobody_because(known: &Known, answers: &[Answer]) -> String {
    match decide(known, answers) {
        Choice::Nobody(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_one_that_is_not_in_recovery_is_the_primary() {
    let new = Known::default();
    assert_eq!(follows(&new, &[standby(3), primary(3), down()]).0, 1);
    assert_eq!(follows(&new, &[silent(), silent(), primary(1)]).0, 2);
    assert!(nobody_because(&new, &[standby(3), standby(3), silent()]).contains("no server says"));
}

#[test]
fn of_two_that_say_so_the_promoted_one_replaced_the_other() {
    for known in [Known::default(), following(0, 1), following(1, 2)] {
        let (server, why) = follows(&known, &[primary(1), primary(2), standby(2)]);
        assert_eq!(server, 1);
        assert!(
            why.contains("db1 says that it is the primary, on timeline 1, but there is timeline 2")
        );
    }
}

#[test]
fn a_former_primary_alone_is_not_followed_again() {
    let why = nobody_because(&following(1, 2), &[primary(1), down(), down()]);
    assert!(why.contains("it was replaced") && why.contains("restart Palisade"), "{why}");
    // Whoever has just started learns of the new timeline from a standby.
    nobody_because(&Known::default(), &[primary(1), silent(), standby(2)]);
}

#[test]
fn silence_means_nothing_at_first_and_a_refusal_at_once() {
    let mut known = following(0, 1);
    assert_eq!(decide(&known, &[silent(), standby(1)]), Choice::Stay);
    known.missed = MISSES;
    nobody_because(&known, &[silent(), standby(1)]);
    nobody_because(&following(0, 1), &[down(), standby(1)]);
    nobody_because(&following(0, 1), &[standby(1), standby(1)]);
    // Who does not let us in is still there, for those who are in already.
    let busy = Answer::Busy("too many clients already".into());
    assert_eq!(decide(&known, &[busy.clone(), standby(1)]), Choice::Stay);
    nobody_because(&Known::default(), &[busy, standby(1)]);
    // A new primary settles it.
    assert_eq!(follows(&following(0, 1), &[silent(), primary(2)]).0, 1);
}

#[test]
fn of_two_on_one_timeline_the_followed_one_stays_else_the_one_that_wrote_most() {
    let (less, more) = (Answer::Primary(place(1, 100)), Answer::Primary(place(1, 200)));
    assert_eq!(follows(&following(0, 1), &[less.clone(), more.clone()]).0, 0);
    assert_eq!(follows(&following(1, 1), &[more.clone(), less.clone()]).0, 1);
    let (server, why) = follows(&Known::default(), &[less, more.clone()]);
    assert_eq!(server, 1);
    assert!(why.contains("another says so too"), "{why}");
    assert_eq!(follows(&Known::default(), &[more.clone(), more]).0, 0);
}

#[test]
fn servers_of_different_clusters_are_not_mixed() {
    let foreign = Answer::Primary(Place { system: Some(8), ..place(9, 900) });
    let why = nobody_because(&Known::default(), &[primary(1), foreign.clone()]);
    assert!(why.contains("not of one cluster"), "{why}");
    assert_eq!(follows(&following(0, 1), &[primary(1), foreign.clone()]).0, 0);
    let why = nobody_because(&following(0, 1), &[down(), foreign.clone()]);
    assert!(why.contains("of another cluster"), "{why}");
    assert_eq!(following(0, 1).newest(&[primary(1), foreign.clone()]), Some(1));
    assert!(!following(0, 1).is_settled_by(&foreign));
}

#[test]
fn servers_that_may_not_tell_their_timeline_are_followed_all_the_same() {
    let unknown = Answer::Primary(Place { started: 5, ..Place::default() });
    assert_eq!(follows(&Known::default(), &[down(), unknown.clone()]).0, 1);
    let known = Known { current: Some(1), ..Known::default() };
    assert_eq!(follows(&known, &[unknown.clone(), unknown.clone()]).0, 1);
    assert!(!known.is_settled_by(&unknown));
}

#[test]
fn only_a_newer_primary_settles_it_before_all_have_answered() {
    let known = following(0, 2);
    assert!(known.is_settled_by(&primary(3)));
    assert!(!known.is_settled_by(&primary(2)));
    assert!(!known.is_settled_by(&standby(3)));
    assert!(!Known::default().is_settled_by(&primary(3)), "nothing to compare with");
}

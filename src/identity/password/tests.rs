use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize},
        mpsc,
    },
    time::{Duration, Instant},
};

use super::*;
use crate::{clock::SystemRandom, error::Kind};

fn pepper(byte: u8) -> Secret<Vec<u8>> {
    Secret::new(vec![byte; 32])
}

fn hasher(threads: usize) -> Hasher {
    let peppers = Peppers::new(pepper(1), Vec::new()).unwrap();
    Hasher::with_threads(peppers, Arc::new(SystemRandom), threads)
}

fn password(text: &str) -> Arc<Password> {
    Arc::new(Password::parse("password", Secret::new(text.to_owned())).unwrap())
}

#[tokio::test]
async fn the_right_password_matches_and_a_wrong_one_does_not() {
    let hasher = hasher(1);
    let stored = hasher.hash(password("correct horse")).await.unwrap();
    assert!(hasher.verify_or_dummy(password("correct horse"), Some(&stored)).await.unwrap());
    assert!(!hasher.verify_or_dummy(password("correct horsf"), Some(&stored)).await.unwrap());
    assert!(!hasher.verify_or_dummy(password(""), Some(&stored)).await.unwrap());
    assert!(!hasher.verify_or_dummy(password("correct horse"), None).await.unwrap());
}

#[tokio::test]
async fn a_hash_says_argon2id_with_nineteen_mebibytes_and_a_salt_of_its_own() {
    let hasher = hasher(1);
    let first = hasher.hash(password("correct horse")).await.unwrap();
    let second = hasher.hash(password("correct horse")).await.unwrap();
    assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid="), "{first}");
    assert_ne!(first, second);
    assert_eq!(Stored::parse(&first).unwrap().salt.len(), 16);
}

#[tokio::test]
async fn long_passwords_that_differ_only_at_the_end_are_different() {
    let hasher = hasher(1);
    for length in [73, Password::MAX_BYTES] {
        let stem = "x".repeat(length - 1);
        let stored = hasher.hash(password(&format!("{stem}a"))).await.unwrap();
        let other = password(&format!("{stem}b"));
        assert!(!hasher.verify_or_dummy(other, Some(&stored)).await.unwrap(), "{length} bytes");
    }
}

#[test]
fn a_password_of_more_than_1024_bytes_is_refused_and_not_cut() {
    let parse = |length| Password::parse("admin.password", Secret::new("x".repeat(length)));
    assert!(parse(1024).is_ok());
    let refused = parse(1025).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert_eq!(refused.fields()[0].field, "admin.password");
}

#[test]
fn the_same_text_typed_on_two_systems_is_one_password() {
    assert_eq!(password("caf\u{e9} \u{fb01}n").expose(), password("cafe\u{301} fin").expose());
    assert_ne!(password("Cafe").expose(), password("cafe").expose());
}

#[tokio::test]
async fn a_hash_is_worth_nothing_without_the_pepper() {
    let stored = hasher(1).hash(password("correct horse")).await.unwrap();
    let salt = Stored::parse(&stored).unwrap().salt;
    // Recomputed by somebody who has the database but not the pepper.
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_BYTES)).unwrap();
    let mut guessed = [0; OUTPUT_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(b"correct horse", &salt, &mut guessed)
        .unwrap();
    assert_ne!(guessed, Stored::parse(&stored).unwrap().output.as_bytes());
}

#[tokio::test]
async fn after_a_rotation_of_the_pepper_old_hashes_match_and_ask_to_be_renewed() {
    let hasher = hasher(1);
    let stored = hasher.hash(password("correct horse")).await.unwrap();
    assert!(!hasher.needs_rehash(&stored));

    hasher.replace_peppers(Peppers::new(pepper(2), vec![pepper(1)]).unwrap());
    assert!(hasher.verify_or_dummy(password("correct horse"), Some(&stored)).await.unwrap());
    assert!(hasher.needs_rehash(&stored));
    let renewed = hasher.hash(password("correct horse")).await.unwrap();
    assert!(!hasher.needs_rehash(&renewed));

    hasher.replace_peppers(Peppers::new(pepper(2), Vec::new()).unwrap());
    assert!(hasher.verify_or_dummy(password("correct horse"), Some(&stored)).await.is_err());
    assert!(hasher.verify_or_dummy(password("correct horse"), Some(&renewed)).await.unwrap());
}

#[tokio::test]
async fn a_hash_of_another_cost_asks_to_be_renewed() {
    let hasher = hasher(1);
    let stored = hasher.hash(password("correct horse")).await.unwrap();
    for (now, before) in [("m=19456", "m=9728"), ("t=2", "t=1")] {
        assert!(hasher.needs_rehash(&stored.replace(now, before)), "{before}");
    }
    assert!(hasher.needs_rehash("not a hash"));
}

#[tokio::test]
async fn a_stored_hash_that_is_weaker_in_kind_or_absurdly_expensive_is_not_computed() {
    let hasher = hasher(1);
    let stored = hasher.hash(password("correct horse")).await.unwrap();
    let computed = hasher.computed();
    let edits = [
        ("argon2id", "argon2d"),
        ("argon2id", "argon2i"),
        ("v=19", "v=16"),
        ("m=19456", "m=4194304"),
        ("t=2", "t=4000000000"),
        ("p=1", "p=64"),
        ("$argon2id", "argon2id"),
    ];
    for (from, to) in edits {
        let edited = stored.replace(from, to);
        assert_ne!(edited, stored);
        let answer = hasher.verify_or_dummy(password("correct horse"), Some(&edited)).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::Internal, "{to}");
    }
    assert_eq!(hasher.computed(), computed);
}

#[tokio::test]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let hasher = hasher(1);
    let stored = hasher.hash(password("correct horse")).await.unwrap();
    let (mut wrong, mut unknown) = (Duration::MAX, Duration::MAX);
    // The fastest of several runs is the one that other tests disturbed least; an
    // answer without the work would be a thousand times faster.
    for _ in 0..15 {
        for (best, stored) in [(&mut wrong, Some(stored.as_str())), (&mut unknown, None)] {
            let start = Instant::now();
            assert!(!hasher.verify_or_dummy(password("guess"), stored).await.unwrap());
            *best = start.elapsed().min(*best);
        }
    }
    assert_eq!(hasher.computed(), 1 + 30);
    let ratio = unknown.as_secs_f64() / wrong.as_secs_f64();
    assert!((0.5..2.0).contains(&ratio), "unknown user {unknown:?}, wrong password {wrong:?}");
}

#[tokio::test]
async fn an_old_password_is_found_in_the_history_past_broken_entries() {
    let hasher = hasher(1);
    let mut history = vec!["broken".to_owned()];
    for text in ["first one", "second one"] {
        history.push(hasher.hash(password(text)).await.unwrap());
    }
    assert!(hasher.matches_any(password("second one"), history.clone()).await.unwrap());
    assert!(!hasher.matches_any(password("third one"), history).await.unwrap());
}

#[tokio::test]
async fn the_runtime_stays_responsive_during_a_flood_of_logins() {
    let hasher = hasher(2);
    let logins: Vec<_> = (0..12)
        .map(|_| {
            let hasher = hasher.clone();
            tokio::spawn(async move { hasher.verify_or_dummy(password("guess"), None).await })
        })
        .collect();
    // This test has a single runtime thread: hashing on it would leave no turns to take.
    let mut turns = 0_u64;
    while !logins.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert!(turns > 500, "only {turns} turns");
}

#[tokio::test]
async fn no_more_hashes_run_at_once_than_there_are_threads() {
    let hasher = hasher(2);
    let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let jobs = (0..20).map(|_| {
        let (hasher, running, peak) = (hasher.clone(), Arc::clone(&running), Arc::clone(&peak));
        tokio::spawn(async move {
            hasher
                .run(move |hasher| {
                    peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let result = hasher.make(&password("x"), &[0; 16]);
                    running.fetch_sub(1, Ordering::SeqCst);
                    result
                })
                .await
        })
    });
    for job in jobs.collect::<Vec<_>>() {
        job.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(peak.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_free_its_thread_before_the_work_is_done() {
    let hasher = hasher(1);
    let (finish, wait) = mpsc::channel::<()>();
    let (started, on_start) = tokio::sync::oneshot::channel();
    let first = tokio::spawn({
        let hasher = hasher.clone();
        async move {
            hasher
                .run(move |_| {
                    let _ = started.send(());
                    wait.recv()
                })
                .await
        }
    });
    on_start.await.unwrap();
    first.abort();

    let ran = Arc::new(AtomicBool::new(false));
    let second = tokio::spawn({
        let (hasher, ran) = (hasher.clone(), Arc::clone(&ran));
        async move { hasher.run(move |_| ran.store(true, Ordering::SeqCst)).await }
    });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!ran.load(Ordering::SeqCst));

    finish.send(()).unwrap();
    second.await.unwrap().unwrap();
    assert!(ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn beyond_the_queue_a_login_is_refused_at_once_instead_of_timing_out() {
    let hasher = hasher(1);
    let places = || Arc::clone(&hasher.queue).try_acquire_owned().ok();
    let all: Vec<_> = std::iter::from_fn(places).collect();
    assert_eq!(all.len(), QUEUE_PER_THREAD + 1);
    let refused = hasher.verify_or_dummy(password("guess"), None).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert!(refused.retry_after().is_some());
    drop(all);
    assert!(hasher.verify_or_dummy(password("guess"), None).await.is_ok());
}

#[test]
fn neither_passwords_nor_peppers_show_in_debug_output() {
    let shown = format!("{:?} {:?}", password("hunter2hunter2"), hasher(1));
    assert!(!shown.contains("hunter2"));
    let peppers = format!("{:?}", Peppers::new(pepper(77), vec![pepper(78)]).unwrap());
    assert!(!peppers.contains("77, 77") && peppers.contains("[secret]"), "{peppers}");
}

#[test]
fn a_pepper_that_could_be_guessed_is_refused() {
    assert!(Peppers::new(Secret::new(vec![1; 15]), Vec::new()).is_err());
    assert!(Peppers::new(pepper(1), vec![Secret::new(Vec::new())]).is_err());
}

use super::*;
use crate::clock::{TestClock, Timestamp};

fn throttle() -> (Throttle, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_795_325_306)));
    (Throttle::new(Arc::<TestClock>::clone(&clock)), clock)
}

fn account(number: u32) -> AccountKey {
    let mut index = [0; 32];
    index[..4].copy_from_slice(&number.to_be_bytes());
    AccountKey { index, scope: Scope::Tenant }
}

fn address(number: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(0x0a00_0000 | number).into()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The wait in seconds, if there is one; an attempt that is let through is dropped.
fn wait(throttle: &Throttle, who: u32, from: u32) -> Option<u64> {
    throttle.check(account(who), address(from)).err().map(|RetryAfter(after)| after.as_secs())
}

fn fail(throttle: &Throttle, who: u32, from: u32) {
    throttle.check(account(who), address(from)).expect("let through").failed();
}

fn succeed(throttle: &Throttle, who: u32, from: u32) {
    throttle.check(account(who), address(from)).expect("let through").succeeded();
}

#[test]
fn the_tenth_failure_of_an_account_starts_a_wait_of_thirty_seconds() {
    let (throttle, clock) = throttle();
    for from in 0..10 {
        assert_eq!(wait(&throttle, 1, from), None, "after {from} failures");
        fail(&throttle, 1, from);
    }
    assert_eq!(wait(&throttle, 1, 99), Some(30));
    assert_eq!(wait(&throttle, 2, 0), None);
    clock.advance(Duration::from_millis(29_500));
    assert_eq!(wait(&throttle, 1, 99), Some(1));
    clock.advance(Duration::from_millis(500));
    assert_eq!(wait(&throttle, 1, 99), None);
}

#[test]
fn the_wait_doubles_with_each_failure_up_to_fifteen_minutes() {
    let (throttle, clock) = throttle();
    (0..10).for_each(|from| fail(&throttle, 1, from));
    let mut waits = Vec::new();
    for from in 100..108 {
        let seconds = wait(&throttle, 1, from).expect("a wait");
        waits.push(seconds);
        clock.advance(secs(seconds));
        fail(&throttle, 1, from);
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
}

#[test]
fn ten_failures_in_more_than_fifteen_minutes_start_no_wait() {
    let (throttle, clock) = throttle();
    for from in 0..40 {
        fail(&throttle, 1, from);
        clock.advance(secs(101)); // nine in any fifteen minutes
    }
    clock.advance(secs(60));
    fail(&throttle, 1, 50);
    assert_eq!(wait(&throttle, 1, 51), None);
}

#[test]
fn a_quarter_of_an_hour_after_a_wait_all_is_forgotten() {
    let (throttle, clock) = throttle();
    (0..10).for_each(|from| fail(&throttle, 1, from));
    clock.advance(secs(30) + WINDOW);
    (0..9).for_each(|from| fail(&throttle, 1, from));
    assert_eq!(wait(&throttle, 1, 99), None);
}

#[test]
fn attempts_during_a_wait_do_not_lengthen_it() {
    let (throttle, clock) = throttle();
    (0..10).for_each(|from| fail(&throttle, 1, from));
    for _ in 0..30 {
        assert!(wait(&throttle, 1, 99).is_some());
        clock.advance(secs(1));
    }
    assert_eq!(wait(&throttle, 1, 99), None);
}

#[test]
fn a_success_resets_the_account() {
    let (throttle, _) = throttle();
    (0..9).for_each(|from| fail(&throttle, 1, from));
    succeed(&throttle, 1, 20);
    (0..9).for_each(|from| fail(&throttle, 1, from));
    assert_eq!(wait(&throttle, 1, 99), None);
    fail(&throttle, 1, 9);
    assert_eq!(wait(&throttle, 1, 99), Some(30));
}

#[test]
fn the_fiftieth_failure_from_an_address_starts_a_wait_and_no_success_resets_it() {
    let (throttle, _) = throttle();
    for who in 0..49 {
        fail(&throttle, who, 1);
    }
    succeed(&throttle, 1_000, 1);
    assert_eq!(wait(&throttle, 2_000, 1), None);
    fail(&throttle, 49, 1);
    assert_eq!(wait(&throttle, 2_000, 1), Some(30));
    assert_eq!(wait(&throttle, 1_000, 1), Some(30));
    assert_eq!(wait(&throttle, 2_000, 2), None);
}

#[test]
fn the_two_scopes_of_one_address_are_two_accounts() {
    let (throttle, _) = throttle();
    (0..10).for_each(|from| fail(&throttle, 1, from));
    let system = AccountKey { scope: Scope::System, ..account(1) };
    assert!(throttle.check(system, address(99)).is_ok());
    assert!(throttle.check(account(1), address(99)).is_err());
}

#[test]
fn addresses_of_one_ipv6_network_count_as_one() {
    let (throttle, _) = throttle();
    let from = |text: &str| text.parse::<IpAddr>().expect("an address");
    for who in 0..50 {
        let address = from(&format!("2001:db8:0:1:{who:x}::{who:x}"));
        throttle.check(account(who), address).expect("let through").failed();
    }
    assert!(throttle.check(account(99), from("2001:db8:0:1:ffff::1")).is_err());
    assert!(throttle.check(account(99), from("2001:db8:0:2::1")).is_ok());
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_still_that_address() {
    let plain = Origin::from("192.0.2.1".parse::<IpAddr>().expect("an address"));
    let mapped = Origin::from("::ffff:192.0.2.1".parse::<IpAddr>().expect("an address"));
    let other = Origin::from("::ffff:192.0.2.2".parse::<IpAddr>().expect("an address"));
    assert_eq!(plain, mapped);
    assert_ne!(mapped, other);
}

#[test]
fn a_thousand_guesses_at_once_are_no_more_than_ten() {
    let (throttle, _) = throttle();
    let attempts = (0..1_000).filter_map(|n| throttle.check(account(1), address(n)).ok());
    let attempts: Vec<Attempt> = attempts.collect();
    assert_eq!(attempts.len(), 10);
    attempts.into_iter().for_each(Attempt::failed);
    assert_eq!(wait(&throttle, 1, 5_000), Some(30));
}

#[test]
fn after_a_wait_attempts_are_made_one_by_one() {
    let (throttle, clock) = throttle();
    (0..10).for_each(|from| fail(&throttle, 1, from));
    clock.advance(secs(30));
    let first = throttle.check(account(1), address(50)).expect("let through");
    assert_eq!(wait(&throttle, 1, 51), Some(1));
    first.failed();
    assert_eq!(wait(&throttle, 1, 51), Some(60));
}

#[test]
fn an_attempt_that_ended_for_reasons_of_ours_is_not_counted() {
    let (throttle, _) = throttle();
    for _ in 0..1_000 {
        drop(throttle.check(account(1), address(1)).expect("let through"));
    }
    let counts = throttle.lock();
    assert_eq!((counts.accounts.len(), counts.addresses.len()), (0, 0));
}

/// The attacker has any number of addresses and makes every attempt that is
/// let through, for a day.
#[test]
fn the_last_administrator_gets_in_from_a_known_address_whatever_an_attacker_does() {
    let (throttle, clock) = throttle();
    let (admin, home) = (account(1), address(7));
    throttle.check(admin, home).expect("let through").succeeded();
    let mut guesses = 0;
    for second in 0..86_400 {
        if let Ok(attempt) = throttle.check(admin, address(1_000 + second)) {
            attempt.failed();
            guesses += 1;
        }
        if second % 600 == 0 {
            throttle.check(admin, home).expect("the administrator is let in").failed();
        }
        clock.advance(secs(1));
    }
    assert!(guesses < 120, "the attacker made {guesses} guesses");
    throttle.check(admin, home).expect("the administrator is let in").succeeded();
}

#[test]
fn the_last_administrator_gets_in_from_anywhere_soon_after_an_attack() {
    let (throttle, clock) = throttle();
    for n in 0..100_000 {
        let waiting = wait(&throttle, 1, n).unwrap_or(0);
        assert!(waiting <= 900, "{waiting} s");
        clock.advance(secs(waiting));
        fail(&throttle, 1, n);
        if n % 10_000 == 0 {
            clock.advance(secs(7));
        }
    }
    clock.advance(MAX_DELAY);
    succeed(&throttle, 1, 999_999);
    throttle.forgive(account(1));
}

#[test]
fn a_known_address_that_guesses_has_to_wait_too() {
    let (throttle, _) = throttle();
    succeed(&throttle, 1, 7);
    (0..10).for_each(|_| fail(&throttle, 1, 7));
    assert_eq!(wait(&throttle, 1, 7), Some(30));
    assert_eq!(wait(&throttle, 1, 8), None);
}

#[test]
fn an_operator_can_let_an_account_in_at_once() {
    let (throttle, _) = throttle();
    (0..10).for_each(|from| fail(&throttle, 1, from));
    throttle.forgive(account(1));
    assert_eq!(wait(&throttle, 1, 99), None);
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    let (ahead, later) = throttle();
    later.advance(Duration::from_hours(24 * 365));
    (0..10).for_each(|from| fail(&ahead, 1, from));
    assert!(wait(&ahead, 1, 99).is_some());
    let (_, clock) = throttle();
    let set_back = Throttle { clock, counts: Arc::clone(&ahead.counts) };
    assert_eq!(wait(&set_back, 1, 99), None);
}

#[test]
fn memory_is_bounded_and_the_oldest_go_first() {
    let mut ledger = Ledger::new(10, 100);
    let now = Timestamp::from_seconds(0);
    for key in 0..100 {
        ledger.fail(key, now);
    }
    ledger.fail(0, now);
    for key in 100..150 {
        ledger.fail(key, now);
    }
    assert_eq!(ledger.len(), 100);
    assert!(ledger.contains(&0), "it was touched again");
    assert!(!ledger.contains(&1) && !ledger.contains(&50));
    assert!(ledger.contains(&51) && ledger.contains(&149));
    const { assert!(MAX_ACCOUNTS + MAX_ADDRESSES + MAX_PAIRS <= 100_000) };
}

#[test]
fn a_flood_of_names_and_addresses_stays_within_the_bound() {
    let (throttle, _) = throttle();
    for n in 0..50_000 {
        fail(&throttle, n, n);
    }
    let counts = throttle.lock();
    assert_eq!((counts.accounts.len(), counts.addresses.len()), (MAX_ACCOUNTS, MAX_ADDRESSES));
}

#[test]
fn whoever_has_to_wait_reads_how_long() {
    let error = Error::from(RetryAfter(secs(60)));
    assert_eq!((error.kind(), error.code()), (Kind::RateLimited, "too-many-attempts"));
    assert_eq!(error.retry_after(), Some(secs(60)));
}

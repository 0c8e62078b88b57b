use super::*;
use crate::clock::TestClock;

pub(super) const NOW: i64 = 1_795_325_306;
pub(super) const CURRENT_KEY: [u8; 32] = [0x11; 32];
pub(super) const EARLIER_KEY: [u8; 32] = [0x22; 32];
pub(super) const RETIRED_KEY: [u8; 32] = [0x33; 32];
pub(super) const USER: &str = "00ab12cd34ef";
pub(super) const TENANT: &str = "7766554433ff";
pub(super) const SESSION: &str = "000102030405060708090a0b0c0d0e0f";

/// `k2` is current, `k1` verifies for an hour more, `k0` has ended.
pub(super) fn access_tokens() -> (AccessTokens, Arc<TestClock>) {
    let now = Timestamp::from_seconds(NOW);
    let keys = TokenKeys::new(
        ("k2", &CURRENT_KEY),
        &[("k1", &EARLIER_KEY, now.plus(Duration::from_hours(1))), ("k0", &RETIRED_KEY, now)],
    );
    let clock = Arc::new(TestClock::at(now));
    let keys = Arc::new(ArcSwap::from_pointee(keys.unwrap()));
    (AccessTokens::new(Arc::<TestClock>::clone(&clock), keys), clock)
}

fn issue(tokens: &AccessTokens) -> IssuedToken {
    let (user, tenant) = (USER.parse().unwrap(), TENANT.parse().unwrap());
    tokens.issue(user, tenant, SESSION.parse().unwrap()).unwrap()
}

#[test]
fn an_issued_token_says_who_where_and_until_when() {
    let (tokens, _) = access_tokens();
    let issued = issue(&tokens);
    let claims = tokens.verify(issued.token.expose()).unwrap();
    assert_eq!(claims.user.to_string(), USER);
    assert_eq!(claims.tenant.to_string(), TENANT);
    assert_eq!(claims.session.to_string(), SESSION);
    assert_eq!(claims.scope(), Scope::Tenant);
    assert_eq!(claims.issued_at, Timestamp::from_seconds(NOW));
    assert_eq!(claims.expires_at, Timestamp::from_seconds(NOW + 900));
    assert_eq!(claims.expires_at, issued.expires_at);
}

#[test]
fn the_text_of_a_token_never_changes_between_versions() {
    let (tokens, _) = access_tokens();
    let issued = issue(&tokens);
    let mut parts = issued.token.expose().split('.');
    let mut next = || {
        let bytes = BASE64URL_NOPAD.decode(parts.next().unwrap().as_bytes()).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    assert_eq!(next(), r#"{"alg":"HS256","typ":"JWT","kid":"k2"}"#);
    let claims = format!(
        r#"{{"sub":"{USER}","tid":"{TENANT}","sid":"{SESSION}","iat":{NOW},"exp":{},"scope":"tenant"}}"#,
        NOW + 900
    );
    assert_eq!(next(), claims);
}

#[test]
fn a_system_administrators_token_says_so() {
    let (tokens, _) = access_tokens();
    let (user, session) = (USER.parse().unwrap(), SESSION.parse().unwrap());
    let issued = tokens.issue(user, TenantId::SYSTEM, session).unwrap();
    assert_eq!(tokens.verify(issued.token.expose()).unwrap().scope(), Scope::System);
}

#[test]
fn a_token_counts_for_fifteen_minutes_to_the_second() {
    let (tokens, clock) = access_tokens();
    let issued = issue(&tokens);
    clock.advance(Duration::from_micros(15 * 60 * 1_000_000 - 1));
    assert!(tokens.verify(issued.token.expose()).is_ok());
    clock.advance(Duration::from_micros(1));
    assert_eq!(tokens.verify(issued.token.expose()), Err(TokenRefused::Expired));
}

#[test]
fn a_clock_that_jumps_forward_ends_tokens_and_new_ones_work_at_once() {
    for jump in [Duration::from_hours(1), Duration::from_hours(24 * 365)] {
        let (tokens, clock) = access_tokens();
        let before = issue(&tokens);
        clock.advance(jump);
        assert_eq!(tokens.verify(before.token.expose()), Err(TokenRefused::Expired));
        assert!(tokens.verify(issue(&tokens).token.expose()).is_ok());
    }
}

#[test]
fn a_clock_that_jumps_back_does_not_lengthen_a_tokens_life() {
    for jump in [Duration::from_hours(1), Duration::from_hours(24 * 365)] {
        let (ahead, clock) = access_tokens();
        clock.advance(jump);
        let from_before = issue(&ahead);
        // The same keys with the clock set back.
        let (tokens, clock) = access_tokens();
        let refused = tokens.verify(from_before.token.expose());
        assert_eq!(refused, Err(TokenRefused::FromTheFuture));
        assert!(tokens.verify(issue(&tokens).token.expose()).is_ok());
        // It counts from a minute before its time at the earliest, to its end.
        clock.advance(jump.saturating_sub(Duration::from_secs(61)));
        assert!(tokens.verify(from_before.token.expose()).is_err());
        clock.advance(Duration::from_secs(1));
        assert!(tokens.verify(from_before.token.expose()).is_ok());
        clock.advance(SKEW + LIFETIME);
        assert_eq!(tokens.verify(from_before.token.expose()), Err(TokenRefused::Expired));
    }
}

#[test]
fn a_rotation_refuses_no_token_until_the_old_key_ends() {
    let (tokens, clock) = access_tokens();
    let before = issue(&tokens);
    let until = Timestamp::from_seconds(NOW).plus(Duration::from_mins(5));
    let rotated = TokenKeys::new(("k3", &[0x44; 32]), &[("k2", &CURRENT_KEY, until)]);
    tokens.keys.store(Arc::new(rotated.unwrap()));
    assert!(tokens.verify(before.token.expose()).is_ok());
    assert!(tokens.verify(issue(&tokens).token.expose()).is_ok());
    clock.advance(Duration::from_mins(5));
    assert_eq!(tokens.verify(before.token.expose()), Err(TokenRefused::RetiredKey));
}

#[test]
fn keys_that_are_short_or_have_odd_or_equal_ids_are_refused() {
    let key: &[u8] = &CURRENT_KEY;
    let with = |kid: &str| TokenKeys::new((kid, key), &[]).map(|_| ());
    assert_eq!(with("0a1b-2C_d"), Ok(()));
    for kid in ["", "a b", "../k", "k\"", "k\\", "k\0", "ké", &"k".repeat(65)] {
        assert_eq!(with(kid), Err(BadTokenKey::BadId), "{kid:?}");
    }
    let short: &[u8] = &[1; 31];
    assert_eq!(TokenKeys::new(("k", short), &[]).map(|_| ()), Err(BadTokenKey::TooShort));
    let until = Timestamp::from_seconds(NOW);
    let verify = [("k", short, until)];
    assert_eq!(TokenKeys::new(("a", key), &verify).map(|_| ()), Err(BadTokenKey::TooShort));
    let verify = [("k", key, until)];
    assert_eq!(TokenKeys::new(("k", key), &verify).map(|_| ()), Err(BadTokenKey::SameId));
}

#[test]
fn a_refused_token_tells_its_bearer_nothing_of_why() {
    let expired = Error::from(TokenRefused::Expired);
    let forged = Error::from(TokenRefused::BadSignature);
    assert_eq!(expired.kind(), Kind::Unauthenticated);
    assert_eq!(expired.message(), forged.message());
    assert_eq!(expired.code(), forged.code());
    assert!(forged.chain().contains("wrong signature"));
}

#[test]
fn neither_keys_nor_tokens_show_in_debug_output() {
    let (tokens, _) = access_tokens();
    let issued = issue(&tokens);
    let shown = format!("{tokens:?} {issued:?}");
    assert!(!shown.contains("17, 17") && !shown.contains("eyJ"), "{shown}");
}

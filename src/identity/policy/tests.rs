use super::{
    Violation::{NoDigit, NoLower, NoSymbol, NoUpper},
    *,
};
use crate::secret::Secret;

const STRONG: &str = "tin lantern gravel oboe";

fn check(policy: &PasswordPolicy, text: &str) -> Vec<Violation> {
    let email = Email::parse("ada.lovelace@example.org").unwrap();
    let context = Context { email: &email, name: "Ada Byron-King", tenant: "Engines Ltd" };
    let password = Password::parse("password", Secret::new(text.to_owned())).unwrap();
    policy.check(&password, &context)
}

fn policy() -> PasswordPolicy {
    PasswordPolicy::default()
}

#[test]
fn the_default_asks_for_fifteen_characters_and_nothing_of_composition() {
    let json = serde_json::to_string(&policy()).unwrap();
    assert_eq!(
        json,
        r#"{"minLength":15,"requireUpper":false,"requireLower":false,"requireDigit":false,"requireSymbol":false,"expiresAfterDays":0,"history":5,"blockList":[]}"#
    );
    assert_eq!(serde_json::from_str::<PasswordPolicy>(&json).unwrap(), policy());
    assert_eq!(check(&policy(), STRONG), []);
    assert_eq!(check(&policy(), &"gx vl wq ".repeat(12).replace("gx vl wq gx", STRONG)), []);
}

#[test]
fn unknown_fields_and_wrong_types_are_refused() {
    for json in [
        r#"{"minLenght":15}"#,
        r#"{"min_length":15}"#,
        r#"{"minLength":"15"}"#,
        r#"{"minLength":-1}"#,
        r#"{"minLength":15.5}"#,
        r#"{"requireUpper":1}"#,
        r#"{"blockList":"x"}"#,
        r#"{"minLength":15,"minLength":8}"#,
    ] {
        assert!(serde_json::from_str::<PasswordPolicy>(json).is_err(), "{json}");
    }
}

#[test]
fn the_bounds_of_a_policy_are_exact_and_its_fields_are_named() {
    let fields = |policy: &PasswordPolicy| -> Vec<String> {
        policy.faults().into_iter().map(|fault| fault.field).collect()
    };
    let least = PasswordPolicy { min_length: 8, history: 0, ..policy() };
    let most = PasswordPolicy {
        min_length: 128,
        history: 24,
        expires_after_days: 3_650,
        block_list: vec!["é".repeat(128); 1_000],
        ..policy()
    };
    for fine in [policy(), least, most] {
        assert_eq!(fields(&fine), [""; 0]);
        assert!(fine.validate().is_ok());
    }
    let wrong = PasswordPolicy {
        min_length: 7,
        history: 25,
        expires_after_days: 3_651,
        block_list: vec!["fine".into(), " ".into(), "x".repeat(129)],
        ..policy()
    };
    let expected = ["minLength", "expiresAfterDays", "history", "blockList[1]", "blockList[2]"];
    assert_eq!(fields(&wrong), expected);
    let error = wrong.validate().unwrap_err();
    assert_eq!((error.kind(), error.fields().len()), (Kind::Invalid, 5));
    assert_eq!(fields(&PasswordPolicy { min_length: 129, ..policy() }), ["minLength"]);
    let many = PasswordPolicy { block_list: vec!["x".into(); 1_001], ..policy() };
    assert_eq!(fields(&many), ["blockList"]);
}

#[test]
fn length_counts_characters_and_not_bytes() {
    assert_eq!(
        check(&policy(), "žluťoučký kůň!").first(),
        Some(&Violation::TooShort { needed: 15, has: 14 })
    );
    assert_eq!(check(&policy(), "žluťoučký kůň!?"), []);
    let short = check(&policy(), "xK9#vQ2!mZ7$rT")[0].to_string();
    assert_eq!(short, "needs at least 15 characters and has 14");
}

#[test]
fn rules_of_composition_apply_when_asked_for() {
    let strict = PasswordPolicy {
        require_upper: true,
        require_lower: true,
        require_digit: true,
        require_symbol: true,
        ..policy()
    };
    assert_eq!(check(&strict, "tin lantern gravel"), [NoUpper, NoDigit, NoSymbol]);
    assert_eq!(check(&strict, "TIN LANTERN GRAVEL"), [NoLower, NoDigit, NoSymbol]);
    assert_eq!(check(&strict, "Tin Lantern 7 gravel"), [NoSymbol]);
    assert_eq!(check(&strict, "Tin Lantern 7 gravel;"), []);
    assert_eq!(check(&strict, "Čtyři 7 žlutých;oveček"), []);
}

#[test]
fn nothing_of_the_users_or_tenants_name_may_be_in_it() {
    for text in [
        "xx ADA.lovelace 7 quiet oboes",
        "ada.lovelace@example.org?!",
        "quiet byron and seven oboes",
        "quiet KING and seven oboes",
        "seven engines in the fog",
        "quiet ｂｙｒｏｎ and seven oboes",
    ] {
        assert_eq!(check(&policy(), text), [Violation::Personal], "{text}");
    }
    // Three letters turn up everywhere.
    assert_eq!(check(&policy(), "a nomad in canada, quietly"), []);
}

#[test]
fn entries_of_the_block_list_are_refused_whatever_their_case() {
    let with = |entry: &str| PasswordPolicy { block_list: vec![entry.to_owned()], ..policy() };
    assert_eq!(check(&with("Gravel"), "tin lantern gravel oboe"), [Violation::Blocked]);
    assert_eq!(check(&with("gravel"), "tin lantern GRAVEL oboe"), [Violation::Blocked]);
    assert_eq!(check(&with(" grave "), STRONG), [Violation::Blocked]);
    assert_eq!(check(&with(STRONG), &STRONG.to_uppercase()), [Violation::Blocked]);
    assert_eq!(check(&with("oboe"), STRONG), [], "four letters only count as the whole");
    assert!(check(&with("oboe"), "OBOE").contains(&Violation::Blocked));
    assert_eq!(check(&with("violin"), STRONG), []);
}

#[test]
fn well_known_passwords_are_refused_at_any_length() {
    assert_eq!(check(&policy(), "Password12345678"), [Violation::Common]);
    assert_eq!(check(&policy(), "qwertyuiopasdfghjkl"), [Violation::Common]);
}

#[test]
fn a_password_expires_after_its_days_and_never_without_any() {
    let set = Timestamp::from_seconds(1_795_325_306);
    let day = Duration::from_hours(24);
    let ninety = PasswordPolicy { expires_after_days: 90, ..policy() };
    assert!(!ninety.is_expired(set, set.plus(day * 90).minus(Duration::from_micros(1))));
    assert!(ninety.is_expired(set, set.plus(day * 90)));
    assert!(!ninety.is_expired(set, set.minus(day * 365)), "the clock was set back");
    assert!(!policy().is_expired(set, set.plus(day * 36_500)));
    assert!(!policy().is_expired(set, set));
}

#[test]
fn all_violations_are_reported_at_once_under_the_field() {
    let violations = check(&policy(), "password");
    assert!(violations.len() >= 2);
    let error = Violation::error("new", &violations);
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(error.fields().len(), violations.len());
    assert!(error.fields().iter().all(|fault| fault.field == "new"));
    assert!(!error.chain().contains("\"password\""));
}

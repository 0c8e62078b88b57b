//! Passwords that are long and still the first to be guessed.
//!
//! Owns: our own list of pieces that such passwords are put together from, and
//! the measure of what is left when those are taken out.
//! Must not know: the policy, or whose password it is.
//!
//! A list of whole passwords cannot work with a minimum of 15 characters: there
//! are too many ways to lengthen a short one. So this looks for the ways:
//! `Password1234567`, `qwertyuiopasdfg`, `summer2026summer2026` and
//! `aaaaaaaaaaaaaaa` all have next to nothing left.

use std::collections::BTreeSet;

/// Rows and columns of keyboards; any four neighbours count, in both directions.
const KEYBOARD: &[&str] = &[
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "qsdfghjklm",
    "zxcvbnm",
    "yxcvbnm",
    "wxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "!@#$%^&*()",
    "!\"$%&/()=",
    "147258369",
    "159753",
];

/// Words that people choose when a form wants a password from them.
const WORDS: &str = "
    abc access account admin administrator and angel appliance april august autumn banana
    baseball basketball batman battery butterfly changeit changeme charlie chocolate cluster
    company computer cookie correct daniel december default demo dragon example fallen february
    flower football for forever freedom friday guest hallo hello helpdesk horse hunter iloveyou
    in internet is january jessica jordan july june killer kubernetes letmein linux login london
    love manager march master matrix me michael monday monkey mustang my mypassword network not
    nothing november october office operator our palisade pass passphrase passw passwd password
    passwort please pokemon princess private purple qwerty root samsung saturday secret secure
    security september server shadow silver soccer spring staple starwars summer sunday sunshine
    superman superuser support system temp temporary tennis test testing that the this thursday
    tuesday ubuntu user username vagrant vmware wednesday welcome whatever winter word your
";

/// Fewer characters than this beside the well-known pieces are no secret.
const ENOUGH: usize = 6;

/// The shortest stretch of neighbours that counts as a sequence.
const SEQUENCE: usize = 4;

/// Whether `password` is put together from pieces that every guesser tries, or
/// is one short piece over and over.
pub(super) fn is_common(password: &str) -> bool {
    let lower: Vec<char> = password.chars().flat_map(char::to_lowercase).collect();
    if unit(&lower) < ENOUGH + 2 {
        return true;
    }
    let plain: Vec<char> = lower.iter().copied().map(without_disguise).collect();
    left_over(&lower) < ENOUGH || left_over(&plain) < ENOUGH
}

/// The length of the piece that the whole is a repetition of; the last time
/// round may be cut short.
fn unit(text: &[char]) -> usize {
    let repeats = |length: &usize| text.iter().zip(&text[*length..]).all(|(a, b)| a == b);
    (1..text.len()).find(repeats).unwrap_or(text.len())
}

/// Digits and signs that stand for letters.
fn without_disguise(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' | '|' => 'i',
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        other => other,
    }
}

/// How many letters there are outside well-known pieces. A number
/// of up to eight digits counts as one, because it is most often a date, and so
/// does a sign however often it is used, unless it is one that separates words.
fn left_over(text: &[char]) -> usize {
    let mut rest = text;
    let mut count = 0;
    let mut signs = BTreeSet::new();
    while let Some((&first, tail)) = rest.split_first() {
        let known = piece(rest);
        if known > 0 {
            rest = &rest[known..];
        } else if first.is_numeric() {
            let digits = rest.iter().take_while(|c| c.is_numeric()).count();
            count += 1 + digits.saturating_sub(8);
            rest = &rest[digits..];
        } else {
            if first.is_alphabetic() || !first.is_ascii() {
                count += 1;
            } else if !matches!(first, ' ' | '-' | '_' | '.' | ',') {
                signs.insert(first);
            }
            rest = tail;
        }
    }
    count + signs.len()
}

/// The length of the longest well-known piece that `text` starts with.
fn piece(text: &[char]) -> usize {
    let word = WORDS.split_whitespace().filter(|word| starts_with(text, word)).map(str::len).max();
    let row = KEYBOARD.iter().map(|row| along(text, row)).max();
    let known = word.max(row).unwrap_or(0);
    known.max(run(text))
}

fn starts_with(text: &[char], word: &str) -> bool {
    text.len() >= word.len() && word.chars().zip(text).all(|(a, b)| a == *b)
}

/// How far `text` walks along `row`, forwards or backwards.
fn along(text: &[char], row: &str) -> usize {
    let forwards: Vec<char> = row.chars().collect();
    let backwards: Vec<char> = row.chars().rev().collect();
    let longest = |row: &[char]| {
        let common =
            |start: usize| row[start..].iter().zip(text).take_while(|(a, b)| a == b).count();
        (0..row.len()).map(common).max().unwrap_or(0)
    };
    let walked = longest(&forwards).max(longest(&backwards));
    if walked >= SEQUENCE { walked } else { 0 }
}

/// How many characters at the start of `text` are equal, or follow one another
/// upwards or downwards.
fn run(text: &[char]) -> usize {
    let step = |pair: &[char]| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0]));
    let mut pairs = text.windows(2).map(step);
    let Some(first) = pairs.next().filter(|step| step.abs() <= 1) else { return 0 };
    let length = 2 + pairs.take_while(|step| *step == first).count();
    if length >= SEQUENCE { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_passwords_of_well_known_pieces_are_common() {
        for password in [
            "passwordpassword",
            "Password12345678",
            "P@ssw0rd!P@ssw0rd!",
            "P4$$w0rd-P4$$w0rd",
            "MyPassword2026!!",
            "thisismypassword",
            "qwertyuiopasdfgh",
            "qwertzuiopasdfghjkl",
            "poiuytrewqlkjhgf",
            "1qaz2wsx3edc4rfv",
            "1q2w3e4r5t6y7u8i",
            "123456789012345",
            "1234567890123456789",
            "987654321098765",
            "aaaaaaaaaaaaaaa",
            "abcdefghijklmnop",
            "zyxwvutsrqponmlk",
            "abcabcabcabcabca",
            "abc123abc123abc123",
            "Kd8sKd8sKd8sKd8s",
            "letmeinletmein123",
            "Welcome2026Welcome",
            "Summer-2026-Summer-2026",
            "adminadminadmin1",
            "administrator2026",
            "changemechangeme",
            "iloveyouiloveyou",
            "correct horse battery staple",
            "CorrectHorseBatteryStaple",
            "kubernetes-cluster",
            "palisade-admin-2026",
            "11111222223333344444",
            "secretsecretsecret",
            "!@#$%^&*()!@#$%^&*()",
            "...............x",
        ] {
            assert!(is_common(password), "{password:?} was not found");
        }
    }

    #[test]
    fn long_passwords_with_something_of_their_own_are_not_common() {
        for password in [
            "seven geese cross the frozen canal",
            "tin-lantern-gravel-oboe",
            "my password is a purple giraffe on stilts",
            "summer rain drums on the tin roof",
            "xK9#vQ2!mZ7$rT4@",
            "83920175648201937465",
            "Zwölf Boxkämpfer jagen Viktor",
            "корабль плывёт по реке",
            "gyZkfpRwqvbT",
            "p8d3w1n6x5v0k7c2",
        ] {
            assert!(!is_common(password), "{password:?} was refused");
        }
    }

    #[test]
    fn what_a_password_manager_draws_is_not_common() {
        let random = crate::clock::SystemRandom;
        for _ in 0..500 {
            let bytes: [u8; 15] = crate::clock::random_bytes(&random);
            let drawn: String = bytes.map(|byte| char::from(b'!' + byte % 94)).iter().collect();
            assert!(!is_common(&drawn), "{drawn:?} was refused");
        }
    }

    #[test]
    fn the_longest_password_is_looked_at_without_trouble() {
        assert!(is_common(&"a".repeat(1024)));
        assert!(is_common(&"password".repeat(128)));
        is_common(&"é1Z".repeat(300));
        is_common("");
    }
}

//! The code that a person reads from one screen and types into another.
//!
//! Owns: its text. Fifteen characters are random, 75 bits; one more checks
//! them. Must not know: for how long a code counts.
//!
//! The alphabet is Crockford's: letters that look like digits are read as
//! those. A character is a number of GF(32); the check is the sum of all, each
//! times a different power of a generator. So one wrong character and two
//! exchanged ones are always noticed while the person still looks at both
//! screens, and cost no try.

use zeroize::Zeroizing;

use crate::{
    clock::{Random, random_bytes},
    secret::Secret,
};

pub(super) const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Random characters.
const DRAWN: usize = 15;
const LENGTH: usize = DRAWN + 1;
/// The characters of a group.
const GROUP: usize = 4;
/// Counting what was typed ends here.
const LONGEST_COUNT: usize = 128;
/// x^5 + x^2 + 1, which makes x a generator of the field.
const POLYNOMIAL: u8 = 0b10_0101;

/// The text is not a code. What was typed is not in the message: it may be
/// almost one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistyped {
    /// Too few or too many characters.
    #[error("a join code has 16 characters in four groups; {0} were typed")]
    Length(usize),
    /// A character that is in no code.
    #[error("character {0} is in no join code; it has letters and digits only, and no U")]
    Character(usize),
    /// The characters do not check.
    #[error("a character of the join code is wrong; compare it with the first node's screen")]
    Check,
}

/// A code that has been drawn, or typed without an obvious mistake.
#[derive(Clone, Debug)]
pub struct JoinCode(Secret<[u8; LENGTH]>);

impl JoinCode {
    /// Draws a new code.
    pub fn random(random: &dyn Random) -> Self {
        let bytes: Zeroizing<[u8; DRAWN]> = Zeroizing::new(random_bytes(random));
        // 32 numbers divide 256 evenly, so every one is equally likely.
        let mut numbers = Zeroizing::new([0; LENGTH]);
        for (number, byte) in numbers.iter_mut().zip(bytes.iter()) {
            *number = byte % 32;
        }
        numbers[DRAWN] = check(&numbers[..DRAWN]);
        Self(Secret::new(*numbers))
    }

    /// Takes what a person has typed: case, hyphens and spaces do not matter,
    /// and O is 0, I and L are 1.
    pub fn parse(typed: &str) -> Result<Self, Mistyped> {
        let counts = |c: &char| !c.is_whitespace() && *c != '-';
        let length = typed.chars().filter(counts).take(LONGEST_COUNT).count();
        if length != LENGTH {
            return Err(Mistyped::Length(length));
        }
        let mut numbers = Zeroizing::new([0; LENGTH]);
        for (place, (number, character)) in
            numbers.iter_mut().zip(typed.chars().filter(counts)).enumerate()
        {
            *number = value(character).ok_or(Mistyped::Character(place + 1))?;
        }
        if check(&numbers[..DRAWN]) != numbers[DRAWN] {
            return Err(Mistyped::Check);
        }
        Ok(Self(Secret::new(*numbers)))
    }

    /// The code in groups, for a screen: `0123-4567-89AB-CDEF`.
    pub fn expose_grouped(&self) -> Secret<String> {
        // Room for all of it at once: growing would leave copies behind.
        let mut text = String::with_capacity(LENGTH + LENGTH / GROUP);
        for (place, number) in self.0.expose().iter().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(*number)]));
        }
        Secret::new(text)
    }

    /// What the key exchange takes as the password.
    pub(super) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

fn value(character: char) -> Option<u8> {
    let plain = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let place = ALPHABET.iter().position(|known| char::from(*known) == plain)?;
    u8::try_from(place).ok()
}

/// The sum of all numbers, the last times x, the one before times x^2 and so
/// on; the check itself stands for the power 0.
fn check(numbers: &[u8]) -> u8 {
    numbers.iter().fold(0, |sum, number| times_x(sum ^ number))
}

fn times_x(number: u8) -> u8 {
    let shifted = number << 1;
    if shifted & 0b10_0000 == 0 { shifted } else { shifted ^ POLYNOMIAL }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    fn text(code: &JoinCode) -> String {
        code.expose_grouped().expose().clone()
    }

    #[test]
    fn a_code_is_read_however_it_was_typed() {
        for _ in 0..100 {
            let code = JoinCode::random(&SystemRandom);
            let shown = text(&code);
            assert_eq!((shown.len(), shown.split('-').count()), (19, 4), "{shown}");
            let typed = [
                shown.clone(),
                shown.to_lowercase().replace('-', " "),
                shown.replace('-', ""),
                format!("  {}\n", shown.replace('0', "o").replace('1', "l")),
            ];
            for typed in typed {
                assert_eq!(text(&JoinCode::parse(&typed).expect("a code")), shown, "{typed}");
            }
        }
    }

    #[test]
    fn every_single_wrong_character_and_every_exchange_of_two_is_noticed() {
        let shown = text(&JoinCode::random(&SystemRandom)).replace('-', "").into_bytes();
        let parse = |bytes: &[u8]| JoinCode::parse(std::str::from_utf8(bytes).expect("ASCII"));
        for place in 0..LENGTH {
            for other in ALPHABET {
                let mut wrong = shown.clone();
                wrong[place] = *other;
                assert_eq!(parse(&wrong).is_ok(), *other == shown[place]);
            }
            for second in place + 1..LENGTH {
                let mut wrong = shown.clone();
                wrong.swap(place, second);
                assert_eq!(parse(&wrong).is_ok(), shown[place] == shown[second]);
            }
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_refused_by_its_reason() {
        assert_eq!(JoinCode::parse("").expect_err("no"), Mistyped::Length(0));
        let short = JoinCode::parse("0000-0000-0000-000").expect_err("no");
        assert_eq!(short, Mistyped::Length(15));
        let strange = JoinCode::parse("0000-00U0-0000-0000").expect_err("no");
        assert_eq!(strange, Mistyped::Character(7));
        assert_eq!(JoinCode::parse(&"0".repeat(5_000)).expect_err("no"), Mistyped::Length(128));
        let shown = format!("{:?}", JoinCode::random(&SystemRandom));
        assert_eq!(shown, "JoinCode([secret])");
    }

    #[test]
    fn codes_use_the_whole_alphabet_in_every_place() {
        let mut seen = [[false; 32]; LENGTH];
        for _ in 0..2_000 {
            let code = JoinCode::random(&SystemRandom);
            for (place, number) in code.expose().iter().enumerate() {
                seen[place][usize::from(*number)] = true;
            }
        }
        assert!(seen.iter().flatten().all(|seen| *seen));
    }
}

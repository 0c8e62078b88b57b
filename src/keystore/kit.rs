//! The printed recovery kit.
//!
//! Owns: its text, the recovery code in it, and reading a code that a person
//! has typed.
//! Must not know: what the kit's key opens.
//!
//! The code carries 32 random bytes in eight groups. A group is 32 bits of the
//! key and a CRC of 8 bits over them and the group's number, as eight
//! characters of Crockford's alphabet. The CRC's polynomial is primitive, so a
//! single wrong character, two exchanged ones and two exchanged groups are
//! always found; anything else slips through a group once in 256 times and is
//! then refused because the kit's number does not fit.

use std::fmt::Write;

use zeroize::{Zeroize, Zeroizing};

use super::{
    crypto::{self, Key},
    fault::Fault,
    names::InstallationId,
};
use crate::{
    clock::{Clock, Random, Timestamp},
    secret::Secret,
};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const GROUPS: usize = 8;
/// Characters of a group.
const WIDTH: usize = 8;
const BEGIN: &str = "Recovery code";
const END: &str = "End of the code";

/// A recovery kit to be printed. It exists in memory only, and only once:
/// the keystore does not keep the key that it carries.
#[derive(Clone, Debug)]
pub struct RecoveryKit {
    installation: InstallationId,
    created_at: Timestamp,
    key: KitKey,
}

impl RecoveryKit {
    pub(super) fn new(
        installation: InstallationId,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Self {
        let key = KitKey(crypto::random_secret(random));
        Self { installation, created_at: clock.now(), key }
    }

    pub(super) fn key(&self) -> &KitKey {
        &self.key
    }

    pub(super) fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The kit's number, by which it is told from other kits. Not a secret.
    pub fn number(&self) -> String {
        self.key.number()
    }

    /// The recovery code alone: eight numbered groups in four lines.
    pub fn code(&self) -> Secret<String> {
        let mut code = String::with_capacity(256);
        for (position, chunk) in self.key.0.expose().chunks_exact(4).enumerate() {
            let group = Zeroizing::new(encode_group(position, chunk));
            let (left, right) = group.split_at(WIDTH / 2);
            let gap = if position % 2 == 0 { "   " } else { "\n" };
            // Writing to a string cannot fail.
            let _ = write!(code, "{}: {left}-{right}{gap}", position + 1);
        }
        Secret::new(code)
    }

    /// The whole page, in lines of at most 78 characters.
    pub fn text(&self) -> Secret<String> {
        let mut text = String::with_capacity(4096);
        let code = self.code();
        let mut indented = Zeroizing::new(String::with_capacity(256));
        for line in code.expose().lines() {
            indented.push_str("  ");
            indented.push_str(line);
            indented.push('\n');
        }
        let _ = write!(
            text,
            "PALISADE RECOVERY KIT\n\
             \n\
             Installation  {installation}\n\
             Kit           {number}\n\
             Made          {made}\n\
             \n\
             What it is for\n\
             \n\
             \x20 This code opens the keystore of the installation above when its usual\n\
             \x20 seal is lost: a forgotten passphrase, a broken machine, a lost seal key.\n\
             \x20 Without it and without the seal, encrypted data is lost for good.\n\
             \n\
             How to keep it\n\
             \n\
             \x20 Print it, and store it where neither the appliance nor its backups are:\n\
             \x20 whoever has this code and a copy of the keystore can read everything.\n\
             \x20 A newer kit of the same installation replaces this one.\n\
             \n\
             How to use it\n\
             \n\
             \x20 On the console of the appliance:   F8 Recovery, Open the keystore\n\
             \x20 Anywhere else:                     palisade keys recover\n\
             \x20 and type the code. Capital and small letters are alike, spaces and dashes\n\
             \x20 do not count, and a mistyped group is named. The keystore is taken from\n\
             \x20 its directory or, when that is lost, from the database or any backup.\n\
             \n\
             {BEGIN}\n\
             \n\
             {code}\
             \n\
             {END}\n",
            installation = self.installation,
            number = self.number(),
            made = self.created_at,
            code = *indented,
        );
        Secret::new(text)
    }
}

/// The key that a kit carries.
#[derive(Clone, Debug)]
pub(super) struct KitKey(Secret<[u8; 32]>);

impl KitKey {
    /// The number of the kit, derived so that it tells nothing about the key.
    pub(super) fn number(&self) -> String {
        let number = crypto::subkey::<4>(self.0.expose(), "kit/number", &[]);
        data_encoding::HEXLOWER.encode(number.expose())
    }

    /// The key that wraps the data key of this installation's keystore.
    pub(super) fn wrapping(&self, installation: InstallationId) -> Key {
        crypto::subkey(self.0.expose(), "kit/wrap", &[installation.as_bytes()])
    }

    /// Reads a typed code or a whole pasted page.
    pub(super) fn read(typed: &str) -> Result<Self, Fault> {
        let symbols = symbols(code_part(typed))?;
        let mut key = Zeroizing::new([0; 32]);
        let mut wrong = Vec::new();
        for (position, group) in symbols.chunks_exact(WIDTH).take(GROUPS).enumerate() {
            match decode_group(position, group) {
                Some(bytes) => key[position * 4..][..4].copy_from_slice(&*bytes),
                None => wrong.push(position + 1),
            }
        }
        match (symbols.len(), wrong.as_slice()) {
            (0, _) => Err(Fault::KitTyping("There is no recovery code in this.".to_owned())),
            (length, []) if length == GROUPS * WIDTH => Ok(Self(Secret::new(*key))),
            (length, []) if length > GROUPS * WIDTH => Err(Fault::KitTyping(format!(
                "The recovery code goes on after group {GROUPS}, where it should end."
            ))),
            (length, []) => Err(Fault::KitTyping(format!(
                "The recovery code ends in group {}; there are {GROUPS} groups of {WIDTH} characters.",
                length / WIDTH + 1
            ))),
            (length, [first, ..]) if length != GROUPS * WIDTH => Err(Fault::KitTyping(format!(
                "Group {first} of the recovery code is wrong: a character there, or in the group after it, is missing or too many."
            ))),
            (_, [one]) => {
                Err(Fault::KitTyping(format!("Group {one} of the recovery code is wrong.")))
            }
            (_, many) => {
                let many: Vec<_> = many.iter().map(ToString::to_string).collect();
                Err(Fault::KitTyping(format!(
                    "Groups {} of the recovery code are wrong.",
                    many.join(", ")
                )))
            }
        }
    }
}

/// Of a whole page the part that holds the code; else all of it.
fn code_part(typed: &str) -> &str {
    let (mut start, mut end, mut at) = (0, typed.len(), 0);
    for line in typed.split_inclusive('\n') {
        let next = at + line.len();
        if line.trim().eq_ignore_ascii_case(BEGIN) {
            start = next;
        } else if line.trim().eq_ignore_ascii_case(END) {
            end = at;
        }
        at = next;
    }
    typed.get(start..end).unwrap_or_default()
}

/// The values of all characters that count.
fn symbols(typed: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(typed.len()));
    for character in typed.chars() {
        let value = match character.to_ascii_uppercase() {
            // What stands before a colon is the number of a group.
            ':' => {
                symbols.pop();
                continue;
            }
            c if c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}') => {
                continue;
            }
            'O' => Some(0),
            'I' | 'L' => Some(1),
            c => ALPHABET.iter().position(|&known| char::from(known) == c),
        };
        let Some(value) = value.and_then(|value| u8::try_from(value).ok()) else {
            return Err(Fault::KitTyping(format!(
                "Group {} of the recovery code is wrong: there is a character that never occurs in a code.",
                symbols.len() / WIDTH + 1
            )));
        };
        symbols.push(value);
    }
    Ok(symbols)
}

fn encode_group(position: usize, chunk: &[u8]) -> String {
    let check = check(position, chunk);
    let bits = chunk.iter().chain([&check]).fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
    (0..WIDTH).rev().map(|at| char::from(ALPHABET[(bits >> (at * 5) & 31) as usize])).collect()
}

fn decode_group(position: usize, symbols: &[u8]) -> Option<Zeroizing<[u8; 4]>> {
    let mut bits = symbols.iter().fold(0_u64, |bits, &symbol| bits << 5 | u64::from(symbol));
    let [_, _, _, a, b, c, d, found] = bits.to_be_bytes();
    bits.zeroize();
    let chunk = Zeroizing::new([a, b, c, d]);
    (check(position, &*chunk) == found).then_some(chunk)
}

/// CRC-8 with the primitive polynomial x⁸+x⁴+x³+x²+1, started at the group's number.
fn check(position: usize, chunk: &[u8]) -> u8 {
    let start = u8::try_from(position + 1).unwrap_or(u8::MAX);
    chunk.iter().fold(start, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x1d })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemRandom, TestClock};

    fn kit() -> RecoveryKit {
        let clock = TestClock::at(Timestamp::from_seconds(1_795_325_306));
        RecoveryKit::new(InstallationId::random(&SystemRandom), &clock, &SystemRandom)
    }

    /// The 64 characters of the code.
    fn bare(kit: &RecoveryKit) -> Vec<char> {
        let symbols = symbols(kit.code().expose()).expect("our own code");
        symbols.iter().map(|&value| char::from(ALPHABET[usize::from(value)])).collect()
    }

    fn fault(typed: &[char]) -> String {
        match KitKey::read(&typed.iter().collect::<String>()) {
            Err(Fault::KitTyping(what)) => what,
            other => panic!("{typed:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_code_is_read_in_small_letters_with_spaces_dashes_and_look_alikes() {
        let kit = kit();
        let key = kit.key.0.expose();
        let bare: String = bare(&kit).iter().collect();
        let spaced: String = bare.chars().flat_map(|c| [c, ' ', '-', '\u{2013}']).collect();
        let alike = bare.replace('0', "o").replace('1', "l");
        for typed in [
            kit.code().expose().clone(),
            kit.text().expose().clone(),
            kit.text().expose().to_lowercase().replace('\n', "\r\n"),
            bare.to_lowercase(),
            bare.replace('1', "I"),
            spaced,
            alike,
        ] {
            let read = KitKey::read(&typed).expect("accepted");
            assert_eq!(read.0.expose(), key, "{typed}");
        }
    }

    #[test]
    fn any_single_wrong_character_is_found_and_its_group_named() {
        let bare = bare(&kit());
        for position in 0..bare.len() {
            for &other in ALPHABET {
                let mut typed = bare.clone();
                if typed[position] == char::from(other) {
                    continue;
                }
                typed[position] = char::from(other);
                let wanted = format!("Group {} of the recovery code is wrong.", position / 8 + 1);
                assert_eq!(fault(&typed), wanted);
            }
        }
    }

    #[test]
    fn two_exchanged_characters_of_a_group_are_always_found() {
        let bare = bare(&kit());
        for group in 0..GROUPS {
            for (left, right) in (0..8).flat_map(|left| (0..left).map(move |right| (left, right))) {
                let mut typed = bare.clone();
                typed.swap(group * 8 + left, group * 8 + right);
                if typed != bare {
                    let named = format!("Group {} of the recovery code is wrong.", group + 1);
                    assert_eq!(fault(&typed), named);
                }
            }
        }
    }

    #[test]
    fn exchanged_groups_are_both_named() {
        let mut typed = bare(&kit());
        let (left, right) = typed.split_at_mut(32);
        left[8..16].swap_with_slice(&mut right[..8]);
        assert_eq!(fault(&typed), "Groups 2, 5 of the recovery code are wrong.");
    }

    #[test]
    fn a_missing_or_additional_character_is_placed() {
        let bare = bare(&kit());
        let mut short = bare.clone();
        // Without its first character a group reads on into the next one.
        short.remove(16);
        let what = fault(&short);
        assert!(what.starts_with("Group 3 ") || what.starts_with("Group 4 "), "{what}");
        assert!(fault(&bare[..60]).contains("ends in group 8"));
        assert!(fault(&bare[..56]).contains("ends in group 8"));
        let long = [bare.as_slice(), &['7']].concat();
        assert!(fault(&long).contains("goes on after group 8"));
        assert!(fault(&[]).contains("no recovery code"));
    }

    #[test]
    fn a_character_outside_of_the_alphabet_is_placed_and_not_repeated() {
        let mut typed = bare(&kit());
        typed[39] = 'U';
        let what = fault(&typed);
        assert!(what.starts_with("Group 5 ") && what.contains("never occurs"), "{what}");
        typed[39] = 'ß';
        assert!(!fault(&typed).contains('ß'));
    }

    #[test]
    fn the_page_says_what_it_belongs_to_and_fits_a_terminal() {
        let kit = kit();
        let text = kit.text();
        let installation = kit.installation.to_string();
        for part in [&installation, &kit.number(), "2026-", "F8 Recovery", "palisade keys recover"]
        {
            assert!(text.expose().contains(part), "{part} is missing");
        }
        assert!(text.expose().lines().all(|line| line.len() <= 78 && line.trim_end() == line));
    }

    #[test]
    fn the_number_of_a_kit_is_not_part_of_its_key() {
        let kit = kit();
        let key = data_encoding::HEXLOWER.encode(kit.key.0.expose());
        assert!(!key.contains(&kit.number()));
        assert!(!format!("{kit:?}").contains(&key[..8]));
    }
}

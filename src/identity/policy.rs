//! What a tenant asks of its users' passwords.
//!
//! Owns: [`PasswordPolicy`], its bounds, and the check of one password.
//! Must not know: stored hashes. Whether a password was used before is for
//! whoever has the history and [`Hasher::matches_any`](super::password::Hasher::matches_any).

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::{block_list, email::Email, password::Password};
use crate::{
    clock::Timestamp,
    error::{Error, FieldError, Kind, Result},
};

const MIN_LENGTH: std::ops::RangeInclusive<u32> = 8..=128;
const MAX_DAYS: u32 = 3_650;
/// The most earlier passwords that a policy can forbid.
pub const MAX_HISTORY: u32 = 24;
const MAX_BLOCKED: usize = 1_000;
const MAX_BLOCKED_CHARS: usize = 128;

/// Blocked entries of this length on are also refused inside a password.
const SUBSTRING_CHARS: usize = 5;
/// Shorter parts of names turn up inside innocent words.
const NAME_CHARS: usize = 4;

/// The rules for passwords in one scope. The default follows what research
/// says: long, nothing well-known, no rules of composition, no expiry.
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the API")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PasswordPolicy {
    /// In characters, 8 to 128.
    pub min_length: u32,
    /// At least one upper-case letter.
    pub require_upper: bool,
    /// At least one lower-case letter.
    pub require_lower: bool,
    /// At least one digit.
    pub require_digit: bool,
    /// At least one character that is neither letter, digit nor space.
    pub require_symbol: bool,
    /// In days, at most 3650; 0 is never.
    pub expires_after_days: u32,
    /// How many earlier passwords may not be used again, at most 24.
    pub history: u32,
    /// Words of the tenant's own that passwords may not be, or, from five
    /// characters on, contain. Case does not matter.
    pub block_list: Vec<String>,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_length: 15,
            require_upper: false,
            require_lower: false,
            require_digit: false,
            require_symbol: false,
            expires_after_days: 0,
            history: 5,
            block_list: Vec::new(),
        }
    }
}

/// Whose password it is to be: nothing of this may be in it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The user's address.
    pub email: &'a Email,
    /// The user's name.
    pub name: &'a str,
    /// The name of the user's tenant.
    pub tenant: &'a str,
}

/// One thing that is wrong with a password; displayed as what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// Fewer characters than asked for.
    TooShort {
        /// How many it takes.
        needed: u32,
        /// How many there are.
        has: usize,
    },
    /// No upper-case letter.
    NoUpper,
    /// No lower-case letter.
    NoLower,
    /// No digit.
    NoDigit,
    /// No symbol.
    NoSymbol,
    /// It contains part of the e-mail address or name, or the tenant's name.
    Personal,
    /// On the tenant's own list.
    Blocked,
    /// Well-known, or made of well-known pieces.
    Common,
    /// It is one of the last few; reported by whoever has the history.
    UsedBefore,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort { needed, has } => {
                return write!(f, "needs at least {needed} characters and has {has}");
            }
            Self::NoUpper => "needs an upper-case letter",
            Self::NoLower => "needs a lower-case letter",
            Self::NoDigit => "needs a digit",
            Self::NoSymbol => "needs a symbol, that is neither letter, digit nor space",
            Self::Personal => "must not contain the name or e-mail address of the user or tenant",
            Self::Blocked => "is or contains a word on the block list of this tenant",
            Self::Common => "is made of sequences or words that are guessed first; add others",
            Self::UsedBefore => "was used before; choose another one",
        })
    }
}

impl Violation {
    /// `Invalid` with every violation under `field`.
    pub fn error(field: &str, violations: &[Self]) -> Error {
        let error = Error::new(Kind::Invalid, "invalid", "The password is not acceptable.");
        violations
            .iter()
            .fold(error, |error, violation| error.with_field(field, violation.to_string()))
    }
}

impl PasswordPolicy {
    /// What is wrong with the policy itself; empty if nothing is. Fields are
    /// named as in JSON, e.g. `blockList[3]`.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, message: String| {
            faults.push(FieldError { field: field.to_owned(), message });
        };
        if !MIN_LENGTH.contains(&self.min_length) {
            let (least, most) = (MIN_LENGTH.start(), MIN_LENGTH.end());
            fault("minLength", format!("must be between {least} and {most}"));
        }
        if self.expires_after_days > MAX_DAYS {
            fault("expiresAfterDays", format!("must be at most {MAX_DAYS}; 0 is never"));
        }
        if self.history > MAX_HISTORY {
            fault("history", format!("must be at most {MAX_HISTORY}"));
        }
        if self.block_list.len() > MAX_BLOCKED {
            fault("blockList", format!("must have at most {MAX_BLOCKED} entries"));
        }
        for (position, entry) in self.block_list.iter().take(MAX_BLOCKED).enumerate() {
            if entry.trim().is_empty() || entry.chars().count() > MAX_BLOCKED_CHARS {
                let message = format!("must have 1 to {MAX_BLOCKED_CHARS} characters");
                fault(&format!("blockList[{position}]"), message);
            }
        }
        faults
    }

    /// `Invalid` with the fields at fault.
    pub fn validate(&self) -> Result<()> {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(());
        }
        let error = Error::new(Kind::Invalid, "invalid", "The password policy is not acceptable.");
        Err(faults
            .into_iter()
            .fold(error, |error, fault| error.with_field(fault.field, fault.message)))
    }

    /// Everything that is wrong with `password` for this user, apart from its history.
    pub fn check(&self, password: &Password, context: &Context<'_>) -> Vec<Violation> {
        let text = password.expose();
        let folded = fold(text);
        let has = text.chars().count();
        let lacks = |wanted: bool, found: fn(char) -> bool| wanted && !text.chars().any(found);
        let too_short = usize::try_from(self.min_length).is_ok_and(|needed| has < needed);
        let symbol = |c: char| !c.is_alphanumeric() && !c.is_whitespace();
        [
            (too_short, Violation::TooShort { needed: self.min_length, has }),
            (lacks(self.require_upper, char::is_uppercase), Violation::NoUpper),
            (lacks(self.require_lower, char::is_lowercase), Violation::NoLower),
            (lacks(self.require_digit, char::is_numeric), Violation::NoDigit),
            (lacks(self.require_symbol, symbol), Violation::NoSymbol),
            (context.is_in(&folded), Violation::Personal),
            (self.blocks(&folded), Violation::Blocked),
            (block_list::is_common(text), Violation::Common),
        ]
        .into_iter()
        .filter_map(|(wrong, violation)| wrong.then_some(violation))
        .collect()
    }

    /// Whether a password set at `changed_at` has to be changed by now. A clock
    /// that was set back ends no password.
    pub fn is_expired(&self, changed_at: Timestamp, now: Timestamp) -> bool {
        let life = Duration::from_hours(24).saturating_mul(self.expires_after_days);
        !life.is_zero() && now.since(changed_at) >= life
    }

    fn blocks(&self, folded: &str) -> bool {
        self.block_list.iter().map(|entry| fold(entry.trim())).any(|entry| {
            let long = entry.chars().count() >= SUBSTRING_CHARS;
            folded == entry || (long && folded.contains(&entry))
        })
    }
}

impl Context<'_> {
    fn is_in(&self, folded: &str) -> bool {
        let mut parts = vec![fold(self.email.normalised()), fold(self.email.local_part())];
        for name in [self.name, self.tenant] {
            let name = fold(name);
            parts.extend(name.split(|c: char| !c.is_alphanumeric()).map(ToOwned::to_owned));
            parts.push(name);
        }
        parts.iter().any(|part| part.chars().count() >= NAME_CHARS && folded.contains(part))
    }
}

/// The form in which texts are compared: as passwords are, and in lower case.
fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests;

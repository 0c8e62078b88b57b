//! E-mail addresses: what counts as one and when two are the same.
//!
//! Owns: the validation of an address and the form it is looked up by.
//! Must not know: whose it is. In the store an address is sealed, and found by
//! a keyed digest of [`Email::normalised`].
//!
//! The check is practical, not RFC 5322: quoted local parts, comments and
//! address literals are refused because nobody has such an account and
//! everybody's parser reads them differently.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use unicode_normalization::UnicodeNormalization;

const MAX_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;
const MAX_LABEL_BYTES: usize = 63;

/// A valid e-mail address, as its owner writes it. Two are equal when they are
/// looked up alike: case does not matter.
#[derive(Clone)]
pub struct Email {
    shown: String,
    normalised: String,
}

/// Why a text is not an e-mail address, to follow the name of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnEmail(&'static str);

impl Email {
    /// Takes an address from input; space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, NotAnEmail> {
        let shown = text.trim();
        if shown.is_empty() {
            return Err(NotAnEmail("is missing"));
        }
        // Length first, so that nothing below works on megabytes.
        if shown.len() > MAX_BYTES {
            return Err(NotAnEmail("is longer than 254 bytes"));
        }
        if shown.chars().any(|c| c.is_whitespace() || is_invisible(c)) {
            return Err(NotAnEmail("contains spaces or invisible characters"));
        }
        // One form for letters that have several encodings. Not the compatibility
        // form: that could turn some other character into a second `@`.
        let normalised: String = shown.nfc().flat_map(char::to_lowercase).collect();
        let Some((local, domain)) = normalised.split_once('@') else {
            return Err(NotAnEmail("has no @"));
        };
        check_local(local)?;
        check_domain(domain)?;
        Ok(Self { shown: shown.to_owned(), normalised })
    }

    /// The form for look-up: lower case throughout, one encoding per letter.
    pub fn normalised(&self) -> &str {
        &self.normalised
    }

    /// What stands before the `@`, in the form for look-up.
    pub fn local_part(&self) -> &str {
        self.normalised.split_once('@').map_or("", |(local, _)| local)
    }
}

/// Characters that make two different addresses look alike, or worse: controls,
/// zero-width characters and those that change the direction of writing.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn check_local(local: &str) -> Result<(), NotAnEmail> {
    if local.is_empty() {
        return Err(NotAnEmail("has nothing before the @"));
    }
    if local.len() > MAX_LOCAL_BYTES {
        return Err(NotAnEmail("has more than 64 bytes before the @"));
    }
    if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        return Err(NotAnEmail("has a dot in the wrong place before the @"));
    }
    if local.contains(['"', '(', ')', ',', ':', ';', '<', '>', '[', '\\', ']']) {
        return Err(NotAnEmail("contains a character that is not allowed before the @"));
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<(), NotAnEmail> {
    if domain.contains('@') {
        return Err(NotAnEmail("has more than one @"));
    }
    if domain.is_empty() {
        return Err(NotAnEmail("has nothing after the @"));
    }
    let well_formed = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL_BYTES
            && !label.starts_with('-')
            && !label.ends_with('-')
            // Letters beyond ASCII are kept: an internationalised domain is the
            // mail server's matter. Marks belong to letters in many scripts.
            && label.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || c == '-')
    };
    if domain.split('.').all(well_formed) {
        Ok(())
    } else {
        Err(NotAnEmail("has a domain that is not valid"))
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.normalised == other.normalised
    }
}

impl Eq for Email {}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Email {
    /// Addresses are personal data and have no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[e-mail]")
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        Self::parse(text)
    }
}

impl Serialize for Email {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown)
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_are_accepted_and_shown_as_typed() {
        for text in [
            "ada@example.org",
            "Ada.Lovelace@Example.ORG",
            "a+tag@sub.example.org",
            "o'brien_1@example.org",
            "root@localhost",
            "jürgen@münchen.example",
            "अ@उदाहरण.example",
            "x@xn--mnchen-3ya.example",
        ] {
            let email = Email::parse(text).unwrap_or_else(|why| panic!("{text:?} {why}"));
            assert_eq!(email.to_string(), text);
        }
        assert_eq!(Email::parse(" \tada@example.org\n").unwrap().to_string(), "ada@example.org");
    }

    #[test]
    fn addresses_that_differ_in_case_or_encoding_are_looked_up_alike() {
        let typed = Email::parse("Ada.Lovelace@Example.ORG").unwrap();
        assert_eq!(typed.normalised(), "ada.lovelace@example.org");
        assert_eq!(typed.local_part(), "ada.lovelace");
        assert_eq!(typed, Email::parse("ADA.lovelace@example.org").unwrap());
        let composed = Email::parse("jos\u{e9}@example.org").unwrap();
        assert_eq!(composed, Email::parse("JOSE\u{301}@example.org").unwrap());
        assert_ne!(composed, Email::parse("jose@example.org").unwrap());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "   ",
            "ada",
            "@",
            "@example.org",
            "ada@",
            "ada@@example.org",
            "ada@home@example.org",
            "a da@example.org",
            "ada@exam ple.org",
            "ada@example.org\r\nBcc: all@example.org",
            "ada\0@example.org",
            "ada\u{a0}b@example.org",
            "ada\u{200b}@example.org",
            "ada\u{202e}@example.org",
            "\u{feff}x\u{feff}@example.org",
            ".ada@example.org",
            "ada.@example.org",
            "a..da@example.org",
            "\"ada\"@example.org",
            "<ada@example.org>",
            "ada@example..org",
            "ada@.example.org",
            "ada@example.org.",
            "ada@-example.org",
            "ada@example-.org",
            "ada@[192.0.2.1]",
            "ada@exam_ple.org",
            "ada@example.org/x",
        ] {
            assert!(Email::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn lengths_are_limited_to_the_byte() {
        let at = |local: usize, label: usize| {
            format!("{}@{}.example.org", "l".repeat(local), "d".repeat(label))
        };
        assert!(Email::parse(&at(64, 63)).is_ok());
        assert!(Email::parse(&at(65, 63)).is_err());
        assert!(Email::parse(&at(64, 64)).is_err());
        let total = |bytes: usize| {
            let mut text = "a@".to_owned();
            while text.len() + 2 <= bytes {
                text.push_str("d.");
            }
            text.push_str(&"d".repeat(bytes - text.len()));
            if text.ends_with('.') {
                text.replace("a@", "aa@").trim_end_matches('.').into()
            } else {
                text
            }
        };
        assert_eq!(total(254).len(), 254);
        assert!(Email::parse(&total(254)).is_ok());
        assert_eq!(total(255).len(), 255);
        assert!(Email::parse(&total(255)).is_err());
    }

    #[test]
    fn debug_output_does_not_show_the_address() {
        let email = Email::parse("ada@example.org").unwrap();
        assert_eq!(format!("{email:?}"), "[e-mail]");
    }

    #[test]
    fn json_carries_the_address_as_text_and_refuses_others() {
        let email: Email = serde_json::from_str("\"Ada@example.org\"").unwrap();
        assert_eq!(serde_json::to_string(&email).unwrap(), "\"Ada@example.org\"");
        assert!(serde_json::from_str::<Email>("\"ada\"").is_err());
    }
}

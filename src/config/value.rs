//! The types that a setting can have.
//!
//! Owns: [`Value`], its implementations for plain types, units of time and
//! closed lists of words.
//! Must not know: which settings exist.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// A value as it was written, before its setting gives it a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// A string, or the text of an environment variable or a flag.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list of strings.
    List(Vec<String>),
    /// Something that no setting accepts: its name for the error message.
    Other(&'static str),
}

/// The kind of TOML value that a setting is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An array of strings.
    List,
}

impl Shape {
    /// Reads the text of an environment variable or a flag. Lists are separated by commas.
    pub(super) fn read(self, text: &str) -> Raw {
        match self {
            Self::Text => Raw::Text(text.to_owned()),
            Self::Integer => text
                .trim()
                .replace('_', "")
                .parse()
                .map_or_else(|_| Raw::Text(text.to_owned()), Raw::Integer),
            Self::Boolean => {
                text.trim().parse().map_or_else(|_| Raw::Text(text.to_owned()), Raw::Boolean)
            }
            Self::List => Raw::List(
                text.split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(Into::into)
                    .collect(),
            ),
        }
    }
}

/// What is wrong with a value: the end of a sentence that starts with the key.
pub(super) type Problem = String;

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// How it is written.
    const SHAPE: Shape;
    /// The words that are accepted, if only certain words are.
    const CHOICES: &'static [&'static str] = &[];

    /// Reads what was written. The problem must not repeat a value that may hold a secret.
    fn read(raw: &Raw) -> Result<Self, Problem>;

    /// The value of a setting that is not set, where that is allowed.
    fn unset() -> Option<Self> {
        None
    }
}

impl<T: Value> Value for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const CHOICES: &'static [&'static str] = T::CHOICES;

    /// An empty text unsets the setting, so that a variable can undo what a file says.
    fn read(raw: &Raw) -> Result<Self, Problem> {
        if *raw == Raw::Text(String::new()) { Ok(None) } else { T::read(raw).map(Some) }
    }

    fn unset() -> Option<Self> {
        Some(None)
    }
}

/// The text of `raw`, or a problem that says what is expected instead.
pub(super) fn text<'a>(raw: &'a Raw, expected: &str) -> Result<&'a str, Problem> {
    match raw {
        Raw::Text(text) if !text.trim().is_empty() => Ok(text.trim()),
        Raw::Text(_) => Err(format!("is empty; it must be {expected}")),
        other => Err(format!("must be {expected}, not {}", name(other))),
    }
}

fn name(raw: &Raw) -> &'static str {
    match raw {
        Raw::Text(_) => "text",
        Raw::Integer(_) => "a number",
        Raw::Boolean(_) => "true or false",
        Raw::List(_) => "a list",
        Raw::Other(name) => name,
    }
}

impl Value for String {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        text(raw, "text in quotes").map(Into::into)
    }
}

impl Value for PathBuf {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        text(raw, "a path in quotes").map(Into::into)
    }
}

impl Value for SocketAddr {
    const SHAPE: Shape = Shape::Text;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        let expected = "an address and a port such as \"127.0.0.1:8443\" or \"[::]:8443\"";
        text(raw, expected)?.parse().map_err(|_| format!("must be {expected}"))
    }
}

impl Value for bool {
    const SHAPE: Shape = Shape::Boolean;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            _ => Err("must be true or false".into()),
        }
    }
}

fn integer<T: TryFrom<i64>>(raw: &Raw) -> Result<T, Problem> {
    match raw {
        // The range of the setting was checked before; this is the range of its type.
        Raw::Integer(value) => {
            T::try_from(*value).map_err(|_| format!("is out of range with {value}"))
        }
        other => Err(format!("must be a whole number, not {}", name(other))),
    }
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl Value for $ty {
            const SHAPE: Shape = Shape::Integer;

            fn read(raw: &Raw) -> Result<Self, Problem> {
                integer(raw)
            }
        }
    )*};
}

integers! { u16 u32 u64 usize }

macro_rules! spans {
    ($($(#[$doc:meta])* $name:ident = $unit:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The same span for code that does not care about the unit.
            pub fn duration(self) -> Duration {
                Duration::from_millis(u64::from(self.0) * $unit)
            }
        }

        impl From<$name> for Duration {
            fn from(span: $name) -> Self {
                span.duration()
            }
        }

        impl Value for $name {
            const SHAPE: Shape = Shape::Integer;

            fn read(raw: &Raw) -> Result<Self, Problem> {
                integer(raw).map(Self)
            }
        }
    )*};
}

spans! {
    /// A span that is written in milliseconds.
    Milliseconds = 1;
    /// A span that is written in seconds.
    Seconds = 1_000;
    /// A span that is written in minutes.
    Minutes = 60_000;
    /// A span that is written in hours.
    Hours = 3_600_000;
    /// A span that is written in days of 24 hours.
    Days = 86_400_000;
}

/// Declares an enum that is written as one of a few words.
macro_rules! choice {
    ($(#[$doc:meta])* pub enum $Name:ident { $($(#[$variant_doc:meta])* $Variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name { $($(#[$variant_doc])* $Variant,)+ }

        impl $crate::config::value::Value for $Name {
            const SHAPE: $crate::config::value::Shape = $crate::config::value::Shape::Text;
            const CHOICES: &'static [&'static str] = &[$($word),+];

            fn read(
                raw: &$crate::config::value::Raw,
            ) -> Result<Self, $crate::config::value::Problem> {
                match raw {
                    $($crate::config::value::Raw::Text(text) if text == $word => Ok(Self::$Variant),)+
                    _ => Err(format!("must be one of {}", Self::CHOICES.join(", "))),
                }
            }
        }
    };
}

pub(super) use choice;

/// A list of values; all of them must be acceptable.
impl<T: Value> Value for Vec<T> {
    const SHAPE: Shape = Shape::List;

    fn read(raw: &Raw) -> Result<Self, Problem> {
        let Raw::List(items) = raw else {
            return Err(format!("must be a list of texts in quotes, not {}", name(raw)));
        };
        items
            .iter()
            .map(|item| {
                T::read(&Raw::Text(item.clone()))
                    .map_err(|problem| format!("has an entry that {problem}"))
            })
            .collect()
    }
}

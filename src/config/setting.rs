//! How a section declares its settings.
//!
//! Owns: [`Setting`], the description of one key, and the `section!` macro,
//! which makes from one list the struct that the program reads, the table that
//! the sample and `describe` are made of, and the code that fills the struct.
//! Must not know: where values come from.

use super::value::Shape;

/// One key: what an operator needs to know to set it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Section and key, e.g. `server.listen`.
    pub key: &'static str,
    /// Why one would change it, one line per element.
    pub doc: &'static [&'static str],
    /// The default as TOML; `None` when there is none or it follows from other settings.
    pub default: Option<&'static str>,
    /// A value to show in the sample where there is no default, as TOML.
    pub example: Option<&'static str>,
    /// The smallest and the largest number that is accepted.
    pub range: Option<(i64, i64)>,
    /// The kind of TOML value.
    pub(super) shape: Shape,
    /// The words that are accepted, if only certain words are.
    pub choices: &'static [&'static str],
}

impl Setting {
    /// The environment variable that sets this key, e.g. `PALISADE_SERVER_LISTEN`.
    pub fn variable(&self) -> String {
        format!("PALISADE_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The section, e.g. `storage.postgres`, and the name inside of it.
    pub fn split(&self) -> (&'static str, &'static str) {
        self.key.rsplit_once('.').unwrap_or(("", self.key))
    }
}

/// A group of settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// The name in brackets, e.g. `storage.postgres`.
    pub(super) name: &'static str,
    /// What it is about, one line per element.
    pub(super) doc: &'static [&'static str],
    /// Its settings.
    pub(super) settings: &'static [Setting],
}

/// Declares a section:
///
/// ```text
/// section! {
///     /// Doc of the section.
///     pub struct Server in "server";
///     /// Doc of the setting, also printed into the sample.
///     drain_seconds: Seconds = 20 where 0..=600;
///     /// A setting without a default, with an example for the sample.
///     password_file: Option<SecretFile> as "/etc/palisade/password";
/// }
/// ```
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        pub struct $Section:ident in $section:literal;
        $(
            $(#[doc = $doc:literal])+
            $key:ident: $ty:ty $(= $default:tt)? $(as $example:tt)? $(where $low:literal..=$high:literal)?;
        )+
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug)]
        pub struct $Section {
            $( $(#[doc = $doc])+ pub $key: $ty, )+
        }

        impl $Section {
            /// The section, and its settings in the order of the sample.
            pub(super) const SECTION: $crate::config::setting::Section =
                $crate::config::setting::Section {
                    name: $section,
                    doc: &[$($section_doc),+],
                    settings: &[$(
                        $crate::config::Setting {
                            key: concat!($section, ".", stringify!($key)),
                            doc: &[$($doc),+],
                            default: section!(@text $($default)?),
                            example: section!(@text $($example)?),
                            range: section!(@range $($low, $high)?),
                            shape: <$ty as $crate::config::value::Value>::SHAPE,
                            choices: <$ty as $crate::config::value::Value>::CHOICES,
                        },
                    )+],
                };

            /// Takes the section out of what was written.
            pub(super) fn read(
                layers: &mut $crate::config::layers::Layers,
            ) -> Result<Self, $crate::config::ConfigError> {
                Ok(Self { $( $key: layers.take(concat!($section, ".", stringify!($key)))?, )+ })
            }
        }
    };
    (@text $text:tt) => { Some(stringify!($text)) };
    (@text) => { None };
    (@range $low:literal, $high:literal) => { Some(($low, $high)) };
    (@range) => { None };
}

pub(super) use section;

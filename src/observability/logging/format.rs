//! The two ways to write a line. Pure.
//!
//! Text from outside cannot forge a line or steer a terminal: control
//! characters are written as escapes in both formats.

use std::{borrow::Cow, fmt::Write as _};

use serde::{Serialize, Serializer, ser::SerializeMap};
use tracing::Level;

use super::Line;

/// Names that every JSON line uses itself.
const RESERVED: [&str; 4] = ["timestamp", "level", "message", "target"];

/// `05:28:26.104 INFO  bus: the broker is up  pid=812`, with a line end.
pub(super) fn human(line: &Line<'_>, colours: bool) -> String {
    let (dim, plain, level_colour) =
        if colours { ("\x1b[2m", "\x1b[0m", colour(line.level)) } else { ("", "", "") };
    let at = format!("{:.3}", line.at);
    // Only the time of day; the date is in the journal, and in the JSON format.
    let time = at.get(11..23).unwrap_or(&at);
    let target = line.target.strip_prefix("palisade::").unwrap_or(line.target);
    let mut text = format!(
        "{dim}{time}{plain} {level_colour}{:5}{plain} {dim}{}:{plain} {}",
        line.level.as_str(),
        harmless(target),
        harmless(&line.message)
    );
    for (position, (name, value)) in line.fields.0.iter().enumerate() {
        let gap = if position == 0 { "  " } else { " " };
        let value = match value {
            serde_json::Value::String(value) if is_plain_word(value) => value.clone(),
            other => other.to_string(),
        };
        // Writing into a String cannot fail.
        let _ = write!(text, "{gap}{dim}{name}={plain}{}", harmless(&value));
    }
    text.push('\n');
    text
}

/// One JSON object with the fields at its top level, with a line end.
pub(super) fn json(line: &Line<'_>) -> String {
    // A map of texts, numbers and booleans can always be written.
    let mut text = serde_json::to_string(&Flat(line)).unwrap_or_default();
    // JSON escapes control characters below U+0020 by itself.
    if let Cow::Owned(cleaned) = harmless(&text) {
        text = cleaned;
    }
    text.push('\n');
    text
}

struct Flat<'a>(&'a Line<'a>);

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(line) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &format!("{:.6}", line.at))?;
        map.serialize_entry("level", &line.level.as_str().to_ascii_lowercase())?;
        map.serialize_entry("message", &line.message)?;
        map.serialize_entry("target", line.target)?;
        for (name, value) in &line.fields.0 {
            if RESERVED.contains(name) {
                map.serialize_entry(&format!("field.{name}"), value)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '"', '=', '\\'])
}

/// `text` with control characters and those that reorder text as `\u{…}`.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => clean.push_str("\\n"),
            '\t' => clean.push_str("\\t"),
            // The form that JSON reads back; none of them lies beyond U+FFFF.
            c if is_harmful(c) => {
                let _ = write!(clean, "\\u{:04x}", u32::from(c));
            }
            c => clean.push(c),
        }
    }
    Cow::Owned(clean)
}

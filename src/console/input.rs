//! A line that a person types.

use zeroize::Zeroizing;

use super::keys::Key;
use crate::secret::Secret;

/// Nobody types more.
const LONGEST: usize = 4_096;

/// A line with a cursor.
#[derive(Clone, Default)]
pub(super) struct Input {
    text: Zeroizing<String>,
    /// In glyphs, from 0 to the length.
    cursor: usize,
    hidden: bool,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Input {
    /// A line that begins with `text`.
    pub(super) fn new(text: &str) -> Self {
        let cursor = text.chars().count();
        Self { text: Zeroizing::new(text.to_owned()), cursor, hidden: false }
    }

    /// A line that nobody shall see.
    pub(super) fn hidden() -> Self {
        Self { hidden: true, ..Self::default() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn secret(&self) -> Secret<String> {
        Secret::new((*self.text).clone())
    }

    /// Whether the key has meant something to the line.
    pub(super) fn on_key(&mut self, key: Key) -> bool {
        let length = self.text.chars().count();
        match key {
            Key::Glyph(glyph) if length < LONGEST && !glyph.is_control() => {
                let at = self.at(self.cursor);
                // Grows without leaving a copy of a secret behind.
                let mut grown = Zeroizing::new(String::with_capacity(self.text.len() + 8));
                grown.push_str(&self.text[..at]);
                grown.push(glyph);
                grown.push_str(&self.text[at..]);
                self.text = grown;
                self.cursor += 1;
            }
            Key::Backspace if self.cursor > 0 => {
                let at = self.at(self.cursor - 1);
                self.text.remove(at);
                self.cursor -= 1;
            }
            Key::Delete if self.cursor < length => {
                let at = self.at(self.cursor);
                self.text.remove(at);
            }
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(length),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = length,
            Key::Clear => *self = Self { hidden: self.hidden, ..Self::default() },
            Key::Glyph(_) | Key::Backspace | Key::Delete => {}
            _ => return false,
        }
        true
    }

    fn at(&self, glyph: usize) -> usize {
        self.text.char_indices().nth(glyph).map_or(self.text.len(), |(at, _)| at)
    }

    /// The part around the cursor that fits into `width`, and where the cursor is in it.
    pub(super) fn view(&self, width: usize) -> (String, usize) {
        let start = (self.cursor + 1).saturating_sub(width.max(1));
        let shown = self.text.chars().skip(start).take(width);
        let text = shown.map(|glyph| if self.hidden { '*' } else { glyph }).collect();
        (text, self.cursor - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> Input {
        let mut input = Input::new("10.1");
        for key in keys {
            assert!(input.on_key(*key), "{key:?}");
        }
        input
    }

    #[test]
    fn a_line_is_edited_where_the_cursor_is() {
        for (keys, text) in [
            (&[Key::Glyph('7')][..], "10.17"),
            (&[Key::Backspace, Key::Backspace], "10"),
            (&[Key::Home, Key::Glyph('ü'), Key::Right, Key::Delete], "ü1.1"),
            (&[Key::Left, Key::Glyph('.')], "10..1"),
            (&[Key::Home, Key::Backspace, Key::End, Key::Delete], "10.1"),
            (&[Key::Clear, Key::Glyph('x')], "x"),
        ] {
            assert_eq!(typed(keys).text(), text, "{keys:?}");
        }
        assert!(!Input::default().on_key(Key::Enter));
    }

    #[test]
    fn a_long_line_shows_where_the_cursor_is_and_a_hidden_one_nothing() {
        let mut input = Input::new("abcdefgh");
        assert_eq!(input.view(4), ("fgh".to_owned(), 3));
        input.on_key(Key::Home);
        assert_eq!(input.view(4), ("abcd".to_owned(), 0));
        let mut hidden = Input::hidden();
        hidden.on_key(Key::Glyph('x'));
        assert_eq!(hidden.view(4).0, "*");
        assert_eq!(hidden.secret().expose(), "x");
        assert!(!format!("{hidden:?}").contains('x') || !format!("{hidden:?}").contains("\"x\""));
    }
}

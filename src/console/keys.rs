//! Keys of a keyboard or a serial line.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::state::Page;

/// What a key means, wherever one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A function key that shows a page.
    Page(Page),
    Glyph(char),
    Enter,
    Escape,
    Backspace,
    Delete,
    /// Empties a line.
    Clear,
    Left,
    Right,
    Up,
    Down,
    Next,
    Previous,
    Home,
    End,
    PageUp,
    PageDown,
    /// Puts a form into effect.
    Apply,
    /// Paints everything anew.
    Redraw,
    /// Ends the program.
    Quit,
}

/// What happened at the terminal, if it means anything.
pub(super) fn understand(event: &Event) -> Option<Key> {
    match event {
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => None,
        Event::Key(key) => of(*key),
        Event::Resize(..) => Some(Key::Redraw),
        _ => None,
    }
}

fn of(key: KeyEvent) -> Option<Key> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('l') => Some(Key::Redraw),
            KeyCode::Char('c') => Some(Key::Quit),
            KeyCode::Char('s') => Some(Key::Apply),
            KeyCode::Char('u') => Some(Key::Clear),
            // What a serial terminal sends for the backspace key.
            KeyCode::Char('h') => Some(Key::Backspace),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::F(10) => Key::Apply,
        KeyCode::F(number) => Key::Page(Page::ALL.into_iter().find(|page| page.key() == number)?),
        KeyCode::Char(glyph) => Key::Glyph(glyph),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Tab => Key::Next,
        KeyCode::BackTab => Key::Previous,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_keys_show_their_pages_and_control_keys_command() {
        let key = |code, modifiers| of(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::F(1), none), Some(Key::Page(Page::Summary)));
        assert_eq!(key(KeyCode::F(12), none), Some(Key::Page(Page::Power)));
        assert_eq!(key(KeyCode::F(7), none), None);
        assert_eq!(key(KeyCode::F(10), none), Some(Key::Apply));
        assert_eq!(key(KeyCode::Char('l'), KeyModifiers::CONTROL), Some(Key::Redraw));
        assert_eq!(key(KeyCode::Char('h'), KeyModifiers::CONTROL), Some(Key::Backspace));
        assert_eq!(key(KeyCode::Char('l'), none), Some(Key::Glyph('l')));
        assert_eq!(understand(&Event::Resize(80, 25)), Some(Key::Redraw));
    }
}

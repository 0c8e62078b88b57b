//! The colours: only the sixteen that every screen has.

use ratatui::style::{Color, Style};

const fn on(front: Color, back: Color) -> Style {
    Style::new().fg(front).bg(back)
}

pub(super) const PLAIN: Style = on(Color::Gray, Color::Black);
pub(super) const STRONG: Style = on(Color::White, Color::Black);
pub(super) const LABEL: Style = on(Color::Cyan, Color::Black);
pub(super) const GOOD: Style = on(Color::LightGreen, Color::Black);
pub(super) const WARN: Style = on(Color::Yellow, Color::Black);
pub(super) const BAD: Style = on(Color::LightRed, Color::Black);
pub(super) const BAR: Style = on(Color::White, Color::Blue);
pub(super) const FOOTER: Style = on(Color::Black, Color::Gray);
pub(super) const KEY: Style = on(Color::White, Color::Blue);
pub(super) const CHOSEN: Style = on(Color::Black, Color::Cyan);
pub(super) const FIELD: Style = on(Color::White, Color::Blue);
pub(super) const BOX: Style = on(Color::White, Color::DarkGray);

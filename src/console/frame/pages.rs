//! Pages on which one of several things is chosen.

use ratatui::text::Line;

use super::{Rows, style};
use crate::console::{
    glyphs::wrap,
    state::{Page, State, entries as entries_of},
};

pub(super) fn entries(state: &State, width: usize) -> Rows {
    let mut page = Rows::default();
    let intro = match state.page {
        Page::Power => "What becomes of this machine:",
        _ => "When somebody cannot get in any more, or needs help:",
    };
    page.add(Line::styled(intro, style::STRONG));
    for (position, (name, meaning)) in entries_of(state.page).iter().enumerate() {
        page.add("");
        let chosen = position == state.chosen;
        let (mark, style) = if chosen { (">", style::CHOSEN) } else { (" ", style::PLAIN) };
        let first = page.lines.len();
        page.add(Line::styled(format!(" {mark} {name:<28}"), style));
        for row in wrap(meaning, width.saturating_sub(4)) {
            page.add(Line::styled(format!("    {row}"), style::PLAIN));
        }
        if chosen {
            page.sight = Some((first, page.lines.len() - 1, None));
        }
    }
    page.add("");
    let how = "Up and Down choose, Enter begins. You are asked before anything happens.";
    page.lines.extend(wrap(how, width).into_iter().map(|row| Line::styled(row, style::LABEL)));
    page
}

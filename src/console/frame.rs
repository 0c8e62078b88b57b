//! What the screen looks like: from the state to cells. Pure.

mod dialog;
mod logs;
mod network;
mod pages;
mod pairing;
mod style;
mod summary;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    glyphs::drawable,
    state::{Page, Seen, State},
};
use crate::clock::Timestamp;

/// Rows above and below a page.
const HEADER: u16 = 2;
const FOOTER: u16 = 1;
/// Smaller screens show as much as fits.
const LEAST: (u16, u16) = (40, 10);

/// A picture of the screen.
#[derive(Debug)]
pub struct Frame {
    /// Its cells.
    pub(super) cells: Buffer,
    /// Where a person types, if he does.
    pub(super) cursor: Option<(u16, u16)>,
}

/// The rows of a page, and which of them have to be in sight.
#[derive(Debug, Default)]
struct Rows {
    lines: Vec<Line<'static>>,
    /// The first row to be shown is counted from the end.
    from_end: bool,
    /// The rows that have to be in sight, and the column of the cursor in the first of them.
    sight: Option<(usize, usize, Option<usize>)>,
}

impl Rows {
    fn add(&mut self, row: impl Into<Line<'static>>) {
        self.lines.push(row.into());
    }
}

/// The screen of `state` in `width` columns and `height` rows.
pub fn frame(state: &State, width: u16, height: u16) -> Frame {
    let (width, height) = (width.max(LEAST.0), height.max(LEAST.1));
    let mut cells = Buffer::empty(Rect::new(0, 0, width, height));
    cells.set_style(cells.area, style::PLAIN);
    header(state, &mut cells);
    let body = Rect::new(0, HEADER, width, height - HEADER - FOOTER);
    let columns = usize::from(width) - 2;
    let page = match state.page {
        _ if state.form.is_some() => network::form(state, columns),
        Page::Summary => summary::summary(state, columns),
        Page::Network => network::network(state, columns),
        Page::Logs => logs::logs(state, columns),
        Page::Pairing => pairing::pairing(state, columns, usize::from(body.height)),
        Page::Recovery | Page::Power => pages::entries(state, columns),
    };
    let mut cursor = show(&page, state.scroll, body, &mut cells);
    footer(state, &mut cells);
    if let Some(shown) = &state.dialog {
        cursor = dialog::dialog(shown, &mut cells);
    }
    only_drawable(&mut cells);
    Frame { cells, cursor }
}

/// The rows of a frame as plain text, without the space at their ends.
pub fn text(frame: &Frame) -> String {
    let Frame { cells, .. } = frame;
    let mut text = String::new();
    for row in cells.content().chunks(usize::from(cells.area.width)) {
        let row: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn header(state: &State, cells: &mut Buffer) {
    let width = cells.area.width;
    let bar = Rect::new(0, 0, width, 1);
    cells.set_style(bar, style::BAR);
    let (version, host) = match &state.seen {
        Seen::Daemon(status) => (status.version.as_str(), status.host.as_str()),
        Seen::Alone(machine, _) => (machine.version.as_str(), machine.host.as_str()),
        Seen::Nothing => (env!("CARGO_PKG_VERSION"), ""),
    };
    let left = drawable(&format!(" Palisade {version}  {host}"));
    let right = state.now.map(|now| format!("{} ", moment(now))).unwrap_or_default();
    let right_width = u16::try_from(right.chars().count()).unwrap_or(0);
    let room = usize::from(width.saturating_sub(right_width + 1));
    cells.set_stringn(0, 0, left, room, style::BAR);
    cells.set_string(width.saturating_sub(right_width), 0, right, style::BAR);
}

/// 2026-11-22T05:28:26Z for a person, who does not need the seconds.
fn moment(time: Timestamp) -> String {
    let text = format!("{time:.0}");
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

fn footer(state: &State, cells: &mut Buffer) {
    let row = cells.area.height - 1;
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut key = |key: String, name: &str| {
        spans.push(Span::styled(key, style::KEY));
        spans.push(Span::styled(format!("{name} "), style::FOOTER));
    };
    if state.form.is_some() && state.dialog.is_none() {
        for (name, what) in
            [("Up/Down", "field"), ("F10/^S", "put into effect"), ("^U", "empty"), ("Esc", "leave")]
        {
            key(format!(" {name} "), what);
        }
    } else {
        for page in state.pages() {
            key(format!(" F{}/{} ", page.key(), page.letter()), page.name());
        }
    }
    let bar = Rect::new(0, row, cells.area.width, 1);
    cells.set_style(bar, style::FOOTER);
    cells.set_line(0, row, &Line::from(spans), cells.area.width);
}

/// Puts the rows into the body. Answers where the cursor is.
fn show(page: &Rows, scroll: usize, body: Rect, cells: &mut Buffer) -> Option<(u16, u16)> {
    let (count, height) = (page.lines.len(), usize::from(body.height));
    let most = count.saturating_sub(height);
    let mut first = scroll.min(most);
    if page.from_end {
        first = most - first;
    }
    if let Some((from, to, _)) = page.sight {
        first = first.max((to + 1).saturating_sub(height)).min(from).min(most);
    }
    for (row, line) in (body.y..).zip(page.lines.iter().skip(first).take(height)) {
        cells.set_line(body.x + 1, row, line, body.width - 2);
    }
    if first < most && !page.from_end {
        let more = " more: Page Down ";
        let row = body.y + body.height - 1;
        let start = body.width.saturating_sub(u16::try_from(more.len()).unwrap_or(0) + 1);
        cells.set_string(start, row, more, style::KEY);
    }
    let (row, _, column) = page.sight?;
    let at = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    Some((body.x + 1 + at(column?), body.y + at(row.checked_sub(first)?)))
}

/// Nothing reaches the terminal that a screen of code page 437 cannot show.
fn only_drawable(cells: &mut Buffer) {
    for cell in &mut cells.content {
        let symbol = cell.symbol();
        if symbol.chars().count() != 1 || !symbol.chars().all(super::glyphs::is_drawable) {
            cell.set_symbol("?");
        }
    }
}

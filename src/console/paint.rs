//! From a frame to a terminal: only rows that differ, and those whole.

use std::io::{self, Write};

use ratatui::{
    buffer::Cell,
    crossterm::{
        cursor::{Hide, MoveTo, Show},
        queue,
        style::{Color, Colors, Print, ResetColor, SetColors},
        terminal::{Clear, ClearType},
    },
};

use super::frame::Frame;

/// Paints `frame` over `before`, or over anything when that is not known.
/// Answers whether something was written.
pub(super) fn paint(
    out: &mut impl Write,
    before: Option<&Frame>,
    frame: &Frame,
) -> io::Result<bool> {
    let before = before.filter(|before| before.cells.area == frame.cells.area);
    let width = usize::from(frame.cells.area.width);
    let rows = frame.cells.content().chunks(width);
    let mut painted = before.is_none();
    if before.is_none() {
        queue!(out, Hide, ResetColor, Clear(ClearType::All))?;
    }
    for (number, row) in (0..).zip(rows) {
        let old = before.and_then(|b| b.cells.content().chunks(width).nth(usize::from(number)));
        if old == Some(row) {
            continue;
        }
        painted = true;
        queue!(out, Hide, MoveTo(0, number))?;
        paint_row(out, row, number + 1 == frame.cells.area.height)?;
    }
    if painted || before.map(|before| before.cursor) != Some(frame.cursor) {
        painted = true;
        match frame.cursor {
            Some((column, row)) => queue!(out, MoveTo(column, row), Show)?,
            None => queue!(out, Hide, MoveTo(0, frame.cells.area.height - 1))?,
        }
    }
    if painted {
        queue!(out, ResetColor)?;
        out.flush()?;
    }
    Ok(painted)
}

/// A glyph in the last column of the last row would make some terminals scroll.
fn paint_row(out: &mut impl Write, row: &[Cell], is_last: bool) -> io::Result<()> {
    let row = &row[..row.len() - usize::from(is_last)];
    for run in row.chunk_by(|left, right| (left.fg, left.bg) == (right.fg, right.bg)) {
        let text: String = run.iter().map(Cell::symbol).collect();
        let colours = Colors::new(colour(run[0].fg), colour(run[0].bg));
        queue!(out, SetColors(colours), Print(text))?;
    }
    Ok(())
}

/// The frame has only these; anything else would be the terminal's own.
fn colour(colour: ratatui::style::Color) -> Color {
    use ratatui::style::Color as From;
    match colour {
        From::Black => Color::Black,
        From::Red => Color::DarkRed,
        From::Green => Color::DarkGreen,
        From::Yellow => Color::DarkYellow,
        From::Blue => Color::DarkBlue,
        From::Magenta => Color::DarkMagenta,
        From::Cyan => Color::DarkCyan,
        From::Gray => Color::Grey,
        From::DarkGray => Color::DarkGrey,
        From::LightRed => Color::Red,
        From::LightGreen => Color::Green,
        From::LightYellow => Color::Yellow,
        From::LightBlue => Color::Blue,
        From::LightMagenta => Color::Magenta,
        From::LightCyan => Color::Cyan,
        From::White => Color::White,
        _ => Color::Reset,
    }
}

//! The code with which a private cloud gateway is paired, and its picture.

use qrcode::{Color, EcLevel, QrCode};
use ratatui::text::{Line, Span};

use super::{Rows, style};
use crate::{
    console::{glyphs::wrap, state::State},
    node::protocol::Pairing,
};

/// Light modules around the picture, which readers need.
const QUIET: usize = 2;

pub(super) fn pairing(state: &State, width: usize, height: usize) -> Rows {
    let mut page = Rows::default();
    let Some(pairing) = state.status().and_then(|status| status.pairing.as_ref()) else {
        return page;
    };
    let picture = picture(&pairing.url);
    let columns = picture.first().map_or(0, |row| row.chars().count());
    let fits = picture.len() <= height && columns + 26 <= width;
    let room = if fits { width - columns - 2 } else { width };
    let mut texts: Vec<Line<'static>> = Vec::new();
    let mut say = |text: &str, style| {
        texts.extend(wrap(text, room).into_iter().map(|row| Line::styled(row, style)));
    };
    say("Pairing code", style::LABEL);
    say(&pairing.code, style::GOOD);
    say("", style::PLAIN);
    say(&left(pairing, state), style::PLAIN);
    say("", style::PLAIN);
    say("Type it in the management plane, under Private cloud gateways.", style::PLAIN);
    if !fits {
        page.lines.extend(texts);
        return page;
    }
    let mut texts = texts.into_iter();
    for row in picture {
        let text = texts.next().unwrap_or_default();
        let gap = (room + 2).saturating_sub(text.width());
        let mut spans = text.spans;
        // A line's own style would colour the picture too.
        for span in &mut spans {
            span.style = text.style.patch(span.style);
        }
        spans.push(Span::raw(" ".repeat(gap)));
        spans.push(Span::styled(row, style::STRONG));
        page.add(Line::from(spans));
    }
    page
}

fn left(pairing: &Pairing, state: &State) -> String {
    let now = state.now.unwrap_or(pairing.expires_at);
    let seconds = pairing.expires_at.since(now).as_secs();
    format!("Works for {}:{:02} more.", seconds / 60, seconds % 60)
}

/// Two modules in each glyph, light on dark.
fn picture(url: &str) -> Vec<String> {
    let Ok(code) = QrCode::with_error_correction_level(url.as_bytes(), EcLevel::L) else {
        return Vec::new();
    };
    let width = code.width();
    let light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => code[(x, y)] == Color::Light,
            _ => true,
        }
    };
    let side = width + 2 * QUIET;
    (0..side)
        .step_by(2)
        .map(|y| {
            let glyph = |x| match (light(x, y), y + 1 >= side || light(x, y + 1)) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => ' ',
            };
            (0..side).map(glyph).collect()
        })
        .collect()
}

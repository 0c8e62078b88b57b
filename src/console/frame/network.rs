//! The network: how it is, and the form to repair it.

use ratatui::text::{Line, Span};

use super::{Rows, style};
use crate::{
    console::{
        glyphs::{drawable, wrap},
        state::{Field, Form, State},
    },
    node::{
        properties::TABLE,
        protocol::{AnswersView, Interface},
    },
};

/// The column where answers begin.
const COLUMN: usize = 24;
/// An answer in the form is not shorter on the screen.
const LEAST_FIELD: usize = 12;

pub(super) fn network(state: &State, width: usize) -> Rows {
    let mut page = Rows::default();
    let interfaces = match &state.seen {
        crate::console::state::Seen::Daemon(status) => &status.interfaces[..],
        crate::console::state::Seen::Alone(machine, _) => &machine.interfaces,
        crate::console::state::Seen::Nothing => &[],
    };
    for Interface { name, mac, up, addresses } in interfaces {
        let link = if *up { ("up", style::GOOD) } else { ("no link", style::BAD) };
        page.add(Line::from(vec![
            Span::styled(format!("{:<COLUMN$}", drawable(name)), style::LABEL),
            Span::styled(link.0, link.1),
            Span::styled(format!("  {}", drawable(mac)), style::PLAIN),
        ]));
        for address in addresses {
            page.add(Line::styled(format!("{:COLUMN$}{}", "", drawable(address)), style::STRONG));
        }
    }
    page.add("");
    match &state.answers {
        Some(Ok(answers)) => answered(&mut page, answers, width),
        Some(Err(problem)) => page.lines.extend(rows(problem, width, style::BAD)),
        None => page.add(Line::styled("Asking the node service...", style::PLAIN)),
    }
    page
}

fn answered(page: &mut Rows, answers: &AnswersView, width: usize) {
    page.add(Line::from(vec![
        Span::styled("Answers ", style::STRONG),
        Span::styled("- press e or Enter to change them", style::PLAIN),
    ]));
    for property in TABLE {
        let Some(answer) = answers.properties.get(property.key) else { continue };
        let shown: String = drawable(answer).chars().take(width - COLUMN).collect();
        page.add(Line::from(vec![
            Span::styled(format!("{:<COLUMN$}", property.label), style::LABEL),
            Span::styled(shown, style::PLAIN),
        ]));
    }
    if answers.properties.is_empty() {
        page.add(Line::styled("Nothing was answered: DHCP decides.", style::PLAIN));
    }
    for mistake in &answers.mistakes {
        let text = format!("{}: {}", mistake.property, mistake.message);
        page.lines.extend(rows(&text, width, style::BAD));
    }
}

fn rows(text: &str, width: usize, style: ratatui::style::Style) -> Vec<Line<'static>> {
    wrap(text, width).into_iter().map(|row| Line::styled(row, style)).collect()
}

pub(super) fn form(state: &State, width: usize) -> Rows {
    let mut page = Rows::default();
    let Some(Form { fields, focus, others }) = &state.form else { return page };
    for mistake in others {
        let text = format!("{}: {}", mistake.property, mistake.message);
        page.lines.extend(rows(&text, width, style::BAD));
    }
    for (position, field) in fields.iter().enumerate() {
        let first = page.lines.len();
        let column = row_of(&mut page, field, position == *focus, width);
        if position == *focus {
            page.lines.extend(rows(field.property.description, width, style::PLAIN));
        }
        if let Some(mistake) = &field.mistake {
            page.lines.extend(rows(mistake, width, style::BAD));
        }
        if position == *focus {
            page.sight = Some((first, page.lines.len() - 1, Some(column)));
        }
    }
    page
}

/// Adds the row of a field, and answers where its cursor is.
fn row_of(page: &mut Rows, field: &Field, focused: bool, width: usize) -> usize {
    let room = width.saturating_sub(COLUMN).max(LEAST_FIELD);
    let (shown, cursor) = field.input.view(room);
    let label = if focused { style::STRONG } else { style::LABEL };
    let style = match (focused, &field.mistake) {
        (true, _) => style::FIELD,
        (false, Some(_)) => style::BAD,
        (false, None) => style::PLAIN,
    };
    let empty = if focused || !shown.is_empty() { "" } else { "-" };
    let text = format!("{}{empty}", drawable(&shown));
    let text = if focused { format!("{text:<room$}") } else { text };
    page.add(Line::from(vec![
        Span::styled(format!("{:<COLUMN$}", field.property.label), label),
        Span::styled(text, style),
    ]));
    COLUMN + cursor
}

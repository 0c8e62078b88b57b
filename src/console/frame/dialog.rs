//! A box in front of a page.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{moment, style};
use crate::{
    console::{
        glyphs::{drawable, wrap},
        state::{Action, Dialog, Kit, Prove, PutBack, Way},
    },
    node::protocol::DataBefore,
};

/// Columns of a box, where the screen has them.
const WIDTH: u16 = 66;

/// What is in the box, and where the cursor is in it.
#[derive(Default)]
struct Content {
    title: &'static str,
    rows: Vec<Line<'static>>,
    cursor: Option<(usize, usize)>,
}

impl Content {
    fn say(&mut self, text: &str, style: Style, room: usize) {
        self.rows.extend(wrap(text, room).into_iter().map(|row| Line::styled(row, style)));
    }

    /// Why it did not go on, and a gap.
    fn problem(&mut self, problem: Option<&str>, room: usize) {
        if let Some(problem) = problem {
            self.say(problem, style::BOX.fg(ratatui::style::Color::LightRed), room);
            self.rows.push(Line::default());
        }
    }

    /// A line to type in.
    fn line(&mut self, label: &str, input: &crate::console::input::Input, here: bool, room: usize) {
        const COLUMN: usize = 15;
        let field = room.saturating_sub(COLUMN);
        let (shown, cursor) = input.view(field);
        if here {
            self.cursor = Some((self.rows.len(), COLUMN + cursor));
        }
        let style = if here { style::FIELD } else { style::BAR };
        self.rows.push(Line::from(vec![
            Span::styled(format!("{label:<COLUMN$}"), style::BOX),
            Span::styled(format!("{:<field$}", drawable(&shown)), style),
        ]));
    }
}

/// Draws the box. Answers where the cursor is.
pub(super) fn dialog(dialog: &Dialog, cells: &mut Buffer) -> Option<(u16, u16)> {
    let width = WIDTH.min(cells.area.width.saturating_sub(2));
    let room = usize::from(width.saturating_sub(4));
    let content = content(dialog, room);
    let rows = u16::try_from(content.rows.len()).unwrap_or(u16::MAX);
    let height = rows.saturating_add(4).min(cells.area.height);
    let x = (cells.area.width - width) / 2;
    let y = (cells.area.height - height) / 2;
    border(Rect::new(x, y, width, height), content.title, cells);
    // On a small screen the line that somebody types in has to be in sight.
    let shown = usize::from(height.saturating_sub(3));
    let above = content.cursor.map_or(0, |(row, _)| (row + 1).saturating_sub(shown));
    for (row, line) in (y + 2..y + height - 1).zip(content.rows.iter().skip(above)) {
        cells.set_line(x + 2, row, line, width - 4);
    }
    let (row, column) = content.cursor?;
    Some((x + 2 + u16::try_from(column).ok()?, y + 2 + u16::try_from(row - above).ok()?))
}

fn border(area: Rect, title: &str, cells: &mut Buffer) {
    let inner = usize::from(area.width) - 2;
    for row in area.y..area.y + area.height {
        let text = if row == area.y {
            format!("\u{2554}{}\u{2557}", "\u{2550}".repeat(inner))
        } else if row == area.y + area.height - 1 {
            format!("\u{255a}{}\u{255d}", "\u{2550}".repeat(inner))
        } else {
            format!("\u{2551}{}\u{2551}", " ".repeat(inner))
        };
        cells.set_string(area.x, row, text, style::BOX);
    }
    cells.set_string(area.x + 2, area.y, format!(" {title} "), style::BOX);
}

fn content(dialog: &Dialog, room: usize) -> Content {
    let mut content = Content::default();
    match dialog {
        Dialog::Whose(email) => {
            content.title = "Reset an administrator";
            content.say(
                "The e-mail address of the system administrator. Leave it empty when there is \
                 only one.",
                style::BOX,
                room,
            );
            content.rows.push(Line::default());
            content.line("E-mail", email, true, room);
            content.rows.push(Line::default());
            content.say("Enter goes on, Esc leaves.", style::BOX, room);
        }
        Dialog::Kit(form) => kit(&mut content, form, room),
        Dialog::PutBack(form) => put_back(&mut content, form, room),
        Dialog::Confirm { action, yes } => confirm(&mut content, action, *yes, room),
        Dialog::Prove(prove) => proof(&mut content, prove, room),
        Dialog::Working { doing, text, percent } => {
            content.title = "Please wait";
            content.say(&format!("{doing}..."), style::BOX, room);
            if !text.is_empty() {
                let percent = percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
                content.say(&format!("{text}{percent}"), style::BOX, room);
            }
        }
        Dialog::Told { lines, bad } => {
            content.title = if *bad { "It did not work" } else { "Done" };
            let room = room.max(1);
            for line in lines {
                content.say(line, style::BOX, room);
            }
            content.rows.push(Line::default());
            content.say("Enter goes on.", style::BOX, room);
        }
    }
    content
}

fn kit(content: &mut Content, form: &Kit, room: usize) {
    content.title = "Open the keystore";
    content.problem(form.problem.as_deref(), room);
    content.say(Action::OPEN_KEYSTORE, style::BOX, room);
    content.rows.push(Line::default());
    content.line("Recovery code", &form.code, true, room);
    content.rows.push(Line::default());
    content.say(
        "Capital and small letters are alike, spaces and dashes do not count. Enter goes on, \
         Esc leaves.",
        style::BOX,
        room,
    );
}

fn put_back(content: &mut Content, form: &PutBack, room: usize) {
    let DataBefore { version, at } = &form.before;
    content.title = "Put the data back";
    content.problem(form.wrong.then_some("That is not the word."), room);
    let what = format!(
        "The data will be as it was at {}, before version {version} first ran on it.",
        moment(*at)
    );
    content.say(&what, style::BOX, room);
    content.say(Action::PUT_BACK, style::BOX, room);
    content.rows.push(Line::default());
    content.line(&format!("Type {}", PutBack::WORD), &form.word, true, room);
    content.rows.push(Line::default());
    content.say("Enter goes on, Esc leaves.", style::BOX, room);
}

fn confirm(content: &mut Content, action: &Action, yes: bool, room: usize) {
    content.title = "Please confirm";
    content.say(action.question(), style::BOX, room);
    if let Action::Amend(changes) = action {
        content.rows.push(Line::default());
        for (key, value) in changes {
            let value = if value.is_empty() { "(nothing)" } else { value };
            content.say(&format!("{key} = {value}"), style::BOX, room);
        }
    }
    content.rows.push(Line::default());
    let of = |chosen: bool| if chosen { style::CHOSEN } else { style::BOX };
    content.rows.push(Line::from(vec![
        Span::styled(" y: Yes ", of(yes)),
        Span::styled("   ", style::BOX),
        Span::styled(" n: No ", of(!yes)),
    ]));
}

fn proof(content: &mut Content, prove: &Prove, room: usize) {
    content.title = "Who are you?";
    content.problem(prove.problem.as_deref(), room);
    let way = |way: Way, name: &str| {
        let mark = if prove.way == way { '\u{2219}' } else { ' ' };
        format!("({mark}) {name}")
    };
    let style = if prove.row == 0 { style::CHOSEN } else { style::BOX };
    let ways = format!(
        "{}   {}",
        way(Way::Password, "A system administrator"),
        way(Way::RecoveryKit, "The recovery kit")
    );
    content.rows.push(Line::styled(ways, style));
    content.rows.push(Line::default());
    for (position, (label, input)) in prove.lines().into_iter().enumerate() {
        content.line(label, input, prove.row == position + 1, room);
    }
    content.rows.push(Line::default());
    content.say(
        "Up and Down move, Space on the first row changes the way, Enter on the last row goes \
         on, Esc leaves.",
        style::BOX,
        room,
    );
}

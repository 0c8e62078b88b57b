//! The last lines of the logs, the newest at the end.

use ratatui::text::{Line, Span};

use super::{Rows, style};
use crate::{
    console::{
        glyphs::{drawable, wrap},
        state::State,
    },
    node::protocol::LogSource,
};

/// How a log is called here.
fn name(source: LogSource) -> &'static str {
    match source {
        LogSource::ManagementPlane => "Management plane",
        LogSource::Broker => "Broker",
        LogSource::Node => "Node",
        LogSource::Kernel => "Kernel",
        LogSource::FirstBoot => "First boot",
    }
}

pub(super) fn logs(state: &State, width: usize) -> Rows {
    let mut page = Rows { from_end: true, ..Rows::default() };
    if let Some(problem) = &state.log.problem {
        page.lines
            .extend(wrap(problem, width).into_iter().map(|row| Line::styled(row, style::BAD)));
    }
    for line in &state.log.lines {
        let glyphs: Vec<char> = drawable(line).chars().collect();
        for row in glyphs.chunks(width.max(1)) {
            page.add(Line::styled(row.iter().collect::<String>(), style::PLAIN));
        }
    }
    if page.lines.is_empty() {
        page.add(Line::styled("There is nothing in this log.", style::PLAIN));
    }
    page.add("");
    let mut names = Vec::new();
    for (position, source) in LogSource::ALL.into_iter().enumerate() {
        let style = if position == state.log.source { style::CHOSEN } else { style::LABEL };
        names.push(Span::styled(format!(" {} ", name(source)), style));
    }
    names.push(Span::styled("  n: next", style::PLAIN));
    page.add(Line::from(names));
    page
}

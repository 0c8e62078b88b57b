//! How data looks: tables, JSON, YAML and names.
//!
//! Owns: `-o`, and fitting a table to the terminal.
//! Must not know: what the data means.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets::NOTHING};
use serde_json::{Value, json};

use super::{
    failure::{Exit, Failure, Result},
    output::{emit, emit_raw, harmless},
    resource::{Column, Resource},
};
use crate::clock::{Clock, SystemClock};

/// How data looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns that fit the terminal.
    Table,
    /// All columns.
    Wide,
    /// The API's own objects.
    Json,
    /// The same as YAML.
    Yaml,
    /// One `kind/uid` on each line.
    Name,
}

/// The choice of a format.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// How data looks.
    #[arg(long = "output", short = 'o', global = true, value_enum, default_value_t = Format::Table,
        value_name = "FORMAT")]
    pub(super) format: Format,
}

impl Output {
    /// Shows a list of `total` in all.
    pub(super) fn show_list(self, resource: Resource, items: &[Value], total: u64) -> Result<()> {
        match self.format {
            Format::Json | Format::Yaml => {
                self.show_value(&json!({"items": items, "total": total}))
            }
            Format::Name | Format::Table | Format::Wide => self.show_rows(resource, items),
        }
    }

    /// Shows one object.
    pub(super) fn show_one(self, resource: Resource, item: &Value) -> Result<()> {
        match self.format {
            Format::Json | Format::Yaml => self.show_value(item),
            Format::Name | Format::Table | Format::Wide => {
                self.show_rows(resource, std::slice::from_ref(item))
            }
        }
    }

    fn show_rows(self, resource: Resource, items: &[Value]) -> Result<()> {
        if self.format == Format::Name {
            let names: Vec<_> = items.iter().map(|item| resource.tag(item)).collect();
            return if names.is_empty() { Ok(()) } else { emit(&names.join("\n")) };
        }
        let wide = self.format == Format::Wide;
        let columns: Vec<_> =
            resource.columns().iter().filter(|column| wide || !column.wide).collect();
        emit(&table(&columns, items))
    }

    /// Shows a value that is no table.
    pub(super) fn show_value(self, value: &Value) -> Result<()> {
        if self.format == Format::Yaml { emit_raw(&yaml(value)?) } else { emit(&pretty(value)?) }
    }
}

/// JSON with indentation.
pub(super) fn pretty(value: &Value) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// YAML, with the end of its last line.
pub(super) fn yaml(value: &Value) -> Result<String> {
    serde_yaml_ng::to_string(value).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// The text or number at a pointer; a dash when there is nothing.
pub(super) fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(other) => other.to_string(),
    }
}

fn table(columns: &[&Column], items: &[Value]) -> String {
    let now = SystemClock.now();
    let mut table = Table::new();
    table.load_style(NOTHING);
    match width() {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table.set_header(columns.iter().map(|column| column.head));
    for item in items {
        table.add_row(columns.iter().map(|column| {
            // One row is one line, whatever a name holds.
            harmless(&(column.show)(item, now)).replace('\n', " ")
        }));
    }
    for (shape, column) in table.column_iter_mut().zip(columns) {
        shape.set_padding((0, 2));
        // Nobody can read a heading or a uid that is cut into pieces.
        let least = if column.head == "UID" { 12 } else { column.head.len() };
        let least = u16::try_from(least + 2).unwrap_or(u16::MAX);
        shape.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
    }
    table.trim_fmt()
}

/// The columns of the terminal; `None` when nobody reads along.
#[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
fn width() -> Option<u16> {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    if let Some(width) = said.filter(|width| *width > 0) {
        return Some(width);
    }
    let seen = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    seen.map(|(width, _)| width.0)
}

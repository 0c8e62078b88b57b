//! Log lines on standard error, for people or for programs.
//!
//! Owns: the subscriber that turns an event and the spans around it into one
//! line, and the two formats.
//! Must not know: which events exist. Nothing here can tell a secret from any
//! other text: secrets stay out of the log because `Secret` has no text.
//!
//! How to log: one event where a failure is handled, with a sentence for people
//! as the message and the facts as fields, e.g.
//! `warn!(cluster = %id, error = %error.chain(), "cannot read the report; the next one replaces it")`.
//! Fields of enclosing spans, such as those of a request ([`super::span`]),
//! are added to every line by themselves.

use std::{io::Write as _, sync::Arc};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    config::{LogFilter, LogFormat},
};

mod format;

/// Logging was set up before in this process.
#[derive(Debug, thiserror::Error)]
#[error("logging is already set up in this process")]
pub struct AlreadySetUp;

/// Sends log lines of this process to standard error from now on. Colours
/// appear only on a terminal, and not when `NO_COLOR` is set.
pub fn init(format: LogFormat, filter: &LogFilter) -> Result<(), AlreadySetUp> {
    let stderr = std::io::stderr();
    let colours = anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
    // One write for each line keeps lines of different threads apart. A closed
    // standard error must not stop the program.
    let write = move |line: &str| drop(stderr.lock().write_all(line.as_bytes()));
    let lines = Lines { format, colours, clock: Arc::new(SystemClock), write };
    tracing::subscriber::set_global_default(subscriber(filter, lines)).map_err(|_| AlreadySetUp)
}

fn subscriber<W>(filter: &LogFilter, lines: Lines<W>) -> impl Subscriber + Send + Sync
where
    W: Fn(&str) + Send + Sync + 'static,
{
    tracing_subscriber::registry().with(EnvFilter::new(filter.as_str())).with(lines)
}

/// One line before it is formatted.
#[derive(Debug)]
struct Line<'a> {
    at: Timestamp,
    level: Level,
    target: &'a str,
    message: String,
    fields: Fields,
}

/// Names and values; a name appears once, the last value counts.
#[derive(Clone, Debug, Default)]
struct Fields(Vec<(&'static str, serde_json::Value)>);

impl Fields {
    fn set(&mut self, name: &'static str, value: serde_json::Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.set(field.name(), crate::error::chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field.name(), format!("{value:?}").into());
    }
}

/// The layer that writes lines with `write`.
struct Lines<W> {
    format: LogFormat,
    colours: bool,
    clock: Arc<dyn Clock>,
    write: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + Send + Sync + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line = Line {
            at: self.clock.now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: String::new(),
            fields: Fields::default(),
        };
        for (name, value) in own.0 {
            match (name, value) {
                ("message", serde_json::Value::String(text)) => line.message = text,
                (name, value) => line.fields.set(name, value),
            }
        }
        // What the event says of itself comes first; a span closer to it wins
        // over one farther out.
        let spans = ctx.event_scope(event).into_iter().flatten();
        for span in spans {
            let extensions = span.extensions();
            for (name, value) in extensions.get::<Fields>().iter().flat_map(|fields| &fields.0) {
                if !line.fields.0.iter().any(|(known, _)| known == name) {
                    line.fields.0.push((name, value.clone()));
                }
            }
        }
        let text = match self.format {
            LogFormat::Human => format::human(&line, self.colours),
            LogFormat::Json => format::json(&line),
        };
        (self.write)(&text);
    }
}

#[cfg(test)]
mod tests;

//! Settings of the log.

use super::{LogFilter, setting::section, value::choice};

choice! {
    /// How log lines look.
    pub enum LogFormat {
        /// One line for people.
        Human = "human",
        /// One JSON object per line.
        Json = "json",
    }
}

section! {
    /// What is logged to standard error.
    pub struct Log in "log";

    /// `human` for terminals and journals, `json` for programs that read it.
    format: LogFormat = "human";
    /// A level (error, warn, info, debug, trace), or levels by module. What the library of
    /// the message bus has to say is logged by us, in words.
    filter: LogFilter = "info,async_nats=off";
}

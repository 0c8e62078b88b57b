//! Writing to the terminal, and ending with the right code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use super::failure::{Exit, Failure, Result};
use crate::error::{Error, Kind};

/// Writes data to standard output. A reader who has seen enough is no failure.
pub(super) fn print(text: &str) -> ExitCode {
    match write(text, "\n") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The same for client commands.
pub(super) fn emit(text: &str) -> Result<()> {
    write(text, "\n").map_err(|error| unwritable(&error))
}

/// Writes data as it is, without an end of line of its own.
pub(super) fn emit_raw(text: &str) -> Result<()> {
    write(text, "").map_err(|error| unwritable(&error))
}

fn write(text: &str, end: &str) -> io::Result<()> {
    // Data goes out as it is; it has no colours that would have to be taken out.
    let mut out = io::stdout().lock();
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("Standard output cannot be written: {error}."))
}

/// Writes a remark to standard error.
pub(super) fn say(text: &str) {
    // Nobody reads it when standard error is closed; that is their choice.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A text of somebody else, without anything that could command the terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Says what failed, why and what to do next, and gives the exit code.
pub(super) fn fail(error: &Error) -> ExitCode {
    say(&format!("error: {}", error.chain()));
    if let Some(hint) = error.hint() {
        say(&format!("  {hint}"));
    }
    code(error.kind())
}

/// The exit code of a kind of error.
pub(super) fn code(kind: Kind) -> ExitCode {
    Exit::from(kind).into()
}

//! Writing to the terminal, and ending with the right code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::error::{Error, Kind};

/// Writes data to standard output. A reader who has seen enough is no failure.
pub(super) fn print(text: &str) -> ExitCode {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes a remark to standard error.
pub(super) fn say(text: &str) {
    // Nobody reads it when standard error is closed; that is their choice.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Says what failed, why and what to do next, and gives the exit code.
pub(super) fn fail(error: &Error) -> ExitCode {
    say(&format!("error: {}", error.chain()));
    if let Some(hint) = error.hint() {
        say(&format!("  {hint}"));
    }
    code(error.kind())
}

/// The exit code of a kind of error. Exhaustive on purpose.
pub(super) fn code(kind: Kind) -> ExitCode {
    ExitCode::from(match kind {
        Kind::NotFound => 3,
        Kind::Forbidden | Kind::Unauthenticated => 4,
        Kind::Conflict | Kind::Stale | Kind::VersionRequired => 5,
        Kind::Malformed
        | Kind::TooLarge
        | Kind::Invalid
        | Kind::RateLimited
        | Kind::Unavailable
        | Kind::StorageFull
        | Kind::Internal => 1,
    })
}

//! Why a client command failed, and the code that it ends with.
//!
//! Owns: the exit codes, [`Failure`], and how it reads on the terminal.
//! Must not know: HTTP or the commands.

use std::{fmt::Write, process::ExitCode};

use super::output::{harmless, say};
use crate::error::{Error, Kind};

/// The result of everything that a client command does.
pub(super) type Result<T, F = Failure> = std::result::Result<T, F>;

/// How a command ends when it does not succeed. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Anything without a code of its own.
    Failed = 1,
    /// The arguments do not make sense.
    Usage = 2,
    /// There is no such object.
    NotFound = 3,
    /// Not logged in, or not allowed.
    NotAllowed = 4,
    /// In the wrong state, the name is taken, or somebody else was faster.
    Conflict = 5,
    /// What was waited for did not happen in time.
    TimedOut = 6,
    /// What was waited for cannot happen any more.
    OperationFailed = 7,
    /// The appliance was not reached, or its certificate is not trusted.
    Unreachable = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Kind> for Exit {
    /// Exhaustive on purpose.
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Self::NotFound,
            Kind::Forbidden | Kind::Unauthenticated => Self::NotAllowed,
            Kind::Conflict | Kind::Stale | Kind::VersionRequired => Self::Conflict,
            Kind::Malformed
            | Kind::TooLarge
            | Kind::Invalid
            | Kind::RateLimited
            | Kind::Unavailable
            | Kind::StorageFull
            | Kind::Internal => Self::Failed,
        }
    }
}

/// What failed, why, and what to do next.
#[derive(Debug)]
pub(super) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    exit: Exit,
    message: String,
    code: Option<String>,
    fields: Vec<(String, String)>,
    hint: Option<String>,
    request: Option<String>,
}

impl Failure {
    /// A failure that ends with `exit`; `message` is a sentence.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            exit,
            message: message.into(),
            code: None,
            fields: Vec::new(),
            hint: None,
            request: None,
        }))
    }

    /// The arguments do not make sense; `hint` says which would.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message).with_hint(hint)
    }

    /// Adds what to do next.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the stable name of the problem.
    #[must_use]
    pub(super) fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Adds a field at fault.
    #[must_use]
    pub(super) fn with_field(mut self, field: &str, message: &str) -> Self {
        self.0.fields.push((field.to_owned(), message.to_owned()));
        self
    }

    /// Adds the request as the log of the appliance names it.
    #[must_use]
    pub(super) fn with_request(mut self, request: impl Into<String>) -> Self {
        self.0.request = Some(request.into());
        self
    }

    /// The same failure, said to be part of something larger.
    #[must_use]
    pub(super) fn after(mut self, done: &str) -> Self {
        self.0.message = format!("{done}: {}", self.0.message);
        self
    }

    /// The code that it ends with.
    pub(super) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// Writes it to standard error and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        say(&harmless(&self.text()));
        self.0.exit.into()
    }

    fn text(&self) -> String {
        let Inner { message, code, fields, hint, request, .. } = &*self.0;
        let mut text = format!("error: {message}");
        // Writing to a string cannot fail.
        if let Some(code) = code {
            let _ = write!(text, " [{code}]");
        }
        for (field, message) in fields {
            let _ = write!(text, "\n  {field}: {message}");
        }
        if let Some(hint) = hint {
            let _ = write!(text, "\n  {hint}");
        }
        if let Some(request) = request {
            let _ = write!(text, "\n  request {request}");
        }
        text
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(error.kind().into(), error.chain());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_the_appliance_said_is_shown() {
        let failure = Failure::new(Exit::Conflict, "The name is taken.")
            .with_code("name-taken")
            .with_field("name", "is used by another cluster")
            .with_hint("Choose another.")
            .with_request("r1");
        assert_eq!(
            failure.text(),
            "error: The name is taken. [name-taken]\n  name: is used by another cluster\n  \
             Choose another.\n  request r1"
        );
    }
}

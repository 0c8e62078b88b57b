//! One error for everything that can go wrong, free of any transport.
//!
//! Owns: the [`Kind`]s of failure, the public sentence, the hint, the fields
//! at fault and, apart from all that, the internal cause.
//! Must not know: HTTP. `gateway::respond` maps kinds to status codes, once.
//!
//! The public text never contains the cause: a caller reads what was wrong and
//! what to do, the operator reads [`Error::chain`] in the log.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

/// The result of everything that can fail in a service.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is; decides the status code and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request cannot be understood: broken JSON, unknown field, wrong type.
    Malformed,
    /// No credentials, or credentials that do not count (any more).
    Unauthenticated,
    /// Known and refused.
    Forbidden,
    /// Absent, or not for the caller to know.
    NotFound,
    /// In the wrong state, or the name is taken.
    Conflict,
    /// The object has changed since the caller read it.
    Stale,
    /// The update must say which version it is based on.
    VersionRequired,
    /// Larger than allowed.
    TooLarge,
    /// Well-formed, but a value is not acceptable.
    Invalid,
    /// Too many requests.
    RateLimited,
    /// Something this needs is down; trying again later may work.
    Unavailable,
    /// The disk is full: nothing was changed.
    StorageFull,
    /// Our fault.
    Internal,
}

/// One field of the input and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field in the input, e.g. `policy.minLength`.
    pub field: String,
    /// What is wrong, as a sentence without a capital and full stop.
    pub message: String,
}

/// A failure: what the caller may know, apart from what caused it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    refused: Option<&'static str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `kind`. `code` is the stable name that clients test for
    /// (`kebab-case`); `message` is a full sentence for a person.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            code: Cow::Borrowed(code),
            message: message.into(),
            hint: None,
            fields: Vec::new(),
            retry_after: None,
            refused: None,
            source: None,
        }))
    }

    /// Something that does not exist, or that the caller may not know to exist.
    /// Both read exactly alike.
    pub fn not_found(noun: &'static str) -> Self {
        Self::new(Kind::NotFound, "not-found", format!("There is no such {noun}."))
    }

    /// Refused: the caller lacks a permission.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Forbidden, "forbidden", message)
    }

    /// One field of well-formed input is not acceptable.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, "invalid", "Some fields are not acceptable.")
            .with_field(field, message)
    }

    /// Our fault; `source` is for the log only.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "internal", "Something went wrong on our side.")
            .with_hint(
                "Try again; if it stays, give the request id to whoever runs this appliance.",
            )
            .caused_by(source)
    }

    /// A dependency is down; `message` says which and what still works.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Unavailable, "unavailable", message)
            .with_retry_after(Duration::from_secs(2))
    }

    /// Gives it the name that another process of ours has given it.
    #[must_use]
    pub fn with_code(mut self, code: String) -> Self {
        self.0.code = Cow::Owned(code);
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a field at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.fields.push(FieldError { field: field.into(), message: message.into() });
        self
    }

    /// Adds when trying again makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Names the permission that was missing, for the record of the refusal.
    #[must_use]
    pub fn for_want_of(mut self, permission: &'static str) -> Self {
        self.0.refused = Some(permission);
        self
    }

    /// Adds the internal cause; it is logged and never shown.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable name of this failure.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The public sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, if there is something to say.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The fields at fault.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// When trying again makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The permission that was missing, if that is why.
    pub fn wanted(&self) -> Option<&'static str> {
        self.0.refused
    }

    /// The message and all its causes in one line, for logs and terminals of operators.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its sources in one line, separated by `: `.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.message.trim_end_matches('.'))?;
        for (position, fault) in self.0.fields.iter().enumerate() {
            write!(
                f,
                "{} {}: {}",
                if position == 0 { ":" } else { ";" },
                fault.field,
                fault.message
            )?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_message_never_contains_the_cause() {
        let error = Error::internal(std::io::Error::other("password is hunter2"));
        assert!(!error.message().contains("hunter2"));
        assert!(error.chain().contains("hunter2"));
    }
}

//! What was changed through the daemon: the record of it, and handing it over.

use super::Context;
use crate::{
    error::{Error, Kind, Result},
    node::{
        outbox::Begun,
        protocol::{Done, EventList, Events, EventsTaken},
    },
};

impl Context {
    /// Does `work` between the two halves of its record. Without the first half
    /// on disk nothing is done.
    pub(super) async fn recorded<T>(
        &self,
        event: Begun,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let outbox = &self.node.outbox;
        let number = outbox.begin(event, self.clock().now())?;
        let outcome = work.await;
        let ended = outbox.end(number, outcome.as_ref().map(drop).map_err(reason));
        if let Err(error) = ended {
            // It was done, and its first half says that it was begun.
            tracing::warn!(error = %error.chain(), "the end of an event is not recorded");
        }
        outcome
    }
}

fn reason(error: &Error) -> (&'static str, &str) {
    let word = match error.kind() {
        Kind::Unauthenticated | Kind::Forbidden | Kind::RateLimited => "denied",
        _ => "failed",
    };
    (word, error.code())
}

/// The events for the audit trail.
pub(super) fn list(context: &Context, ask: Events) -> EventList {
    context.node.outbox.list(ask.after)
}

/// Forgets what the audit trail has.
pub(super) fn taken(context: &Context, ask: EventsTaken) -> Result<Done> {
    context.node.outbox.forget(ask.through)?;
    Ok(Done {})
}

//! Whether a link stands, and the reason in words if not.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::watch;

use crate::bus::forwarder::LastFailure;

/// Whether a link stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It stands.
    Connected,
    /// It does not, and is being made.
    Connecting {
        /// Why it does not stand, as a clause; `None` at the very beginning.
        cause: Option<String>,
    },
}

const REFUSED: &str = "management refused these credentials; they are expired or revoked";

/// Whether the cause says that the credentials are of no use any more, so that
/// new ones are needed.
pub fn is_refusal(cause: &str) -> bool {
    cause == REFUSED
}

/// What the callbacks of one link share.
pub(super) struct Shared {
    host: String,
    jwt: Mutex<String>,
    state: watch::Sender<LinkState>,
    proxy_failure: Option<LastFailure>,
    last_words: Mutex<Option<String>>,
    was_connected: AtomicBool,
    closed: AtomicBool,
}

impl Shared {
    pub(super) fn new(host: String, jwt: String, proxy_failure: Option<LastFailure>) -> Self {
        Self {
            host,
            jwt: Mutex::new(jwt),
            state: watch::Sender::new(LinkState::Connecting { cause: None }),
            proxy_failure,
            last_words: Mutex::default(),
            was_connected: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    pub(super) fn is_connected(&self) -> bool {
        *self.state.borrow() == LinkState::Connected
    }

    pub(super) fn jwt(&self) -> String {
        lock(&self.jwt).clone()
    }

    pub(super) fn set_jwt(&self, jwt: String) {
        *lock(&self.jwt) = jwt;
    }

    pub(super) fn was_connected(&self) -> bool {
        self.was_connected.load(Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub(super) fn connected(&self) {
        self.was_connected.store(true, Relaxed);
        lock(&self.last_words).take();
        self.state.send_replace(LinkState::Connected);
    }

    /// The broker gave a reason; it usually closes the connection next.
    pub(super) fn broker_said(&self, text: &str) {
        *lock(&self.last_words) = Some(self.in_words(text));
    }

    pub(super) fn disconnected(&self) {
        let cause = lock(&self.last_words).take();
        self.down(cause.unwrap_or_else(|| "the connection to management was lost".to_owned()));
    }

    /// An attempt begins; `error` is why the one before failed.
    pub(super) fn attempting(&self, error: Option<&str>) {
        let on_the_way = self.proxy_failure.as_ref().and_then(LastFailure::get);
        if let Some(cause) = on_the_way.or_else(|| error.map(|error| self.in_words(error))) {
            self.down(cause);
        }
    }

    /// An attempt failed before there was an address to try; everything else
    /// comes with more detail at the next attempt.
    pub(super) fn attempt_failed(&self, kind: &str) {
        if self.proxy_failure.is_none() && kind.to_ascii_lowercase().contains("dns") {
            self.down(self.in_words(kind));
        }
    }

    fn down(&self, cause: String) {
        let state = LinkState::Connecting { cause: Some(cause) };
        self.state.send_if_modified(|current| {
            let changed = *current != state;
            *current = state;
            changed
        });
    }

    /// Says what the client library's error means to somebody who has to repair it.
    fn in_words(&self, error: &str) -> String {
        let host = &self.host;
        let lower = error.to_ascii_lowercase();
        let has = |part: &str| lower.contains(part);
        if has("authorization violation") || has("authentication expired") || has("revoked") {
            REFUSED.to_owned()
        } else if has("unknownissuer") || has("badsignature") {
            format!("the certificate of {host} is not signed by a CA that this agent trusts")
        } else if has("notvalidforname") || has("not valid for name") {
            format!("the certificate of {host} is for another name")
        } else if has("invalid peer certificate") {
            let detail = error.rsplit("invalid peer certificate: ").next().unwrap_or_default();
            format!("the certificate of {host} is not valid: {detail}")
        } else if has("dns") || has("resolve") || has("lookup") {
            format!("the name {host} cannot be resolved")
        } else if has("connection refused") {
            format!("{host} refuses connections")
        } else if has("timed out") {
            format!("{host} does not answer")
        } else {
            format!("the connection to {host} failed: {error}")
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

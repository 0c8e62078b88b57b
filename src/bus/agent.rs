//! An agent's link to management.
//!
//! Owns: one connection that stays up by itself, what an agent says on it and
//! hears from it, and the reason, in words, while it is down.
//! Must not know: Kubernetes, or where credentials come from.
//!
//! The link is light: one process may hold a thousand of them (`palisade
//! simulate`). Share [`Tls`] between links, and their TLS sessions resume.

mod address;
mod state;

use std::{sync::Arc, time::Duration};

use async_nats::{
    Auth, Client, ClientError, ConnectOptions, Event, RequestErrorKind, Subject, Subscriber,
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use tokio::sync::watch;

pub use address::{BusAddress, NotABusAddress};
use state::Shared;
pub use state::{LinkState, is_refusal};

use super::{
    dial::{Proxy, Tls},
    forwarder::Forwarder,
    keys::AgentKey,
    message::{Heartbeat, Report},
    server::MAX_PAYLOAD,
    subject,
};
use crate::{
    clock::{Random, random_bytes},
    error::{Error, Kind, Result},
    ids::ClusterId,
};

/// How long one attempt to connect may take.
const CONNECTING: Duration = Duration::from_secs(20);
/// A dead connection is noticed after two of these.
const PING: Duration = Duration::from_secs(5);
/// How long management may take to acknowledge a report.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);
/// The longest pause before the first attempt after a loss; doubles up to sixteen times this.
const SHORT_PAUSE_MS: u64 = 500;
/// The pause of a link that was closed while it was down; long enough for ever.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// What a link needs.
pub struct LinkOptions {
    /// Where management is.
    pub address: BusAddress,
    /// Whom to believe.
    pub tls: Tls,
    /// The proxy on the way, if any; for [`BusAddress::WebSocket`] only.
    pub proxy: Option<Proxy>,
    /// For whom the agent speaks.
    pub cluster: ClusterId,
    /// The agent's own key.
    pub key: AgentKey,
    /// The credentials for that key.
    pub jwt: String,
    /// For pauses that differ from those of other agents.
    pub random: Arc<dyn Random>,
}

/// A link. Dropping it closes it.
pub struct AgentLink {
    client: Client,
    cluster: ClusterId,
    shared: Arc<Shared>,
    random: Arc<dyn Random>,
    _forwarder: Option<Forwarder>,
}

impl AgentLink {
    /// Begins to connect and goes on for ever; see [`AgentLink::state`]. Also
    /// gives the commands that management sends.
    ///
    /// `Invalid` when address and proxy do not go together; `Internal` when the
    /// system has no sockets left.
    pub async fn connect(options: LinkOptions) -> Result<(Self, Commands)> {
        let LinkOptions { address, tls, proxy, cluster, key, jwt, random } = options;
        let (forwarder, url) = match (&address, proxy) {
            (BusAddress::Tls { .. }, Some(_)) => {
                return Err(Error::invalid(
                    "transport",
                    "a proxy needs the WebSocket transport (wss)",
                ));
            }
            (BusAddress::WebSocket { host, port }, Some(proxy)) => {
                let (host, port) = (host.clone(), *port);
                let forwarder =
                    Forwarder::start(proxy, host, port, tls.clone(), random.as_ref()).await;
                let forwarder = forwarder.map_err(Error::internal)?;
                let url = forwarder.url();
                (Some(forwarder), url)
            }
            (address, None) => (None, address.url()),
        };
        let failure = forwarder.as_ref().map(Forwarder::last_failure);
        let shared = Arc::new(Shared::new(address.host().to_owned(), jwt, failure));
        let connecting = client(&shared, key, cluster, &tls, Arc::clone(&random)).connect(url);
        let client = Box::pin(connecting).await.map_err(Error::internal)?;
        let subscriber = client.subscribe(subject::commands(cluster)).await;
        let commands = Commands {
            client: client.clone(),
            subscriber: subscriber.map_err(Error::internal)?,
            // The trailing dot is part of both.
            prefix: format!("{}.{cluster}.", subject::DN),
            answers: subject::answer(cluster, ""),
        };
        Ok((Self { client, cluster, shared, random, _forwarder: forwarder }, commands))
    }

    /// Whether the link stands, and if not, why not.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.shared.state()
    }

    /// Publishes a heartbeat, or does nothing and says `false` while the link
    /// is down: an old heartbeat is worth nothing.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> bool {
        if !self.shared.is_connected() {
            return false;
        }
        let payload = to_json(heartbeat);
        self.client.publish(subject::heartbeat(self.cluster), payload).await.is_ok()
    }

    /// Sends a report and tries again until management has acknowledged it.
    /// Drop the future when there is a newer one. `TooLarge` when it does not
    /// fit into one message.
    pub async fn report(&self, report: &Report) -> Result<()> {
        let payload = to_json(report);
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::new(
                Kind::TooLarge,
                "report-too-large",
                format!("The report has {} bytes, more than one message holds.", payload.len()),
            ));
        }
        let mut state = self.state();
        for attempt in 1.. {
            let up = state.wait_for(|state| *state == LinkState::Connected).await;
            up.map_err(|_| Error::unavailable("The link was closed."))?;
            let request =
                async_nats::Request::new().payload(payload.clone()).timeout(Some(ACKNOWLEDGE));
            match self.client.send_request(subject::report(self.cluster), request).await {
                Ok(_) => return Ok(()),
                // Nobody there yet, or too busy: both pass.
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    tracing::debug!("nobody takes reports at the moment; trying again");
                }
                Err(error) => tracing::debug!(%error, "the report was not acknowledged"),
            }
            tokio::time::sleep(pause(attempt, self.random.as_ref())).await;
        }
        Ok(())
    }

    /// Connects again with new credentials for the same key. Nothing that was
    /// acknowledged is lost.
    pub async fn replace_credentials(&self, jwt: String) {
        self.shared.set_jwt(jwt);
        // It fails only when the connection is being made anyway.
        let _ = self.client.force_reconnect().await;
    }
}

impl Drop for AgentLink {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// What management asks of this agent.
pub struct Commands {
    client: Client,
    subscriber: Subscriber,
    prefix: String,
    answers: String,
}

/// One thing to do.
#[derive(Debug)]
pub struct Command {
    /// What, e.g. `pack.apply`.
    pub verb: String,
    /// With what.
    pub payload: Bytes,
    client: Client,
    answer_to: Subject,
}

impl Commands {
    /// The next command; `None` when the link is closed.
    pub async fn next(&mut self) -> Option<Command> {
        loop {
            let message = self.subscriber.next().await?;
            let verb = message.subject.strip_prefix(self.prefix.as_str());
            // Only management can name our own place for answers. Another agent
            // of the tenant can make an acknowledgement arrive here, but
            // that has no place for answers.
            let answer_to = message.reply.filter(|reply| reply.starts_with(&self.answers));
            if let (Some(verb), Some(answer_to)) = (verb, answer_to) {
                return Some(Command {
                    verb: verb.to_owned(),
                    payload: message.payload,
                    client: self.client.clone(),
                    answer_to,
                });
            }
            tracing::debug!(subject = %message.subject, "a message that is no command was dropped");
        }
    }
}

impl Command {
    /// Answers. An answer that is lost is like none: management asks again.
    pub async fn answer(self, payload: Bytes) {
        let _ = self.client.publish(self.answer_to, payload).await;
    }
}

fn client(
    shared: &Arc<Shared>,
    key: AgentKey,
    cluster: ClusterId,
    tls: &Tls,
    random: Arc<dyn Random>,
) -> ConnectOptions {
    let credentials = Arc::clone(shared);
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        let mut auth = Auth::new();
        auth.jwt = Some(credentials.jwt());
        auth.signature = Some(key.sign(&nonce));
        std::future::ready(Ok(auth))
    });
    let (events, attempts, pauses) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    options
        .name(format!("palisade agent {cluster}"))
        .custom_inbox_prefix(subject::inbox(cluster))
        .tls_client_config(tls.config())
        .ignore_discovered_servers()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ping_interval(PING)
        .connection_timeout(CONNECTING)
        // A link has little to say; these bound its memory.
        .subscription_capacity(64)
        .client_capacity(32)
        .read_buffer_capacity(4 * 1024)
        .event_callback(move |event| {
            match event {
                Event::Connected => events.connected(),
                Event::Disconnected | Event::Closed => events.disconnected(),
                Event::ServerError(error) => events.broker_said(&error.to_string()),
                Event::ClientError(ClientError::Other(kind)) => events.attempt_failed(&kind),
                _ => {}
            }
            std::future::ready(())
        })
        .reconnect_to_server_callback(move |servers, _| {
            // The only place where the client tells why the last attempt failed.
            attempts.attempting(servers.first().and_then(|server| server.last_error.as_deref()));
            std::future::ready(None)
        })
        .reconnect_delay_callback(move |attempt| {
            if pauses.is_closed() {
                FOREVER
            } else if attempt <= 1 && !pauses.was_connected() {
                Duration::ZERO
            } else {
                pause(attempt, random.as_ref())
            }
        })
}

/// A pause between an eighth and the whole of an upper bound that doubles with
/// every attempt, so that agents that were cut off together come back apart.
fn pause(attempt: usize, random: &dyn Random) -> Duration {
    let bound = SHORT_PAUSE_MS << attempt.min(4);
    let spread = bound - bound / 8;
    Duration::from_millis(bound / 8 + u64::from_le_bytes(random_bytes(random)) % (spread + 1))
}

fn to_json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("messages are plain values").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn pauses_grow_to_eight_seconds_and_are_never_alike() {
        for (attempt, bound) in [(0, 500), (1, 1_000), (4, 8_000), (usize::MAX, 8_000)] {
            let pauses: std::collections::HashSet<_> =
                (0..200).map(|_| pause(attempt, &SystemRandom).as_millis()).collect();
            assert!(pauses.iter().all(|pause| (bound / 8..=bound).contains(pause)));
            assert!(pauses.len() > 100, "{} different pauses", pauses.len());
        }
    }
}

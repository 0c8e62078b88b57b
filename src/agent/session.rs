//! One agent on the bus: heartbeats and reports over one link.
//!
//! Owns: the rhythm of heartbeats, and sending a report when something changed
//! until management has acknowledged it.
//! Must not know: where reports come from, or how the bus is dialled. The real
//! agent and `palisade simulate` speak through the same code.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tracing::{info, warn};

use super::pace::{Pace, SHORTEST_PAUSE};
use super::{identity::Identity, settings::Management};
use crate::{
    bus::{
        agent::{AgentLink, Commands, LinkOptions, LinkState, is_refusal},
        keys::AgentKey,
        message::{HEARTBEAT_SECONDS, Heartbeat, Report},
    },
    clock::{Clock, Random, Timestamp, random_bytes},
    error::{Error, Result, chain},
    ids::NotAUid,
};

/// The link sends a report again and again; after this time there may be a newer one.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);

/// Begins to dial the bus as `identity`.
///
/// Errors: `Internal` when the system has no sockets left.
pub async fn dial(
    management: &Management,
    identity: &Identity,
    random: Arc<dyn Random>,
) -> Result<(AgentLink, Commands)> {
    let seed = identity.key.seed();
    let options = LinkOptions {
        address: management.bus.clone(),
        tls: management.tls.clone(),
        proxy: management.proxy.clone(),
        cluster: identity
            .enrolment
            .cluster
            .parse()
            .map_err(|cause: NotAUid| Error::internal(cause))?,
        key: AgentKey::from_seed(&seed).map_err(Error::internal)?,
        jwt: identity.enrolment.jwt.clone(),
        random,
    };
    AgentLink::connect(options).await
}

/// Where reports come from.
pub trait Source: Sync {
    /// Waits until something may have changed since the last call.
    fn changed(&self) -> impl Future<Output = ()> + Send;
    /// The state at `now`; `None` until it is known.
    fn report(&self, now: Timestamp) -> Option<Report>;
    /// When the report changes by the passing of time alone.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp>;
    /// Latency of the last request to the Kubernetes API.
    fn api_latency_ms(&self) -> Option<u32>;
}

/// Counts of what a session did; `palisade simulate` prints them.
pub trait Tally: Sync {
    /// The link stands, or does not (any more).
    fn connected(&self, _now: bool) {}
    /// A heartbeat was handed over, or failed.
    fn heartbeat(&self, _sent: bool) {}
    /// A report was acknowledged, or not.
    fn report(&self, _acknowledged: bool) {}
}

impl Tally for () {}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the broker said.
    pub cause: String,
    /// Whether the link stood before.
    pub was_connected: bool,
}

/// What a session needs.
pub struct Session<'a, S, T = ()> {
    /// The connection.
    pub link: &'a AgentLink,
    /// Where reports come from.
    pub source: &'a S,
    /// Who counts.
    pub tally: &'a T,
    /// The time.
    pub clock: &'a dyn Clock,
    /// For the moment of the first heartbeat.
    pub random: &'a dyn Random,
}

impl<S: Source, T: Tally> Session<'_, S, T> {
    /// Sends heartbeats and reports until the broker refuses the credentials.
    pub async fn run(&self, commands: Commands) -> Refused {
        tokio::select! {
            refused = self.follow_state() => refused,
            never = self.heartbeats() => match never {},
            never = self.reports() => match never {},
            never = listen(commands) => match never {},
        }
    }

    /// Says in the log how the connection is doing, once for each change.
    async fn follow_state(&self) -> Refused {
        let mut state = self.link.state();
        let mut was_connected = false;
        loop {
            match state.borrow_and_update().clone() {
                LinkState::Connected => {
                    was_connected = true;
                    self.tally.connected(true);
                    info!("connected to management");
                }
                LinkState::Connecting { cause: None } => {}
                LinkState::Connecting { cause: Some(cause) } => {
                    self.tally.connected(false);
                    if is_refusal(&cause) {
                        return Refused { cause, was_connected };
                    }
                    warn!(%cause, "not connected to management, dialling again: {cause}");
                }
            }
            if state.changed().await.is_err() {
                return Refused { cause: "the connection was closed".to_owned(), was_connected };
            }
        }
    }

    async fn heartbeats(&self) -> Infallible {
        let period = Duration::from_secs(HEARTBEAT_SECONDS);
        // An error means that the link is gone; `follow_state` ends the session then.
        let mut state = self.link.state();
        let _ = state.wait_for(|state| *state == LinkState::Connected).await;
        // The first one comes anywhere within the interval, so that agents
        // started together do not beat together.
        let mut beats = interval_at(Instant::now() + fraction(period, self.random), period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for sequence in 1.. {
            beats.tick().await;
            let heartbeat = Heartbeat {
                sequence,
                sent_at: self.clock.now(),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                api_latency_ms: self.source.api_latency_ms(),
            };
            self.tally.heartbeat(self.link.heartbeat(&heartbeat).await);
        }
        std::future::pending().await
    }

    async fn reports(&self) -> Infallible {
        let mut pace = Pace::default();
        let mut state = self.link.state();
        loop {
            if state.has_changed().unwrap_or(false) {
                pace.reconnected();
            }
            // An error means that the link is gone; `follow_state` ends the session then.
            if state.wait_for(|state| *state == LinkState::Connected).await.is_err() {
                std::future::pending::<()>().await;
            }
            let now = self.clock.now();
            let report = self.source.report(now);
            let wanted = report.filter(|report| pace.wants(report, now));
            let failed = match wanted {
                Some(report) => !self.send(report, &mut pace).await,
                None => false,
            };
            sleep(pace.pause()).await;
            if !failed {
                self.something_to_do(&pace, &mut state).await;
            }
        }
    }

    async fn send(&self, report: Report, pace: &mut Pace) -> bool {
        let cause = match timeout(ACKNOWLEDGED_WITHIN, self.link.report(&report)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.chain()),
            Err(elapsed) => Some(chain(&elapsed)),
        };
        self.tally.report(cause.is_none());
        if let Some(cause) = cause {
            pace.failed();
            let pause = pace.pause().as_secs();
            warn!(%cause, "management did not acknowledge a report; next try in {pause} s: {cause}");
            return false;
        }
        pace.acknowledged(report, self.clock.now());
        true
    }

    /// Waits for a change of the cluster, of the connection, or of what the
    /// time alone makes different.
    async fn something_to_do(&self, pace: &Pace, state: &mut watch::Receiver<LinkState>) {
        let now = self.clock.now();
        let deadlines = [pace.due(), self.source.next_change(now)];
        let wait = deadlines.into_iter().flatten().min().map(|at| at.since(now));
        // Without a first report there is nothing to be late for; a change will come.
        let wait = wait.unwrap_or(Duration::from_mins(1)).max(Duration::from_millis(1));
        tokio::select! {
            () = self.source.changed() => {}
            () = sleep(wait) => {}
            _ = state.changed() => state.mark_changed(),
        }
    }
}

/// Takes what management asks for. This version of the agent can do nothing yet;
/// what nobody takes would pile up.
async fn listen(mut commands: Commands) -> Infallible {
    while let Some(command) = commands.next().await {
        info!(verb = %command.verb, "management asked for something that this agent cannot do");
    }
    std::future::pending().await
}

/// A random part of `whole`.
pub fn fraction(whole: Duration, random: &dyn Random) -> Duration {
    whole.mul_f64(f64::from(u16::from_le_bytes(random_bytes(random))) / f64::from(u16::MAX))
}

const _: () = assert!(SHORTEST_PAUSE.as_secs() < HEARTBEAT_SECONDS);

#[cfg(test)]
mod tests;

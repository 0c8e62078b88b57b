//! The life of the agent's identity: made once, enrolled, renewed, kept.
//!
//! Owns: the order of these steps, so that no crash between two of them costs
//! the cluster its way back in; and the log lines that say what is wrong.
//! Must not know: what the credentials are used for.
//!
//! **Invariant:** a key is kept, sealed, before management hears of it. Whoever
//! dies between enrolment and the next write asks again with the same token
//! and the same key, by which management can know it again.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::{
    enrol::{self, Answer, Refusal},
    patience::Patience,
    settings::{Management, TokenSource},
    state::SavedState,
    store::StateStore,
};
use crate::{
    bus::{keys::AgentKey, message::Enrolment},
    clock::{Clock, Random, Timestamp},
    error::{Kind, Result},
    secret::Secret,
};

/// How often the due date of a renewal is looked at. Short, because a node's
/// clock may be set while we wait.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What the agent needs in order to dial in.
#[derive(Debug)]
pub struct Identity {
    /// Its own key.
    pub key: AgentKey,
    /// What management answered last.
    pub enrolment: Enrolment,
}

impl Identity {
    /// When the credentials should be renewed: at two thirds of their life.
    pub fn renew_at(&self) -> Timestamp {
        let life = self.enrolment.expires_at.since(self.enrolment.server_time);
        self.enrolment.server_time.plus(life / 3 * 2)
    }
}

/// Obtains, renews and keeps the identity.
#[derive(Debug)]
pub struct Keeper {
    management: Management,
    token: TokenSource,
    store: StateStore,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Management's clock minus ours, as far as we know.
    skew: Skew,
    /// Whether what we hold is not in the ConfigMap yet.
    unsaved: bool,
}

impl Keeper {
    /// A keeper that knows nothing yet.
    pub fn new(
        management: Management,
        token: TokenSource,
        store: StateStore,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { management, token, store, clock, random, skew: Skew::default(), unsaved: false }
    }

    /// The identity of the last run, or a new one. Waits as long as it takes.
    pub async fn obtain(&mut self) -> Identity {
        let mut patience = Patience::default();
        loop {
            let trouble = match self.token.read() {
                Ok(token) => match self.try_obtain(&token).await {
                    Ok(identity) => return identity,
                    Err(trouble) => trouble,
                },
                Err(error) => Refusal::NotNow { message: error.chain(), retry_after: None },
            };
            self.wait("enrol this cluster", &trouble, &mut patience).await;
        }
    }

    /// Waits until the credentials are due, then renews them.
    pub async fn renew_when_due(&mut self, identity: &mut Identity) {
        while self.skew.apply(self.clock.now()) < identity.renew_at() {
            sleep(LOOK_EVERY).await;
            if self.unsaved {
                self.keep(identity).await;
            }
        }
        self.renew(identity).await;
    }

    /// Renews the credentials now. Waits as long as it takes.
    pub async fn renew(&mut self, identity: &mut Identity) {
        let mut patience = Patience::default();
        loop {
            match self.try_renew(&identity.key, &identity.enrolment.cluster).await {
                Ok(enrolment) => {
                    info!(expires = %enrolment.expires_at, "credentials renewed");
                    identity.enrolment = enrolment;
                    self.keep(identity).await;
                    return;
                }
                Err(refusal) => self.wait("renew the credentials", &refusal, &mut patience).await,
            }
        }
    }

    async fn try_obtain(&mut self, token: &Secret<String>) -> Result<Identity, Refusal> {
        let (key, saved) = self.own_key(token).await?;
        if let Some(enrolment) = saved.enrolment {
            info!(cluster = %enrolment.cluster, "enrolled in an earlier run");
            return Ok(Identity { key, enrolment });
        }
        let answer = enrol::enrol(&self.management, token, &key).await;
        let identity = Identity { key, enrolment: self.heard(answer)? };
        info!(cluster = %identity.enrolment.cluster, "enrolled with management");
        self.keep(&identity).await;
        Ok(identity)
    }

    /// The key of the last run if the token opens it, or a new one that is
    /// kept before it is used.
    async fn own_key(&self, token: &Secret<String>) -> Result<(AgentKey, SavedState), Refusal> {
        let not_now = |message| Refusal::NotNow { message, retry_after: None };
        match self.store.load().await {
            Ok(Some(saved)) => {
                if let Some(key) = opened(&saved, token) {
                    return Ok((key, saved));
                }
                info!("this is a new import: the identity of an earlier one is replaced");
            }
            Ok(None) => {}
            // Somebody's text in our ConfigMap cannot be an identity: start anew.
            Err(error) if error.kind() == Kind::Invalid => {
                warn!(error = %error.chain(), "{error}; it is replaced");
            }
            Err(error) => return Err(not_now(error.chain())),
        }
        let key = AgentKey::generate(&*self.random);
        let saved = self.sealed(&key, token);
        self.store.save(&saved).await.map_err(|error| not_now(error.chain()))?;
        Ok((key, saved))
    }

    async fn try_renew(&mut self, key: &AgentKey, cluster: &str) -> Result<Enrolment, Refusal> {
        let skew = self.skew;
        let now = skew.apply(self.clock.now());
        let answer = enrol::renew(&self.management, cluster, key, now).await;
        let renewed = self.heard(answer);
        if matches!(renewed, Err(Refusal::No { .. })) && self.skew.is_far_from(skew) {
            // The signature was refused for its time; now we know the right one.
            warn!("the clock of this node differs from management's by {}", self.skew);
            let now = self.skew.apply(self.clock.now());
            let answer = enrol::renew(&self.management, cluster, key, now).await;
            return self.heard(answer);
        }
        renewed
    }

    /// Learns management's clock from an answer, whatever else it says.
    fn heard(&mut self, answer: Answer) -> Result<Enrolment, Refusal> {
        if let Some(time) = answer.server_time {
            self.skew = Skew::between(time, self.clock.now());
        }
        answer.outcome
    }

    fn sealed(&self, key: &AgentKey, token: &Secret<String>) -> SavedState {
        SavedState::seal(key.public_key().as_str(), &key.seed(), token, &*self.random)
    }

    /// Writes the identity down. Failing is no reason to stop: the key is kept
    /// already, and the rest is written later or asked for again.
    async fn keep(&mut self, identity: &Identity) {
        let kept = match self.token.read() {
            Ok(token) => {
                let mut state = self.sealed(&identity.key, &token);
                state.enrolment = Some(identity.enrolment.clone());
                self.store.save(&state).await
            }
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => self.unsaved = false,
            Err(error) if self.unsaved => debug!(error = %error.chain(), "still not kept"),
            Err(error) => {
                warn!(error = %error.chain(), "the credentials are not kept yet; trying again");
                self.unsaved = true;
            }
        }
    }

    async fn wait(&self, goal: &str, refusal: &Refusal, patience: &mut Patience) {
        let pause = patience.after(refusal, &*self.random);
        let next = readable(pause);
        match refusal {
            Refusal::NotNow { message, .. } => {
                warn!(cause = %message, "cannot {goal} now: {message}; next try in {next}");
            }
            Refusal::No { code, message } => {
                error!(
                    code = %code, cause = %message,
                    "management refuses to {goal}: {message} If the cluster was removed there, \
                     delete this agent or import the cluster again; next try in {next}"
                );
            }
        }
        sleep(pause).await;
    }
}

fn opened(saved: &SavedState, token: &Secret<String>) -> Option<AgentKey> {
    let key = AgentKey::from_seed(&saved.unseal(token)?).ok()?;
    (key.public_key().as_str() == saved.public_key).then_some(key)
}

fn readable(pause: Duration) -> String {
    match pause.as_secs() {
        seconds @ 0..120 => format!("{} s", seconds.max(1)),
        seconds => format!("{} min", seconds / 60),
    }
}

/// Management's clock minus ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Skew {
    micros: i64,
}

impl Skew {
    /// Two clocks that tell the whole second can differ by as much for no reason.
    const FAR: i64 = 5_000_000;

    fn between(theirs: Timestamp, ours: Timestamp) -> Self {
        let micros = theirs.as_micros().saturating_sub(ours.as_micros());
        Self { micros: if micros.abs() < Self::FAR { 0 } else { micros } }
    }

    fn apply(self, ours: Timestamp) -> Timestamp {
        Timestamp::from_micros(ours.as_micros().saturating_add(self.micros))
    }

    fn is_far_from(self, other: Self) -> bool {
        self.micros.abs_diff(other.micros) >= Self::FAR.unsigned_abs()
    }
}

impl std::fmt::Display for Skew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} s", self.micros / 1_000_000)
    }
}

#[cfg(test)]
mod tests;

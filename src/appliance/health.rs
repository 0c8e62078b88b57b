//! What the node's doctor says, and the support bundle.
//!
//! The node daemon looks at the machine; that takes longer than a request may.
//! Whoever asks joins the look that is under way, and asks again if it is not
//! done in time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture, future::Shared};
use tokio::time::timeout;

use crate::{
    audit::{Event, Ledger},
    clock::Timestamp,
    doctor::{causes::Diagnosis, cis::Report},
    error::{Error, Kind, Result},
    node::{
        client::{Client, NoAnswer},
        not_an_appliance,
        paths::Paths,
        protocol::{BundlePart, MachineChecks, SupportBundle},
    },
    rbac::{
        Permit,
        rights::{PlatformGet, PlatformUpdate},
    },
};

/// How long a request waits for a look.
const PATIENCE: Duration = Duration::from_secs(20);

/// A look that nobody has fetched is made again after this.
const STALE: Duration = Duration::from_mins(2);

/// What the doctor says of this machine.
#[derive(Clone, Debug)]
pub struct Checks {
    /// When it was looked.
    pub checked_at: Timestamp,
    /// What is wrong.
    pub doctor: Diagnosis,
    /// How well it is closed.
    pub hardening: Report,
}

/// The health of the machine that the appliance runs on.
#[derive(Debug)]
pub struct Health {
    ledger: Ledger,
    node: Option<Client>,
    checks: Latest<Checks>,
    bundle: Latest<Bundle>,
}

/// A support bundle that lies with the node daemon.
#[derive(Clone, Debug)]
pub struct Bundle {
    node: Client,
    id: String,
    size: u64,
}

impl Health {
    /// The health of the node of this layout, if we run on an appliance.
    pub fn new(ledger: Ledger, paths: Option<&Paths>) -> Self {
        Self {
            ledger,
            node: paths.map(Client::of),
            checks: Latest::default(),
            bundle: Latest::default(),
        }
    }

    /// Looks at the machine. `Conflict` (`not-an-appliance`) where nobody could;
    /// `Unavailable` (`still-looking`) when it takes longer: ask again.
    pub async fn checks(&self, _permit: &Permit<PlatformGet>) -> Result<Arc<Checks>> {
        let (node, clock) = (self.node()?, Arc::clone(self.ledger.clock()));
        let look = async move {
            let seen = node.ask(MachineChecks {}).await?;
            let foreign = |error: serde_json::Error| NoAnswer::Silent(error.to_string());
            Ok(Checks {
                checked_at: clock.now(),
                doctor: serde_json::from_value(seen.doctor).map_err(foreign)?,
                hardening: serde_json::from_value(seen.hardening).map_err(foreign)?,
            })
        };
        self.checks.join(self.ledger.clock().uptime(), look).await
    }

    /// Has a support bundle made. `extra` are texts that only the management
    /// plane knows: name and content.
    pub async fn support_bundle(
        &self,
        permit: &Permit<PlatformUpdate>,
        extra: Vec<(String, String)>,
    ) -> Result<Arc<Bundle>> {
        let node = self.node()?;
        let make = async move {
            let made = node.ask(SupportBundle { extra }).await?;
            Ok(Bundle { node, id: made.id, size: made.size })
        };
        let bundle = self.bundle.join(self.ledger.clock().uptime(), make).await?;
        let event = Event::new("platform.supportBundle").with("bytes", bundle.size);
        self.ledger.note(permit.actor(), event).await?;
        Ok(bundle)
    }

    fn node(&self) -> Result<Client> {
        self.node.clone().ok_or_else(not_an_appliance)
    }
}

impl Bundle {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from `offset` on, as many as come at once; none at its end.
    pub async fn part(&self, offset: u64) -> Result<Vec<u8>> {
        if offset >= self.size {
            return Ok(Vec::new());
        }
        let ask = BundlePart { id: self.id.clone(), offset };
        let part = self.node.ask(ask).await.map_err(Error::from)?;
        data_encoding::BASE64.decode(part.base64.as_bytes()).map_err(Error::internal)
    }
}

type Look<T> = Shared<BoxFuture<'static, std::result::Result<Arc<T>, Arc<NoAnswer>>>>;

/// The look that is under way, or the last one while nobody has fetched it.
struct Latest<T> {
    state: Mutex<Option<(Duration, Look<T>)>>,
    patience: Duration,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { state: Mutex::new(None), patience: PATIENCE }
    }
}

impl<T> std::fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Latest")
    }
}

impl<T: Send + Sync + 'static> Latest<T> {
    /// Joins the look that is under way, or begins one.
    async fn join(
        &self,
        now: Duration,
        look: impl Future<Output = std::result::Result<T, NoAnswer>> + Send + 'static,
    ) -> Result<Arc<T>> {
        let joined = {
            let mut latest = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let usable = latest.take().filter(|(begun, look)| {
                look.peek().is_none() || now.saturating_sub(*begun) < STALE
            });
            let (begun, look) = usable.unwrap_or_else(|| (now, begin(look)));
            *latest = Some((begun, look.clone()));
            look
        };
        let Ok(seen) = timeout(self.patience, joined.clone()).await else {
            return Err(Error::new(
                Kind::Unavailable,
                "still-looking",
                "The machine is still being looked at.",
            )
            .with_hint("Ask again.")
            .with_retry_after(Duration::from_secs(1)));
        };
        // It has been fetched: the next one looks anew.
        let mut latest = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.as_ref().is_some_and(|(_, look)| look.ptr_eq(&joined)) {
            *latest = None;
        }
        seen.map_err(|fault| match &*fault {
            NoAnswer::Silent(reason) => NoAnswer::Silent(reason.clone()).into(),
            NoAnswer::Failed(failure) => NoAnswer::Failed(failure.clone()).into(),
        })
    }
}

/// A look that goes on when nobody waits for it any more.
fn begin<T: Send + Sync + 'static>(
    look: impl Future<Output = std::result::Result<T, NoAnswer>> + Send + 'static,
) -> Look<T> {
    let task = tokio::spawn(look);
    let ended = async move {
        match task.await {
            Ok(seen) => seen.map(Arc::new).map_err(Arc::new),
            Err(error) => Err(Arc::new(NoAnswer::Silent(error.to_string()))),
        }
    };
    ended.boxed().shared()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn hasty() -> Latest<u32> {
        Latest { patience: Duration::from_millis(20), ..Latest::default() }
    }

    #[tokio::test]
    async fn a_look_that_takes_long_is_joined_and_fetched_once() {
        let (latest, gate) = (hasty(), Arc::new(Notify::new()));
        let looks = Arc::new(AtomicU32::new(0));
        let look = || {
            let (gate, looks) = (Arc::clone(&gate), Arc::clone(&looks));
            async move {
                gate.notified().await;
                Ok(looks.fetch_add(1, Ordering::SeqCst))
            }
        };
        for expected in 0..2 {
            let early = latest.join(NOW, look()).await.expect_err("too early");
            assert_eq!(early.code(), "still-looking");
            gate.notify_one();
            let patient = async {
                loop {
                    if let Ok(seen) = latest.join(NOW, look()).await {
                        return seen;
                    }
                }
            };
            assert_eq!(*patient.await, expected);
        }
    }

    #[tokio::test]
    async fn what_nobody_fetched_is_looked_at_again() {
        let (latest, gate) = (hasty(), Arc::new(Notify::new()));
        let waiting = Arc::clone(&gate);
        let slow = async move {
            waiting.notified().await;
            Ok(1)
        };
        latest.join(NOW, slow).await.expect_err("too early");
        let first = latest.state.lock().expect("free").as_ref().expect("begun").1.clone();
        gate.notify_one();
        first.await.expect("it ends");
        assert_eq!(*latest.join(NOW + STALE, async { Ok(2) }).await.expect("at once"), 2);
    }

    #[tokio::test]
    async fn a_refusal_of_the_node_reaches_everybody_who_waits() {
        let latest = hasty();
        let refused = latest.join(NOW, async { Err(NoAnswer::Silent("gone".to_owned())) }).await;
        assert_eq!(refused.expect_err("refused").kind(), Kind::Unavailable);
        assert_eq!(*latest.join(NOW, async { Ok(3) }).await.expect("a new look"), 3);
    }
}

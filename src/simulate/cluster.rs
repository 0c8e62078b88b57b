//! One simulated cluster: a real agent's protocol around an invented state.
//!
//! Owns: its enrolment, its session and the renewal of its credentials.
//! Must not know: the other clusters.

use std::{convert::Infallible, pin::pin, sync::Arc};

use tokio::time::sleep;
use tracing::warn;

use super::{
    plausible::{Plausible, Shape},
    statistics::{AgentTally, Statistics},
};
use crate::{
    agent::{
        enrol::{self, Answer, Refusal},
        identity::Identity,
        patience::Patience,
        session::{Refused, Session, dial},
        settings::Management,
    },
    bus::{keys::AgentKey, message::Enrolment},
    clock::{Clock, Random},
    error::Result,
    secret::Secret,
};

/// A cluster that was created and waits for its agent.
pub(super) struct Simulated {
    /// Where to enrol and dial.
    pub(super) management: Arc<Management>,
    /// The one-time token.
    pub(super) token: Secret<String>,
    /// What the cluster looks like.
    pub(super) shape: Shape,
    /// The counters of the fleet.
    pub(super) statistics: Arc<Statistics>,
    /// The time.
    pub(super) clock: Arc<dyn Clock>,
    /// Chance.
    pub(super) random: Arc<dyn Random>,
}

impl Simulated {
    /// Enrols and speaks for ever.
    pub(super) async fn run(self) {
        let key = AgentKey::generate(&*self.random);
        let enrolment =
            self.persist(|| enrol::enrol(&self.management, &self.token, &key), "enrol").await;
        self.statistics.enrolled();
        let mut identity = Identity { key, enrolment };
        let cluster = Plausible::draw(self.shape, &*self.random);
        let tally = AgentTally::new(&self.statistics);
        tokio::select! {
            () = cluster.live() => {}
            never = self.speak(&mut identity, &cluster, &tally) => match never {},
        }
    }

    async fn speak(
        &self,
        identity: &mut Identity,
        cluster: &Plausible<'_>,
        tally: &AgentTally<'_>,
    ) -> Infallible {
        loop {
            let cause = match self.hold(identity, cluster, tally).await {
                Ok(refused) => refused.cause,
                Err(error) => error.chain(),
            };
            warn!(cluster = %identity.enrolment.cluster, "no session: {cause}");
            let refusal = Refusal::NotNow { message: cause, retry_after: None };
            sleep(Patience::default().after(&refusal, &*self.random)).await;
            self.renew(identity).await;
        }
    }

    async fn hold(
        &self,
        identity: &mut Identity,
        cluster: &Plausible<'_>,
        tally: &AgentTally<'_>,
    ) -> Result<Refused> {
        let (link, commands) = dial(&self.management, identity, Arc::clone(&self.random)).await?;
        let session = Session {
            link: &link,
            source: cluster,
            tally,
            clock: &*self.clock,
            random: &*self.random,
        };
        let mut running = pin!(session.run(commands));
        loop {
            let due = identity.renew_at().since(self.clock.now());
            tokio::select! {
                refused = &mut running => return Ok(refused),
                () = async { sleep(due).await; self.renew(identity).await } => {
                    link.replace_credentials(identity.enrolment.jwt.clone()).await;
                }
            }
        }
    }

    async fn renew(&self, identity: &mut Identity) {
        let Identity { key, enrolment } = &*identity;
        let renew = || enrol::renew(&self.management, &enrolment.cluster, key, self.clock.now());
        identity.enrolment = self.persist(renew, "renew").await;
    }

    /// Asks until management gives credentials.
    async fn persist<F: Future<Output = Answer>>(
        &self,
        ask: impl Fn() -> F,
        goal: &str,
    ) -> Enrolment {
        let mut patience = Patience::default();
        loop {
            let refusal = match ask().await.outcome {
                Ok(enrolment) => return enrolment,
                Err(refusal) => refusal,
            };
            let pause = patience.after(&refusal, &*self.random);
            warn!("cannot {goal}: {refusal}; next try in {pause:.0?}");
            sleep(pause).await;
        }
    }
}

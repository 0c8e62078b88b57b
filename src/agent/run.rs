//! The agent as a whole.
//!
//! Owns: putting the parts together: watch the cluster, obtain an identity,
//! hold a session on the bus, renew in time.
//! Must not know: how any of these work.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tracing::{info, warn};

use super::{
    enrol::Refusal,
    identity::{Identity, Keeper},
    observed::Observed,
    patience::Patience,
    session::{Refused, Session, dial},
    settings::{AgentSettings, Management},
    store::StateStore,
    watch::ClusterWatch,
};
use crate::{
    bus::dial::Proxy,
    clock::{Clock, Random, SystemClock, SystemRandom},
    error::{Error, Kind, Result, chain},
};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longer than a watch without events lives (`watch::WATCH_SECONDS`): silence
/// beyond it means that the connection is dead.
const READ_WITHIN: Duration = Duration::from_secs(150);

/// Runs the agent until `shutdown` is ready. Works in any tokio runtime; one
/// thread is enough.
///
/// Errors: `Invalid` for settings that cannot be used. Nothing that management
/// or the cluster does ends the agent.
pub async fn run(settings: AgentSettings, shutdown: impl Future<Output = ()>) -> Result<()> {
    let client = kubernetes(&settings).await?;
    let agent = Agent::new(&settings, client, Arc::new(SystemClock), Arc::new(SystemRandom))?;
    agent.run(shutdown).await;
    Ok(())
}

/// One agent of one cluster.
pub struct Agent {
    client: Client,
    own: StateStore,
    management: Management,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Agent {
    /// An agent of the cluster behind `client`.
    ///
    /// Errors: `Invalid` for settings that cannot be used.
    pub fn new(
        settings: &AgentSettings,
        client: Client,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self> {
        let management = Management::from_settings(settings)?;
        // Fail now, with the setting's name, and not at each try.
        settings.token.read()?;
        super::enrol::client(&management)?;
        let store = StateStore::new(client.clone(), &settings.namespace, &settings.state_name);
        let keeper = Keeper::new(
            management.clone(),
            settings.token.clone(),
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
        );
        Ok(Self { client, own: store, management, keeper, clock, random })
    }

    /// Runs until `shutdown` is ready.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        info!(
            version = env!("CARGO_PKG_VERSION"),
            management = %self.management.url,
            proxy = self.management.proxy.as_ref().map(Proxy::address),
            "agent starts"
        );
        let observed = Arc::new(Observed::default());
        let watch = ClusterWatch::new(self.client.clone(), self.own.clone(), Arc::clone(&observed));
        tokio::select! {
            () = shutdown => info!("agent stops"),
            never = watch.run() => match never {},
            never = self.speak(&observed) => match never {},
        }
    }

    async fn speak(&mut self, observed: &Observed) -> Infallible {
        let mut identity = self.keeper.obtain().await;
        let mut patience = Patience::default();
        loop {
            // Credentials of an earlier run may have expired meanwhile.
            if self.clock.now() >= identity.enrolment.expires_at {
                self.keeper.renew(&mut identity).await;
            }
            let trouble = match self.hold(observed, &mut identity).await {
                Ok(Refused { cause, was_connected }) => {
                    if was_connected {
                        patience = Patience::default();
                    }
                    cause
                }
                Err(error) => error.chain(),
            };
            // The broker may refuse even new credentials for a moment, e.g.
            // while it starts: do not ask for them in a tight loop.
            let refusal = Refusal::NotNow { message: String::new(), retry_after: None };
            let pause = patience.after(&refusal, &*self.random);
            warn!(cause = %trouble, "no session: {trouble}; asking for new credentials in {pause:.0?}");
            tokio::time::sleep(pause).await;
            self.keeper.renew(&mut identity).await;
        }
    }

    /// Holds a session, renewing the credentials in time, until they are refused.
    async fn hold(&mut self, observed: &Observed, identity: &mut Identity) -> Result<Refused> {
        let (link, commands) = dial(&self.management, identity, Arc::clone(&self.random)).await?;
        let session = Session {
            link: &link,
            source: observed,
            tally: &(),
            clock: &*self.clock,
            random: &*self.random,
        };
        let mut running = pin!(session.run(commands));
        loop {
            tokio::select! {
                refused = &mut running => return Ok(refused),
                () = self.keeper.renew_when_due(identity) => {
                    link.replace_credentials(identity.enrolment.jwt.clone()).await;
                }
            }
        }
    }
}

/// The Kubernetes API as the settings or the pod say.
async fn kubernetes(settings: &AgentSettings) -> Result<Client> {
    let unusable = |field: &'static str, message: String| {
        Error::new(Kind::Invalid, "invalid", "The agent cannot reach Kubernetes.")
            .with_field(field, message)
    };
    let mut config = match &settings.kubeconfig {
        Some(path) => {
            let unusable = |cause: &dyn std::error::Error| {
                unusable(
                    "kubeconfig",
                    format!("{} is not usable: {}", path.display(), chain(cause)),
                )
            };
            let file = Kubeconfig::read_from(path).map_err(|cause| unusable(&cause))?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|cause| unusable(&cause))?
        }
        None => Config::incluster().map_err(|cause| {
            let message = format!(
                "without it the agent must run in a pod with a service account: {}",
                chain(&cause)
            );
            unusable("kubeconfig", message)
        })?,
    };
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = Some(READ_WITHIN);
    Client::try_from(config).map_err(|cause| unusable("kubeconfig", chain(&cause)))
}

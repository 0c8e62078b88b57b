//! A fleet of simulated clusters over the real API and the real bus.
//!
//! Owns: creating the clusters, running the protocol of their agents in one
//! process, the statistics, and taking the clusters away again.
//! Must not know: how the agent's protocol works; it speaks through
//! [`crate::agent`], so that management sees no difference.
//!
//! It sizes an installation, and it fills one that somebody wants to see.

mod api;
mod cluster;
mod plausible;
mod statistics;

use std::{future::Future, io::Write, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tracing::warn;

use crate::{
    agent::{AgentSettings, TokenSource, Transport, settings::Management},
    clock::{Clock, Random, SystemClock, SystemRandom},
    error::{Error, Result},
    secret::Secret,
};
use api::{Api, Created};
use cluster::Simulated;
pub use plausible::Shape;
pub use statistics::Snapshot;
use statistics::Statistics;

/// Clusters that are created, enrolled or deleted at the same time.
const AT_ONCE: usize = 8;
/// Seconds between two lines of statistics.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimulateSettings {
    /// `https://fqdn[:port]` of management.
    pub management_url: String,
    /// An API key of a user who may create projects and clusters.
    pub api_key: Secret<String>,
    /// The CA that signed management's certificate, as PEM.
    pub ca_file: Option<PathBuf>,
    /// How the bus is reached.
    pub transport: Transport,
    /// How many clusters.
    pub clusters: usize,
    /// The project that they are in; created if it is missing.
    pub project: String,
    /// The names are `<prefix>-0001` and so on.
    pub name_prefix: String,
    /// How long to run; `None` until stopped.
    pub duration: Option<Duration>,
    /// What the clusters look like and how often they change.
    pub shape: Shape,
    /// Whether the clusters are deleted at the end.
    pub cleanup: bool,
}

/// Runs the simulation until its time is over or `shutdown` is ready, writing
/// a line of statistics to `out` every ten seconds.
///
/// Errors: `Invalid` for settings that cannot be used; whatever management
/// answers when a cluster cannot be created. Clusters that were created are
/// deleted all the same if cleaning up was asked for.
pub async fn run(
    settings: SimulateSettings,
    out: &mut (dyn Write + Send),
    shutdown: impl Future<Output = ()>,
) -> Result<Snapshot> {
    let management = management(&settings)?;
    let api = Api::new(&management, settings.api_key.clone())?;
    let mut fleet = Fleet {
        management: Arc::new(management),
        statistics: Arc::new(Statistics::new(settings.clusters)),
        agents: JoinSet::new(),
        created: Vec::new(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let over = async {
        match settings.duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        outcome = fleet.live(&settings, &api, out) => outcome,
        () = shutdown => Ok(()),
        () = over => Ok(()),
    };
    fleet.agents.shutdown().await;
    say(out, format_args!("end: {}", fleet.statistics.snapshot()));
    if settings.cleanup {
        let left = fleet.clean_up(&api).await;
        say(out, format_args!("deleted {} clusters, {left} are left", fleet.created.len() - left));
    }
    outcome.map(|()| fleet.statistics.snapshot())
}

struct Fleet {
    management: Arc<Management>,
    statistics: Arc<Statistics>,
    agents: JoinSet<()>,
    created: Vec<String>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Fleet {
    /// Creates the clusters and prints statistics for ever.
    async fn live(
        &mut self,
        settings: &SimulateSettings,
        api: &Api,
        out: &mut (dyn Write + Send),
    ) -> Result<()> {
        let project = api.project(&settings.project).await?;
        let mut lines = interval_at(Instant::now() + LINE_EVERY, LINE_EVERY);
        lines.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let names =
            (1..=settings.clusters).map(|number| format!("{}-{number:04}", settings.name_prefix));
        let mut creating = stream::iter(names)
            .map(|name| api.create_cluster(name, &project))
            .buffer_unordered(AT_ONCE);
        loop {
            tokio::select! {
                _ = lines.tick() => say(out, format_args!("{}", self.statistics.snapshot())),
                Some(created) = creating.next() => self.begin(created?, settings.shape),
            }
        }
    }

    fn begin(&mut self, created: Created, shape: Shape) {
        let Created { uid, token } = created;
        self.created.push(uid);
        let simulated = Simulated {
            management: Arc::clone(&self.management),
            token,
            shape,
            statistics: Arc::clone(&self.statistics),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        };
        self.agents.spawn(simulated.run());
    }

    /// Deletes what was created; how many could not be deleted.
    async fn clean_up(&self, api: &Api) -> usize {
        let deletions = stream::iter(&self.created).map(|uid| api.delete_cluster(uid));
        let outcomes: Vec<_> = deletions.buffer_unordered(AT_ONCE).collect().await;
        let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        if let Some(error) = failures.first() {
            warn!(error = %error.chain(), "{} clusters were not deleted: {error}", failures.len());
        }
        failures.len()
    }
}

/// The settings of an agent are those of the simulation but for the token.
fn management(settings: &SimulateSettings) -> Result<Management> {
    if settings.clusters == 0 {
        return Err(Error::invalid("clusters", "expected at least one"));
    }
    let token = TokenSource::Value(Secret::new(String::new()));
    let agent = AgentSettings {
        ca_file: settings.ca_file.clone(),
        transport: settings.transport.clone(),
        ..AgentSettings::new(settings.management_url.clone(), token)
    };
    Management::from_settings(&agent)
}

/// A terminal that went away must not end a simulation that others watch.
fn say(out: &mut (dyn Write + Send), line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

//! Watching the cluster.
//!
//! Owns: the requests to the Kubernetes API that fill the tables: one watch
//! for each kind, the metrics API where there is one, and the light request
//! that measures latency.
//! Must not know: what a report says, or that there is a bus.
//!
//! Kinds are listed one after the other, nodes first and pods last, and in
//! small pages: what limits the agent's memory is not the tables but the
//! answers that are being read.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use kube::{
    Api, Client, Resource,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    objects::{DaemonSet, Deployment, Node, NodeMetrics, Object, Pod, ReplicaSet, StatefulSet},
    observed::Observed,
    quantity::Quantity,
    store::StateStore,
    tables::{ObjectKey, Tabled, Usage},
};
use crate::error::chain;

/// Objects in one answer of a list.
const PAGE: u32 = 50;
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// How long one watch lives, in seconds. A connection that died silently is
/// noticed when it is over, see `READ_WITHIN` in `run`.
const WATCH_SECONDS: u32 = 120;
/// How long reading may fail before a report says so.
const HICCUP: Duration = Duration::from_secs(30);
/// How often the API server is asked for its version.
const VERSION_EVERY: Duration = Duration::from_mins(5);
const METRICS_EVERY: Duration = Duration::from_secs(30);
/// How often to look whether a cluster without a metrics API got one.
const METRICS_ABSENT: Duration = Duration::from_mins(5);
const METRICS_WITHIN: Duration = Duration::from_secs(20);

/// Fills the tables of one cluster.
#[derive(Clone)]
pub struct ClusterWatch {
    client: Client,
    own: StateStore,
    observed: Arc<Observed>,
}

impl ClusterWatch {
    /// Watches through `client`; what is the agent's `own` is looked at to see
    /// whether the API server works.
    pub fn new(client: Client, own: StateStore, observed: Arc<Observed>) -> Self {
        Self { client, own, observed }
    }

    /// Follows the cluster for ever. Nothing that the API server does ends it;
    /// what goes wrong is logged and tried again.
    pub async fn run(&self) -> Infallible {
        let turn = watch::Sender::new(0);
        let (never, ..) = tokio::join!(
            self.follow::<Node>(0, &turn),
            self.follow::<Deployment>(1, &turn),
            self.follow::<StatefulSet>(2, &turn),
            self.follow::<DaemonSet>(3, &turn),
            self.follow::<ReplicaSet>(4, &turn),
            self.follow::<Pod>(5, &turn),
            self.probe(),
            self.usage(),
        );
        never
    }

    /// Keeps the table of one kind. Waits for its turn to list, and lets the
    /// next one begin when its list is complete or cannot be had.
    async fn follow<V: Tabled>(&self, place: usize, turn: &watch::Sender<usize>) -> Infallible
    where
        Object<V>: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let _ = turn.subscribe().wait_for(|turn| *turn >= place).await;
        let pass_on = || {
            turn.send_if_modified(|turn| {
                let mine = *turn == place;
                *turn += usize::from(mine);
                mine
            })
        };
        let mut trouble = Trouble::default();
        loop {
            let api = Api::<Object<V>>::all(self.client.clone());
            let config = watcher::Config::default().page_size(PAGE).timeout(WATCH_SECONDS);
            let mut events = pin!(watcher(api, config).default_backoff());
            loop {
                match events.try_next().await {
                    Ok(Some(event)) => {
                        trouble.over(V::PLURAL);
                        self.readable(V::PLURAL);
                        if self.take(event) {
                            pass_on();
                        }
                    }
                    // The stream of a watcher does not end; if it ever did, a
                    // new one begins, and not in a tight loop.
                    Ok(None) => break,
                    Err(error) => {
                        let cause = watcher_cause(&error);
                        trouble.tell(V::PLURAL, cause.clone());
                        if is_not_to_be_had(&error) || trouble.lasts() {
                            self.unreadable::<V>(cause);
                        }
                        pass_on();
                        // A watch that begins again says nothing until something
                        // happens. A new list says at once that all is well.
                        if matches!(error, watcher::Error::WatchStartFailed(_)) {
                            break;
                        }
                    }
                }
            }
            sleep(PROBE_EVERY).await;
        }
    }

    fn readable(&self, what: &'static str) {
        if self.observed.read(|tables| tables.unreadable.contains_key(what)) {
            self.observed.update(|tables| tables.unreadable.remove(what));
        }
    }

    /// What there is of the kind must do for the report, which says so.
    fn unreadable<V: Tabled>(&self, cause: String)
    where
        Object<V>: Resource<DynamicType = ()> + DeserializeOwned,
    {
        self.observed.update(|tables| {
            V::rows(tables).give_up();
            tables.unreadable.insert(V::PLURAL, cause);
        });
    }

    /// Puts one event into its table; true when a list was completed.
    fn take<V: Tabled>(&self, event: watcher::Event<Object<V>>) -> bool {
        match event {
            watcher::Event::Init => {
                self.observed.update_quietly(|tables| V::rows(tables).begin());
            }
            watcher::Event::InitApply(object) => {
                self.observed.update_quietly(|tables| put(V::rows(tables), &object));
            }
            watcher::Event::InitDone => {
                self.observed.update(|tables| V::rows(tables).finish());
                return true;
            }
            watcher::Event::Apply(object) => {
                self.observed.update(|tables| put(V::rows(tables), &object));
            }
            watcher::Event::Delete(object) => {
                let key = ObjectKey::of(object.uid());
                self.observed.update(|tables| V::rows(tables).remove(key));
            }
        }
        false
    }

    /// Measures how fast the API server answers, and learns its version.
    async fn probe(&self) -> Infallible {
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        let mut version_due = Instant::now();
        loop {
            ticks.tick().await;
            let start = Instant::now();
            // Not the version, which an API server knows by itself: one that
            // has lost its database must not look well.
            let answer = timeout(PROBE_WITHIN, self.own.answers()).await;
            let latency = u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX);
            let failure = match answer {
                Ok(Ok(())) => {
                    trouble.over("the API server");
                    self.observed.update_quietly(|tables| tables.api_latency_ms = Some(latency));
                    if Instant::now() >= version_due && self.learn_version().await {
                        version_due = Instant::now() + VERSION_EVERY;
                    }
                    continue;
                }
                Ok(Err(error)) => cause(&error),
                Err(_) => format!("no answer in {} s", PROBE_WITHIN.as_secs()),
            };
            self.observed.update_quietly(|tables| tables.api_latency_ms = None);
            trouble.tell("the API server", failure);
            // What comes back may be another version.
            version_due = Instant::now();
        }
    }

    async fn learn_version(&self) -> bool {
        let Ok(Ok(found)) = timeout(PROBE_WITHIN, self.client.apiserver_version()).await else {
            return false;
        };
        let version = found.git_version;
        if self.observed.read(|tables| tables.kubernetes_version != version) {
            self.observed.update(|tables| tables.kubernetes_version = version);
        }
        true
    }

    /// Asks what the nodes use, as long as there is an API that knows.
    async fn usage(&self) -> Infallible {
        let api = Api::<NodeMetrics>::all(self.client.clone());
        let mut trouble = Trouble::default();
        loop {
            // No page limit: the metrics API does not know pages.
            let answer = timeout(METRICS_WITHIN, api.list(&ListParams::default())).await;
            let (usage, pause) = match answer {
                Ok(Ok(list)) => {
                    trouble.over("the metrics API");
                    (Some(sum(&list.items)), METRICS_EVERY)
                }
                // A cluster without the API is as good as any other: nothing to log.
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => (None, METRICS_ABSENT),
                Ok(Err(error)) => {
                    trouble.tell("the metrics API", cause(&error));
                    (None, METRICS_EVERY)
                }
                Err(_) => (None, METRICS_EVERY),
            };
            if self.observed.read(|tables| tables.usage != usage) {
                self.observed.update(|tables| tables.usage = usage);
            }
            sleep(pause).await;
        }
    }
}

fn put<V: Tabled>(rows: &mut super::tables::Rows<V::Row>, object: &Object<V>) {
    let key = ObjectKey::of(object.uid());
    match V::row(object) {
        Some(row) => rows.put(key, row),
        None => rows.remove(key),
    }
}

fn sum(nodes: &[NodeMetrics]) -> Usage {
    let quantity = |text: &str| text.parse::<Quantity>().unwrap_or_default();
    nodes.iter().fold(Usage::default(), |sum, node| Usage {
        cpu_millis: sum.cpu_millis.saturating_add(quantity(&node.usage.cpu).millis()),
        memory_bytes: sum.memory_bytes.saturating_add(quantity(&node.usage.memory).units()),
    })
}

/// Tells of trouble once, not at each try, and tells when it is over.
#[derive(Default)]
struct Trouble(Option<(String, Instant)>);

impl Trouble {
    fn tell(&mut self, what: &str, cause: String) {
        let since = self.0.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        if self.0.as_ref().is_none_or(|(told, _)| *told != cause) {
            warn!(%cause, "cannot read {what}; trying again: {cause}");
        }
        self.0 = Some((cause, since));
    }

    fn over(&mut self, what: &str) {
        if self.0.take().is_some() {
            info!("{what} can be read again");
        }
    }

    /// Whether it is more than a hiccup, e.g. an API server that starts anew.
    fn lasts(&self) -> bool {
        self.0.as_ref().is_some_and(|(_, since)| since.elapsed() >= HICCUP)
    }
}

/// Refused by the cluster's access rules, or unknown to it: trying again soon
/// does not help, and the rest of the report must not wait for it.
fn is_not_to_be_had(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return false;
    };
    status.code == 403 || status.code == 404
}

fn watcher_cause(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => cause(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => "the answer has no resource version".to_owned(),
    }
}

/// What the API server said, or why it could not be asked, in one line.
pub(super) fn cause(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!("{} (apply the import manifest again)", status.message)
        }
        kube::Error::Api(status) => status.message.clone(),
        other => chain(other),
    }
}

#[cfg(test)]
mod tests;

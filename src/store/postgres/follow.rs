//! The task that keeps the connections on the primary.
//!
//! Owns: asking all servers at once, and acting on what `choose` says.
//! Must not know: how that is decided.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Reign, Servers,
    choose::{Answer, Choice, Known, choose},
    connect::Server,
    seen::ServerSeen,
};

/// How long after they have answered the servers are asked again…
const EVERY: Duration = Duration::from_secs(1);
/// …and while there is no primary, or it says nothing.
const HURRY: Duration = Duration::from_millis(250);
/// However often somebody wants a look, this is between two.
const LEAST: Duration = Duration::from_millis(100);

/// Asks, decides and acts until it is stopped.
#[derive(Debug)]
pub(super) struct Follower {
    servers: Vec<Server>,
    names: Vec<String>,
    max_connections: u32,
    told: Told,
    look: Arc<Notify>,
    known: Known,
}

/// To whom it tells what it has found.
#[derive(Debug)]
pub(super) struct Told {
    /// Who is the primary.
    pub(super) reigns: watch::Sender<Option<Reign>>,
    /// Who can be read while there is none.
    pub(super) refuge: watch::Sender<Option<Reign>>,
    /// What all servers say.
    pub(super) seen: watch::Sender<Servers>,
}

impl Follower {
    pub(super) fn new(
        servers: Vec<Server>,
        max_connections: u32,
        told: Told,
        look: Arc<Notify>,
    ) -> Self {
        let names = servers.iter().map(|server| server.name.clone()).collect();
        let known = Known::default();
        Self { servers, names, max_connections, told, look, known }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let look = Arc::clone(&self.look);
        let turns = async {
            loop {
                let answers = self.ask().await;
                self.act(&answers);
                sleep(LEAST).await;
                let calm = self.known.current.is_some() && self.known.missed == 0;
                let rest = if calm { EVERY } else { HURRY };
                // Either somebody wants a look, or it is time for one.
                let _ = timeout(rest, look.notified()).await;
            }
        };
        let _: Option<()> = stop.run_until_cancelled(turns).await;
    }

    /// What the servers say, in their order. A newer primary settles it before
    /// all have answered: one that is cut off takes its time.
    async fn ask(&self) -> Vec<Answer> {
        let mut answers = vec![Answer::Silent("not yet".into()); self.servers.len()];
        let asked = self.servers.iter().enumerate();
        let mut asked: FuturesUnordered<_> =
            asked.map(|(server, asked)| async move { (server, asked.ask().await) }).collect();
        while let Some((server, answer)) = asked.next().await {
            let settled = self.known.is_settled_by(&answer);
            answers[server] = answer;
            if settled {
                break;
            }
        }
        answers
    }

    fn act(&mut self, answers: &[Answer]) {
        let choice = choose(&self.known, &self.names, answers);
        self.known.timeline = self.known.newest(answers);
        self.known.missed = if choice == Choice::Stay { self.known.missed + 1 } else { 0 };
        let reason = match choice {
            Choice::Follow(server, reason) => {
                let place = answers[server].place().copied().unwrap_or_default();
                self.known.system = place.system.or(self.known.system);
                self.known.current = Some(server);
                self.follow(server, place.started, &reason);
                reason
            }
            Choice::Stay => format!("{} is expected to answer again", self.current_name()),
            Choice::Nobody(reason) => {
                self.follow_nobody(&reason);
                self.known.current = None;
                reason
            }
        };
        self.take_refuge(answers);
        self.show(answers, reason);
    }

    /// While the primary says nothing or there is none, the standby that has
    /// repeated most of the log answers what only reads.
    fn take_refuge(&self, answers: &[Answer]) {
        let in_doubt = self.known.current.is_none() || self.known.missed > 0;
        let standbys = answers.iter().enumerate().filter_map(|(server, answer)| match answer {
            Answer::Standby(place) => Some((server, *place)),
            _ => None,
        });
        let best = standbys
            .max_by_key(|(server, place)| (place.timeline, place.position, usize::MAX - server));
        let wanted = best.filter(|_| in_doubt).map(|(server, place)| (server, place.started));
        let current = self.told.refuge.borrow().clone();
        if current.as_ref().map(Reign::identity) == wanted {
            return;
        }
        let next = wanted.map(|(server, started)| {
            tracing::info!("without a primary {} is read", self.names[server]);
            let pool = self.servers[server].standby_pool(self.max_connections, started);
            Reign::of_one(pool, server, started)
        });
        self.told.refuge.send_replace(next);
        if let Some(former) = current {
            former.depose();
        }
    }

    fn follow(&self, server: usize, started: i64, reason: &str) {
        let current = self.told.reigns.borrow().clone();
        if current.as_ref().is_some_and(|reign| reign.identity() == (server, started)) {
            return;
        }
        let found = &self.servers[server];
        tracing::info!("the database is used on {} from now on: it {reason}", found.name);
        let pool = found.pool(self.max_connections, started, Arc::clone(&self.look));
        // First, so that whoever has been given the pool can see whose it is.
        self.told.seen.send_modify(|seen| {
            seen.reigns += 1;
            seen.primary = Some(server);
        });
        self.told.reigns.send_replace(Some(Reign::of_one(pool, server, started)));
        if let Some(former) = current {
            former.depose();
        }
    }

    fn follow_nobody(&self, reason: &str) {
        let Some(former) = self.told.reigns.send_replace(None) else { return };
        tracing::warn!("{} is not used any more: {reason}", self.names[former.server()]);
        former.depose();
    }

    fn current_name(&self) -> &str {
        self.known.current.map_or("the primary", |server| &self.names[server])
    }

    fn show(&self, answers: &[Answer], reason: String) {
        let primary = self.known.current;
        let servers = self.names.iter().zip(answers).enumerate();
        let servers = servers
            .map(|(server, (name, answer))| ServerSeen::new(name, answer, primary == Some(server)))
            .collect();
        self.told.seen.send_if_modified(|seen| {
            let now = Servers { servers, primary, reason, reigns: seen.reigns };
            let changed = *seen != now;
            if changed && seen.primary.is_none() && primary.is_none() && seen.reason != now.reason {
                tracing::warn!("there is no primary of the database: {now}");
            }
            *seen = now;
            changed
        });
    }
}

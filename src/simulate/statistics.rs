//! What the simulated agents did, in numbers.
//!
//! Owns: the counters of the whole fleet and their one-line form.
//! Must not know: what is counted beyond its name.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use crate::agent::session::Tally;

/// Counters of a fleet.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    clusters: u64,
    enrolled: AtomicU64,
    connected: AtomicU64,
    reconnects: AtomicU64,
    heartbeats: AtomicU64,
    heartbeats_failed: AtomicU64,
    reports: AtomicU64,
    reports_failed: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many clusters there should be.
    pub clusters: u64,
    /// How many agents have enrolled.
    pub enrolled: u64,
    /// How many agents are connected now.
    pub connected: u64,
    /// How often a connection was made again.
    pub reconnects: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Heartbeats that were due while there was no connection.
    pub heartbeats_failed: u64,
    /// Reports acknowledged.
    pub reports: u64,
    /// Reports not acknowledged in time; they are sent again.
    pub reports_failed: u64,
}

impl Statistics {
    /// Zeros, for a fleet of so many clusters.
    pub(super) fn new(clusters: usize) -> Self {
        Self { clusters: clusters as u64, ..Self::default() }
    }

    /// One more agent has enrolled.
    pub(super) fn enrolled(&self) {
        self.enrolled.fetch_add(1, Relaxed);
    }

    /// The counters now.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            clusters: self.clusters,
            enrolled: self.enrolled.load(Relaxed),
            connected: self.connected.load(Relaxed),
            reconnects: self.reconnects.load(Relaxed),
            heartbeats: self.heartbeats.load(Relaxed),
            heartbeats_failed: self.heartbeats_failed.load(Relaxed),
            reports: self.reports.load(Relaxed),
            reports_failed: self.reports_failed.load(Relaxed),
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clusters, enrolled, connected, reconnects, .. } = self;
        write!(
            f,
            "{connected} of {clusters} connected, {enrolled} enrolled; heartbeats {} sent, {} \
             failed; reports {} acknowledged, {} late; {reconnects} reconnects",
            self.heartbeats, self.heartbeats_failed, self.reports, self.reports_failed
        )
    }
}

/// Counts for one agent of the fleet.
#[derive(Debug)]
pub(super) struct AgentTally<'a> {
    fleet: &'a Statistics,
    is_connected: AtomicBool,
    was_connected: AtomicBool,
}

impl<'a> AgentTally<'a> {
    /// An agent that was never connected.
    pub(super) fn new(fleet: &'a Statistics) -> Self {
        let (is_connected, was_connected) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { fleet, is_connected, was_connected }
    }
}

impl Tally for AgentTally<'_> {
    fn connected(&self, now: bool) {
        let before = self.is_connected.swap(now, Relaxed);
        match (before, now) {
            (false, true) => {
                self.fleet.connected.fetch_add(1, Relaxed);
                if self.was_connected.swap(true, Relaxed) {
                    self.fleet.reconnects.fetch_add(1, Relaxed);
                }
            }
            (true, false) => {
                self.fleet.connected.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
    }

    fn heartbeat(&self, sent: bool) {
        let counter = if sent { &self.fleet.heartbeats } else { &self.fleet.heartbeats_failed };
        counter.fetch_add(1, Relaxed);
    }

    fn report(&self, acknowledged: bool) {
        let counter = if acknowledged { &self.fleet.reports } else { &self.fleet.reports_failed };
        counter.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_made_again_is_a_reconnect_and_the_first_one_is_not() {
        let fleet = Statistics::new(2);
        let (a, b) = (AgentTally::new(&fleet), AgentTally::new(&fleet));
        for (tally, now) in
            [(&a, true), (&b, true), (&a, false), (&a, false), (&a, true), (&a, true)]
        {
            tally.connected(now);
        }
        b.connected(false);
        let snapshot = fleet.snapshot();
        assert_eq!((snapshot.connected, snapshot.reconnects), (1, 1));
    }

    #[test]
    fn a_line_says_all_there_is_to_say() {
        let fleet = Statistics::new(3);
        fleet.enrolled();
        let tally = AgentTally::new(&fleet);
        tally.connected(true);
        tally.heartbeat(true);
        tally.heartbeat(false);
        tally.report(true);
        assert_eq!(
            fleet.snapshot().to_string(),
            "1 of 3 connected, 1 enrolled; heartbeats 1 sent, 1 failed; reports 1 acknowledged, \
             0 late; 0 reconnects"
        );
    }
}

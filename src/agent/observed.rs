//! The tables, shared between those who fill them and those who report.
//!
//! Owns: the lock around the tables and the signal that they changed.
//! Must not know: Kubernetes' API or the bus.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{health, session::Source, tables::Tables};
use crate::{bus::message::Report, clock::Timestamp};

/// What the agent knows of its cluster.
#[derive(Debug, Default)]
pub struct Observed {
    tables: Mutex<Tables>,
    changed: Notify,
}

impl Observed {
    /// Changes the tables and wakes the reporter.
    pub fn update<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_one();
        result
    }

    /// Changes something that is worth no report of its own.
    pub fn update_quietly(&self, change: impl FnOnce(&mut Tables)) {
        change(&mut self.lock());
    }

    /// Reads the tables.
    pub fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> T {
        read(&self.lock())
    }

    // A panic elsewhere leaves rows that are each whole; the next list corrects them.
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Observed {
    async fn changed(&self) {
        self.changed.notified().await;
    }

    fn report(&self, now: Timestamp) -> Option<Report> {
        self.read(|tables| {
            tables.are_complete().then(|| health::report(tables, env!("CARGO_PKG_VERSION"), now))
        })
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.read(|tables| health::next_change(tables, now))
    }

    fn api_latency_ms(&self) -> Option<u32> {
        self.read(|tables| tables.api_latency_ms)
    }
}

//! Failures by key, in bounded memory.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    hash::Hash,
    time::Duration,
};

use super::{FIRST_DELAY, MAX_DELAY, WINDOW};
use crate::clock::Timestamp;

/// How long an attempt waits for others that are still being decided.
const BUSY: Duration = Duration::from_secs(1);

/// Failures of each key; when full, the key that was touched longest ago goes.
pub(super) struct Ledger<K> {
    limit: usize,
    capacity: usize,
    entries: HashMap<K, Entry>,
    by_age: BTreeMap<u64, K>,
    next_age: u64,
}

#[derive(Default)]
struct Entry {
    age: u64,
    /// Within the window, oldest first, at most `limit`.
    failures: VecDeque<Timestamp>,
    /// Attempts that have been let through and not been decided yet. Without
    /// them a thousand guesses at once would all pass before the first fails.
    pending: usize,
    /// Failures since the limit was reached; each doubles the delay.
    strikes: u32,
}

impl Entry {
    fn delay(&self) -> Duration {
        match self.strikes {
            0 => Duration::ZERO,
            strikes => FIRST_DELAY.saturating_mul(2_u32.saturating_pow(strikes - 1)).min(MAX_DELAY),
        }
    }

    /// Forgets what no longer counts. What lies in the future was written
    /// before the clock was set back; keeping it would lock out until then.
    fn settle(&mut self, now: Timestamp) {
        let last = self.failures.back().copied();
        let quiet = |last: Timestamp| now >= last.plus(self.delay()).plus(WINDOW);
        if last.is_none_or(|last| last > now || quiet(last)) {
            self.strikes = 0;
            self.failures.clear();
        }
        if self.strikes == 0 {
            self.failures.retain(|at| *at <= now && now.since(*at) < WINDOW);
        }
    }

    fn wait(&self, limit: usize, now: Timestamp) -> Duration {
        if let (Some(last), 1..) = (self.failures.back(), self.strikes) {
            let rest = last.plus(self.delay()).since(now);
            // After a wait attempts are made one by one.
            return if rest.is_zero() && self.pending > 0 { BUSY } else { rest };
        }
        if self.failures.len() + self.pending >= limit { BUSY } else { Duration::ZERO }
    }
}

impl<K: Copy + Eq + Hash> Ledger<K> {
    pub(super) fn new(limit: usize, capacity: usize) -> Self {
        let (entries, by_age) = (HashMap::new(), BTreeMap::new());
        Self { limit, capacity, entries, by_age, next_age: 0 }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// How long `key` has to wait before its next attempt.
    pub(super) fn wait(&mut self, key: &K, now: Timestamp) -> Duration {
        self.entries.get_mut(key).map_or(Duration::ZERO, |entry| {
            entry.settle(now);
            entry.wait(self.limit, now)
        })
    }

    /// An attempt of `key` is under way.
    pub(super) fn begin(&mut self, key: K) {
        self.touch(key).pending += 1;
    }

    /// An attempt of `key` is over, whatever came of it.
    pub(super) fn end(&mut self, key: K) {
        // The entry may have been pushed out meanwhile.
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.pending = entry.pending.saturating_sub(1);
        }
    }

    /// An attempt of `key` has failed.
    pub(super) fn fail(&mut self, key: K, now: Timestamp) {
        let limit = self.limit;
        let entry = self.touch(key);
        entry.settle(now);
        entry.failures.push_back(now);
        if entry.failures.len() >= limit {
            entry.strikes = entry.strikes.saturating_add(1);
        }
        while entry.failures.len() > limit {
            entry.failures.pop_front();
        }
    }

    /// Forgets the failures of `key`, but not attempts that are under way.
    pub(super) fn clear(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.failures.clear();
            entry.strikes = 0;
        }
    }

    /// Keeps an entry for `key`, as young as any.
    pub(super) fn remember(&mut self, key: K) {
        self.touch(key);
    }

    /// Drops the entry of `key` if it says nothing.
    pub(super) fn tidy(&mut self, key: &K) {
        let says_nothing = |entry: &Entry| entry.pending == 0 && entry.failures.is_empty();
        if let Some(entry) = self.entries.get(key)
            && says_nothing(entry)
        {
            self.by_age.remove(&entry.age);
            self.entries.remove(key);
        }
    }

    fn touch(&mut self, key: K) -> &mut Entry {
        if !self.contains(&key)
            && self.entries.len() >= self.capacity
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.next_age += 1;
        let entry = self.entries.entry(key).or_default();
        self.by_age.remove(&entry.age);
        entry.age = self.next_age;
        self.by_age.insert(entry.age, key);
        entry
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.by_age.len());
        self.entries.len()
    }
}

impl<K> fmt::Debug for Ledger<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

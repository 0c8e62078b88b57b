//! What the agent remembers of the cluster: one small row for each object.
//!
//! Owns: the tables, how an object becomes a row, and how a new list replaces
//! what an old one left behind.
//! Must not know: where objects come from or what a report says of the rows.
//!
//! A running pod of a healthy cluster costs a row of fixed size and no string;
//! only a pod that may have to be named in a report keeps its name and reason.

use std::{
    collections::{BTreeMap, HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use super::objects::{Object, View};

mod node;
mod pod;
mod workload;

pub use node::NodeRow;
pub use pod::{Phase, PodDetail, PodRow, Trouble};
pub use workload::WorkloadRow;

/// The longest reason that a row keeps, in characters.
const REASON_LENGTH: usize = 240;

/// Identifies an object: the 128 bits of its uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(u128);

impl ObjectKey {
    /// From a uid. Kubernetes gives UUIDs but promises only opaque text, so
    /// anything else is hashed.
    pub fn of(uid: &str) -> Self {
        let (mut value, mut digits) = (0_u128, 0);
        for character in uid.chars().filter(|character| *character != '-') {
            let Some(digit) = character.to_digit(16) else { return Self::hashed(uid) };
            value = value << 4 | u128::from(digit);
            digits += 1;
        }
        if digits == 32 { Self(value) } else { Self::hashed(uid) }
    }

    fn hashed(uid: &str) -> Self {
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            (seed, uid).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        Self(half(0) << 64 | half(1))
    }
}

/// Rows of one kind. A list that starts with [`Rows::begin`] and ends with
/// [`Rows::finish`] removes the rows that it did not name.
#[derive(Debug)]
pub struct Rows<V> {
    by_key: HashMap<ObjectKey, (u32, V)>,
    generation: u32,
    listed: bool,
}

impl<V> Default for Rows<V> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), generation: 0, listed: false }
    }
}

impl<V> Rows<V> {
    /// A new list starts; the old rows stay until it is complete.
    pub fn begin(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Adds or replaces a row.
    pub fn put(&mut self, key: ObjectKey, row: V) {
        self.by_key.insert(key, (self.generation, row));
    }

    /// Removes a row.
    pub fn remove(&mut self, key: ObjectKey) {
        self.by_key.remove(&key);
    }

    /// The list is complete: rows that it did not name are gone.
    pub fn finish(&mut self) {
        let generation = self.generation;
        self.by_key.retain(|_, (seen, _)| *seen == generation);
        self.by_key.shrink_to_fit();
        self.listed = true;
    }

    /// No list can be had; what there is must do.
    pub fn give_up(&mut self) {
        self.listed = true;
    }

    /// Whether a list was ever complete, or given up.
    pub fn is_listed(&self) -> bool {
        self.listed
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// One row.
    pub fn get(&self, key: ObjectKey) -> Option<&V> {
        self.by_key.get(&key).map(|(_, row)| row)
    }

    /// All rows in no order.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectKey, &V)> {
        self.by_key.iter().map(|(key, (_, row))| (*key, row))
    }
}

/// Everything that a report is made of.
#[derive(Debug, Default)]
pub struct Tables {
    /// The nodes.
    pub nodes: Rows<NodeRow>,
    /// Deployments, by uid.
    pub deployments: Rows<WorkloadRow>,
    /// Stateful sets, by uid.
    pub stateful_sets: Rows<WorkloadRow>,
    /// Daemon sets, by uid.
    pub daemon_sets: Rows<WorkloadRow>,
    /// The deployment that each replica set belongs to.
    pub replica_sets: Rows<ObjectKey>,
    /// The pods.
    pub pods: Rows<PodRow>,
    /// What the metrics API last said; `None` without one.
    pub usage: Option<Usage>,
    /// What the API server says of itself, e.g. `v1.33.2`.
    pub kubernetes_version: String,
    /// How long the last light request took; `None` when it failed.
    pub api_latency_ms: Option<u32>,
    /// Kinds that cannot be read at present, by their plural, and why.
    pub unreadable: BTreeMap<&'static str, String>,
}

impl Tables {
    /// Whether every kind was listed at least once, so that a report says
    /// nothing that only looks like trouble because half of it is missing.
    pub fn are_complete(&self) -> bool {
        self.nodes.is_listed()
            && self.deployments.is_listed()
            && self.stateful_sets.is_listed()
            && self.daemon_sets.is_listed()
            && self.replica_sets.is_listed()
            && self.pods.is_listed()
    }
}

/// A kind of object that has a table: where its rows are and what they keep.
pub trait Tabled: View {
    /// What is kept of one object.
    type Row;

    /// Its table.
    fn rows(tables: &mut Tables) -> &mut Rows<Self::Row>;

    /// What to keep of `object`; `None` for nothing.
    fn row(object: &Object<Self>) -> Option<Self::Row>;
}

/// What all nodes together use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

/// A condition's reason and message as one text.
fn sentence(reason: &str, message: &str) -> String {
    match (reason, message) {
        ("", "") => "Unknown".to_owned(),
        (reason, "") => shortened(reason),
        ("", message) => shortened(message),
        (reason, message) => shortened(&format!("{reason}: {message}")),
    }
}

/// One line of bounded length: the text comes from the cluster and is shown to people.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(REASON_LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests;

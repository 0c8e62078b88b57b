//! What is risky about members that can otherwise be a cluster. Pure.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{Members, NodeName};
use crate::clock::Timestamp;

/// The most by which clocks of members may differ. Certificates and sessions
/// are checked by them, and records of one change are put in order by them.
pub const TOLERATED_DIFFERENCE: Duration = Duration::from_secs(1);

/// What the clock of a member showed. All readings are of the same moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whose clock.
    pub name: NodeName,
    /// What it showed.
    pub shows: Timestamp,
}

/// What an operator should mend before it costs something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// These members run on the same host.
    SharedFailureDomain {
        /// The host.
        host: String,
        /// Who runs there.
        names: Vec<NodeName>,
    },
    /// The clocks of these two are furthest apart.
    ClockDifference {
        /// Whose clock is behind.
        behind: NodeName,
        /// Whose clock is ahead.
        ahead: NodeName,
        /// By how much.
        difference: Duration,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedFailureDomain { host, names } => {
                let names: Vec<_> = names.iter().map(NodeName::as_str).collect();
                write!(
                    f,
                    "{} share a failure domain: all run on host {host}, and fail with it. Move \
                     them to different hosts.",
                    names.join(" and ")
                )
            }
            Self::ClockDifference { behind, ahead, difference } => write!(
                f,
                "The clock of {ahead} is {:.1} s ahead of the one of {behind}. Give all nodes \
                 the same time servers.",
                difference.as_secs_f64()
            ),
        }
    }
}

impl Members {
    /// What is risky about these members, whose clocks showed these readings.
    pub fn warnings(&self, clocks: &[Reading]) -> Vec<Warning> {
        let mut hosts: BTreeMap<&str, Vec<NodeName>> = BTreeMap::new();
        for member in &self.members {
            if let Some(host) = &member.host {
                hosts.entry(host).or_default().push(member.name.clone());
            }
        }
        let shared = hosts
            .into_iter()
            .filter(|(_, names)| names.len() > 1)
            .map(|(host, names)| Warning::SharedFailureDomain { host: host.to_owned(), names });
        shared.chain(apart(clocks)).collect()
    }
}

fn apart(clocks: &[Reading]) -> Option<Warning> {
    let behind = clocks.iter().min_by_key(|reading| reading.shows)?;
    let ahead = clocks.iter().max_by_key(|reading| reading.shows)?;
    let difference = ahead.shows.since(behind.shows);
    (difference > TOLERATED_DIFFERENCE).then(|| Warning::ClockDifference {
        behind: behind.name.clone(),
        ahead: ahead.name.clone(),
        difference,
    })
}

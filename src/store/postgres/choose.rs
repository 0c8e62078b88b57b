//! Which of several servers is the primary.
//!
//! Owns: the decision, from what the servers say and what is known from before.
//! Must not know: how they are asked.
//!
//! A server that is promoted begins a new timeline. So of two servers that both
//! say they are the primary, the one on the higher timeline replaced the other,
//! which does not know it yet; and a primary on a lower timeline than any that
//! was ever seen, on a standby too, is a former one.

/// What one server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// That it takes changes.
    Primary(Place),
    /// That it repeats the changes of another.
    Standby(Place),
    /// It is there, but will not tell: too many connections, no such user.
    Busy(String),
    /// Nobody is there, or it is starting or stopping.
    Down(String),
    /// Nothing; it may be slow, or out of reach.
    Silent(String),
}

/// Where in the history of the cluster a server is. What it may not tell us is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Of which cluster.
    pub(super) system: Option<i64>,
    /// How often a server of this cluster was promoted, and one.
    pub(super) timeline: Option<i64>,
    /// How far it has written or repeated the log, in bytes.
    pub(super) position: Option<i64>,
    /// When its process was started, in microseconds.
    pub(super) started: i64,
}

/// What earlier answers have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The cluster that was followed.
    pub(super) system: Option<i64>,
    /// The highest timeline that was seen.
    pub(super) timeline: Option<i64>,
    /// The server that is followed.
    pub(super) current: Option<usize>,
    /// How often in a row that one has said nothing.
    pub(super) missed: u32,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This server is the primary, and why.
    Follow(usize, String),
    /// The one that is followed has said nothing, which may mean nothing.
    Stay,
    /// There is no primary, and why.
    Nobody(String),
}

/// So often a primary may say nothing before it counts as gone: some seconds. On
/// a machine that is busy silence means nothing, and whoever replaces it says so.
const MISSES: u32 = 6;

impl Answer {
    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Self::Primary(place) | Self::Standby(place) => Some(place),
            Self::Busy(_) | Self::Down(_) | Self::Silent(_) => None,
        }
    }
}

impl Known {
    /// Whether this alone settles who is the primary: a newer one than was ever seen.
    pub(super) fn is_settled_by(&self, answer: &Answer) -> bool {
        matches!(answer, Answer::Primary(place)
            if self.timeline.is_some() && place.timeline > self.timeline && self.is_ours(place))
    }

    /// The highest timeline that anybody knows of.
    pub(super) fn newest(&self, answers: &[Answer]) -> Option<i64> {
        let places = answers.iter().filter_map(Answer::place).filter(|place| self.is_ours(place));
        places.map(|place| place.timeline).max().flatten().max(self.timeline)
    }

    fn is_ours(&self, place: &Place) -> bool {
        self.system.is_none() || place.system.is_none() || self.system == place.system
    }
}

/// Decides. `names` and `answers` are in the order of the setting.
pub(super) fn choose(known: &Known, names: &[String], answers: &[Answer]) -> Choice {
    let systems = answers.iter().filter_map(|answer| answer.place()?.system);
    let mut systems: Vec<_> = systems.collect();
    systems.sort_unstable();
    systems.dedup();
    if known.system.is_none() && systems.len() > 1 {
        return Choice::Nobody("they are not of one cluster: name the servers of one".into());
    }
    let newest = known.newest(answers);
    let (mut claims, mut former) = (Vec::new(), Vec::new());
    for (server, answer) in answers.iter().enumerate() {
        let Answer::Primary(place) = answer else { continue };
        if !known.is_ours(place) {
            former.push(format!("{} is of another cluster than before", names[server]));
        } else if place.timeline < newest {
            former.push(format!(
                "{} says that it is the primary, on timeline {}, but there is timeline {}: it was \
                 replaced. Make it a standby of the new primary; if you have gone back to it on \
                 purpose, restart Palisade",
                names[server],
                shown(place.timeline),
                shown(newest),
            ));
        } else {
            // Of several on one timeline, the one that is followed, else the one
            // that has written most, else the first.
            let is_current = known.current == Some(server);
            claims.push((place.timeline, is_current, place.position, usize::MAX - server));
        }
    }
    let Some((timeline, _, _, place)) = claims.iter().max() else {
        return nobody(known, answers, &former);
    };
    let server = usize::MAX - place;
    let mut why = format!("says that it is the primary, on timeline {}", shown(*timeline));
    if claims.len() > 1 {
        why.push_str("; another says so too, but has written less or was found later");
    }
    if !former.is_empty() {
        why = format!("{why}; {}", former.join("; "));
    }
    Choice::Follow(server, why)
}

fn nobody(known: &Known, answers: &[Answer], former: &[String]) -> Choice {
    let doubt = match known.current.and_then(|current| answers.get(current)) {
        Some(Answer::Busy(_)) => true,
        Some(Answer::Silent(_)) => known.missed < MISSES,
        _ => false,
    };
    if doubt {
        return Choice::Stay;
    }
    if former.is_empty() {
        return Choice::Nobody("no server says that it is the primary".into());
    }
    Choice::Nobody(former.join("; "))
}

fn shown(timeline: Option<i64>) -> String {
    timeline.map_or_else(|| "unknown".into(), |timeline| timeline.to_string())
}

#[cfg(test)]
mod tests;

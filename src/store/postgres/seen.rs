//! What the servers of the database last said, for whoever wants to show it.

use std::fmt;

use super::{choose::Answer, connect::Server};

/// All servers at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// In the order of the setting.
    pub servers: Vec<ServerSeen>,
    /// The one that changes go to.
    pub primary: Option<usize>,
    /// Why it is that one, or why there is none.
    pub reason: String,
    /// How often a primary was found since the start.
    pub reigns: u64,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// Host and port as the setting has them.
    pub name: String,
    /// What it is.
    pub role: ServerRole,
    /// How often a server of the cluster was promoted, and one.
    pub timeline: Option<i64>,
    /// How far it has written or repeated the log, in bytes.
    pub position: Option<i64>,
    /// The same for people.
    pub said: String,
}

/// What a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// Changes go to it.
    Primary,
    /// It says that it is the primary, and is not the one that is followed.
    FormerPrimary,
    /// It repeats the changes of another.
    Standby,
    /// It does not say what it is.
    Unreachable,
}

impl Servers {
    /// Before the first look.
    pub(super) fn unasked(servers: &[Server]) -> Self {
        let unasked = |server: &Server| ServerSeen {
            name: server.name.clone(),
            role: ServerRole::Unreachable,
            timeline: None,
            position: None,
            said: "was not asked yet".into(),
        };
        let servers = servers.iter().map(unasked).collect();
        Self { servers, primary: None, reason: "nobody was asked yet".into(), reigns: 0 }
    }
}

impl ServerSeen {
    pub(super) fn new(name: &str, answer: &Answer, followed: bool) -> Self {
        let on = |timeline: Option<i64>| {
            timeline.map_or_else(String::new, |timeline| format!(" on timeline {timeline}"))
        };
        let (role, said) = match answer {
            Answer::Primary(place) if followed => {
                (ServerRole::Primary, format!("is the primary{}", on(place.timeline)))
            }
            Answer::Primary(place) => (
                ServerRole::FormerPrimary,
                format!("says that it is the primary{}", on(place.timeline)),
            ),
            Answer::Standby(place) => {
                (ServerRole::Standby, format!("is a standby{}", on(place.timeline)))
            }
            Answer::Busy(why) => (ServerRole::Unreachable, format!("refuses us: {why}")),
            Answer::Down(why) => (ServerRole::Unreachable, format!("is down: {why}")),
            Answer::Silent(why) => (ServerRole::Unreachable, format!("does not answer: {why}")),
        };
        let place = answer.place();
        Self {
            name: name.to_owned(),
            role,
            timeline: place.and_then(|place| place.timeline),
            position: place.and_then(|place| place.position),
            said,
        }
    }
}

/// The reason, and what each server says.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        for (position, server) in self.servers.iter().enumerate() {
            let between = if position == 0 { " (" } else { "; " };
            write!(f, "{between}{} {}", server.name, server.said)?;
        }
        f.write_str(")")
    }
}

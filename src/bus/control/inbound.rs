//! What agents send, from the wire to typed values.
//!
//! Owns: parsing, the limits that keep one agent from crowding out others, and
//! the counts of everything that was not handed over.
//! Must not know: what a heartbeat or report means for a cluster.
//!
//! Nothing here waits for the receiver: a stalled database must not make the
//! broker cut us off. What does not fit is counted and not acknowledged, and its
//! sender tries again; a lost heartbeat is followed by the next.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tracing::warn;

use crate::{
    bus::{
        message::{
            Heartbeat, LONGEST_CAUSE, LONGEST_KIND, MAX_NODES, MAX_UNREADABLE, MAX_WORKLOADS,
            Report, Unreadable,
        },
        subject::{self, Received},
    },
    ids::{ClusterId, TenantId},
};

/// The most messages that wait for the receiver: the heartbeats of 10,000 agents
/// in the 20 seconds that a database may be without a primary.
const WAITING_MESSAGES: usize = 20_000;
/// The most bytes of reports and other payloads that wait for the receiver.
const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// How many messages an agent may send at once…
const BURST: u32 = 60;
/// …and how long it takes to earn one more.
const EARN: Duration = Duration::from_millis(200);
/// How often losses are logged, at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// A heartbeat longer than this is none.
const HEARTBEAT_LIMIT: usize = 4 * 1024;

/// Something that an agent sent.
#[derive(Debug)]
pub struct Inbound {
    /// Whose agent; from the broker, not from the agent.
    pub tenant: TenantId,
    /// Which cluster; the broker lets an agent speak for its own only.
    pub cluster: ClusterId,
    /// What it says.
    pub kind: InboundKind,
    /// Its place among the bytes that may wait; free again when this is dropped.
    pub room: Option<Room>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "it is held, never read")] OwnedSemaphorePermit);

/// What an agent can say.
#[derive(Debug)]
pub enum InboundKind {
    /// It is alive.
    Heartbeat(Heartbeat),
    /// The state of its cluster; to be acknowledged once it is safe.
    Report(Box<Report>, Reply),
    /// The same, which one of the nodes gets as [`InboundKind::Report`]: to be known, no more.
    Overheard(Box<Report>),
    /// Anything that has no type here.
    Other {
        /// The subject after the cluster.
        verb: String,
        /// The payload as it came; at most [`crate::bus::server::MAX_PAYLOAD`] bytes.
        payload: Bytes,
        /// Present when the agent waits for an answer.
        reply: Option<Reply>,
    },
}

/// The right to answer one message. Dropping it leaves the agent to try again.
#[derive(Debug)]
pub struct Reply {
    client: Client,
    subject: Subject,
}

impl Reply {
    /// Acknowledges with an empty answer.
    pub async fn acknowledge(self) {
        self.answer(Bytes::new()).await;
    }

    /// Answers. An answer that cannot be sent is like one that was lost: the agent asks again.
    ///
    /// The agent chose where the answer goes, inside its own tenant, so never
    /// answer with something that one agent wrote for another to read.
    pub async fn answer(self, payload: Bytes) {
        let _ = self.client.publish(self.subject, payload).await;
    }
}

/// How many messages came in and what became of them.
#[derive(Debug, Default)]
pub(super) struct InboundCounts {
    accepted: AtomicU64,
    malformed: AtomicU64,
    excessive: AtomicU64,
    overflowed: AtomicU64,
}

/// How many messages came in so far, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboundTotals {
    /// Handed over.
    pub accepted: u64,
    /// Not what they should be.
    pub malformed: u64,
    /// More than one agent may send.
    pub excessive: u64,
    /// The receiver was too far behind.
    pub overflowed: u64,
}

impl InboundCounts {
    /// The counts now.
    pub(super) fn totals(&self) -> InboundTotals {
        InboundTotals {
            accepted: self.accepted.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            excessive: self.excessive.load(Relaxed),
            overflowed: self.overflowed.load(Relaxed),
        }
    }
}

/// Why a message was not handed over.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Malformed,
    Excessive,
    Overflowed,
}

/// By which subscription a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Notices, which all nodes hear.
    Up,
    /// Requests, and no other node hears them.
    Ctl,
    /// Requests, which all nodes hear; reports come by [`Way::Shared`] to one of them.
    Overheard,
    /// Reports, of which each comes to one node.
    Shared,
}

impl Way {
    fn prefix(self) -> &'static str {
        match self {
            Self::Up => subject::UP,
            Self::Ctl | Self::Overheard | Self::Shared => subject::CTL,
        }
    }
}

/// Turns messages into [`Inbound`] values.
pub(super) struct Pump {
    client: Client,
    out: mpsc::Sender<Inbound>,
    room: Arc<Semaphore>,
    counts: Arc<InboundCounts>,
    allowances: HashMap<(TenantId, ClusterId), Allowance>,
    complained: Option<Instant>,
}

impl Pump {
    pub(super) fn new(
        client: Client,
        counts: Arc<InboundCounts>,
    ) -> (Self, mpsc::Receiver<Inbound>) {
        let (out, receiver) = mpsc::channel(WAITING_MESSAGES);
        let pump = Self {
            client,
            out,
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
            counts,
            allowances: HashMap::new(),
            complained: None,
        };
        (pump, receiver)
    }

    /// Takes one message.
    pub(super) fn take(&mut self, way: Way, message: Message, now: Instant) {
        let subject = message.subject.clone();
        let Err(loss) = self.hand_over(way, message, now) else {
            // What comes to one node was overheard by all, this one too.
            self.counts.accepted.fetch_add(u64::from(way != Way::Shared), Relaxed);
            return;
        };
        let count = match loss {
            Loss::Malformed => &self.counts.malformed,
            Loss::Excessive => &self.counts.excessive,
            Loss::Overflowed => &self.counts.overflowed,
        };
        count.fetch_add(1, Relaxed);
        if self.complained.is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY) {
            self.complained = Some(now);
            warn!(
                subject = %subject, totals = ?self.counts.totals(),
                "a message from an agent was dropped ({loss:?}); further ones are counted"
            );
        }
    }

    fn hand_over(&mut self, way: Way, message: Message, now: Instant) -> Result<(), Loss> {
        let Received { tenant, cluster, verb } =
            Received::parse(way.prefix(), &message.subject).ok_or(Loss::Malformed)?;
        // Before parsing: whoever floods us must cost next to nothing.
        let allowance = self.allowances.entry((tenant, cluster));
        if !allowance.or_insert(Allowance { left: BURST, since: now }).take(now) {
            return Err(Loss::Excessive);
        }
        let length = message.payload.len();
        let reply = message.reply.map(|subject| Reply { client: self.client.clone(), subject });
        let (kind, room) = match (way, verb) {
            (Way::Up, subject::HEARTBEAT) => {
                let heartbeat = parse_heartbeat(&message.payload).ok_or(Loss::Malformed)?;
                (InboundKind::Heartbeat(heartbeat), None)
            }
            (Way::Overheard, subject::REPORT) => {
                let room = self.room(length)?;
                let report = parse_report(&message.payload).ok_or(Loss::Malformed)?;
                (InboundKind::Overheard(Box::new(report)), Some(room))
            }
            (Way::Ctl | Way::Shared, subject::REPORT) => {
                let room = self.room(length)?;
                let report = parse_report(&message.payload).ok_or(Loss::Malformed)?;
                let reply = reply.ok_or(Loss::Malformed)?;
                (InboundKind::Report(Box::new(report), reply), Some(room))
            }
            _ => {
                let room = self.room(length)?;
                let (verb, payload) = (verb.to_owned(), message.payload);
                (InboundKind::Other { verb, payload, reply }, Some(room))
            }
        };
        let inbound = Inbound { tenant, cluster, kind, room };
        self.out.try_send(inbound).map_err(|_| Loss::Overflowed)
    }

    fn room(&self, length: usize) -> Result<Room, Loss> {
        let length = u32::try_from(length).map_err(|_| Loss::Overflowed)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(length);
        room.map(Room).map_err(|_| Loss::Overflowed)
    }

    /// Forgets agents that have been silent long enough to have their full allowance back.
    pub(super) fn forget_silent(&mut self, now: Instant) {
        self.allowances.retain(|_, allowance| now.duration_since(allowance.since) < EARN * BURST);
    }
}

/// How much an agent may still send.
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.since).as_millis() / EARN.as_millis();
        if let earned @ 1.. = u32::try_from(earned).unwrap_or(u32::MAX) {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

fn parse_heartbeat(payload: &[u8]) -> Option<Heartbeat> {
    if payload.len() > HEARTBEAT_LIMIT {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

fn parse_report(payload: &[u8]) -> Option<Report> {
    let report: Report = serde_json::from_slice(payload).ok()?;
    let fits = report.node_list.len() <= MAX_NODES
        && report.unhealthy_workloads.len() <= MAX_WORKLOADS
        && report.unreadable.len() <= MAX_UNREADABLE
        && report.unreadable.iter().all(is_short);
    fits.then_some(report)
}

fn is_short(unreadable: &Unreadable) -> bool {
    let no_longer = |text: &str, most: usize| text.chars().nth(most).is_none();
    no_longer(&unreadable.what, LONGEST_KIND) && no_longer(&unreadable.cause, LONGEST_CAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(count: usize, what: usize, cause: usize) -> bool {
        let one = Unreadable { what: "ä".repeat(what), cause: "ä".repeat(cause) };
        let report = Report { unreadable: vec![one; count], ..Report::default() };
        parse_report(&serde_json::to_vec(&report).expect("JSON")).is_some()
    }

    #[test]
    fn a_report_names_so_many_unreadable_kinds_with_so_much_text_and_no_more() {
        assert!(taken(MAX_UNREADABLE, LONGEST_KIND, LONGEST_CAUSE));
        assert!(!taken(MAX_UNREADABLE + 1, 1, 1));
        assert!(!taken(1, LONGEST_KIND + 1, 1));
        assert!(!taken(1, 1, LONGEST_CAUSE + 1));
    }
}

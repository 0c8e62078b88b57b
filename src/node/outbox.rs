//! What was done through the node daemon, until the audit trail has it.
//!
//! Owns: `events.jsonl` in the node's state: an event is on disk before its
//! work begins and again when it has ended, so that not even a power cut hides it.
//! Must not know: what the events mean, or who collects them.
//!
//! The file begins with a line of its name and the number of its first event;
//! then come `begun` and `ended` lines. A whole new file takes its place when
//! events were collected.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::protocol::{EventList, Events, NodeEvent};
use crate::{
    clock::{Clock, Random, Timestamp, random_bytes},
    error::{Error, Kind, Result},
    files::{self, PRIVATE},
};

/// More events are not kept: the oldest go, and their numbers tell that.
const MOST: usize = 10_000;

/// The events that were not collected yet.
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    head: Head,
    events: BTreeMap<u64, Kept>,
    file: File,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    outbox: String,
    next: u64,
}

/// An event that may still be going on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    event: NodeEvent,
    open: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Head(Head),
    Begun(NodeEvent),
    Ended(NodeEvent),
}

/// An event that is about to begin.
#[derive(Debug)]
pub struct Begun {
    action: &'static str,
    origin: &'static str,
    proof: Option<&'static str>,
    user: Option<String>,
}

impl Begun {
    /// `action` by `origin`, as [`NodeEvent`] has them.
    pub fn new(action: &'static str, origin: &'static str) -> Self {
        Self { action, origin, proof: None, user: None }
    }

    /// Of a person who has proved who he is in this way.
    #[must_use]
    pub fn proved_by(mut self, proof: &'static str) -> Self {
        self.proof = Some(proof);
        self
    }

    /// Of this user.
    #[must_use]
    pub fn of_user(mut self, user: Option<String>) -> Self {
        self.user = user.or(self.user);
        self
    }
}

impl Outbox {
    /// Opens or makes the outbox in `directory`. Events that a power cut has
    /// interrupted end as failed. A file that cannot be read is set aside.
    pub fn open(directory: &Path, clock: &dyn Clock, random: &dyn Random) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|error| unusable(directory, &error))?;
        let path = directory.join("events.jsonl");
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(unusable(&path, &error)),
        };
        let (head, mut events) = if let Some(found) = understand(&text) {
            found
        } else {
            if !text.is_empty() {
                let aside = path.with_extension(format!("{}", clock.now().as_seconds()));
                tracing::warn!(file = %aside.display(), "the list of events is damaged; it is kept under another name");
                fs::rename(&path, &aside).map_err(|error| unusable(&path, &error))?;
            }
            let name = data_encoding::HEXLOWER.encode(&random_bytes::<8>(random));
            (Head { outbox: name, next: 1 }, BTreeMap::new())
        };
        for kept in events.values_mut().filter(|kept| kept.open) {
            kept.open = false;
            "failed".clone_into(&mut kept.event.outcome);
            kept.event.reason = Some("interrupted".to_owned());
        }
        let file = write_whole(&path, &head, &events).map_err(|error| unusable(&path, &error))?;
        Ok(Self { path, inner: Mutex::new(Inner { head, events, file }) })
    }

    /// Puts an event on disk before its work begins, and gives its number.
    /// `Unavailable` or `StorageFull` when that fails: then the work must not begin.
    pub fn begin(&self, begun: Begun, at: Timestamp) -> Result<u64> {
        let mut inner = self.inner();
        let number = inner.head.next;
        let event = NodeEvent {
            number,
            at,
            action: begun.action.to_owned(),
            outcome: "success".to_owned(),
            origin: begun.origin.to_owned(),
            proof: begun.proof.map(str::to_owned),
            user: begun.user,
            reason: None,
        };
        self.append(&mut inner, &Line::Begun(event.clone()))?;
        inner.head.next += 1;
        inner.events.insert(number, Kept { event, open: true });
        while inner.events.len() > MOST {
            inner.events.pop_first();
        }
        Ok(number)
    }

    /// Says how it ended: `Ok`, or the outcome `denied` or `failed` and the
    /// stable name of the reason.
    pub fn end(&self, number: u64, outcome: Result<(), (&str, &str)>) -> Result<()> {
        let mut inner = self.inner();
        let Some(kept) = inner.events.get_mut(&number) else { return Ok(()) };
        kept.open = false;
        if let Err((word, reason)) = outcome {
            word.clone_into(&mut kept.event.outcome);
            kept.event.reason = Some(reason.to_owned());
        }
        let line = Line::Ended(kept.event.clone());
        self.append(&mut inner, &line)
    }

    /// The events after `after` that have ended, up to the first that has not.
    pub fn list(&self, after: u64) -> EventList {
        let inner = self.inner();
        let ended = inner
            .events
            .range(after.saturating_add(1)..)
            .map_while(|(_, kept)| (!kept.open).then(|| kept.event.clone()));
        EventList { outbox: inner.head.outbox.clone(), events: ended.take(Events::MOST).collect() }
    }

    /// Forgets the events up to `through`.
    pub fn forget(&self, through: u64) -> Result<()> {
        let mut inner = self.inner();
        let kept = inner.events.clone().into_iter();
        let kept: BTreeMap<_, _> =
            kept.filter(|(number, kept)| *number > through || kept.open).collect();
        if kept.len() == inner.events.len() {
            return Ok(());
        }
        let written = write_whole(&self.path, &inner.head, &kept);
        inner.file = written.map_err(|error| unusable(&self.path, &error))?;
        inner.events = kept;
        Ok(())
    }

    fn append(&self, inner: &mut Inner, line: &Line) -> Result<()> {
        let length = inner.file.metadata().map_err(|error| unusable(&self.path, &error))?.len();
        let written = inner.file.write_all(&text_of(line)).and_then(|()| inner.file.sync_data());
        written.map_err(|error| {
            // Half a line must not spoil the next one.
            let _ = inner.file.set_len(length);
            unusable(&self.path, &error)
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the text says; a last line that was cut off does not count. `None` when
/// anything else is wrong with it.
fn understand(text: &str) -> Option<(Head, BTreeMap<u64, Kept>)> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = whole.lines();
    let Line::Head(mut head) = serde_json::from_str(lines.next()?).ok()? else { return None };
    let mut events = BTreeMap::new();
    for line in lines {
        let (event, open) = match serde_json::from_str(line).ok()? {
            Line::Begun(event) => (event, true),
            Line::Ended(event) => (event, false),
            Line::Head(_) => return None,
        };
        head.next = head.next.max(event.number + 1);
        events.insert(event.number, Kept { event, open });
    }
    Some((head, events))
}

/// Puts a whole new file in the place, durably, and answers it open for appending.
fn write_whole(path: &Path, head: &Head, events: &BTreeMap<u64, Kept>) -> io::Result<File> {
    let mut text = text_of(&Line::Head(head.clone()));
    for kept in events.values() {
        let event = kept.event.clone();
        text.extend(text_of(&if kept.open { Line::Begun(event) } else { Line::Ended(event) }));
    }
    files::replace(path, &text, PRIVATE)?;
    OpenOptions::new().append(true).open(path)
}

fn text_of(line: &Line) -> Vec<u8> {
    // Numbers, names and times always become JSON.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    let kind = if files::is_full(error) { Kind::StorageFull } else { Kind::Unavailable };
    let message = format!(
        "What is done here cannot be recorded in {}: {error}. Nothing was changed.",
        path.display()
    );
    Error::new(kind, "events-unwritable", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{SystemRandom, TestClock};

    fn clock() -> TestClock {
        TestClock::at(Timestamp::from_seconds(1_795_325_306))
    }

    fn open(directory: &Path) -> Outbox {
        Outbox::open(directory, &clock(), &SystemRandom).expect("it opens")
    }

    fn begin(outbox: &Outbox, action: &'static str) -> u64 {
        outbox.begin(Begun::new(action, "console"), clock().now()).expect("recorded")
    }

    fn seen(outbox: &Outbox, after: u64) -> Vec<(u64, String, Option<String>)> {
        let events = outbox.list(after).events.into_iter();
        events.map(|event| (event.number, event.outcome, event.reason)).collect()
    }

    #[test]
    fn events_survive_a_restart_and_are_given_until_they_were_collected() {
        let place = tempfile::tempdir().expect("a directory");
        let outbox = open(place.path());
        let (first, second) = (begin(&outbox, "node.amend"), begin(&outbox, "node.reboot"));
        assert_eq!(seen(&outbox, 0), [], "the first is still going on");
        outbox.end(second, Ok(())).expect("recorded");
        assert_eq!(seen(&outbox, 0), [], "collecting the second would skip the first");
        outbox.end(first, Err(("denied", "wrong-password"))).expect("recorded");
        let name = outbox.list(0).outbox;
        let both = [
            (1, "denied".to_owned(), Some("wrong-password".to_owned())),
            (2, "success".to_owned(), None),
        ];
        assert_eq!(seen(&outbox, 0), both);

        let outbox = open(place.path());
        assert_eq!(outbox.list(0).outbox, name);
        assert_eq!(seen(&outbox, 0), both);
        assert_eq!(seen(&outbox, 1), both[1..]);
        outbox.forget(1).expect("forgotten");
        outbox.forget(1).expect("as often as one likes");
        assert_eq!(seen(&outbox, 0), both[1..]);
        outbox.forget(2).expect("forgotten");

        let outbox = open(place.path());
        assert_eq!(seen(&outbox, 0), []);
        assert_eq!(begin(&outbox, "node.amend"), 3, "no number comes twice");
    }

    #[test]
    fn what_a_power_cut_has_interrupted_is_known_afterwards() {
        let place = tempfile::tempdir().expect("a directory");
        begin(&open(place.path()), "node.amend");
        let path = place.path().join("events.jsonl");
        let mut text = fs::read_to_string(&path).expect("there");
        text.push_str("{\"ended\":{\"numb");
        fs::write(&path, text).expect("cut off");
        let outbox = open(place.path());
        let interrupted = ("failed".to_owned(), Some("interrupted".to_owned()));
        assert_eq!(seen(&outbox, 0), [(1, interrupted.0, interrupted.1)]);
        assert_eq!(begin(&outbox, "node.amend"), 2);
    }

    #[test]
    fn a_damaged_list_is_set_aside_and_a_new_one_has_another_name() {
        let place = tempfile::tempdir().expect("a directory");
        let outbox = open(place.path());
        let (name, number) = (outbox.list(0).outbox, begin(&outbox, "node.amend"));
        outbox.end(number, Ok(())).expect("recorded");
        fs::write(place.path().join("events.jsonl"), b"not our text\xff\n").expect("damaged");
        let outbox = open(place.path());
        assert_ne!(outbox.list(0).outbox, name);
        let kept = place.path().join(format!("events.{}", clock().now().as_seconds()));
        assert_eq!(fs::read(kept).expect("kept"), b"not our text\xff\n");
    }

    #[test]
    fn what_cannot_be_recorded_is_an_error() {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("file");
        fs::write(&file, "").expect("written");
        let refused = Outbox::open(&file, &clock(), &SystemRandom).expect_err("no directory");
        assert_eq!(refused.code(), "events-unwritable");
    }
}

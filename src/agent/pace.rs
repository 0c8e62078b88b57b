//! When to send a report again.
//!
//! Owns: the decision, from what was acknowledged and when; nothing here waits.
//! Must not know: the bus or where reports come from.

use std::time::Duration;

use super::health::is_news;
use crate::{bus::message::Report, clock::Timestamp};

/// The shortest time between two reports.
pub const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest time between two tries after failures.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(32);
/// After this time a report is sent even if nothing changed, so that
/// statistics on management's side do not grow old.
pub const LONGEST_SILENCE: Duration = Duration::from_mins(5);

/// What became of the reports so far.
#[derive(Debug, Default)]
pub struct Pace {
    acknowledged: Option<(Report, Timestamp)>,
    failures: u32,
}

impl Pace {
    /// Whether `report` should be sent now.
    pub fn wants(&self, report: &Report, now: Timestamp) -> bool {
        self.acknowledged.as_ref().is_none_or(|(last, at)| {
            is_news(last, report) || now.since(*at) >= LONGEST_SILENCE || now < *at
        })
    }

    /// Management has `report`.
    pub fn acknowledged(&mut self, report: Report, now: Timestamp) {
        self.acknowledged = Some((report, now));
        self.failures = 0;
    }

    /// Management did not acknowledge a report, or may have forgotten it.
    pub fn failed(&mut self) {
        self.acknowledged = None;
        self.failures = self.failures.saturating_add(1);
    }

    /// The connection is a new one: whoever is on the other side may not have
    /// the last report.
    pub fn reconnected(&mut self) {
        self.acknowledged = None;
        self.failures = 0;
    }

    /// How long to wait before the next report at least.
    pub fn pause(&self) -> Duration {
        let doubled = SHORTEST_PAUSE * 2_u32.saturating_pow(self.failures.min(10));
        doubled.min(LONGEST_PAUSE)
    }

    /// When a report is due although nothing changed; `None` when one is due
    /// as soon as the pause is over.
    pub fn due(&self) -> Option<Timestamp> {
        self.acknowledged.as_ref().map(|(_, at)| at.plus(LONGEST_SILENCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn report(running: u32) -> Report {
        let mut report = Report::default();
        report.pods.running = running;
        report
    }

    #[test]
    fn the_first_report_is_sent_and_the_same_one_is_not_sent_again() {
        let mut pace = Pace::default();
        assert!(pace.wants(&report(1), NOW));
        pace.acknowledged(report(1), NOW);
        assert!(!pace.wants(&report(1), NOW.plus(Duration::from_mins(1))));
        assert!(pace.wants(&report(2), NOW));
    }

    #[test]
    fn a_report_is_sent_again_until_it_is_acknowledged_and_less_often_each_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.pause(), SHORTEST_PAUSE);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            pace.failed();
            assert!(pace.wants(&report(1), NOW) && pace.due().is_none());
            pauses.push(pace.pause().as_secs());
        }
        assert_eq!(pauses, [4, 8, 16, 32, 32, 32]);
        pace.acknowledged(report(1), NOW);
        assert_eq!(pace.pause(), SHORTEST_PAUSE);
    }

    #[test]
    fn a_new_connection_makes_the_last_report_due_again() {
        let mut pace = Pace::default();
        pace.acknowledged(report(1), NOW);
        pace.reconnected();
        assert!(pace.wants(&report(1), NOW));
    }

    #[test]
    fn silence_ends_after_five_minutes_even_without_a_change() {
        let mut pace = Pace::default();
        pace.acknowledged(report(1), NOW);
        let due = pace.due().unwrap();
        assert_eq!(due, NOW.plus(LONGEST_SILENCE));
        assert!(!pace.wants(&report(1), due.minus(Duration::from_micros(1))));
        assert!(pace.wants(&report(1), due));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_silence_the_agent() {
        let mut pace = Pace::default();
        pace.acknowledged(report(1), NOW);
        assert!(pace.wants(&report(1), NOW.minus(Duration::from_hours(1))));
    }
}

//! How long to wait before asking management again.
//!
//! Owns: the back-off after a refusal, longer when only a person can help.
//! Must not know: what was asked.

use std::time::Duration;

use super::{enrol::Refusal, session::fraction};
use crate::clock::Random;

const LONGEST_NOT_NOW: Duration = Duration::from_mins(1);
const FIRST_NO: Duration = Duration::from_mins(5);
const LONGEST_NO: Duration = Duration::from_hours(1);

/// Counts refusals in a row.
#[derive(Debug, Default)]
pub struct Patience {
    refusals: u32,
}

impl Patience {
    /// How long to wait after `refusal`. Trouble on the way is tried again
    /// after seconds, at most a minute; a clear no after minutes, at most an
    /// hour. A quarter of each wait is random, so that many agents that were
    /// refused together do not come back together.
    pub fn after(&mut self, refusal: &Refusal, random: &dyn Random) -> Duration {
        let doublings = 2_u32.saturating_pow(self.refusals.min(16));
        self.refusals = self.refusals.saturating_add(1);
        let wait = match refusal {
            Refusal::NotNow { retry_after, .. } => {
                let own = Duration::from_secs(1).saturating_mul(doublings).min(LONGEST_NOT_NOW);
                // Whatever asks for days does not know what it asks for.
                own.max(retry_after.unwrap_or_default().min(LONGEST_NO))
            }
            Refusal::No { .. } => FIRST_NO.saturating_mul(doublings).min(LONGEST_NO),
        };
        wait + fraction(wait / 4, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    fn waits(refusal: &Refusal, times: usize) -> Vec<Duration> {
        let mut patience = Patience::default();
        (0..times).map(|_| patience.after(refusal, &SystemRandom)).collect()
    }

    fn not_now(retry_after: Option<u64>) -> Refusal {
        let retry_after = retry_after.map(Duration::from_secs);
        Refusal::NotNow { message: String::new(), retry_after }
    }

    #[test]
    fn trouble_on_the_way_is_tried_again_within_seconds_and_at_most_a_minute() {
        let waits = waits(&not_now(None), 20);
        assert!(waits[0] >= Duration::from_secs(1) && waits[0] < Duration::from_secs(2));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(75)));
        assert!(waits[19] >= Duration::from_mins(1));
    }

    #[test]
    fn management_is_given_the_time_that_it_asks_for() {
        assert!(waits(&not_now(Some(30)), 1)[0] >= Duration::from_secs(30));
        assert!(waits(&not_now(Some(1_000_000)), 1)[0] <= Duration::from_mins(75));
    }

    #[test]
    fn a_clear_no_is_asked_again_after_minutes_and_at_most_an_hour() {
        let no = Refusal::No { code: "not-found".to_owned(), message: String::new() };
        let waits = waits(&no, 10);
        assert!(waits[0] >= Duration::from_mins(5));
        assert!(waits[9] >= Duration::from_hours(1) && waits[9] <= Duration::from_mins(75));
    }

    #[test]
    fn agents_refused_together_do_not_come_back_together() {
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|_| waits(&not_now(None), 1)[0]).collect();
        assert!(waits.len() > 50);
    }
}

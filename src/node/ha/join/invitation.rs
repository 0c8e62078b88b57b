//! An open invitation to join. Pure, and in memory only: a member that starts
//! again has none.

use std::time::Duration;

use super::{JoinCode, Refusal};
use crate::clock::{Clock, Random, random_bytes};

/// For how long a code counts.
pub const LIFETIME: Duration = Duration::from_mins(10);
/// How many wrong codes end an invitation.
pub const TRIES: u8 = 3;

/// A code, and what is left of it.
#[derive(Debug)]
pub struct Invitation {
    code: JoinCode,
    /// Tells it from one that has taken its place.
    id: [u8; 16],
    /// By the clock that nobody sets.
    ends: Duration,
    wrong: u8,
    used: bool,
}

impl Invitation {
    /// An invitation that counts from now on.
    pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
        Self {
            code: JoinCode::random(random),
            id: random_bytes(random),
            ends: clock.uptime() + LIFETIME,
            wrong: 0,
            used: false,
        }
    }

    /// The code to show.
    pub fn code(&self) -> &JoinCode {
        &self.code
    }

    /// For how long it still counts; zero when it does not.
    pub fn left(&self, clock: &dyn Clock) -> Duration {
        match self.check(clock) {
            Ok(()) => self.ends.saturating_sub(clock.uptime()),
            Err(_) => Duration::ZERO,
        }
    }

    /// How many wrong codes it still bears.
    pub fn tries_left(&self) -> u8 {
        TRIES.saturating_sub(self.wrong)
    }

    /// Whether it counts, and why not.
    pub fn check(&self, clock: &dyn Clock) -> Result<(), Refusal> {
        if self.used {
            Err(Refusal::Used)
        } else if self.wrong >= TRIES {
            Err(Refusal::TooManyTries)
        } else if clock.uptime() >= self.ends {
            Err(Refusal::Expired)
        } else {
            Ok(())
        }
    }

    pub(super) fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Decides about one proof, for the invitation of this id. The right one uses the invitation up, so of two
    /// that prove themselves at the same time one is let in.
    pub(super) fn settle(
        &mut self,
        id: [u8; 16],
        clock: &dyn Clock,
        proved: bool,
    ) -> Result<(), Refusal> {
        if id != self.id {
            return Err(Refusal::Expired);
        }
        self.check(clock)?;
        if proved {
            self.used = true;
            return Ok(());
        }
        self.wrong += 1;
        Err(Refusal::WrongCode { tries_left: self.tries_left() })
    }
}

//! A person in front of the machine proves who he is.
//!
//! Owns: which proof counts, and slowing down those who guess.
//! Must not know: what is going to be changed.
//!
//! A password is checked by the management plane, which slows guesses down for
//! its own part. The recovery kit is checked by our own program as the user of
//! the management plane, against the newer one of the keystore on disk and its
//! sealed copy in the database: it works when nothing else does.

use std::{sync::Mutex, time::Duration};

use super::{Context, plane::Plane};
use crate::{
    error::{Error, Kind, Result},
    node::protocol::Credentials,
};

/// Wrong tries that cost nothing but themselves.
const FREE: u32 = 3;
/// The longest pause after a wrong try.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How long looking at a recovery kit may take on a busy machine.
const TIME_TO_CHECK: Duration = Duration::from_secs(30);

/// Who has proved it, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// The word in the record.
    pub(super) word: &'static str,
    /// The uid of the user; a recovery kit has none.
    pub(super) user: Option<String>,
}

/// Wrong tries in a row, of everybody together: there is one screen.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<Wrong>);

#[derive(Clone, Copy, Debug, Default)]
struct Wrong {
    count: u32,
    last: Duration,
}

impl Tries {
    /// `RateLimited` while a pause lasts.
    fn check(&self, now: Duration) -> Result<()> {
        let Wrong { count, last } =
            *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let left = (last + pause(count)).saturating_sub(now);
        if left.is_zero() {
            return Ok(());
        }
        let message = format!("Too many wrong tries: the next counts in {} s.", left.as_secs() + 1);
        Err(Error::new(Kind::RateLimited, "too-many-tries", message).with_retry_after(left))
    }

    fn note(&self, right: bool, now: Duration) {
        let mut wrong = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = if right { 0 } else { wrong.count.saturating_add(1) };
        *wrong = Wrong { count, last: now };
    }
}

/// How long nothing counts after so many wrong tries.
fn pause(wrong: u32) -> Duration {
    if wrong < FREE {
        return Duration::ZERO;
    }
    let seconds = 2_u64.saturating_pow((wrong - FREE).min(16)).saturating_mul(5);
    Duration::from_secs(seconds).min(LONGEST_PAUSE)
}

/// Whether the person may do `permission`. `Unauthenticated` without a proof or
/// with a wrong one, `Forbidden` for somebody without the permission,
/// `RateLimited` after several wrong ones.
pub(super) async fn check(
    context: &Context,
    credentials: Option<Credentials>,
    permission: &str,
) -> Result<Proof> {
    let Some(credentials) = credentials else {
        let message = "Only a system administrator may do this.";
        return Err(Error::new(Kind::Unauthenticated, "credentials-needed", message)
            .with_hint("Give e-mail address and password, or the recovery kit."));
    };
    let tries = &context.node.tries;
    tries.check(context.clock().uptime())?;
    // Two guesses at the same time must not count as one.
    let _one = context.node.proving.lock().await;
    tries.check(context.clock().uptime())?;
    let checked = match credentials {
        Credentials::Password { email, password } => {
            let plane = Plane::of(context.paths()).map_err(Error::unavailable)?;
            let user = plane.administrator(&email, &password, permission).await;
            user.map(|user| Proof { word: "password", user: Some(user) })
        }
        Credentials::RecoveryKit(kit) => recovery_kit(context, kit.expose())
            .await
            .map(|()| Proof { word: "recoveryKit", user: None }),
    };
    match &checked {
        Ok(_) => tries.note(true, context.clock().uptime()),
        Err(error) if error.kind() == Kind::Unauthenticated => {
            tries.note(false, context.clock().uptime());
            tracing::warn!(reason = error.code(), "a wrong proof at the console");
        }
        Err(_) => {}
    }
    checked
}

async fn recovery_kit(context: &Context, text: &str) -> Result<()> {
    let settings = context.paths().serve_settings();
    let run = context
        .programs()
        .as_management_plane(&context.paths().data(), TIME_TO_CHECK)
        .args(["keys", "check", "--config"])
        .args([settings])
        .input(text);
    let output = run.output().await?;
    match output.code {
        Some(0) => Ok(()),
        // What our program says for a wrong or mistyped kit.
        Some(4) => {
            let said = output.said().map_or("The recovery kit is not right", |said| said.what);
            Err(Error::new(Kind::Unauthenticated, "wrong-recovery-kit", format!("{said}.")))
        }
        _ => output.or_failure("Checking the recovery kit").map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tries_slow_down_and_a_right_one_forgets_them() {
        let tries = Tries::default();
        let second = Duration::from_secs;
        let mut now = second(100);
        for _ in 0..FREE {
            tries.check(now).expect("free");
            tries.note(false, now);
        }
        let refused = tries.check(now).expect_err("a pause");
        assert_eq!(refused.kind(), Kind::RateLimited);
        tries.check(now + second(4)).expect_err("still");
        now += second(5);
        tries.check(now).expect("over");
        tries.note(false, now);
        tries.check(now + second(9)).expect_err("twice as long");
        tries.check(now + second(10)).expect("over");
        tries.note(true, now);
        tries.check(now).expect("forgotten");
    }

    #[test]
    fn no_pause_is_longer_than_five_minutes() {
        assert_eq!(pause(FREE - 1), Duration::ZERO);
        assert_eq!(pause(FREE), Duration::from_secs(5));
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}

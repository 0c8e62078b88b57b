//! The keys that sign access tokens, and how they rotate.

use std::time::Duration;

use super::{
    fault::Fault,
    names::KeyId,
    secrets::{Secrets, SigningKey},
};
use crate::{
    clock::{Clock, Random, Timestamp},
    secret::Secret,
};

/// How long a replaced key still verifies: the 15 minutes of an access token
/// and room for clocks that differ, so that a rotation drops no request.
pub const VERIFIES_FOR: Duration = Duration::from_mins(20);

/// The most replaced keys at one time; a rotation beyond is refused rather
/// than end a key before its time.
const MOST_PREVIOUS: usize = 16;

/// One HMAC key.
#[derive(Clone, Debug)]
pub struct JwtKey {
    /// Its name, which tokens carry.
    pub kid: KeyId,
    /// 64 random bytes.
    pub secret: Secret<[u8; 64]>,
}

/// A key that signs no more and still verifies.
#[derive(Clone, Debug)]
pub struct PreviousJwtKey {
    /// The key.
    pub key: JwtKey,
    /// From this moment on its tokens are refused.
    pub verifies_until: Timestamp,
}

/// The signing keys at one moment.
#[derive(Clone, Debug)]
pub struct JwtKeys {
    /// The key that signs.
    pub current: JwtKey,
    /// Keys that verify only, newest first; some may be past their time.
    pub previous: Vec<PreviousJwtKey>,
}

impl JwtKeys {
    pub(super) fn of(secrets: &Secrets) -> Self {
        let key =
            |stored: &SigningKey| JwtKey { kid: stored.id.clone(), secret: stored.key.clone() };
        Self {
            current: key(&secrets.jwt[0]),
            previous: secrets.jwt[1..]
                .iter()
                .filter_map(|stored| {
                    let verifies_until = stored.verifies_until?;
                    Some(PreviousJwtKey { key: key(stored), verifies_until })
                })
                .collect(),
        }
    }

    /// The key named `kid` if its tokens count at `now`.
    pub fn verifying(&self, kid: &str, now: Timestamp) -> Option<&JwtKey> {
        if self.current.kid.as_str() == kid {
            return Some(&self.current);
        }
        self.previous
            .iter()
            .find(|previous| previous.key.kid.as_str() == kid && now < previous.verifies_until)
            .map(|previous| &previous.key)
    }
}

/// Puts a new current key in front and forgets those whose time is over.
pub(super) fn rotate(
    secrets: &mut Secrets,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<(), Fault> {
    let now = clock.now();
    let (current, previous) = secrets.jwt.split_at_mut(1);
    current[0].verifies_until = Some(now.plus(VERIFIES_FOR));
    for key in previous {
        // A clock that was set back must not lengthen a key's life.
        key.verifies_until = key.verifies_until.min(Some(now.plus(VERIFIES_FOR)));
    }
    secrets.jwt.retain(|key| key.verifies_until.is_some_and(|until| now < until));
    if secrets.jwt.len() > MOST_PREVIOUS {
        return Err(Fault::TooManyRotations);
    }
    secrets.jwt.insert(0, SigningKey::new(clock, random));
    Ok(())
}

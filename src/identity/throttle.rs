//! Slowing down those who guess passwords.
//!
//! Owns: the count of failed logins per account and per address, and when the
//! next attempt may be made.
//! Must not know: passwords, the store, or whether an account exists: a name
//! that nobody has is counted like any other and so tells nothing.
//!
//! After 10 failures for one account in 15 minutes (50 from one address) every
//! further attempt waits: 30 seconds, doubling with each failure to 15 minutes
//! at most. Nothing here lasts: every wait ends by itself, and an attempt made
//! during one is refused without being counted. So that an attacker who never
//! stops cannot keep the last administrator out, an address from which an
//! account has logged in has a count of its own for that account, which nobody
//! elsewhere can raise.
//!
//! The state is in memory and each node has its own: three nodes let a guesser
//! make three times as many attempts, which is still nothing.

mod ledger;

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::ledger::Ledger;
use super::tokens::Scope;
use crate::{
    clock::Clock,
    error::{Error, Kind},
    observability::metrics,
};

/// Failures are counted over this time.
const WINDOW: Duration = Duration::from_mins(15);
const PER_ACCOUNT: usize = 10;
const PER_ADDRESS: usize = 50;
const FIRST_DELAY: Duration = Duration::from_secs(30);
const MAX_DELAY: Duration = Duration::from_mins(15);

/// 100,000 entries in all. Accounts, addresses and pairs each have a share of
/// their own: a flood of one kind does not push out the others.
const MAX_ACCOUNTS: usize = 40_000;
const MAX_ADDRESSES: usize = 40_000;
const MAX_PAIRS: usize = 20_000;

/// An account as somebody has typed it, whether it exists or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountKey {
    /// The keyed digest that the e-mail address is looked up by.
    pub index: [u8; 32],
    /// Where the login is to.
    pub scope: Scope,
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Too many failures; when to try again. Whole seconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many failed logins; the next attempt may be made in {} s", .0.as_secs())]
pub struct RetryAfter(pub Duration);

impl From<RetryAfter> for Error {
    fn from(RetryAfter(after): RetryAfter) -> Self {
        let message = "There were too many failed attempts to log in.";
        Self::new(Kind::RateLimited, "too-many-attempts", message)
            .with_hint(format!("Wait {} seconds and try again.", after.as_secs()))
            .with_retry_after(after)
    }
}

/// Where an attempt comes from: an IPv4 address, or the /64 of an IPv6 one,
/// which is the least that anybody is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()),
        }
    }
}

/// Counts failed logins and says who has to wait. Cloning shares the counts.
#[derive(Clone, Debug)]
pub struct Throttle {
    clock: Arc<dyn Clock>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
    accounts: Ledger<AccountKey>,
    addresses: Ledger<Origin>,
    /// Only pairs that have logged in before; they count here and not in `accounts`.
    pairs: Ledger<(AccountKey, Origin)>,
}

/// An attempt that was let through. Say what came of it; dropping it counts as
/// neither, for attempts that ended for reasons of ours.
#[derive(Debug)]
#[must_use = "report whether the attempt failed or succeeded"]
pub struct Attempt {
    throttle: Throttle,
    account: AccountKey,
    origin: Origin,
    /// Counted by its pair rather than by its account.
    known: bool,
}

impl Attempt {
    /// The password was wrong, or nobody has that name.
    pub fn failed(self) {
        let now = self.throttle.clock.now();
        let mut counts = self.throttle.lock();
        if self.known {
            counts.pairs.fail((self.account, self.origin), now);
        } else {
            counts.accounts.fail(self.account, now);
        }
        counts.addresses.fail(self.origin, now);
    }

    /// The login succeeded. The account starts afresh; the address does not,
    /// else an attacker with one account of their own could go on for ever.
    pub fn succeeded(self) {
        let mut counts = self.throttle.lock();
        let pair = (self.account, self.origin);
        counts.accounts.clear(&self.account);
        counts.pairs.remember(pair);
        counts.pairs.clear(&pair);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut counts = self.throttle.lock();
        if self.known {
            counts.pairs.end((self.account, self.origin));
        } else {
            counts.accounts.end(self.account);
            counts.accounts.tidy(&self.account);
        }
        counts.addresses.end(self.origin);
        counts.addresses.tidy(&self.origin);
    }
}

impl Throttle {
    /// Nothing has been counted yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let counts = Counts {
            accounts: Ledger::new(PER_ACCOUNT, MAX_ACCOUNTS),
            addresses: Ledger::new(PER_ADDRESS, MAX_ADDRESSES),
            pairs: Ledger::new(PER_ACCOUNT, MAX_PAIRS),
        };
        Self { clock, counts: Arc::new(Mutex::new(counts)) }
    }

    /// Lets an attempt to log in as `account` from `address` through, or says
    /// when to come back. Ask before the password is looked at; being sent back
    /// is not counted as a failure.
    pub fn check(&self, account: AccountKey, address: IpAddr) -> Result<Attempt, RetryAfter> {
        let now = self.clock.now();
        let origin = Origin::from(address);
        let mut counts = self.lock();
        let known = counts.pairs.contains(&(account, origin));
        let own = if known {
            counts.pairs.wait(&(account, origin), now)
        } else {
            counts.accounts.wait(&account, now)
        };
        let wait = own.max(counts.addresses.wait(&origin, now));
        if !wait.is_zero() {
            metrics::rate_limited("login");
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            return Err(RetryAfter(Duration::from_secs(seconds)));
        }
        if known {
            counts.pairs.begin((account, origin));
        } else {
            counts.accounts.begin(account);
        }
        counts.addresses.begin(origin);
        Ok(Attempt { throttle: self.clone(), account, origin, known })
    }

    /// Forgets every failure of `account`: for an operator on the console who
    /// lets somebody in at once.
    pub fn forgive(&self, account: AccountKey) {
        self.lock().accounts.clear(&account);
    }

    /// A panic while counting leaves counts that are at worst slightly off.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

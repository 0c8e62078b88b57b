//! Hashing and checking passwords.
//!
//! Owns: [`Password`], the cost of a hash, the installation's pepper and the
//! threads that may hash at the same time.
//! Must not know: whose password it is or what the policy asks for.
//!
//! A hash is argon2id (19 MiB, two passes, one lane, 16 bytes of salt), keyed
//! with the installation's pepper: a stolen database alone cannot be guessed
//! at. Its text is a PHC string that names the pepper, so that the pepper can
//! be rotated: old hashes keep verifying and [`Hasher::needs_rehash`] says
//! which to renew at the next login.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use argon2::{
    Algorithm, Argon2, KeyId, Params, ParamsBuilder, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use crate::{
    clock::{Random, random_bytes},
    error::{Error, Result},
    secret::Secret,
};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT_BYTES: usize = 32;

/// The most that a stored hash may ask for: a record that somebody has
/// tampered with must not be able to eat the node's memory.
const MAX_MEMORY_KIB: u32 = 128 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 4;

/// How many hashes may wait for each that is being computed. At 20 to 40 ms
/// each the last one waits two seconds; more would time out anyway.
const QUEUE_PER_THREAD: usize = 64;

/// A password as typed, in Unicode form NFKC so that the same characters typed
/// on two systems are the same password. Never truncated.
pub struct Password(Secret<String>);

impl Password {
    /// The longest that is accepted, in bytes of UTF-8 as typed.
    pub const MAX_BYTES: usize = 1024;

    /// Takes a password from the input `field`.
    ///
    /// `Invalid` when it is longer than [`Self::MAX_BYTES`]: cutting it would
    /// make two different passwords equal.
    #[expect(clippy::needless_pass_by_value, reason = "the plain text as typed is wiped here")]
    pub fn parse(field: &str, typed: Secret<String>) -> Result<Self> {
        if typed.expose().len() > Self::MAX_BYTES {
            let message = format!("is longer than {} bytes; use a shorter one", Self::MAX_BYTES);
            return Err(Error::invalid(field, message));
        }
        Ok(Self(Secret::new(typed.expose().nfkc().collect())))
    }

    /// The normalised text, for the policy to look at.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[password]")
    }
}

/// The keys that hashes are made with: one for new hashes, and earlier ones
/// until no stored hash names them any more.
#[derive(Debug)]
pub struct Peppers {
    current: Pepper,
    earlier: Vec<Pepper>,
}

#[derive(Debug)]
struct Pepper {
    id: [u8; 6],
    key: Secret<Vec<u8>>,
}

impl Pepper {
    fn new(key: Secret<Vec<u8>>) -> Self {
        // 48 bits of a digest of at least 128 random bits tell nothing about them.
        let digest = Sha256::new().chain_update(b"palisade pepper id\0").chain_update(key.expose());
        let mut id = [0; 6];
        id.copy_from_slice(&digest.finalize()[..6]);
        Self { id, key }
    }
}

impl Peppers {
    /// `Internal` when a key has fewer than 16 bytes, which could be guessed.
    pub fn new(current: Secret<Vec<u8>>, earlier: Vec<Secret<Vec<u8>>>) -> Result<Self> {
        if earlier.iter().chain([&current]).any(|key| key.expose().len() < 16) {
            return Err(Error::internal("the key for hashing passwords has fewer than 16 bytes"));
        }
        let earlier = earlier.into_iter().map(Pepper::new).collect();
        Ok(Self { current: Pepper::new(current), earlier })
    }

    fn by_id(&self, id: &[u8]) -> Option<&Pepper> {
        std::iter::once(&self.current).chain(&self.earlier).find(|pepper| pepper.id == id)
    }
}

/// A stored hash cannot be used; a matter for the operator, not for whoever logs in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("the stored password hash is not a PHC string of argon2id")]
    NotOurs,
    #[error("the stored password hash asks for more memory or passes than is allowed")]
    TooExpensive,
    #[error("the stored password hash was made with a pepper that this installation lacks")]
    UnknownPepper,
    #[error("argon2 refused to run: {0}")]
    Argon2(argon2::Error),
}

/// Makes and checks password hashes on a bounded number of threads.
///
/// Cloning is cheap; all clones share the threads and the queue.
#[derive(Clone)]
pub struct Hasher {
    peppers: Arc<ArcSwap<Peppers>>,
    random: Arc<dyn Random>,
    threads: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    computed: Arc<AtomicU64>,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("computed", &self.computed).finish_non_exhaustive()
    }
}

impl Hasher {
    /// Hashes with one thread less than there are processor cores, but one at
    /// least: a flood of logins slows down other logins and little else.
    pub fn new(peppers: Peppers, random: Arc<dyn Random>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_threads(peppers, random, cores.saturating_sub(1).max(1))
    }

    fn with_threads(peppers: Peppers, random: Arc<dyn Random>, threads: usize) -> Self {
        Self {
            peppers: Arc::new(ArcSwap::from_pointee(peppers)),
            random,
            threads: Arc::new(Semaphore::new(threads)),
            queue: Arc::new(Semaphore::new(threads * (QUEUE_PER_THREAD + 1))),
            computed: Arc::default(),
        }
    }

    /// Takes the peppers in use after a rotation.
    pub fn replace_peppers(&self, peppers: Peppers) {
        self.peppers.store(Arc::new(peppers));
    }

    /// How many hashes this has computed since the start, dummies included.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// A new PHC string for `password`, with a fresh salt.
    ///
    /// `Unavailable` when too many hashes are waiting already.
    pub async fn hash(&self, password: Arc<Password>) -> Result<String> {
        let salt = random_bytes::<16>(&*self.random);
        self.run(move |hasher| hasher.make(&password, &salt)).await?.map_err(Error::internal)
    }

    /// Whether `password` is the one that `stored` was made from. Without a
    /// stored hash (no such user) the same work is done, and the answer is no:
    /// the time tells nobody which accounts exist.
    ///
    /// `Unavailable` when too many hashes are waiting already; `Internal` when
    /// the stored hash is not usable.
    pub async fn verify_or_dummy(
        &self,
        password: Arc<Password>,
        stored: Option<&str>,
    ) -> Result<bool> {
        let salt_and_output = random_bytes::<48>(&*self.random);
        let stored = stored.map(ToOwned::to_owned);
        self.run(move |hasher| match stored {
            Some(stored) => hasher.matches(&password, &stored),
            None => hasher.pretend(&password, &salt_and_output).map(|()| false),
        })
        .await?
        .map_err(Error::internal)
    }

    /// Whether `password` is one of those that `history` was made from. An
    /// entry that cannot be used any more is passed over: it must not keep
    /// anybody from changing the password.
    ///
    /// `Unavailable` when too many hashes are waiting already.
    pub async fn matches_any(&self, password: Arc<Password>, history: Vec<String>) -> Result<bool> {
        self.run(move |hasher| {
            history.iter().any(|stored| hasher.matches(&password, stored).unwrap_or(false))
        })
        .await
    }

    /// Whether `stored` was made with another cost or pepper than new hashes
    /// are. Renew it when the plain password is at hand, that is after a login.
    pub fn needs_rehash(&self, stored: &str) -> bool {
        let peppers = self.peppers.load();
        let Ok(stored) = Stored::parse(stored) else { return true };
        params(&peppers.current).map_or(true, |current| stored.params != current)
    }

    /// Runs `job` on a blocking thread when one is free. The thread stays
    /// taken until the job ends even if the caller has gone away: else callers
    /// that hang up early could start as many hashes as they like.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T> {
        let Ok(place) = Arc::clone(&self.queue).try_acquire_owned() else {
            return Err(Error::unavailable("Too many logins are waiting for an answer."));
        };
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(Error::internal)?;
        let hasher = self.clone();
        tokio::task::spawn_blocking(move || {
            let answer = job(&hasher);
            drop((thread, place));
            answer
        })
        .await
        .map_err(Error::internal)
    }

    fn make(&self, password: &Password, salt: &[u8]) -> Result<String, Unusable> {
        let peppers = self.peppers.load();
        let params = params(&peppers.current)?;
        let text = ParamsString::try_from(&params).map_err(|_| Unusable::NotOurs)?;
        let output = self.compute(&peppers.current, params, password, salt)?;
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: text,
            salt: Some(Salt::new(salt).map_err(|_| Unusable::NotOurs)?),
            hash: Some(Output::new(&output).map_err(|_| Unusable::NotOurs)?),
        };
        Ok(phc.to_string())
    }

    fn matches(&self, password: &Password, stored: &str) -> Result<bool, Unusable> {
        let stored = Stored::parse(stored)?;
        let peppers = self.peppers.load();
        let pepper = peppers.by_id(stored.params.keyid()).ok_or(Unusable::UnknownPepper)?;
        let output = self.compute(pepper, stored.params, password, &stored.salt)?;
        Ok(output.ct_eq(stored.output.as_bytes()).into())
    }

    /// Does what [`Self::matches`] does against a hash that nothing matches.
    fn pretend(&self, password: &Password, random: &[u8; 48]) -> Result<(), Unusable> {
        let (salt, expected) = random.split_at(16);
        let peppers = self.peppers.load();
        let output = self.compute(&peppers.current, params(&peppers.current)?, password, salt)?;
        std::hint::black_box(output.ct_eq(expected));
        Ok(())
    }

    fn compute(
        &self,
        pepper: &Pepper,
        params: Params,
        password: &Password,
        salt: &[u8],
    ) -> Result<[u8; OUTPUT_BYTES], Unusable> {
        self.computed.fetch_add(1, Ordering::Relaxed);
        let key = pepper.key.expose();
        let argon2 = Argon2::new_with_secret(key, Algorithm::Argon2id, Version::V0x13, params)
            .map_err(Unusable::Argon2)?;
        let mut output = [0; OUTPUT_BYTES];
        argon2
            .hash_password_into(password.expose().as_bytes(), salt, &mut output)
            .map_err(Unusable::Argon2)?;
        Ok(output)
    }
}

fn params(pepper: &Pepper) -> Result<Params, Unusable> {
    let id = KeyId::new(&pepper.id).map_err(Unusable::Argon2)?;
    ParamsBuilder::new()
        .m_cost(MEMORY_KIB)
        .t_cost(PASSES)
        .p_cost(LANES)
        .output_len(OUTPUT_BYTES)
        .keyid(id)
        .build()
        .map_err(Unusable::Argon2)
}

/// A PHC string taken apart, with everything checked that costs or matters.
struct Stored {
    params: Params,
    salt: Salt,
    output: Output,
}

impl Stored {
    fn parse(text: &str) -> Result<Self, Unusable> {
        let phc = PasswordHash::new(text).map_err(|_| Unusable::NotOurs)?;
        let params = Params::try_from(&phc).map_err(|_| Unusable::NotOurs)?;
        let ours = phc.algorithm == Algorithm::Argon2id.ident()
            && phc.version == Some(Version::V0x13.into())
            && params.data().is_empty();
        let (true, Some(salt), Some(output)) = (ours, phc.salt, phc.hash) else {
            return Err(Unusable::NotOurs);
        };
        if output.len() != OUTPUT_BYTES {
            return Err(Unusable::NotOurs);
        }
        let cheap = params.m_cost() <= MAX_MEMORY_KIB
            && params.t_cost() <= MAX_PASSES
            && params.p_cost() <= MAX_LANES;
        if cheap { Ok(Self { params, salt, output }) } else { Err(Unusable::TooExpensive) }
    }
}

#[cfg(test)]
mod tests;

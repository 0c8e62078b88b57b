//! What the broker knows of accounts, and bringing it up to date.
//!
//! Owns: the wanted accounts, and the requests on the system account that
//! store, compare and remove account tokens.
//! Must not know: agents' messages.
//!
//! The broker keeps accounts on disk, so they survive its restart and ours.
//! What changed while either was away is found by comparison: on every
//! connection of ours the broker's accounts are read and only those that
//! differ are pushed. A change made while the broker is away is an error to
//! the caller, and it is pushed all the same when the broker is back.
//!
//! Where several brokers are one bus, all of them hear a request and all answer.
//! A change reaches all of them; it is done when our own broker, which has a disk
//! of its own, says so. Which one sends a stored account is not told, so nothing
//! is compared there: on every connection of ours all accounts are pushed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    bus::{
        claims::{self, Revocations},
        trust::Trust,
    },
    clock::Clock,
    error::{Error, Result},
    ids::TenantId,
};

const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";
const DELETE: &str = "$SYS.REQ.CLAIMS.DELETE";
const LIST: &str = "$SYS.REQ.CLAIMS.LIST";
/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Accounts looked at side by side.
const SIDE_BY_SIDE: usize = 32;

/// What a comparison found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Accounts that differed or were missing.
    pub pushed: usize,
    /// Accounts that nobody wants any more.
    pub removed: usize,
    /// Accounts that were right already.
    pub unchanged: usize,
}

/// The accounts of all tenants.
pub(super) struct Accounts {
    system: Client,
    trust: Arc<Trust>,
    clock: Arc<dyn Clock>,
    /// Whether other brokers answer too.
    has_peers: bool,
    /// Also the lock that keeps two changes from overtaking each other.
    wanted: Mutex<HashMap<TenantId, Revocations>>,
}

impl Accounts {
    pub(super) fn new(
        system: Client,
        trust: Arc<Trust>,
        clock: Arc<dyn Clock>,
        wanted: HashMap<TenantId, Revocations>,
        has_peers: bool,
    ) -> Self {
        Self { system, trust, clock, has_peers, wanted: Mutex::new(wanted) }
    }

    /// Adds a tenant, or replaces its revocations.
    pub(super) async fn put(&self, tenant: TenantId, revocations: Revocations) -> Result<()> {
        let mut wanted = self.wanted.lock().await;
        wanted.insert(tenant, revocations.clone());
        self.push(&self.token(tenant, &revocations)).await
    }

    /// Changes the revocations of a tenant; not-found if there is no such tenant.
    pub(super) async fn change(
        &self,
        tenant: TenantId,
        change: impl FnOnce(&mut Revocations),
    ) -> Result<()> {
        let mut wanted = self.wanted.lock().await;
        let revocations = wanted.get_mut(&tenant).ok_or_else(|| Error::not_found("tenant"))?;
        change(revocations);
        let token = self.token(tenant, revocations);
        self.push(&token).await
    }

    /// Removes a tenant and cuts its connections. Removing an unknown one is no error.
    pub(super) async fn remove(&self, tenant: TenantId) -> Result<()> {
        let mut wanted = self.wanted.lock().await;
        wanted.remove(&tenant);
        self.delete(&[self.trust.tenant(tenant).public_key()]).await
    }

    /// Makes the broker's accounts equal to the wanted ones.
    pub(super) async fn reconcile(&self) -> Result<Reconciled> {
        let wanted = self.wanted.lock().await;
        let mut known: HashSet<String> = self.list().await?.into_iter().collect();
        known.remove(&self.trust.system().public_key());
        known.remove(&self.trust.control().public_key());

        let mut compare = Vec::with_capacity(wanted.len());
        for (tenant, revocations) in wanted.iter() {
            let key = self.trust.tenant(*tenant).public_key();
            let is_known = known.remove(&key);
            compare.push((key, is_known, self.token(*tenant, revocations)));
        }
        let pushed = stream::iter(compare)
            .map(|(key, is_known, token)| self.push_if_different(key, is_known, token))
            .buffer_unordered(SIDE_BY_SIDE)
            .try_fold(0, async |sum, pushed| Ok(sum + usize::from(pushed)))
            .await?;
        let stale: Vec<String> = known.into_iter().collect();
        if !stale.is_empty() {
            self.delete(&stale).await?;
        }
        Ok(Reconciled { pushed, removed: stale.len(), unchanged: wanted.len() - pushed })
    }

    fn token(&self, tenant: TenantId, revocations: &Revocations) -> String {
        claims::tenant_account(&self.trust, tenant, revocations, self.clock.now())
    }

    async fn push_if_different(&self, key: String, is_known: bool, token: String) -> Result<bool> {
        if is_known && !self.has_peers {
            let stored = self.request(format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP"), "").await?;
            let stored = std::str::from_utf8(&stored).ok().and_then(claims::content);
            if stored.is_some() && stored == claims::content(&token) {
                return Ok(false);
            }
        }
        self.push(&token).await?;
        Ok(true)
    }

    async fn push(&self, token: &str) -> Result<()> {
        accepted(&ask_own(&self.system, UPDATE, token).await?)
    }

    async fn delete(&self, accounts: &[String]) -> Result<()> {
        let request = claims::account_removal(&self.trust, accounts, self.clock.now());
        accepted(&ask_own(&self.system, DELETE, &request).await?)
    }

    async fn list(&self) -> Result<Vec<String>> {
        let reply = ask_own(&self.system, LIST, "").await?;
        let reply: Reply<Vec<String>> = serde_json::from_slice(&reply).map_err(Error::internal)?;
        reply.data.ok_or_else(|| refused(reply.error))
    }

    async fn request(&self, subject: String, payload: &str) -> Result<bytes::Bytes> {
        ask(&self.system, subject, payload).await
    }
}

/// Asks the broker itself; unavailable when it does not answer.
pub(super) async fn ask(system: &Client, subject: String, payload: &str) -> Result<bytes::Bytes> {
    let request =
        async_nats::Request::new().payload(payload.to_owned().into()).timeout(Some(PATIENCE));
    match system.send_request(subject, request).await {
        Ok(message) => Ok(message.payload),
        Err(error) => Err(silent().caused_by(error)),
    }
}

/// Asks all brokers, and answers what the one says that we are connected to.
async fn ask_own(system: &Client, subject: &'static str, payload: &str) -> Result<bytes::Bytes> {
    let own = system.server_info().server_id;
    let inbox = system.new_inbox();
    let mut replies =
        system.subscribe(inbox.clone()).await.map_err(|error| silent().caused_by(error))?;
    system
        .publish_with_reply(subject, inbox, payload.to_owned().into())
        .await
        .map_err(|error| silent().caused_by(error))?;
    let answer = async {
        while let Some(message) = replies.next().await {
            let whose: Option<Whose> = serde_json::from_slice(&message.payload).ok();
            if message.status.is_some() {
                return Err(silent());
            }
            if whose.is_none_or(|whose| whose.server.is_none_or(|server| server.id == own)) {
                return Ok(message.payload);
            }
        }
        Err(silent())
    };
    let answered = tokio::time::timeout(PATIENCE, answer).await;
    answered.map_err(|error| silent().caused_by(error))?
}

fn silent() -> Error {
    Error::unavailable(
        "The message broker does not answer; agents stay connected, and this is repeated when it is back.",
    )
}

/// Which broker says something.
#[derive(Deserialize)]
struct Whose {
    server: Option<Server>,
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

/// How the broker answers requests about claims.
#[derive(Deserialize)]
struct Reply<T> {
    data: Option<T>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    description: String,
}

fn accepted(reply: &[u8]) -> Result<()> {
    let reply: Reply<serde::de::IgnoredAny> =
        serde_json::from_slice(reply).map_err(Error::internal)?;
    if reply.data.is_some() && reply.error.is_none() { Ok(()) } else { Err(refused(reply.error)) }
}

fn refused(error: Option<Refusal>) -> Error {
    let text = error.map_or_else(|| "no reason given".into(), |error| error.description);
    Error::internal(format!("the message broker refused an account: {text}"))
}

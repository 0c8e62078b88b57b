//! Login sessions: beginning, renewing, checking and ending them.
//!
//! Owns: login, refresh with detection of stolen tokens, logout, and the cache
//! that makes checking a request a matter of microseconds.
//! Must not know: cookies or headers.
//!
//! The cache keeps who a session belongs to and what that user may do. An entry
//! counts only at the epoch of its tenant at which it was loaded, so a logout,
//! a disabled user or a changed role takes effect with the next request.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use subtle::ConstantTimeEq;

use super::{
    caller::Caller,
    one_time::{ApiKeySecret, OneTimeSecret, Purpose},
    rights::load_grants,
    signing::SigningKeys,
    tokens::{AccessTokens, Claims, TokenRefused},
};
use crate::{
    audit::{Change, Event, Ledger, Outcome},
    clock::Timestamp,
    error::{Error, Kind, Result},
    ids::{ApiKeyId, SessionId, TenantId, UserId},
    rbac::{Actor, Principal, RequestMeta},
    secret::Secret,
    store::{
        self, Tx,
        sessions::{RefreshRow, SessionRow},
    },
};

/// Two tabs may refresh at the same moment; only a later reuse means theft.
const REUSE_GRACE: Duration = Duration::from_secs(10);
/// Cached entries are read again after this time in any case.
const CACHE_LIFE: Duration = Duration::from_mins(5);
/// More cached sessions than this are forgotten all at once.
const CACHE_LIMIT: usize = 50_000;

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// However busy.
    pub longest: Duration,
    /// Without a refresh.
    pub idle: Duration,
}

/// What a browser or a program gets when it has signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// Whose session, and what it may do.
    pub caller: Caller,
    /// The access token.
    pub access: Secret<String>,
    /// Until when.
    pub access_expires_at: Timestamp,
    /// The refresh token; good for one use.
    pub refresh: OneTimeSecret,
    /// When the session ends for good.
    pub session_expires_at: Timestamp,
}

/// The sessions of all users.
#[derive(Debug)]
pub struct Sessions {
    ledger: Ledger,
    tokens: AccessTokens,
    signing: Arc<SigningKeys>,
    limits: SessionLimits,
    cache: RwLock<HashMap<CacheKey, Entry>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CacheKey {
    Session(SessionId),
    ApiKey(ApiKeyId),
}

#[derive(Clone, Debug)]
struct Entry {
    caller: Caller,
    /// Digest of the secret of an API key.
    digest: Option<[u8; 32]>,
    epoch: u64,
    loaded_at: Timestamp,
}

fn ended() -> Error {
    Error::new(Kind::Unauthenticated, "session-ended", "You are not signed in (any more).")
        .with_hint("Sign in again.")
}

impl Sessions {
    /// Sessions with these limits, whose tokens are signed with `signing`.
    pub fn new(ledger: Ledger, signing: Arc<SigningKeys>, limits: SessionLimits) -> Self {
        let tokens = AccessTokens::new(Arc::clone(ledger.clock()), Arc::clone(signing.live()));
        Self { ledger, tokens, signing, limits, cache: RwLock::default() }
    }

    /// Who stands behind a bearer token or cookie: an access token or an API key.
    /// Kind: `Unauthenticated`.
    pub async fn authenticate(&self, credential: &str) -> Result<Caller> {
        if ApiKeySecret::looks_like_one(credential) {
            return self.authenticate_key(credential).await;
        }
        let claims = self.verify(credential).await?;
        let key = CacheKey::Session(claims.session);
        let mut caller = match self.cached(key) {
            Some(entry) => entry.caller,
            None => self.load_session(claims.tenant, claims.user, claims.session).await?,
        };
        if caller.tenant != claims.tenant || caller.user != claims.user {
            return Err(ended());
        }
        let session_end = caller.expires_at;
        caller.expires_at = Some(claims.expires_at.min(session_end.unwrap_or(claims.expires_at)));
        if session_end.is_some_and(|end| end <= self.now()) {
            return Err(ended());
        }
        Ok(caller)
    }

    async fn verify(&self, token: &str) -> Result<Claims> {
        let mut verified = self.tokens.verify(token);
        if verified == Err(TokenRefused::UnknownHeader) && self.signing.look_again().await {
            verified = self.tokens.verify(token);
        }
        verified.map_err(|refused| ended().caused_by(refused))
    }

    async fn authenticate_key(&self, text: &str) -> Result<Caller> {
        let secret = ApiKeySecret::parse(text).map_err(|_| ended())?;
        let presented = secret.digest();
        let (entry, loaded) = match self.cached(CacheKey::ApiKey(secret.id())) {
            Some(entry) => (entry, false),
            None => (self.load_key(secret.id()).await?, true),
        };
        let right = entry.digest.is_some_and(|digest| digest.ct_eq(presented.as_bytes()).into());
        let expired = entry.caller.expires_at.is_some_and(|end| end <= self.now());
        if !right || expired {
            return Err(ended());
        }
        if loaded {
            // Only now: whoever guesses must not warm the cache for the owner.
            self.keep(CacheKey::ApiKey(secret.id()), entry.clone());
        }
        // Once per cache entry is often enough to tell an unused key from a used
        // one. A store that takes no changes now is no reason to refuse reading.
        if loaded && let Err(error) = self.note_use(entry.caller.tenant, secret.id()).await {
            tracing::debug!(error = %error.chain(), "the use of an API key was not noted");
        }
        Ok(entry.caller)
    }

    fn cached(&self, key: CacheKey) -> Option<Entry> {
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        let entry = cache.get(&key)?;
        let current = self.ledger.epochs().current(entry.caller.tenant);
        let fresh = self.now().since(entry.loaded_at) < CACHE_LIFE;
        (entry.epoch == current && fresh).then(|| entry.clone())
    }

    fn keep(&self, key: CacheKey, entry: Entry) {
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_LIMIT {
            cache.clear();
        }
        cache.insert(key, entry);
    }

    async fn load_session(
        &self,
        tenant: TenantId,
        user: UserId,
        session: SessionId,
    ) -> Result<Caller> {
        // The epoch is read before the database: a change in between makes the
        // entry outdated, never the other way round.
        let epoch = self.ledger.epochs().current(tenant);
        let mut tx = self.ledger.store().read().await?;
        let row = store::sessions::find(&mut tx, tenant, session).await?.ok_or_else(ended)?;
        if row.ended_at.is_some() || row.user_id != user {
            return Err(ended());
        }
        let principal = Principal::User { user, session };
        let caller = load_caller(&mut tx, principal, tenant, user, Some(row.expires_at)).await?;
        let entry = Entry { caller: caller.clone(), digest: None, epoch, loaded_at: self.now() };
        self.keep(CacheKey::Session(session), entry);
        Ok(caller)
    }

    async fn load_key(&self, id: ApiKeyId) -> Result<Entry> {
        let mut tx = self.ledger.store().read().await?;
        let tenant =
            store::api_keys::find_for_login(&mut tx, id).await?.ok_or_else(ended)?.tenant_id;
        let epoch = self.ledger.epochs().current(tenant);
        let row = store::api_keys::find(&mut tx, tenant, id).await?.ok_or_else(ended)?;
        let principal = Principal::ApiKey { user: row.user_id, key: id };
        let caller = load_caller(&mut tx, principal, tenant, row.user_id, row.expires_at).await?;
        Ok(Entry { caller, digest: Some(row.digest), epoch, loaded_at: self.now() })
    }

    async fn note_use(&self, tenant: TenantId, id: ApiKeyId) -> Result<()> {
        let mut tx = self.ledger.store().begin().await?;
        store::api_keys::note_use(&mut tx, tenant, id, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Begins a session in the caller's change, which also records the login.
    pub async fn begin(
        &self,
        mut change: Change,
        tenant: TenantId,
        user: UserId,
        request: &RequestMeta,
    ) -> Result<SignedIn> {
        let now = self.now();
        let session = SessionId::random(self.ledger.random());
        let row = SessionRow {
            tenant_id: tenant,
            id: session,
            user_id: user,
            created_at: now,
            expires_at: now.plus(self.limits.longest),
            ended_at: None,
            address: request.address.map(|address| address.to_string()),
        };
        let refresh = OneTimeSecret::random(Purpose::Refresh, self.ledger.random());
        let principal = Principal::User { user, session };
        change.acts_as(principal);
        let tx = change.tx();
        store::sessions::insert(tx, &row).await?;
        store::sessions::insert_refresh(tx, *refresh.digest().as_bytes(), tenant, session, now)
            .await?;
        let caller = load_caller(tx, principal, tenant, user, Some(row.expires_at)).await?;
        change.commit(Event::new("auth.login").on_kind("user", user)).await?;
        self.signed_in(caller, session, refresh, row.expires_at)
    }

    fn signed_in(
        &self,
        mut caller: Caller,
        session: SessionId,
        refresh: OneTimeSecret,
        session_expires_at: Timestamp,
    ) -> Result<SignedIn> {
        let issued = self.tokens.issue(caller.user, caller.tenant, session)?;
        caller.expires_at = Some(issued.expires_at.min(session_expires_at));
        Ok(SignedIn {
            caller,
            access: issued.token,
            access_expires_at: issued.expires_at,
            refresh,
            session_expires_at,
        })
    }

    /// Trades a refresh token for the next one. Of several that try at once,
    /// one wins; a token that comes back later was stolen (or its thief was
    /// faster), so its session ends. Kind: `Unauthenticated`.
    pub async fn refresh(&self, text: &str, request: &RequestMeta) -> Result<SignedIn> {
        let secret = OneTimeSecret::parse(Purpose::Refresh, text).map_err(|_| ended())?;
        let digest = *secret.digest().as_bytes();
        let now = self.now();
        // No audit record here: a refresh changes nothing that anybody could see.
        let mut tx = self.ledger.store().begin().await?;
        let found = store::sessions::find_refresh(&mut tx, digest).await?.ok_or_else(ended)?;
        let tenant = found.tenant_id;
        let session = store::sessions::find(&mut tx, tenant, found.session_id)
            .await?
            .filter(|session| session.ended_at.is_none() && session.expires_at > now)
            .ok_or_else(ended)?;
        if let Some(used_at) = found.used_at {
            drop(tx);
            if now.since(used_at) > REUSE_GRACE {
                self.end_stolen(&found, session.user_id, request).await?;
            }
            return Err(ended());
        }
        if now.since(found.created_at) > self.limits.idle {
            return Err(ended());
        }
        if !store::sessions::use_refresh(&mut tx, digest, now).await? {
            return Err(ended());
        }
        let next = OneTimeSecret::random(Purpose::Refresh, self.ledger.random());
        let next_digest = *next.digest().as_bytes();
        store::sessions::insert_refresh(&mut tx, next_digest, tenant, session.id, now).await?;
        let principal = Principal::User { user: session.user_id, session: session.id };
        let end = Some(session.expires_at);
        let caller = load_caller(&mut tx, principal, tenant, session.user_id, end).await?;
        tx.commit().await?;
        self.signed_in(caller, session.id, next, session.expires_at)
    }

    async fn end_stolen(
        &self,
        found: &RefreshRow,
        user: UserId,
        request: &RequestMeta,
    ) -> Result<()> {
        let actor = Actor {
            principal: Principal::Anonymous,
            tenant: found.tenant_id,
            request: request.clone(),
        };
        let mut change = self.ledger.begin(&actor).await?;
        store::sessions::end(change.tx(), found.tenant_id, found.session_id, self.now()).await?;
        change.outdate(found.tenant_id);
        let event = Event::new("auth.refreshReuse").on_kind("user", user).outcome(Outcome::Denied);
        change.commit(event.with("session", found.session_id.to_string())).await
    }

    /// Ends the caller's session.
    pub async fn logout(&self, caller: &Caller, request: RequestMeta) -> Result<()> {
        let Some(session) = caller.principal.session() else { return Err(only_sessions()) };
        let mut change = self.ledger.begin(&caller.actor(request)).await?;
        store::sessions::end(change.tx(), caller.tenant, session, self.now()).await?;
        change.outdate(caller.tenant);
        change.commit(Event::new("auth.logout").on_kind("user", caller.user)).await
    }

    /// Ends every session of the caller, this one included.
    pub async fn logout_everywhere(&self, caller: &Caller, request: RequestMeta) -> Result<()> {
        let mut change = self.ledger.begin(&caller.actor(request)).await?;
        let count =
            store::sessions::end_all(change.tx(), caller.tenant, caller.user, self.now()).await?;
        change.outdate(caller.tenant);
        let event = Event::new("auth.logoutEverywhere").on_kind("user", caller.user);
        change.commit(event.with("sessions", count)).await
    }

    fn now(&self) -> Timestamp {
        self.ledger.clock().now()
    }
}

fn only_sessions() -> Error {
    Error::new(Kind::Conflict, "not-a-session", "An API key has no session to end.")
        .with_hint("Delete the API key instead.")
}

/// The user behind a session or key with all rights; refused unless both the
/// user and the tenant are active.
async fn load_caller(
    tx: &mut Tx,
    principal: Principal,
    tenant: TenantId,
    user: UserId,
    expires_at: Option<Timestamp>,
) -> Result<Caller> {
    let row = store::users::find(tx, tenant, user).await?.ok_or_else(ended)?;
    let home = store::tenants::find(tx, tenant).await?.ok_or_else(ended)?;
    if row.state != "active" || home.state != "active" {
        return Err(ended());
    }
    let grants = Arc::new(load_grants(tx, tenant, user).await?);
    let session_ends_at = principal.session().and(expires_at);
    let slug = home.slug.into();
    Ok(Caller { principal, user, tenant, slug, grants, expires_at, session_ends_at })
}

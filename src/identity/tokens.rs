//! Access tokens: what they say, how they are signed and when they count.
//!
//! Owns: the claims, [`TokenKeys`] and every check that needs no store.
//! Must not know: whether the session has ended meanwhile; that is for
//! sessions to say, right after [`AccessTokens::verify`].
//!
//! A token is a JWT with HMAC-SHA-256. We are the only ones who write them, so
//! a header is not parsed: it must be, byte for byte, the one that we write for
//! a key we know. Whatever a forger may put into a header (another algorithm, a
//! key of its own, a path as `kid`) is never even read, and claims are parsed
//! only once the signature has been found right. The text of the header is
//! therefore part of the protocol between nodes: nodes of two versions run side
//! by side during an upgrade, so it must not change.
//!
//! # When the clock jumps
//!
//! * Forward, by an hour or a year: access tokens have expired, clients refresh
//!   and go on. Nobody is logged out by this module.
//! * Backward: tokens from before the jump lie in the future and are refused
//!   until the clock has come back to them; clients refresh and go on.
//! * In no case is a token accepted for longer than its 15 minutes and the 60
//!   seconds by which clocks of two nodes may differ, as the clock counts them:
//!   `exp - iat` is checked against that bound too, so neither a bug nor a jump
//!   between reading the clock twice can issue one that lives longer.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use serde::{Deserialize, Serialize};

use crate::{
    clock::{Clock, Timestamp},
    error::{Error, Kind, Result},
    ids::{SessionId, TenantId, UserId},
    secret::Secret,
};

/// How long an access token lives.
pub const LIFETIME: Duration = Duration::from_mins(15);

const LIFETIME_SECONDS: i64 = 15 * 60;

/// By how much the clocks of two nodes may differ.
const SKEW: Duration = Duration::from_mins(1);

/// Ours have some 330 bytes.
const MAX_BYTES: usize = 2048;

/// As many bytes as the digest has: a shorter key would be the weakest part.
const MIN_KEY_BYTES: usize = 32;

/// On which side of the wall between operating the installation and using it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The administrators of the installation.
    System,
    /// The users of one tenant.
    Tenant,
}

impl Scope {
    /// The scope that a tenant's users are in.
    pub fn of(tenant: TenantId) -> Self {
        if tenant.is_system() { Self::System } else { Self::Tenant }
    }
}

/// What a valid token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who.
    pub user: UserId,
    /// In which tenant.
    pub tenant: TenantId,
    /// In which login session. The token counts only while that lives.
    pub session: SessionId,
    /// When it was issued, in whole seconds.
    pub issued_at: Timestamp,
    /// From when on it is refused, in whole seconds.
    pub expires_at: Timestamp,
}

impl Claims {
    /// The scope of the tenant; the token says the same.
    pub fn scope(&self) -> Scope {
        Scope::of(self.tenant)
    }
}

/// The claims as they are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    sub: UserId,
    tid: TenantId,
    sid: SessionId,
    iat: i64,
    exp: i64,
    scope: Scope,
}

/// Why a token does not count. For logs and metrics: whoever presents one
/// learns only that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefused {
    /// More than 2 KiB.
    #[error("the access token is too long")]
    TooLong,
    /// Not three parts, or claims that are not exactly ours.
    #[error("the access token is malformed")]
    Malformed,
    /// Not a header that we write for a key that we know.
    #[error("the access token has an unknown header or key")]
    UnknownHeader,
    /// Signed with a key that has been rotated out.
    #[error("the access token was signed with a retired key")]
    RetiredKey,
    /// Not signed with the key that the header names.
    #[error("the access token has a wrong signature")]
    BadSignature,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
    /// Issued more than a minute from now.
    #[error("the access token is from the future")]
    FromTheFuture,
    /// It claims to live longer than any that we issue.
    #[error("the access token claims a longer life than is allowed")]
    LivesTooLong,
}

impl From<TokenRefused> for Error {
    fn from(refused: TokenRefused) -> Self {
        Self::new(Kind::Unauthenticated, "unauthenticated", "You are not logged in.")
            .with_hint("Log in again, or refresh the session.")
            .caused_by(refused)
    }
}

/// A key cannot be used for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTokenKey {
    /// It must have at least 32 bytes.
    #[error("the key for access tokens has fewer than 32 bytes")]
    TooShort,
    /// It must be 1 to 64 of `A-Z a-z 0-9 - _`.
    #[error("the id of a key for access tokens is not made of letters, digits, - and _")]
    BadId,
    /// Two different keys under one id.
    #[error("two keys for access tokens have the same id")]
    SameId,
}

/// The installation's keys for access tokens, ready to use.
pub struct TokenKeys {
    current: KnownKey,
    signing: EncodingKey,
    earlier: Vec<(KnownKey, Timestamp)>,
}

struct KnownKey {
    /// The first part of every token signed with it.
    header: String,
    key: DecodingKey,
}

impl KnownKey {
    fn new(kid: &str, key: &[u8]) -> Result<Self, BadTokenKey> {
        if key.len() < MIN_KEY_BYTES {
            return Err(BadTokenKey::TooShort);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=64).contains(&kid.len()) || !kid.bytes().all(plain) {
            return Err(BadTokenKey::BadId);
        }
        let header = format!(r#"{{"alg":"HS256","typ":"JWT","kid":"{kid}"}}"#);
        Ok(Self {
            header: BASE64URL_NOPAD.encode(header.as_bytes()),
            key: DecodingKey::from_secret(key),
        })
    }
}

impl TokenKeys {
    /// `current` signs and verifies; each of `verify` only verifies, until its
    /// time. To rotate without refusing a request, let every node verify with
    /// the new key before any node signs with it, and keep the old one for at
    /// least [`LIFETIME`] afterwards.
    pub fn new(
        current: (&str, &[u8]),
        verify: &[(&str, &[u8], Timestamp)],
    ) -> Result<Self, BadTokenKey> {
        let mut ids: Vec<&str> = verify.iter().map(|(kid, ..)| *kid).chain([current.0]).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(BadTokenKey::SameId);
        }
        Ok(Self {
            current: KnownKey::new(current.0, current.1)?,
            signing: EncodingKey::from_secret(current.1),
            earlier: verify
                .iter()
                .map(|(kid, key, until)| Ok((KnownKey::new(kid, key)?, *until)))
                .collect::<Result<_, BadTokenKey>>()?,
        })
    }

    fn by_header(&self, header: &str, now: Timestamp) -> Result<&DecodingKey, TokenRefused> {
        if header == self.current.header {
            return Ok(&self.current.key);
        }
        match self.earlier.iter().find(|(known, _)| known.header == header) {
            Some((known, until)) if now < *until => Ok(&known.key),
            Some(_) => Err(TokenRefused::RetiredKey),
            None => Err(TokenRefused::UnknownHeader),
        }
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeys").field("earlier", &self.earlier.len()).finish_non_exhaustive()
    }
}

/// A token that was just issued.
#[derive(Debug)]
pub struct IssuedToken {
    /// For a cookie or a bearer header.
    pub token: Secret<String>,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

/// Issues and verifies access tokens.
#[derive(Clone, Debug)]
pub struct AccessTokens {
    clock: Arc<dyn Clock>,
    keys: Arc<ArcSwap<TokenKeys>>,
}

impl AccessTokens {
    /// Whoever rotates keys stores new ones into `keys`; they count at once.
    pub fn new(clock: Arc<dyn Clock>, keys: Arc<ArcSwap<TokenKeys>>) -> Self {
        Self { clock, keys }
    }

    /// A token for `session` of `user`, valid for [`LIFETIME`] from now.
    ///
    /// `Internal` when signing fails, which it has no reason to.
    pub fn issue(&self, user: UserId, tenant: TenantId, session: SessionId) -> Result<IssuedToken> {
        let iat = self.clock.now().as_seconds();
        let exp = iat.saturating_add(LIFETIME_SECONDS);
        let wire =
            Wire { sub: user, tid: tenant, sid: session, iat, exp, scope: Scope::of(tenant) };
        let claims = serde_json::to_vec(&wire).map_err(Error::internal)?;

        let keys = self.keys.load();
        let mut token = keys.current.header.clone();
        token.push('.');
        BASE64URL_NOPAD.encode_append(&claims, &mut token);
        let signature = crypto::sign(token.as_bytes(), &keys.signing, Algorithm::HS256)
            .map_err(Error::internal)?;
        token.push('.');
        token.push_str(&signature);
        Ok(IssuedToken { token: Secret::new(token), expires_at: Timestamp::from_seconds(exp) })
    }

    /// What `token` says, if it is one of ours and its time is now. Whether its
    /// session still lives is the caller's next question.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenRefused> {
        if token.len() > MAX_BYTES {
            return Err(TokenRefused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenRefused::Malformed)?;
        if claims.contains('.') {
            return Err(TokenRefused::Malformed);
        }
        let now = self.clock.now();
        let keys = self.keys.load();
        let key = keys.by_header(header, now)?;
        // An error here is a signature that is not base64url in its only form.
        match crypto::verify(signature, signed.as_bytes(), key, Algorithm::HS256) {
            Ok(true) => check(&parse(claims)?, now),
            Ok(false) | Err(_) => Err(TokenRefused::BadSignature),
        }
    }
}

/// Refuses unknown, missing and repeated claims, other types, and base64 with
/// padding or stray bits.
fn parse(claims: &str) -> Result<Wire, TokenRefused> {
    let json = BASE64URL_NOPAD.decode(claims.as_bytes()).map_err(|_| TokenRefused::Malformed)?;
    // Serde would also read the claims from an array, by position.
    if json.first() != Some(&b'{') {
        return Err(TokenRefused::Malformed);
    }
    serde_json::from_slice(&json).map_err(|_| TokenRefused::Malformed)
}

fn check(wire: &Wire, now: Timestamp) -> Result<Claims, TokenRefused> {
    if wire.scope != Scope::of(wire.tid) {
        return Err(TokenRefused::Malformed);
    }
    match wire.exp.checked_sub(wire.iat) {
        Some(1..=LIFETIME_SECONDS) => {}
        _ => return Err(TokenRefused::LivesTooLong),
    }
    if now.as_seconds() >= wire.exp {
        return Err(TokenRefused::Expired);
    }
    if wire.iat > now.plus(SKEW).as_seconds() {
        return Err(TokenRefused::FromTheFuture);
    }
    Ok(Claims {
        user: wire.sub,
        tenant: wire.tid,
        session: wire.sid,
        issued_at: Timestamp::from_seconds(wire.iat),
        expires_at: Timestamp::from_seconds(wire.exp),
    })
}

#[cfg(test)]
mod forgeries;
#[cfg(test)]
mod tests;

//! Who is acting, and in which request.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::ids::{ApiKeyId, ClusterId, SessionId, TenantId, UserId};

/// Who stands behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person in a login session.
    User {
        /// The person.
        user: UserId,
        /// The login session.
        session: SessionId,
    },
    /// A program with a user's API key.
    ApiKey {
        /// The owner, whose permissions the key has.
        user: UserId,
        /// The key.
        key: ApiKeyId,
    },
    /// The agent of a cluster.
    Agent(ClusterId),
    /// A person at the machine itself, known by name or not.
    Console {
        /// The system administrator, if it was one.
        user: Option<UserId>,
    },
    /// The appliance itself, or somebody who works on its data while it is stopped.
    System,
    /// Nobody we know (yet).
    Anonymous,
}

impl Principal {
    /// The user behind it, if any.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { user, .. } | Self::ApiKey { user, .. } => Some(*user),
            // A person there has proved it to the machine, not to us.
            Self::Agent(_) | Self::Console { .. } | Self::System | Self::Anonymous => None,
        }
    }

    /// The login session, if any.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::User { session, .. } => Some(*session),
            _ => None,
        }
    }

    /// The word for the kind, used in the audit trail.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::ApiKey { .. } => "apiKey",
            Self::Agent(_) => "agent",
            Self::Console { .. } => "console",
            Self::System => "system",
            Self::Anonymous => "anonymous",
        }
    }

    /// The identifier that the audit trail keeps for it.
    pub fn uid(&self) -> Option<String> {
        match self {
            Self::User { user, .. } => Some(user.to_string()),
            Self::ApiKey { key, .. } => Some(key.to_string()),
            Self::Agent(cluster) => Some(cluster.to_string()),
            Self::Console { user } => user.map(|user| user.to_string()),
            Self::System | Self::Anonymous => None,
        }
    }
}

/// What the audit trail wants to know of the request itself.
#[derive(Clone, Debug, Default)]
pub struct RequestMeta {
    /// The request id, as the caller sees it too.
    pub request_id: String,
    /// The caller's address.
    pub address: Option<IpAddr>,
    /// The caller's idempotency key, if it sent one.
    pub idempotency: Option<Idempotency>,
}

/// What makes the repetition of a request known as one.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// The digest of what is asked for.
    pub fingerprint: [u8; 32],
    /// Clones of the request share it, so that whoever answers learns of it.
    replayed: Arc<AtomicBool>,
}

impl Idempotency {
    /// A request that has had no effect yet.
    pub fn new(key: String, fingerprint: [u8; 32]) -> Self {
        Self { key, fingerprint, replayed: Arc::default() }
    }

    /// Says that the request had its effect before: its answer is a repetition.
    pub fn mark_replayed(&self) {
        self.replayed.store(true, Ordering::Relaxed);
    }

    /// Whether the answer is a repetition.
    pub fn is_replayed(&self) -> bool {
        self.replayed.load(Ordering::Relaxed)
    }
}

/// A principal in a tenant, in a request.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who.
    pub principal: Principal,
    /// In which tenant.
    pub tenant: TenantId,
    /// In which request.
    pub request: RequestMeta,
}

impl Actor {
    /// The appliance acting by itself in `tenant`: schedules, recovery, agents' credentials.
    pub fn system(tenant: TenantId) -> Self {
        Self { principal: Principal::System, tenant, request: RequestMeta::default() }
    }
}

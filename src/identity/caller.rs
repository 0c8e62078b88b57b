//! Who a request comes from, after its credentials were checked.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    ids::{TenantId, UserId},
    rbac::{Actor, Grants, Principal, RequestMeta},
};

/// An authenticated user or API key with everything it may do.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The session or key.
    pub principal: Principal,
    /// The person behind it.
    pub user: UserId,
    /// The person's tenant.
    pub tenant: TenantId,
    /// The tenant's own host label; a request to another tenant's host is refused.
    pub slug: Arc<str>,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// When the access token (or the key) stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When the session ends for good, however busy; `None` for a key.
    pub session_ends_at: Option<Timestamp>,
}

impl Caller {
    /// As the actor of one request.
    pub fn actor(&self, request: RequestMeta) -> Actor {
        Actor { principal: self.principal, tenant: self.tenant, request }
    }
}

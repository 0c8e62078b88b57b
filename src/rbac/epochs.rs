//! How caches of rights learn that they are outdated.
//!
//! Every tenant has a counter. Whoever changes a user, team, role, assignment,
//! session or key counts it up after the commit; a cached decision remembers
//! the count it was made at and is thrown away when it differs. Coarse and
//! therefore hard to get wrong: forgetting costs a few reads of the database,
//! keeping too long would cost a revocation.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use crate::ids::TenantId;

/// The counters of all tenants.
#[derive(Debug, Default)]
pub struct Epochs(RwLock<HashMap<TenantId, u64>>);

impl Epochs {
    /// The current count of a tenant.
    pub fn current(&self, tenant: TenantId) -> u64 {
        let epochs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        epochs.get(&tenant).copied().unwrap_or(0)
    }

    /// Outdates everything that was cached for a tenant.
    pub fn bump(&self, tenant: TenantId) {
        let mut epochs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *epochs.entry(tenant).or_insert(0) += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn a_bump_outdates_one_tenant_only() {
        let (one, other) = (TenantId::random(&SystemRandom), TenantId::random(&SystemRandom));
        let epochs = Epochs::default();
        let (before_one, before_other) = (epochs.current(one), epochs.current(other));
        epochs.bump(one);
        assert_ne!(epochs.current(one), before_one);
        assert_eq!(epochs.current(other), before_other);
    }
}

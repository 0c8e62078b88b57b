//! The bus in use, if there is one, and what it was told of tenants.
//!
//! Owns: starting from the store's truth again whenever the bus missed something.
//! Must not know: clusters or the store.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::Mutex;

use crate::{
    bus::{AgentPublicKey, Bus, Revocations, TenantAccount},
    clock::Timestamp,
    error::{Error, Kind, Result},
    ids::TenantId,
};

/// A slot for the bus.
#[derive(Default)]
pub(super) struct Wire {
    running: RwLock<Option<Arc<Bus>>>,
    /// What the bus has confirmed. What is missing here is told again.
    told: Mutex<HashMap<TenantId, Revocations>>,
}

impl Wire {
    pub(super) async fn attach(&self, bus: Bus, accounts: Vec<TenantAccount>) {
        let accounts = accounts.into_iter().map(|account| (account.tenant, account.revocations));
        *self.told.lock().await = accounts.collect();
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(bus));
    }

    pub(super) async fn detach(&self) {
        let bus = self.running.write().unwrap_or_else(PoisonError::into_inner).take();
        // Whoever still uses it drops it soon, and the broker stops with the last one.
        if let Some(bus) = bus.and_then(Arc::into_inner) {
            bus.shutdown().await;
        }
    }

    /// `Unavailable`, code `bus-off`.
    pub(super) fn bus(&self) -> Result<Arc<Bus>> {
        let bus = self.running.read().unwrap_or_else(PoisonError::into_inner).clone();
        bus.ok_or_else(|| {
            Error::new(Kind::Unavailable, "bus-off", "This node runs without a message bus.")
                .with_hint("Set bus.mode to managed, or ask another node.")
        })
    }

    /// Lets a new tenant in. One that is in already keeps its revocations.
    pub(super) async fn add(&self, tenant: TenantId) {
        if !self.told.lock().await.contains_key(&tenant) {
            self.put(TenantAccount { tenant, revocations: Revocations::new() }).await;
        }
    }

    /// Lets a tenant in, or replaces its revocations; answers whether the bus was told.
    pub(super) async fn put(&self, mut account: TenantAccount) -> bool {
        let Ok(bus) = self.bus() else { return false };
        let mut told = self.told.lock().await;
        // Somebody may have been cut off since the account was read.
        for (key, at) in told.get(&account.tenant).into_iter().flatten() {
            let known = account.revocations.entry(key.clone()).or_insert(*at);
            *known = (*known).max(*at);
        }
        match bus.add_tenant(account.clone()).await {
            Ok(()) => {
                told.insert(account.tenant, account.revocations);
                true
            }
            Err(error) => not_told(account.tenant, &error),
        }
    }

    /// Cuts a tenant off; answers whether the bus was told.
    pub(super) async fn remove(&self, tenant: TenantId) -> bool {
        let Ok(bus) = self.bus() else { return false };
        let mut told = self.told.lock().await;
        match bus.remove_tenant(tenant).await {
            Ok(()) => {
                told.remove(&tenant);
                true
            }
            Err(error) => not_told(tenant, &error),
        }
    }

    /// Cuts agents off. They are in the store already, so a failure here is
    /// made up for by [`Wire::reconcile`].
    pub(super) async fn revoke(&self, tenant: TenantId, keys: &[AgentPublicKey], at: Timestamp) {
        let Ok(bus) = self.bus() else { return };
        let mut told = self.told.lock().await;
        for key in keys {
            match bus.revoke(tenant, key, at).await {
                Ok(()) => drop(told.entry(tenant).or_default().insert(key.clone(), at)),
                Err(error) => {
                    not_told(tenant, &error);
                }
            }
        }
    }

    /// What the bus knows.
    pub(super) async fn told(&self) -> HashMap<TenantId, Revocations> {
        self.told.lock().await.clone()
    }

    /// Tells the bus whatever it does not know of the store's tenants, and
    /// answers whether it was told something. `told` is what it knew before
    /// `wanted` was read: a tenant made in between is in neither and stays.
    pub(super) async fn reconcile(
        &self,
        told: HashMap<TenantId, Revocations>,
        wanted: Vec<TenantAccount>,
    ) -> bool {
        if self.bus().is_err() {
            return false;
        }
        let mut was_told = false;
        let wanted_ids: HashSet<_> = wanted.iter().map(|account| account.tenant).collect();
        for tenant in told.keys().filter(|id| !wanted_ids.contains(*id)) {
            was_told |= self.remove(*tenant).await;
        }
        for account in wanted {
            let known = told.get(&account.tenant);
            // What the bus refuses beyond our list has expired meanwhile.
            let is_current = known.is_some_and(|known| {
                account.revocations.iter().all(|(key, at)| known.get(key) >= Some(at))
            });
            if !is_current {
                was_told |= self.put(account).await;
            }
        }
        was_told
    }
}

fn not_told(tenant: TenantId, error: &Error) -> bool {
    tracing::warn!(
        tenant = %tenant, error = %error.chain(),
        "the message bus could not be told of a change in tenant {tenant}; trying again within half a minute"
    );
    false
}

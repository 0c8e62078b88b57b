//! The only way to change something: a transaction that ends with a record.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::watch;

use super::{chain, event::Event};
use crate::{
    clock::{Clock, Random},
    error::{Error, Kind, Result},
    ids::{AuditId, TenantId},
    observability::metrics,
    rbac::{Actor, Epochs, Idempotency, Principal},
    store::{Failure, Store, Tx, audit, idempotency, invalidation},
    vault::Vault,
};

/// Opens changes and writes records.
#[derive(Clone, Debug)]
pub struct Ledger {
    store: Store,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    epochs: Arc<Epochs>,
    fleet: Arc<watch::Sender<u64>>,
}

/// What news are about that concern no tenant's rights.
const FLEET: &str = "fleet";

/// A transaction under way. Dropped, it changes nothing and leaves no record.
#[derive(Debug)]
pub struct Change {
    ledger: Ledger,
    tx: Tx,
    actor: Actor,
    outdated: Vec<TenantId>,
    outdates_fleet: bool,
    /// The outcomes of its records.
    recorded: Vec<&'static str>,
}

impl Ledger {
    /// A ledger on this store.
    pub fn new(
        store: Store,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        epochs: Arc<Epochs>,
    ) -> Self {
        Self { store, vault, clock, random, epochs, fleet: Arc::default() }
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The tenants' keys.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The random source.
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// What outdates cached rights.
    pub fn epochs(&self) -> &Arc<Epochs> {
        &self.epochs
    }

    /// Changes when another node has changed which clusters and tenants there are.
    pub fn fleet_news(&self) -> watch::Receiver<u64> {
        self.fleet.subscribe()
    }

    /// Begins a change by `actor` in its tenant.
    pub async fn begin(&self, actor: &Actor) -> Result<Change> {
        let tx = self.store.begin().await?;
        Ok(Change {
            ledger: self.clone(),
            tx,
            actor: actor.clone(),
            outdated: Vec::new(),
            outdates_fleet: false,
            recorded: Vec::new(),
        })
    }

    /// Records something that changes nothing: a refusal, a failure, a download.
    pub async fn note(&self, actor: &Actor, event: Event) -> Result<()> {
        let refused = event.is_refused_change().then(|| event.label());
        self.begin(actor).await?.write(event).await?;
        if let Some((action, outcome)) = refused {
            metrics::mutation(action, outcome);
        }
        Ok(())
    }

    /// Reads what other nodes (or a command on the console) have announced in
    /// the time of `back` and outdates the caches here. `seen` is what the call
    /// before has read; the answer is for the next one. Run at least twice a second.
    pub async fn follow(
        &self,
        back: Duration,
        seen: &HashSet<AuditId>,
    ) -> Result<HashSet<AuditId>> {
        let news = invalidation::within(&mut self.store.read().await?, back).await?;
        for item in news.iter().filter(|item| !seen.contains(&item.id)) {
            if let Ok(tenant) = item.subject.parse::<TenantId>() {
                self.epochs.bump(tenant);
            } else if item.subject == FLEET {
                self.fleet.send_modify(|count| *count += 1);
            }
        }
        Ok(news.into_iter().map(|item| item.id).collect())
    }
}

impl Change {
    /// The transaction.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Says who acts, once that is known: who logs in was nobody before.
    pub fn acts_as(&mut self, principal: Principal) {
        self.actor.principal = principal;
    }

    /// Says that rights, sessions or keys of a tenant change: every node
    /// forgets what it has cached for it.
    pub fn outdate(&mut self, tenant: TenantId) {
        if !self.outdated.contains(&tenant) {
            self.outdated.push(tenant);
        }
    }

    /// Says that clusters or tenants come, go or get other names: every other
    /// node compares what it knows of them with the store.
    pub fn outdate_fleet(&mut self) {
        self.outdates_fleet = true;
    }

    /// What the same request with the same idempotency key has led to, if it was
    /// done before. Kind: `Invalid` when the key was used for another request.
    pub async fn replay<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let Some((caller, key, fingerprint)) = self.idempotency() else { return Ok(None) };
        let tenant = self.actor.tenant;
        let Some(earlier) = idempotency::find(&mut self.tx, tenant, &caller, &key).await? else {
            return Ok(None);
        };
        if earlier.fingerprint != fingerprint {
            return Err(Error::new(
                Kind::Invalid,
                "idempotency-key-reused",
                "This Idempotency-Key was used for another request.",
            )
            .with_hint("Use a new key for each new request."));
        }
        // The writer sees what is committed but not on disk yet; readers do not.
        let mut durable = self.ledger.store.read().await?;
        if idempotency::find(&mut durable, tenant, &caller, &key).await?.is_none() {
            return Err(in_progress());
        }
        drop(durable);
        let ring = self.ledger.vault.ring(&mut self.tx, tenant).await?;
        let plain = ring.open("idempotency", "outcome", &key, &earlier.outcome_sealed)?;
        let outcome = serde_json::from_slice(plain.expose()).map_err(Error::internal)?;
        if let Some(repeated) = &self.actor.request.idempotency {
            repeated.mark_replayed();
        }
        Ok(Some(outcome))
    }

    fn idempotency(&self) -> Option<(String, String, [u8; 32])> {
        let Idempotency { key, fingerprint, .. } = self.actor.request.idempotency.clone()?;
        let caller = format!("{}:{}", self.actor.principal.kind(), self.actor.principal.uid()?);
        Some((caller, key, fingerprint))
    }

    /// Adds a record of something else that happens in the same transaction,
    /// in the tenant `tenant`.
    pub async fn also(&mut self, tenant: TenantId, event: Event) -> Result<()> {
        let actor = Actor { tenant, ..self.actor.clone() };
        self.append(&actor, event).await
    }

    /// Adds a record of what somebody else has done, who is in the same tenant.
    pub async fn by(&mut self, actor: &Actor, event: Event) -> Result<()> {
        self.append(actor, event).await
    }

    /// Makes the change durable with the records that were added to it. `Internal`
    /// without any: no change goes without a record.
    pub async fn finish(self) -> Result<()> {
        if self.recorded.is_empty() {
            return Err(Error::internal("a change without a record"));
        }
        self.complete().await
    }

    async fn append(&mut self, actor: &Actor, event: Event) -> Result<()> {
        let id = AuditId::random(self.ledger.random());
        self.recorded.push(event.label().1);
        let mut row = event.into_row(id, actor, self.ledger.clock.now());
        row.mac = chain::mac(self.ledger.vault.keystore(), &row);
        Ok(audit::insert(&mut self.tx, &row).await?)
    }

    /// Makes the change and its record durable together.
    pub async fn commit(self, event: Event) -> Result<()> {
        let (action, outcome) = event.label();
        self.write(event).await?;
        metrics::mutation(action, outcome);
        Ok(())
    }

    async fn write(mut self, event: Event) -> Result<()> {
        let actor = self.actor.clone();
        self.append(&actor, event).await?;
        self.complete().await
    }

    async fn complete(mut self) -> Result<()> {
        for tenant in &self.outdated {
            let id = AuditId::random(self.ledger.random());
            invalidation::insert(&mut self.tx, id, &tenant.to_string()).await?;
        }
        if self.outdates_fleet && self.ledger.store.is_shared() {
            let id = AuditId::random(self.ledger.random());
            invalidation::insert(&mut self.tx, id, FLEET).await?;
        }
        self.tx.commit().await?;
        for tenant in self.outdated {
            self.ledger.epochs.bump(tenant);
        }
        self.recorded.into_iter().for_each(metrics::audit_record);
        Ok(())
    }

    /// Like [`Change::commit`], and remembers `outcome` for a repetition of the
    /// same request, sealed, because an outcome may contain a secret.
    pub async fn commit_with<T: Serialize>(mut self, event: Event, outcome: &T) -> Result<()> {
        if let Some((caller, key, fingerprint)) = self.idempotency() {
            let tenant = self.actor.tenant;
            let plain = serde_json::to_vec(outcome).map_err(Error::internal)?;
            let ring = self.ledger.vault.ring(&mut self.tx, tenant).await?;
            let remembered = idempotency::Remembered {
                fingerprint,
                outcome_sealed: ring.seal("idempotency", "outcome", &key, &plain),
            };
            let now = self.ledger.clock.now();
            let inserted =
                idempotency::insert(&mut self.tx, tenant, &caller, &key, &remembered, now).await;
            if let Err(error) = inserted {
                if error.failure() == Failure::Duplicate {
                    return Err(in_progress());
                }
                return Err(error.into());
            }
        }
        self.commit(event).await
    }
}

fn in_progress() -> Error {
    Error::new(Kind::Conflict, "request-in-progress", "The same request is being worked on.")
        .with_hint("Send it again with the same Idempotency-Key in a moment.")
}

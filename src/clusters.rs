//! Clusters: importing them, knowing how they are, and forgetting them.
//!
//! Owns: the life of a cluster from its import to its deletion, the credentials
//! of its agent, how it is doing at this moment, and a day of measurements.
//! Must not know: HTTP, SQL, NATS, or the agent's side.
//!
//! Start at [`Clusters`]; how a cluster's phase comes about is in
//! [`model::decide`]. Everything that an agent says passes through
//! [`Clusters::run`].

mod enrolment;
mod feed;
mod import;
mod kubeconfig;
pub mod manifest;
pub mod model;
mod overview;
mod registry;
mod service;
mod statistics;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::broadcast;

pub use import::{Import, Imported, NewCluster};
pub use model::{Cluster, Credential, CredentialState, Phase, Reason};
pub use overview::{Overview, PhaseCounts, Usage};
pub use registry::Change;
pub use statistics::{Measured, Point, STEP};

use crate::{
    audit::Ledger,
    bus::{Bus, BusStatus, Revocations, TenantAccount},
    clock::Timestamp,
    error::{Error, Result},
    ids::{ClusterId, ProjectId, TenantId},
    store::{self, Tx},
};
use registry::Registry;
use wire::Wire;

/// How long names of projects are remembered for live views.
const NAMES_KEPT: Duration = Duration::from_secs(2);

/// How clusters are imported and watched.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long an agent may be silent before its cluster is unreachable.
    pub heartbeat_timeout: Duration,
    /// The life of an agent's credentials.
    pub credential_life: Duration,
    /// The life of an import token.
    pub import_token_life: Duration,
}

/// What a new agent must know of this appliance.
#[derive(Clone, Debug)]
pub struct Front {
    /// `https://fqdn[:port]`.
    pub origin: String,
    /// The certificates that the agent has to trust.
    pub ca_pem: String,
    /// SHA-256 of the public key in the server certificate, in Base64.
    pub pin: String,
    /// The reference of the agent's image.
    pub image: String,
}

/// A cluster with the name of its project, as people see it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The cluster.
    pub cluster: Cluster,
    /// The name of its project.
    pub project_name: String,
}

type Names = Arc<HashMap<ProjectId, String>>;

/// The clusters of all tenants. Cloning is cheap.
#[derive(Clone)]
pub struct Clusters {
    ledger: Ledger,
    registry: Arc<Registry>,
    wire: Arc<Wire>,
    terms: Terms,
    front: Arc<dyn Fn() -> Front + Send + Sync>,
    names: Arc<Mutex<HashMap<TenantId, (Timestamp, Names)>>>,
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clusters").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Clusters {
    /// Loads every cluster from the store. `front` is asked at every import,
    /// because certificate and name can change.
    pub async fn load(
        ledger: Ledger,
        terms: Terms,
        front: Arc<dyn Fn() -> Front + Send + Sync>,
    ) -> Result<Self> {
        let mut tx = ledger.store().read().await?;
        let mut credentials = credentials(&mut tx).await?;
        let rows = store::clusters::all(&mut tx).await?;
        drop(tx);
        let clusters = rows.into_iter().map(|row| {
            let credential = credentials.remove(&row.id).unwrap_or(Credential::AWAITING);
            Cluster::from_row(row, credential)
        });
        let clusters = clusters.collect();
        let registry = Registry::new(Arc::clone(ledger.clock()), terms.heartbeat_timeout, clusters);
        Ok(Self {
            ledger,
            registry: Arc::new(registry),
            wire: Arc::default(),
            terms,
            front,
            names: Arc::default(),
        })
    }

    /// Every tenant with what its agents may no longer use: for [`Bus::start`].
    pub async fn accounts(&self) -> Result<Vec<TenantAccount>> {
        let mut tx = self.ledger.store().read().await?;
        let mut accounts: HashMap<TenantId, Revocations> = store::tenants::all_ids(&mut tx)
            .await?
            .into_iter()
            .map(|id| (id, Revocations::new()))
            .collect();
        for revoked in store::enrolment::revoked(&mut tx, self.now()).await? {
            let Some(revocations) = accounts.get_mut(&revoked.tenant_id) else { continue };
            if let (Ok(key), Some(at)) = (revoked.public_key.parse(), revoked.revoked_at) {
                revocations.insert(key, at);
            }
        }
        let accounts = accounts.into_iter();
        Ok(accounts.map(|(tenant, revocations)| TenantAccount { tenant, revocations }).collect())
    }

    /// Uses `bus`, which was started with `accounts`.
    pub async fn attach(&self, bus: Bus, accounts: Vec<TenantAccount>) {
        self.wire.attach(bus, accounts).await;
    }

    /// Stops the bus. Agents dial again until another one answers.
    pub async fn detach(&self) {
        self.wire.detach().await;
    }

    /// The bus, unless this node runs without one. `Unavailable`, code `bus-off`.
    pub fn bus(&self) -> Result<Arc<Bus>> {
        self.wire.bus()
    }

    /// How many clusters of all tenants are in each phase.
    pub fn phases(&self) -> [(Phase, usize); Phase::ALL.len()] {
        self.registry.phases()
    }

    /// How the bus is doing; `None` when this node runs without one.
    pub fn bus_status(&self) -> Option<BusStatus> {
        self.wire.bus().ok().map(|bus| bus.status())
    }

    /// Says whether the bus can hear agents: while it cannot, their silence
    /// means nothing.
    pub fn hearing(&self, hearing: bool) {
        self.registry.hearing(hearing);
    }

    /// Lets the agents of a new tenant in. Call it after the commit; if it is
    /// forgotten or fails, it happens within half a minute all the same.
    pub async fn tenant_added(&self, tenant: TenantId) {
        self.wire.add(tenant).await;
    }

    /// Cuts off the agents of a deleted tenant and forgets its clusters. Call
    /// it after the commit; if it is forgotten, it happens within half a minute.
    pub async fn tenant_removed(&self, tenant: TenantId) {
        self.registry.remove_tenant(tenant);
        self.wire.remove(tenant).await;
    }

    /// What changes from now on, in all tenants: filter before showing it.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.registry.changes()
    }

    /// A cluster of a [`Change`] for a person; the project's name may be two seconds old.
    pub async fn show(&self, cluster: Cluster) -> Result<Shown> {
        let names = self.recent_names(cluster.tenant).await?;
        Ok(shown(cluster, &names))
    }

    async fn recent_names(&self, tenant: TenantId) -> Result<Names> {
        let now = self.now();
        let lock = || self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, names)) = lock().get(&tenant)
            && now.since(*at) < NAMES_KEPT
        {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(names(&mut self.ledger.store().read().await?, tenant).await?);
        lock().insert(tenant, (now, Arc::clone(&names)));
        Ok(names)
    }

    fn now(&self) -> Timestamp {
        self.ledger.clock().now()
    }
}

async fn names(tx: &mut Tx, tenant: TenantId) -> Result<HashMap<ProjectId, String>> {
    Ok(store::projects::names(tx, tenant).await?.into_iter().collect())
}

fn shown(cluster: Cluster, names: &HashMap<ProjectId, String>) -> Shown {
    let project_name = names.get(&cluster.project).cloned().unwrap_or_default();
    Shown { cluster, project_name }
}

/// The newest credentials of every cluster: live ones before revoked ones.
async fn credentials(tx: &mut Tx) -> Result<HashMap<ClusterId, Credential>> {
    let mut newest: HashMap<ClusterId, Credential> = HashMap::new();
    for row in store::enrolment::of_clusters(tx).await? {
        let state = match row.revoked_at {
            None => CredentialState::Enrolled,
            Some(_) => CredentialState::Revoked,
        };
        let found = Credential { state, expires_at: Some(row.expires_at) };
        let rank = |one: &Credential| (one.state == CredentialState::Enrolled, one.expires_at);
        let kept = newest.entry(row.cluster_id).or_insert(found);
        if rank(&found) > rank(kept) {
            *kept = found;
        }
    }
    Ok(newest)
}

fn no_cluster() -> Error {
    Error::not_found("cluster")
}

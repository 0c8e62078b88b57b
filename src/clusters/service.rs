//! What people do with clusters.
//!
//! Every change is in the store, with its record, before the bus or a live view
//! hears of it; what the bus misses is made up for from the store.

use super::{
    Cluster, Clusters, Credential, Import, Imported, NewCluster, Point, Shown,
    import::Remembered,
    model::{Phase, Verdict},
    names, no_cluster, shown, statistics,
};
use crate::{
    audit::Event,
    bus::AgentPublicKey,
    error::{Error, Result},
    identity::{OneTimeSecret, Purpose, stale},
    ids::{ClusterId, ProjectId, TenantId},
    rbac::{
        Permit, Right,
        rights::{ClusterDelete, ClusterGet, ClusterImport, ClusterList, ClusterUpdate},
    },
    store::{
        self, ListQuery, Page, Tx,
        clusters::{ClusterFilter, ClusterRow},
        enrolment::ImportToken,
    },
};

const NAME_TAKEN: &str = "A cluster of this name exists in the project already";

impl Clusters {
    /// Clusters within the permit's reach. Sorting and filtering go by what is
    /// stored, which may be half a second (the last heartbeat: a minute)
    /// behind; what is shown is live.
    pub async fn list(
        &self,
        permit: &Permit<ClusterList>,
        filter: &ClusterFilter,
        list: &ListQuery,
    ) -> Result<Page<Shown>> {
        let mut tx = self.ledger.store().read().await?;
        let tenant = permit.tenant();
        let page = store::clusters::list(&mut tx, tenant, permit.reach(), filter, list).await?;
        let names = names(&mut tx, tenant).await?;
        Ok(page.map(|row| shown(self.live(row), &names)))
    }

    /// One cluster. `NotFound`.
    pub async fn get(&self, permit: &Permit<ClusterGet>, id: ClusterId) -> Result<Shown> {
        let mut tx = self.ledger.store().read().await?;
        let row = find(&mut tx, permit, id).await?;
        self.shown(&mut tx, row).await
    }

    /// Imports a cluster: it exists from now on, and the answer says how its
    /// agent gets in. `NotFound` for the project; `Conflict` when the name is taken.
    pub async fn import(
        &self,
        permit: &Permit<ClusterImport>,
        new: NewCluster,
    ) -> Result<Imported> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(done) = change.replay::<Remembered>().await? {
            let row = find(change.tx(), permit, done.cluster).await?;
            let import = Import::new(&(self.front)(), &done.token, done.expires_at);
            return Ok(Imported { cluster: self.shown(change.tx(), row).await?, import });
        }
        project(change.tx(), tenant, new.project).await?;
        permit.on("project", Some(new.project))?;
        let cluster = Cluster {
            tenant,
            id: ClusterId::random(self.ledger.random()),
            project: new.project,
            name: new.name.trim().to_owned(),
            verdict: Verdict::plain(Phase::Pending),
            report: None,
            agent_version: None,
            api_latency_ms: None,
            last_heartbeat_at: None,
            has_kubeconfig: false,
            credential: Credential::AWAITING,
            created_at: self.now(),
            version: 1,
        };
        store::clusters::insert(change.tx(), &new_row(&cluster))
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        let (import, remembered) = self.new_token(change.tx(), tenant, cluster.id).await?;
        let names = names(change.tx(), tenant).await?;
        let event = Event::new("cluster.import").on(cluster.id).in_project(cluster.project);
        let event = event.with("name", cluster.name.clone());
        change.outdate_fleet();
        change.commit_with(event, &remembered).await?;
        self.registry.put(cluster.clone());
        Ok(Imported { cluster: shown(cluster, &names), import })
    }

    /// A new import command; earlier ones stop working. An agent that has
    /// enrolled keeps its credentials until another one enrols. `NotFound`.
    pub async fn renew_import(
        &self,
        permit: &Permit<ClusterImport>,
        id: ClusterId,
    ) -> Result<Import> {
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(done) = change.replay::<Remembered>().await? {
            find(change.tx(), permit, done.cluster).await?;
            return Ok(Import::new(&(self.front)(), &done.token, done.expires_at));
        }
        let row = find(change.tx(), permit, id).await?;
        let (import, remembered) = self.new_token(change.tx(), row.tenant_id, id).await?;
        let event = Event::new("cluster.importToken").on(id).in_project(row.project_id);
        change.commit_with(event, &remembered).await?;
        Ok(import)
    }

    async fn new_token(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        cluster: ClusterId,
    ) -> Result<(Import, Remembered)> {
        let secret = OneTimeSecret::random(Purpose::ClusterImport, self.ledger.random());
        let expires_at = self.now().plus(self.terms.import_token_life);
        let token = ImportToken { tenant_id: tenant, cluster_id: cluster, expires_at };
        store::enrolment::replace_token(tx, *secret.digest().as_bytes(), &token).await?;
        let import = Import::new(&(self.front)(), secret.expose(), expires_at);
        Ok((import, Remembered::new(cluster, &secret, expires_at)))
    }

    /// Renames a cluster. `NotFound`, `Stale`, `Conflict`.
    pub async fn rename(
        &self,
        permit: &Permit<ClusterUpdate>,
        id: ClusterId,
        name: Option<&str>,
        version: i64,
    ) -> Result<Shown> {
        let mut change = self.ledger.begin(permit.actor()).await?;
        let mut row = find(change.tx(), permit, id).await?;
        if let Some(name) = name {
            name.trim().clone_into(&mut row.name);
        }
        let renamed = store::clusters::rename(change.tx(), row.tenant_id, id, &row.name, version)
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        if !renamed {
            return Err(stale());
        }
        row.version = version + 1;
        let event = Event::new("cluster.update").on(id).in_project(row.project_id);
        let event = event.with("name", row.name.clone());
        let shown = self.shown(change.tx(), row).await?;
        change.outdate_fleet();
        change.commit(event).await?;
        self.registry.put(shown.cluster.clone());
        Ok(shown)
    }

    /// Deletes a cluster and voids its agent's credentials in the same
    /// transaction. The agent is cut off at once, or as soon as the bus can be
    /// reached. What runs in the cluster stays as it is. `NotFound`.
    pub async fn delete(&self, permit: &Permit<ClusterDelete>, id: ClusterId) -> Result<()> {
        let mut change = self.ledger.begin(permit.actor()).await?;
        let row = find(change.tx(), permit, id).await?;
        let (tenant, now) = (row.tenant_id, self.now());
        let keys = store::enrolment::revoke_cluster(change.tx(), tenant, id, now).await?;
        if !store::clusters::delete(change.tx(), tenant, id).await? {
            return Err(no_cluster());
        }
        let event = Event::new("cluster.delete").on(id).in_project(row.project_id);
        change.outdate_fleet();
        change.commit(event.with("name", row.name)).await?;
        self.registry.remove(tenant, id);
        let keys: Vec<AgentPublicKey> = keys.iter().filter_map(|key| key.parse().ok()).collect();
        self.cut_off(tenant, &keys, now).await;
        Ok(())
    }

    /// Measurements of the last `hours`, oldest first. `NotFound`.
    pub async fn statistics(
        &self,
        permit: &Permit<ClusterGet>,
        id: ClusterId,
        hours: u32,
    ) -> Result<Vec<Point>> {
        if !(1..=statistics::KEPT_HOURS).contains(&hours) {
            return Err(Error::invalid("hours", "must be between 1 and 24"));
        }
        let mut tx = self.ledger.store().read().await?;
        let row = find(&mut tx, permit, id).await?;
        let since = self.now().minus(std::time::Duration::from_hours(hours.into()));
        let rows = store::statistics::since(&mut tx, row.tenant_id, id, since).await?;
        Ok(rows.iter().filter_map(statistics::read).collect())
    }

    pub(super) async fn shown(&self, tx: &mut Tx, row: ClusterRow) -> Result<Shown> {
        let names = names(tx, row.tenant_id).await?;
        Ok(shown(self.live(row), &names))
    }

    /// What people have written, from the store; what the agent says, from memory.
    fn live(&self, row: ClusterRow) -> Cluster {
        match self.registry.find(row.tenant_id, row.id) {
            Some(live) => Cluster {
                project: row.project_id,
                name: row.name,
                has_kubeconfig: row.has_kubeconfig,
                version: row.version,
                ..live
            },
            // Imported through another node a moment ago.
            None => Cluster::from_row(row, Credential::AWAITING),
        }
    }
}

/// The cluster, if the permit holds on it. `NotFound`, `Forbidden`.
pub(super) async fn find<R: Right>(
    tx: &mut Tx,
    permit: &Permit<R>,
    id: ClusterId,
) -> Result<ClusterRow> {
    let row = store::clusters::find(tx, permit.tenant(), id).await?.ok_or_else(no_cluster)?;
    permit.on("cluster", Some(row.project_id))?;
    Ok(row)
}

async fn project(tx: &mut Tx, tenant: TenantId, id: ProjectId) -> Result<()> {
    let found = store::projects::find(tx, tenant, id).await?;
    found.map(drop).ok_or_else(|| Error::not_found("project"))
}

fn new_row(cluster: &Cluster) -> ClusterRow {
    ClusterRow {
        tenant_id: cluster.tenant,
        id: cluster.id,
        project_id: cluster.project,
        name: cluster.name.clone(),
        phase: cluster.verdict.phase.as_str().to_owned(),
        reasons: "[]".to_owned(),
        report: None,
        last_heartbeat_at: None,
        has_kubeconfig: false,
        created_at: cluster.created_at,
        version: cluster.version,
    }
}

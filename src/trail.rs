//! Reading the audit trail: lists, exports, verification.
//!
//! Owns: who may see which records, the names beside the uids, and the two
//! export formats.
//! Must not know: HTTP. `audit` writes and proves records, this shows them.
//!
//! Reading is recorded too: an auditor wants to know who has looked.

mod csv;
mod export;

use std::{path::PathBuf, sync::Arc};

use tokio::sync::Mutex;

use crate::{
    audit::{self, Event, Ledger, Verdict},
    clock::Timestamp,
    error::{Error, Kind, Result},
    identity::Names,
    ids::{AuditId, TenantId},
    rbac::{
        Actor, Permit, Reach,
        rights::{AuditGet, AuditList},
    },
    store::{
        self, ListQuery, Page,
        audit::{AuditFilter, AuditRow},
    },
};

pub use export::{CsvExport, LinesExport};

/// A record with names for people.
#[derive(Clone, Debug)]
pub struct Record {
    /// As it is stored.
    pub row: AuditRow,
    /// The name of who acted, if it still has one.
    pub actor_name: Option<String>,
    /// The name of the user that was acted on, if it still has one: the record
    /// itself names no person, so that persons can be forgotten.
    pub object_user: Option<String>,
    /// The name of the project.
    pub project_name: Option<String>,
}

/// How far the chain is behind, and whether it is whole.
#[derive(Clone, Debug)]
pub struct ChainState {
    /// What was found.
    pub verdict: Verdict,
    /// Milliseconds since the oldest record that waits for its place.
    pub lag_ms: u64,
}

/// The trails of all tenants.
#[derive(Clone, Debug)]
pub struct Trail {
    ledger: Ledger,
    heads_file: PathBuf,
    /// Held by the verification under way: a second one would only take the
    /// same processor time again.
    verifying: Arc<Mutex<()>>,
}

impl Trail {
    /// Trails behind this ledger; `heads_file` is the sealer's.
    pub fn new(ledger: Ledger, heads_file: PathBuf) -> Self {
        Self { ledger, heads_file, verifying: Arc::default() }
    }

    /// One page, newest first unless asked otherwise.
    pub async fn list(
        &self,
        permit: &Permit<AuditList>,
        filter: &AuditFilter,
        list: &ListQuery,
    ) -> Result<Page<Record>> {
        let tenant = permit.tenant();
        let mut tx = self.ledger.store().read().await?;
        let page = store::audit::list(&mut tx, tenant, permit.reach(), filter, list).await?;
        let mut namer = Namer::new(self.ledger.clone(), &mut tx, tenant).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for row in page.items {
            items.push(namer.name(&mut tx, row).await?);
        }
        drop(tx);
        self.ledger.note(permit.actor(), Event::new("audit.list")).await?;
        Ok(Page { items, next: page.next, total: page.total })
    }

    /// One record. `NotFound`.
    pub async fn get(&self, permit: &Permit<AuditGet>, id: AuditId) -> Result<Record> {
        let tenant = permit.tenant();
        let mut tx = self.ledger.store().read().await?;
        let row = store::audit::find(&mut tx, tenant, permit.reach(), id).await?;
        let row = row.ok_or_else(|| Error::not_found("record"))?;
        let mut namer = Namer::new(self.ledger.clone(), &mut tx, tenant).await?;
        let record = namer.name(&mut tx, row).await?;
        drop(tx);
        self.ledger.note(permit.actor(), Event::new("audit.get").on(id)).await?;
        Ok(record)
    }

    /// A table for spreadsheets, in chunks; records that come later are not in it.
    pub async fn export_csv(
        &self,
        permit: &Permit<AuditList>,
        filter: AuditFilter,
    ) -> Result<CsvExport> {
        self.note_export(permit.actor(), "csv").await?;
        let now = self.ledger.clock().now();
        let to = filter.to.map_or(now, |to| to.min(now));
        let filter = AuditFilter { to: Some(to), ..filter };
        CsvExport::new(self.ledger.clone(), permit.tenant(), permit.reach().clone(), filter).await
    }

    /// The whole chain with its checkpoints, for verification elsewhere.
    /// `Forbidden` for those who see only single projects: a chain has no gaps.
    pub async fn export_lines(&self, permit: &Permit<AuditList>) -> Result<LinesExport> {
        whole(permit)?;
        self.note_export(permit.actor(), "jsonl").await?;
        Ok(LinesExport::new(self.ledger.clone(), permit.tenant()))
    }

    async fn note_export(&self, actor: &Actor, format: &'static str) -> Result<()> {
        self.ledger.note(actor, Event::new("audit.export").with("format", format)).await
    }

    /// Verifies the whole chain of the permit's tenant. `Forbidden` for those
    /// who see only single projects, `Conflict` while another one is under way.
    pub async fn verify(&self, permit: &Permit<AuditList>) -> Result<ChainState> {
        whole(permit)?;
        let _turn = self.verifying.try_lock().map_err(|_| {
            Error::new(Kind::Conflict, "verification-under-way", "A verification is under way.")
                .with_hint("Try again when it is finished, or verify an export offline.")
        })?;
        let tenant = permit.tenant();
        let (store, vault) = (self.ledger.store(), self.ledger.vault());
        let verdict = audit::verify_tenant(store, vault, tenant, &self.heads_file).await?;
        let (_, oldest) = store::audit::backlog(&mut store.read().await?).await?;
        let lag = oldest
            .map_or(0, |oldest: Timestamp| self.ledger.clock().now().since(oldest).as_millis());
        self.ledger.note(permit.actor(), Event::new("audit.verify")).await?;
        Ok(ChainState { verdict, lag_ms: u64::try_from(lag).unwrap_or(u64::MAX) })
    }
}

/// A chain has no gaps: only those who may see all of it can judge it.
fn whole(permit: &Permit<AuditList>) -> Result<()> {
    if *permit.reach() == Reach::Tenant {
        return Ok(());
    }
    Err(Error::forbidden("The chain is only for those who may see all of it."))
}

/// Puts names beside uids.
#[derive(Debug)]
struct Namer {
    ledger: Ledger,
    names: Names,
    projects: Vec<(crate::ids::ProjectId, String)>,
}

impl Namer {
    async fn new(ledger: Ledger, tx: &mut store::Tx, tenant: TenantId) -> Result<Self> {
        let projects = store::projects::names(tx, tenant).await?;
        Ok(Self { ledger, names: Names::new(tenant), projects })
    }

    async fn name(&mut self, tx: &mut store::Tx, row: AuditRow) -> Result<Record> {
        let actor_name = match &row.actor_id {
            Some(id) => self.names.actor(&self.ledger, tx, &row.actor_kind, id).await?,
            None => None,
        };
        let object_user = match &row.object_id {
            Some(id) if row.object_kind == "user" => {
                self.names.actor(&self.ledger, tx, "user", id).await?
            }
            _ => None,
        };
        let project = row.project_id;
        let named = self.projects.iter().find(|(id, _)| Some(*id) == project);
        let project_name = named.map(|(_, name)| name.clone());
        Ok(Record { row, actor_name, object_user, project_name })
    }
}

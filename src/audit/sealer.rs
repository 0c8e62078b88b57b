//! The task that joins records to their chains, in order, twice a second.
//!
//! Chaining inside the transaction of every change would make all changes of
//! a tenant wait for each other; here one task (of the node that holds
//! the lease, when there are several) gives positions to what has committed.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::chain::{self, Head};
use crate::{
    clock::Clock,
    error::{Error, Result},
    files,
    ids::TenantId,
    store::{Store, audit, leases::Fence},
    vault::Vault,
};

/// How many records one transaction seals at the most, so that changes do not
/// wait long behind it.
const BATCH: u32 = 256;

/// Joins records to chains.
#[derive(Debug)]
pub struct Sealer {
    store: Store,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    heads_file: PathBuf,
}

impl Sealer {
    /// A sealer that keeps the newest heads in `heads_file`, outside the
    /// database: a database that was set back to an older state gives itself away.
    pub fn new(
        store: Store,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
        heads_file: PathBuf,
    ) -> Self {
        Self { store, vault, clock, heads_file }
    }

    /// Seals everything that waits. Answers how many records were sealed.
    /// `fence` is the right to: two that seal would give one position twice.
    pub async fn run_once(&self, fence: &Fence) -> Result<u64> {
        let mut sealed = 0;
        loop {
            let count = self.seal_batch(fence).await?;
            sealed += u64::from(count);
            if count < BATCH {
                return Ok(sealed);
            }
        }
    }

    async fn seal_batch(&self, fence: &Fence) -> Result<u32> {
        // Looking first costs a reader nothing; the writer is taken only for work.
        if audit::unsealed(&mut self.store.read().await?, 1).await?.is_empty() {
            return Ok(0);
        }
        let mut tx = self.store.begin().await?;
        let rows = audit::unsealed(&mut tx, BATCH).await?;
        let count = u32::try_from(rows.len()).unwrap_or(BATCH);
        let mut heads: HashMap<TenantId, Head> = HashMap::new();
        for row in rows {
            if chain::mac(self.vault.keystore(), &row) != row.mac {
                // It keeps no position: verification names it, and nothing hides it.
                tracing::error!(record = %row.id, "audit record {} was not written by this installation", row.id);
                audit::quarantine(&mut tx, row.id).await?;
                continue;
            }
            let head = match heads.get(&row.tenant_id) {
                Some(head) => *head,
                None => audit::last_checkpoint(&mut tx, row.tenant_id)
                    .await?
                    .map_or(Head::EMPTY, |last| Head { position: last.position, link: last.link }),
            };
            let head = head.extended(&row);
            audit::seal(&mut tx, row.id, head.position, head.link).await?;
            heads.insert(row.tenant_id, head);
        }
        let now = self.clock.now();
        for (tenant, head) in &heads {
            let checkpoint = chain::checkpoint(self.vault.keystore(), *tenant, *head, now);
            audit::insert_checkpoint(&mut tx, &checkpoint).await?;
        }
        fence.confirm(&mut tx).await?;
        tx.commit().await?;
        let (file, reached) = (self.heads_file.clone(), positions(&heads));
        let kept = tokio::task::spawn_blocking(move || remember(&file, reached));
        kept.await.map_err(Error::internal)??;
        Ok(count)
    }
}

fn positions(heads: &HashMap<TenantId, Head>) -> HashMap<TenantId, i64> {
    heads.iter().map(|(tenant, head)| (*tenant, head.position)).collect()
}

/// Writes the heads beside the database, to last through a power cut. The file
/// may lag behind the database after a crash, never run ahead of it.
fn remember(file: &Path, reached: HashMap<TenantId, i64>) -> Result<()> {
    let mut known = read_heads(file)?;
    known.extend(reached);
    let mut lines: Vec<_> =
        known.iter().map(|(tenant, position)| format!("{tenant} {position}\n")).collect();
    lines.sort_unstable();
    files::replace(file, lines.concat().as_bytes(), files::PUBLIC).map_err(Error::internal)
}

/// The positions that were reached, as the file beside the database says.
/// None before the first sealing. A file that cannot be read is an error: it
/// would prove nothing, and nobody would notice.
pub(super) fn read_heads(file: &Path) -> Result<HashMap<TenantId, i64>> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(Error::internal)?,
    };
    let known = text
        .lines()
        .filter_map(|line| {
            let (tenant, position) = line.split_once(' ')?;
            Some((tenant.parse().ok()?, position.parse().ok()?))
        })
        .collect();
    Ok(known)
}

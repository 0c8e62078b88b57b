//! Proving that a trail is whole, on the appliance or from an export alone.
//!
//! On the appliance every record's keyed digest is checked too, so the first
//! bad record is named exactly. From an export, the chain and the signed
//! checkpoints are checked with the public key; whoever rewrites a record and
//! all later links is caught at the next checkpoint.

use std::{collections::BTreeMap, io::BufRead, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    chain::{self, Head, checkpoint_text},
    sealer::read_heads,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    ids::{AuditId, TenantId},
    keystore,
    store::{
        Store,
        audit::{self, AuditRow, Checkpoint},
    },
    vault::Vault,
};

/// The first thing that is wrong with a trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The record, when one can be named.
    pub record: Option<AuditId>,
    /// Its place in the chain.
    pub position: i64,
    /// What is wrong, as a sentence.
    pub reason: String,
}

impl Finding {
    fn at(row: &AuditRow, position: i64, reason: impl Into<String>) -> Self {
        Self { record: Some(row.id), position, reason: reason.into() }
    }

    fn nowhere(position: i64, reason: impl Into<String>) -> Self {
        Self { record: None, position, reason: reason.into() }
    }
}

/// The result of a verification.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// How many records were checked.
    pub records: i64,
    /// When the newest checkpoint was signed.
    pub checkpoint_at: Option<Timestamp>,
    /// The first thing wrong; `None` means that the trail is whole.
    pub first_bad: Option<Finding>,
}

/// Follows a chain record by record.
struct Walk {
    head: Head,
    checkpoints: BTreeMap<i64, Checkpoint>,
    checked_at: Option<Timestamp>,
    public_key: [u8; 32],
}

impl Walk {
    fn new(public_key: [u8; 32]) -> Self {
        Self { head: Head::EMPTY, checkpoints: BTreeMap::new(), checked_at: None, public_key }
    }

    fn step(&mut self, row: &AuditRow) -> Option<Finding> {
        let expected = self.head.position + 1;
        if row.position != Some(expected) {
            let place = row.position.map_or_else(|| "none".to_owned(), |p| p.to_string());
            return Some(Finding::at(
                row,
                expected,
                format!("record {expected} is missing: the next one has position {place}"),
            ));
        }
        let head = self.head.extended(row);
        if row.link != Some(head.link) {
            return Some(Finding::at(
                row,
                expected,
                "the record does not fit its link: it or one before it was changed",
            ));
        }
        self.head = head;
        let checkpoint = self.checkpoints.remove(&expected)?;
        let text = checkpoint_text(row.tenant_id, self.head, checkpoint.at);
        if !keystore::verify(&self.public_key, &text, &checkpoint.signature) {
            return Some(Finding::at(
                row,
                expected,
                "the signed checkpoint does not confirm the records up to here",
            ));
        }
        self.checked_at = Some(checkpoint.at);
        None
    }

    /// What is left when all records have been seen.
    fn end(&self, reached: i64) -> Option<Finding> {
        let promised = self.checkpoints.keys().next_back().copied().unwrap_or(0).max(reached);
        (promised > self.head.position).then(|| {
            let missing = self.head.position + 1;
            Finding::nowhere(missing, format!("records {missing} to {promised} are missing"))
        })
    }

    fn verdict(self, first_bad: Option<Finding>) -> Verdict {
        Verdict { records: self.head.position, checkpoint_at: self.checked_at, first_bad }
    }
}

/// Verifies the chain of a tenant in the database, and against the heads kept
/// beside it in `heads_file`.
pub async fn verify_tenant(
    store: &Store,
    vault: &Vault,
    tenant: TenantId,
    heads_file: &Path,
) -> Result<Verdict> {
    const PAGE: u32 = 1_000;
    let reached = read_heads(heads_file)?.get(&tenant).copied().unwrap_or(0);
    let mut walk = Walk::new(vault.keystore().audit_key().public_key());
    if let Some(forged) = audit::quarantined(&mut store.read().await?, tenant, 1).await?.first() {
        let finding = Finding::at(
            forged,
            forged.position.unwrap_or(0),
            "the record was not written by this installation",
        );
        return Ok(walk.verdict(Some(finding)));
    }
    loop {
        let next = walk.head.position + 1;
        // A connection for each page: a long chain must not keep others from reading.
        let mut tx = store.read().await?;
        for checkpoint in audit::checkpoints_from(&mut tx, tenant, next, PAGE).await? {
            walk.checkpoints.insert(checkpoint.position, checkpoint);
        }
        let rows = audit::chain_from(&mut tx, tenant, next, PAGE).await?;
        drop(tx);
        for row in &rows {
            if chain::mac(vault.keystore(), row) != row.mac {
                let finding = Finding::at(row, walk.head.position + 1, "the record was changed");
                return Ok(walk.verdict(Some(finding)));
            }
            if let Some(finding) = walk.step(row) {
                return Ok(walk.verdict(Some(finding)));
            }
        }
        if rows.len() < PAGE as usize {
            let finding = walk.end(reached).or_else(|| unsigned_tail(&walk));
            return Ok(walk.verdict(finding));
        }
    }
}

/// Every sealed record stands under a checkpoint of the same transaction; a
/// tail without one had its checkpoints removed.
fn unsigned_tail(walk: &Walk) -> Option<Finding> {
    (walk.head.position > 0 && walk.checked_at.is_none()).then(|| {
        Finding::nowhere(walk.head.position, "no signed checkpoint confirms these records")
    })
}

/// One line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ExportLine {
    /// The first line.
    #[serde(rename_all = "camelCase")]
    Header {
        /// The tenant, or the system scope.
        tenant: TenantId,
        /// The installation's public audit key, in hex. Compare it with the
        /// one in the recovery kit: an export proves nothing about its own key.
        public_key: String,
    },
    /// A record, in the order of the chain.
    Record(Box<ExportRecord>),
    /// A signed checkpoint, right after the record that it covers.
    Checkpoint {
        /// Up to which record.
        position: i64,
        /// When it was signed.
        at: Timestamp,
        /// Hex.
        signature: String,
    },
    /// The last line: an export without it was cut.
    End {
        /// How many records there were.
        records: i64,
    },
}

/// A record in an export: exactly the fields that its link covers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of AuditRow")]
pub struct ExportRecord {
    pub uid: AuditId,
    pub at: Timestamp,
    pub project: Option<crate::ids::ProjectId>,
    pub actor_kind: String,
    pub actor: Option<String>,
    pub action: String,
    pub object_kind: String,
    pub object: Option<String>,
    pub outcome: String,
    pub detail: String,
    pub request_id: String,
    pub address: Option<String>,
    pub position: i64,
    pub link: String,
}

impl From<&AuditRow> for ExportRecord {
    fn from(row: &AuditRow) -> Self {
        Self {
            uid: row.id,
            at: row.at,
            project: row.project_id,
            actor_kind: row.actor_kind.clone(),
            actor: row.actor_id.clone(),
            action: row.action.clone(),
            object_kind: row.object_kind.clone(),
            object: row.object_id.clone(),
            outcome: row.outcome.clone(),
            detail: row.detail.clone(),
            request_id: row.request_id.clone(),
            address: row.address.clone(),
            position: row.position.unwrap_or(0),
            link: row.link.map(|link| data_encoding::HEXLOWER.encode(&link)).unwrap_or_default(),
        }
    }
}

impl ExportRecord {
    fn into_row(self, tenant: TenantId) -> AuditRow {
        AuditRow {
            id: self.uid,
            tenant_id: tenant,
            at: self.at,
            project_id: self.project,
            actor_kind: self.actor_kind,
            actor_id: self.actor,
            action: self.action,
            object_kind: self.object_kind,
            object_id: self.object,
            outcome: self.outcome,
            detail: self.detail,
            request_id: self.request_id,
            address: self.address,
            mac: Vec::new(),
            position: Some(self.position),
            link: data_encoding::HEXLOWER
                .decode(self.link.as_bytes())
                .ok()
                .and_then(|link| link.try_into().ok()),
        }
    }
}

/// Verifies an export line by line, in constant memory. `trusted_key` is the
/// public key that the verifier knows from elsewhere; without it only the
/// export's own consistency is shown.
pub fn verify_export(input: impl BufRead, trusted_key: Option<[u8; 32]>) -> Result<Verdict> {
    let mut lines = input.lines().enumerate().map(|(number, line)| {
        let broken = |cause: &dyn std::fmt::Display| {
            Error::invalid("export", format!("line {} cannot be read: {cause}", number + 1))
        };
        let line = line.map_err(|error| broken(&error))?;
        serde_json::from_str::<ExportLine>(&line).map_err(|error| broken(&error))
    });
    let Some(ExportLine::Header { tenant, public_key }) = lines.next().transpose()? else {
        return Err(Error::invalid("export", "the file does not begin with an export header"));
    };
    let named: Option<[u8; 32]> = data_encoding::HEXLOWER
        .decode(public_key.as_bytes())
        .ok()
        .and_then(|key| key.try_into().ok());
    let Some(key) = trusted_key.or(named) else {
        return Err(Error::invalid("export", "the header has no public key"));
    };
    let mut walk = Walk::new(key);
    let mut before: Option<(AuditRow, Head)> = None;
    for line in lines {
        match line? {
            ExportLine::Record(record) => {
                let row = record.into_row(tenant);
                if let Some(finding) = walk.step(&row) {
                    return Ok(walk.verdict(Some(finding)));
                }
                before = Some((row, walk.head));
            }
            ExportLine::Checkpoint { position, at, signature } => {
                let Some((row, head)) = before.as_ref().filter(|(_, h)| h.position == position)
                else {
                    let finding =
                        Finding::nowhere(position, "a checkpoint stands without its record");
                    return Ok(walk.verdict(Some(finding)));
                };
                let signature =
                    data_encoding::HEXLOWER.decode(signature.as_bytes()).unwrap_or_default();
                if !keystore::verify(&key, &checkpoint_text(tenant, *head, at), &signature) {
                    let finding = Finding::at(
                        row,
                        position,
                        "the signed checkpoint does not confirm the records up to here",
                    );
                    return Ok(walk.verdict(Some(finding)));
                }
                walk.checked_at = Some(at);
            }
            ExportLine::End { records } => {
                let finding = walk.end(records).or_else(|| unsigned_tail(&walk));
                return Ok(walk.verdict(finding));
            }
            ExportLine::Header { .. } => {
                return Err(Error::invalid("export", "a second header stands in the middle"));
            }
        }
    }
    let position = walk.head.position + 1;
    Ok(walk
        .verdict(Some(Finding::nowhere(position, "the export was cut: its last line is missing"))))
}

//! Exports in chunks: memory stays flat however long a trail is.

use super::{Namer, csv};
use crate::{
    audit::{ExportLine, ExportRecord, Ledger},
    error::{Error, Result},
    ids::TenantId,
    rbac::Reach,
    store::{
        self, Cursor, ListQuery,
        audit::{AuditFilter, Checkpoint},
    },
};

/// Records per chunk.
const CHUNK: u32 = 500;

/// A CSV export under way.
#[derive(Debug)]
pub struct CsvExport {
    ledger: Ledger,
    tenant: TenantId,
    reach: Reach,
    filter: AuditFilter,
    namer: Namer,
    cursor: Option<Cursor>,
    begun: bool,
    done: bool,
}

impl CsvExport {
    pub(super) async fn new(
        ledger: Ledger,
        tenant: TenantId,
        reach: Reach,
        filter: AuditFilter,
    ) -> Result<Self> {
        let mut tx = ledger.store().read().await?;
        let namer = Namer::new(ledger.clone(), &mut tx, tenant).await?;
        drop(tx);
        Ok(Self { ledger, tenant, reach, filter, namer, cursor: None, begun: false, done: false })
    }

    /// The next chunk of the file; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        let mut writer = ::csv::Writer::from_writer(Vec::with_capacity(64 * 1024));
        if !self.begun {
            self.begun = true;
            writer.write_record(csv::COLUMNS).map_err(Error::internal)?;
        }
        let list = ListQuery { limit: CHUNK, cursor: self.cursor.take(), ..ListQuery::default() };
        let mut tx = self.ledger.store().read().await?;
        let (rows, next) =
            store::audit::chunk(&mut tx, self.tenant, &self.reach, &self.filter, &list).await?;
        for row in rows {
            let record = self.namer.name(&mut tx, row).await?;
            writer.write_record(csv::cells(&record)).map_err(Error::internal)?;
        }
        self.done = next.is_none();
        self.cursor = next;
        writer.into_inner().map(Some).map_err(|error| Error::internal(error.to_string()))
    }
}

/// An export of a whole chain under way: one JSON object on each line.
#[derive(Debug)]
pub struct LinesExport {
    ledger: Ledger,
    tenant: TenantId,
    position: i64,
    checkpoints: Vec<Checkpoint>,
    end: Option<i64>,
    begun: bool,
    done: bool,
}

impl LinesExport {
    pub(super) fn new(ledger: Ledger, tenant: TenantId) -> Self {
        Self {
            ledger,
            tenant,
            position: 0,
            checkpoints: Vec::new(),
            end: None,
            begun: false,
            done: false,
        }
    }

    /// The next chunk of the file; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(256 * 1024);
        let mut tx = self.ledger.store().read().await?;
        if !self.begun {
            self.begun = true;
            let last = store::audit::last_checkpoint(&mut tx, self.tenant).await?;
            self.end = Some(last.map_or(0, |last| last.position));
            let key = self.ledger.vault().keystore().audit_key().public_key();
            let public_key = data_encoding::HEXLOWER.encode(&key);
            line(&mut out, &ExportLine::Header { tenant: self.tenant, public_key })?;
        }
        let end = self.end.unwrap_or(0);
        let next = self.position + 1;
        if self.checkpoints.is_empty() {
            let found = store::audit::checkpoints_from(&mut tx, self.tenant, next, CHUNK).await?;
            self.checkpoints = found;
            self.checkpoints.reverse();
        }
        let rows = store::audit::chain_from(&mut tx, self.tenant, next, CHUNK).await?;
        for row in rows.iter().filter(|row| row.position.is_some_and(|place| place <= end)) {
            self.position = row.position.unwrap_or(self.position);
            line(&mut out, &ExportLine::Record(Box::new(ExportRecord::from(row))))?;
            if self.checkpoints.last().is_some_and(|point| point.position == self.position)
                && let Some(point) = self.checkpoints.pop()
            {
                let signature = data_encoding::HEXLOWER.encode(&point.signature);
                let position = point.position;
                line(&mut out, &ExportLine::Checkpoint { position, at: point.at, signature })?;
                if self.checkpoints.is_empty() {
                    break; // the next ones are read with the next chunk
                }
            }
        }
        if self.position >= end || rows.is_empty() {
            line(&mut out, &ExportLine::End { records: end })?;
            self.done = true;
        }
        Ok(Some(out))
    }
}

fn line(out: &mut Vec<u8>, line: &ExportLine) -> Result<()> {
    serde_json::to_writer(&mut *out, line).map_err(Error::internal)?;
    out.push(b'\n');
    Ok(())
}

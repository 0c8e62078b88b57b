//! The audit trail: what happened, by whom, and proof that nobody changed it.
//!
//! Owns: the [`Ledger`] through which every change goes, the records, their
//! chain with signed checkpoints, and the verification of both.
//! Must not know: what the actions mean, HTTP.
//!
//! No record, no change: [`Ledger::begin`] opens the transaction and
//! [`Change::commit`] wants the event. Records name people by uid only; no
//! detail may hold personal data or secrets, because records outlive both.

mod chain;
mod change;
mod event;
mod sealer;
mod verify;

pub use chain::{Head, checkpoint_text, link};
pub use change::{Change, Ledger};
pub use event::{Event, Outcome};
pub use sealer::Sealer;
pub use verify::{ExportLine, ExportRecord, Finding, Verdict, verify_export, verify_tenant};

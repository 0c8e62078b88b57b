//! What an operator sees of the running program: logs, metrics and readiness.
//!
//! Owns: the format of log lines and the names of their fields
//! ([`logging`], [`span`]), the table of metrics ([`metrics`]) and the registry
//! of readiness checks ([`readiness`]).
//! Must not know: what is logged, counted or checked, and how any of it gets
//! out of the process over HTTP.
//!
//! `store`, `bus` and `keystore` stand beside this module and do not import it:
//! they write with `tracing` and the `metrics` facade, using names from the table.

pub mod logging;
pub mod metrics;
mod process;
pub mod readiness;
pub mod span;

pub use logging::init;
pub use metrics::{Metrics, MetricsHandle};
pub use readiness::{Check, Readiness};

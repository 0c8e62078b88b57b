//! What is wrong with this machine, and how well it is closed.
//!
//! Owns: naming root causes ([`causes`]), the checks of the appliance's
//! hardening ([`cis`]), the support bundle ([`bundle`]) and taking secrets out
//! of any text ([`redact`]).
//! Must not know: HTTP routes, permits, tenants. It is asked by the command
//! line; the node daemon runs that command.
//!
//! What is found out and what follows from it are apart: gathering looks at
//! the machine, with a limit of time for every look, and decides nothing;
//! deciding is a pure function of what was gathered. A look that failed is a
//! fact as well: a check that could not be made has failed.

pub mod bundle;
pub mod causes;
pub mod cis;
pub mod facts;
pub mod machine;
pub mod redact;
mod sockets;
mod tls;

pub use machine::{Answer, Machine};

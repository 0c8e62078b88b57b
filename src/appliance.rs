//! The appliance itself, as system administrators run it: its server
//! certificate, its keys, the health of its machine, the updates of its image and
//! the nodes of its cluster.
//!
//! Owns: which certificate is served and where it is kept, the rotation of the
//! installation's keys, the records of what was done on the machine itself, and
//! the update file that is uploaded.
//! Must not know: HTTP, or how a certificate is checked.

mod certificate;
mod health;
mod keys;
mod nodes;
mod records;
mod updates;

pub use certificate::{ServedCertificate, Source};
pub use health::{Bundle, Checks, Health};
pub use keys::Keys;
pub use nodes::{Ended as NodeWorkEnded, Nodes, NodesNow, Task as NodeTask, Work as NodeWork};
pub use records::NodeRecords;
pub use updates::{InstallFrom, Updates, UpdatesNow};

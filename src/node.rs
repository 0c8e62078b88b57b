//! The machine that Palisade runs on as an appliance: what its operator has
//! answered, and what follows from it for the operating system.
//!
//! Owns: the OVF properties and their checks, first boot, the files that are
//! rendered for systemd's services, the node daemon and its protocol, updates
//! of the image and their health check; what makes three nodes one cluster
//! ([`ha`]).
//! Must not know: tenants, users, HTTP routes or SQL. The management plane asks
//! the node daemon over a local socket; the daemon asks the management plane
//! over its public port, like anybody else.
//!
//! The root file system is read-only and verified. What changes is in three
//! places only, named in [`paths`]: answers and host keys of the node, the data
//! of the management plane, and what is rendered anew at every boot.

pub mod accounts;
pub mod answers;
pub mod client;
pub mod daemon;
pub mod descriptor;
pub mod first_boot;
pub mod ha;
pub mod host;
pub mod machine;
pub mod network;
pub mod outbox;
pub mod ova;
pub mod ovf_environment;
pub mod paths;
pub mod programs;
pub mod properties;
pub mod protocol;
pub mod render;
pub mod sources;
pub mod update;

use crate::error::{Error, Kind};

/// What needs the machine of an appliance was asked for elsewhere.
pub fn not_an_appliance() -> Error {
    let message = "This is not an appliance made from Palisade's image.";
    Error::new(Kind::Conflict, "not-an-appliance", message).with_hint(
        "Update the program in the way in which you installed it; to look at the machine, run \
         `palisade doctor` or `palisade support-bundle` on it.",
    )
}

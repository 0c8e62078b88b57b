//! The programs of the operating system that an update needs.
//!
//! Owns: how systemd-sysupdate and systemctl are called, and what is said when
//! they fail. A test has scripts of these names below its own root.
//! Must not know: what is installed.

use std::time::Duration;

use crate::{
    error::{Error, Kind, Result},
    node::{paths::Paths, programs::Programs},
    release::Version,
};

/// Writing a slot of a gigabyte to a slow disk takes minutes.
const TIME_TO_WRITE: Duration = Duration::from_mins(20);
/// A name of its own, so that two never write at the same time.
const UNIT: &str = "--unit=palisade-write-slot";

/// Lets systemd-sysupdate write `version` from the staging directory into the
/// other slot: outside of the daemon's sandbox, which has no disks.
pub(super) async fn sysupdate(paths: &Paths, version: &Version) -> Result<()> {
    let version = version.to_string();
    let programs = Programs::of(paths);
    let run = programs.outside(&[UNIT], "systemd-sysupdate", TIME_TO_WRITE);
    let written = run.args(["--no-pager", "update", &version]).output().await;
    written.and_then(|output| output.or_failure("systemd-sysupdate")).map(drop).map_err(|cause| {
        Error::new(
            Kind::Unavailable,
            "update-not-written",
            "The other slot could not be written. What runs was not changed.",
        )
        .with_hint("Try again; if it stays, the log of the appliance says why.")
        .caused_by(cause)
    })
}

/// Restarts the machine.
pub(super) async fn reboot(paths: &Paths) -> Result<()> {
    let asked = Programs::of(paths).run("systemctl").args(["--no-block", "reboot"]).output().await;
    asked.and_then(|output| output.or_failure("systemctl")).map(drop).map_err(|cause| {
        Error::new(Kind::Unavailable, "no-restart", "The appliance could not be restarted.")
            .caused_by(cause)
    })
}

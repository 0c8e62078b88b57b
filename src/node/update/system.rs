//! The programs of the operating system that an update needs.
//!
//! Owns: how systemd-sysupdate and systemctl are called, and what is said when
//! they fail. A test has scripts of these names below its own root.
//! Must not know: what is installed.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use crate::{
    error::{Error, Kind, Result},
    node::paths::Paths,
    release::Version,
};

const SYSUPDATE: &str = "/usr/lib/systemd/systemd-sysupdate";
const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// Writing a slot of a gigabyte to a slow disk takes minutes.
const PATIENCE: Duration = Duration::from_mins(20);
/// More is not shown of what a program says.
const MOST_SAID: u64 = 16 * 1024;

/// Lets systemd-sysupdate write `version` from the staging directory into the other slot.
pub(super) async fn sysupdate(paths: &Paths, version: &Version) -> Result<()> {
    let version = version.to_string();
    let program = paths.at(SYSUPDATE);
    run(&program, &["--no-pager", "update", version.as_str()]).await.map_err(|cause| {
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
    run(&paths.at(SYSTEMCTL), &["--no-block", "reboot"]).await.map_err(|cause| {
        Error::new(Kind::Unavailable, "no-restart", "The appliance could not be restarted.")
            .caused_by(cause)
    })
}

/// Runs a program to its end; what it said is the error.
async fn run(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let name = program.display();
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/usr/sbin")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{name} cannot be started: {error}"))?;
    let stderr = child.stderr.take();
    let ended = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            let mut stderr = stderr;
            // Everything is read, so that the program never waits for us.
            let _ = (&mut stderr).take(MOST_SAID).read_to_end(&mut said).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        (child.wait().await, said)
    };
    let Ok((status, said)) = timeout(PATIENCE, ended).await else {
        return Err(format!("{name} did not end within {} minutes", PATIENCE.as_secs() / 60));
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let said = String::from_utf8_lossy(&said);
            let tail: Vec<&str> = said.lines().rev().take(5).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            Err(format!("{name} ended with {status}: {}", tail.join(" / ")))
        }
        Err(error) => Err(format!("{name} was lost: {error}")),
    }
}

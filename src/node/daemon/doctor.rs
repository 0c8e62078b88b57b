//! Looking at the machine. Our own program does it, outside of this daemon's
//! sandbox: its view of mounts and devices is not the machine's.

use std::{ffi::OsStr, time::Duration};

use serde_json::Value;

use super::Context;
use crate::{
    error::{Error, Kind, Result},
    node::{
        programs::Output,
        protocol::{MachineChecks, MachineSeen},
    },
};

/// How long looking at everything may take.
const LIMIT: Duration = Duration::from_secs(140);

/// Looks at the machine.
pub(super) async fn checks(context: &Context, _: MachineChecks) -> Result<MachineSeen> {
    let (doctor, hardening) = tokio::join!(
        report(context, &["doctor", "--output=json"]),
        report(context, &["doctor", "--cis", "--output=json"]),
    );
    Ok(MachineSeen { doctor: doctor?, hardening: hardening? })
}

/// A report of our program, which ends with 1 when something is wrong.
async fn report(context: &Context, arguments: &[&str]) -> Result<Value> {
    let output = outside(context, arguments).await?;
    serde_json::from_str(&output.stdout).map_err(|_| {
        let said = output.said().map_or("it did not say why", |said| said.what);
        let message = format!("Looking at the machine failed: {said}.");
        Error::new(Kind::Unavailable, "program-failed", message)
    })
}

/// Runs our program as a unit of its own, or directly where that cannot be done:
/// a service manager that does not answer is one of the things to be found.
pub(super) async fn outside<S: AsRef<OsStr>>(context: &Context, arguments: &[S]) -> Result<Output> {
    let programs = context.programs();
    match programs.outside(&[], "palisade", LIMIT).args(arguments).output().await {
        Ok(output) if output.success || !output.stdout.is_empty() => return Ok(output),
        Ok(output) => tracing::warn!(said = %output.stderr.trim(), "systemd-run did not work"),
        Err(error) => tracing::warn!(error = %error.chain(), "systemd-run did not work"),
    }
    programs.run("palisade").args(arguments).within(LIMIT).output().await
}

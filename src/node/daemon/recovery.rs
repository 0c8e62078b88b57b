//! Letting people in again: the management plane is stopped, our own program
//! works on its data as its user, and it is started again: by the next daemon,
//! if this one ends before.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;

use super::{Context, Node};
use crate::{
    error::{Error, Kind, Result},
    files::{self, PRIVATE},
    node::{
        paths::Paths,
        programs::{Output, Programs},
        protocol::{CertificateRenewal, RenewCertificate, ResetAdministrator, ResetLink},
    },
};

const MANAGEMENT_PLANE: &str = "palisade.service";
/// It lets open requests finish.
const TIME_TO_STOP: Duration = Duration::from_mins(2);
/// Opening the keystore and one transaction.
const TIME_TO_WORK: Duration = Duration::from_mins(2);

/// A link for an administrator.
pub(super) async fn reset(context: &Context, ask: ResetAdministrator) -> Result<ResetLink> {
    let mut args = vec!["administrator".to_owned()];
    if let Some(email) = ask.email {
        // One argument, so that an address that looks like an option is none.
        args.push(format!("--email={email}"));
    }
    offline(context, &args).await
}

/// Another certificate.
pub(super) async fn renew(context: &Context, _ask: RenewCertificate) -> Result<CertificateRenewal> {
    offline(context, &["certificate".to_owned()]).await
}

/// There from before the management plane is stopped until it was started again.
fn marker(paths: &Paths) -> PathBuf {
    paths.run().join("recovering")
}

/// At the start: a recovery that the last daemon did not finish leaves the
/// management plane stopped, and nobody else would start it.
pub(super) async fn resume(node: &Node) {
    let marker = marker(&node.paths);
    if !marker.exists() {
        return;
    }
    tracing::warn!("a recovery was interrupted; the management plane is started");
    if node.paths.serve_settings().exists()
        && let Err(error) = start(&node.programs).await
    {
        tracing::error!(error = %error.chain(), "the management plane stays stopped");
        return;
    }
    forget(&node.paths);
}

/// Starts the management plane, and does not wait until it runs.
async fn start(programs: &Programs) -> Result<()> {
    let args = ["start", "--no-block", MANAGEMENT_PLANE];
    systemctl(programs, args, Duration::from_secs(30)).await
}

fn forget(paths: &Paths) {
    if let Err(error) = files::remove(&marker(paths)) {
        tracing::warn!(%error, "the next daemon starts the management plane once more");
    }
}

/// What `palisade recover <args>` answers while the management plane is stopped.
async fn offline<T: DeserializeOwned>(context: &Context, args: &[String]) -> Result<T> {
    // Two at once would start it under each other's hands.
    let _one = context.node.recovering.try_lock().map_err(|_| {
        Error::new(Kind::Conflict, "recovery-in-progress", "A recovery is going on already.")
            .with_hint("Wait until it has ended, and try again.")
    })?;
    files::replace(&marker(context.paths()), b"", PRIVATE).map_err(|error| {
        let message = "The recovery cannot be noted in /run/palisade-node. Nothing was changed.";
        Error::new(Kind::Unavailable, "recovery-failed", message)
            .with_hint("Restart the appliance, and try again.")
            .caused_by(error)
    })?;
    context.progress("Stopping the management plane", None);
    let stopped = systemctl(context.programs(), ["stop", MANAGEMENT_PLANE], TIME_TO_STOP).await;
    let answer = match stopped {
        Ok(()) => work(context, args).await,
        Err(error) => Err(error),
    };
    context.progress("Starting the management plane", None);
    if let Err(error) = start(context.programs()).await {
        tracing::error!(error = %error.chain(), "the management plane stays stopped");
        answer?;
        return Err(error);
    }
    forget(context.paths());
    answer
}

async fn systemctl<const N: usize>(
    programs: &Programs,
    args: [&str; N],
    limit: Duration,
) -> Result<()> {
    let output = programs.run("systemctl").args(args).within(limit).output().await?;
    output.or_failure(&format!("systemctl {}", args[0])).map(drop)
}

async fn work<T: DeserializeOwned>(context: &Context, args: &[String]) -> Result<T> {
    context.progress("Working on the data", None);
    let settings = context.paths().serve_settings();
    let run = context
        .programs()
        .as_management_plane(&context.paths().data(), TIME_TO_WORK)
        .args(["recover"])
        .args(args)
        .args([OsStr::new("--output=json"), OsStr::new("--config"), settings.as_os_str()]);
    let output = run.output().await?;
    if output.success {
        return serde_json::from_str(&output.stdout).map_err(Error::internal);
    }
    Err(failure(&output))
}

/// What our own program says on standard error, by its exit code.
fn failure(output: &Output) -> Error {
    let kind = match output.code {
        Some(2) => Kind::Invalid,
        Some(3) => Kind::NotFound,
        Some(4) => Kind::Forbidden,
        Some(5) => Kind::Conflict,
        _ => Kind::Unavailable,
    };
    let said = output.said();
    let what = said.map_or("palisade recover did not say why", |said| said.what);
    let error = Error::new(kind, "recovery-failed", format!("{what}."));
    match said.and_then(|said| said.hint) {
        Some(hint) => error.with_hint(hint.to_owned()),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_own_program_says_becomes_the_answer() {
        let output = |code: Option<i32>, stderr: &str| Output {
            success: false,
            code,
            stdout: String::new(),
            stderr: stderr.to_owned(),
            cut: false,
        };
        let said = "12:00:00 WARN x\nerror: There are 2 system administrators\n  Name one.\n";
        let error = failure(&output(Some(5), said));
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(error.message(), "There are 2 system administrators.");
        assert_eq!(error.hint(), Some("Name one."));
        assert_eq!(failure(&output(None, "")).kind(), Kind::Unavailable);
    }
}

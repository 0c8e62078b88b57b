//! Letting people in again, and mending what keeps the management plane from
//! starting: it is stopped, our own program works on its data as its user, and
//! it is started again: by the next daemon, if this one ends before.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;

use super::{Context, Node};
use crate::{
    error::{Error, Kind, Result},
    files::{self, PRIVATE},
    node::{
        paths::Paths,
        programs::{Output, Programs},
        protocol::{
            CertificateRenewal, DataBefore, KeystoreRecovered, RecoverKeystore, RenewCertificate,
            ResetAdministrator, ResetLink, RestoreData, RestorePoint,
        },
    },
    secret::Secret,
};

const MANAGEMENT_PLANE: &str = "palisade.service";
/// It lets open requests finish.
const TIME_TO_STOP: Duration = Duration::from_mins(2);
/// Opening the keystore and one transaction.
const TIME_TO_WORK: Duration = Duration::from_mins(2);
/// Copying a whole database; all together is to fit into the request's time.
const TIME_TO_COPY: Duration = Duration::from_mins(7);
/// Reading a small file.
const TIME_TO_LOOK: Duration = Duration::from_secs(30);

/// What our own program is asked to do.
struct Work {
    args: Vec<String>,
    /// For its standard input: arguments can be seen by everybody.
    input: Secret<String>,
    limit: Duration,
}

impl Work {
    fn of<const N: usize>(args: [&str; N]) -> Self {
        let args = args.map(str::to_owned).to_vec();
        Self { args, input: Secret::new(String::new()), limit: TIME_TO_WORK }
    }

    fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

/// A link for an administrator.
pub(super) async fn reset(context: &Context, ask: ResetAdministrator) -> Result<ResetLink> {
    let mut work = Work::of(["recover", "administrator"]);
    if let Some(email) = ask.email {
        // One argument, so that an address that looks like an option is none.
        work.args.push(format!("--email={email}"));
    }
    offline(context, &work).await
}

/// Another certificate.
pub(super) async fn renew(context: &Context, _ask: RenewCertificate) -> Result<CertificateRenewal> {
    offline(context, &Work::of(["recover", "certificate"])).await
}

/// The keystore opened with the kit, and sealed anew.
pub(super) async fn open_keystore(
    context: &Context,
    ask: RecoverKeystore,
) -> Result<KeystoreRecovered> {
    let work = Work { input: ask.kit, ..Work::of(["keys", "recover"]) };
    offline(context, &work).await
}

/// Which data can be put back; the management plane goes on.
pub(super) async fn restore_point(context: &Context, _ask: RestorePoint) -> Result<DataBefore> {
    work(context, &Work::of(["update", "restore-data", "--show"]).within(TIME_TO_LOOK)).await
}

/// The data as before an update.
pub(super) async fn restore_data(context: &Context, ask: RestoreData) -> Result<DataBefore> {
    let before = format!("--before={}", ask.before);
    let work = Work::of(["update", "restore-data", "--yes", &before]);
    offline(context, &work.within(TIME_TO_COPY)).await
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

/// What our own program answers while the management plane is stopped.
async fn offline<T: DeserializeOwned>(context: &Context, what: &Work) -> Result<T> {
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
        Ok(()) => {
            context.progress("Working on the data", None);
            work(context, what).await
        }
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

async fn work<T: DeserializeOwned>(context: &Context, what: &Work) -> Result<T> {
    let settings = context.paths().serve_settings();
    let run = context
        .programs()
        .as_management_plane(&context.paths().data(), what.limit)
        .args(&what.args)
        .args([OsStr::new("--output=json"), OsStr::new("--config"), settings.as_os_str()])
        .input(what.input.expose());
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
    let what = said.map_or("palisade did not say why", |said| said.what);
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

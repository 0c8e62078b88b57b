//! Letting people in again: the management plane is stopped, our own program
//! works on its data as its user, and it is started again.

use std::{ffi::OsStr, time::Duration};

use serde::de::DeserializeOwned;

use super::Context;
use crate::{
    error::{Error, Kind, Result},
    node::{
        programs::Output,
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

/// What `palisade recover <args>` answers while the management plane is stopped.
async fn offline<T: DeserializeOwned>(context: &Context, args: &[String]) -> Result<T> {
    // Two at once would start it under each other's hands.
    let _one = context.node.recovering.try_lock().map_err(|_| {
        Error::new(Kind::Conflict, "recovery-in-progress", "A recovery is going on already.")
            .with_hint("Wait until it has ended, and try again.")
    })?;
    context.progress("Stopping the management plane", None);
    let stopped = systemctl(context, ["stop", MANAGEMENT_PLANE], TIME_TO_STOP).await;
    let answer = match stopped {
        Ok(()) => work(context, args).await,
        Err(error) => Err(error),
    };
    context.progress("Starting the management plane", None);
    let start = ["start", "--no-block", MANAGEMENT_PLANE];
    if let Err(error) = systemctl(context, start, Duration::from_secs(30)).await {
        tracing::error!(error = %error.chain(), "the management plane stays stopped");
        answer?;
        return Err(error);
    }
    answer
}

async fn systemctl<const N: usize>(
    context: &Context,
    args: [&str; N],
    limit: Duration,
) -> Result<()> {
    let output = context.programs().run("systemctl").args(args).within(limit).output().await?;
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

//! `palisade recover`: for who cannot get in any more, on the data directory of
//! an appliance that is stopped. The screen of the appliance offers the same.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    failure::Result,
    format::{Format, Output},
    keys::Place,
    output::{emit, say},
};

/// Arguments of `palisade recover`.
#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    #[command(subcommand)]
    command: RecoverCommand,
}

#[derive(Debug, Subcommand)]
enum RecoverCommand {
    /// Print a link with which a system administrator chooses a new password.
    Administrator(AdministratorArgs),
    /// Make another certificate of the internal authority.
    Certificate(CertificateArgs),
}

#[derive(Debug, Args)]
struct AdministratorArgs {
    /// Whose; not needed when there is only one.
    #[arg(long, value_name = "E-MAIL")]
    email: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct CertificateArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn run(args: RecoverArgs) -> Result<()> {
    match args.command {
        RecoverCommand::Administrator(args) => administrator(args).await,
        RecoverCommand::Certificate(args) => certificate(args).await,
    }
}

async fn administrator(args: AdministratorArgs) -> Result<()> {
    let offline = args.place.take(false)?;
    let (link, url) = offline.reset_administrator(args.email.as_deref()).await?;
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        return args.output.show_value(&json!({
            "url": url, "email": link.email, "expiresAt": link.expires_at, "enabled": link.enabled,
        }));
    }
    if link.enabled {
        say("The account was disabled; it is enabled now.");
    }
    say(&format!(
        "{} chooses a new password with this link; it works once, until {}:",
        link.email, link.expires_at
    ));
    emit(&url)
}

async fn certificate(args: CertificateArgs) -> Result<()> {
    let info = args.place.take(false)?.renew_certificate().await?;
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        return args.output.show_value(&json!({
            "fingerprint": info.fingerprint, "notAfter": info.not_after,
        }));
    }
    say(&format!(
        "The new certificate is valid until {}. Its SHA-256 fingerprint:",
        info.not_after
    ));
    emit(&info.fingerprint)
}

//! `palisade update status`, `check`, `install` and `restart`: over the API of
//! an appliance, or with `--local` on the machine itself as root.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::local::Local;
use crate::cli::{
    client::Api,
    connection::Connection,
    failure::{Exit, Failure, Result},
    format::{Format, Output, text_at},
    output::{emit, harmless, say},
};

/// How often it is looked whether an installation has gone on.
const PAUSE: Duration = Duration::from_secs(1);

/// Which appliance.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// Ask the node daemon of this machine, as root; no log-in is needed.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Arguments of `palisade update status` and `check`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `palisade update install`.
#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// The update file; without it, the newest release of the appliance's mirror.
    file: Option<PathBuf>,
    /// Install a file although it is older than what runs.
    #[arg(long, requires = "file")]
    allow_downgrade: bool,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `palisade update restart`.
#[derive(Debug, Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    target: Target,
}

enum Appliance {
    Remote(Api),
    Local(Local),
}

impl Target {
    fn appliance(&self) -> Result<Appliance> {
        if self.local {
            return Ok(Appliance::Local(Local::new()));
        }
        Ok(Appliance::Remote(self.connection.api()?))
    }
}

pub(super) async fn status(args: ShowArgs) -> Result<()> {
    let status = match args.target.appliance()? {
        Appliance::Remote(api) => api.get("/v1/platform/updates").await?,
        Appliance::Local(local) => local.status().await?,
    };
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        return args.output.show_value(&status);
    }
    emit(&harmless(&lines(&status)))
}

fn lines(status: &Value) -> String {
    let trial = status.pointer("/trial").and_then(Value::as_bool).unwrap_or_default();
    let mut lines = vec![
        format!(
            "running     {}{}",
            text_at(status, "/version"),
            if trial { " (on trial)" } else { "" }
        ),
        format!("other slot  {}", text_at(status, "/other")),
    ];
    for (label, pointer) in [
        ("last update", "/last/message"),
        ("uploaded   ", "/uploaded/version"),
        ("installing ", "/progress/step"),
    ] {
        match text_at(status, pointer).as_str() {
            "-" => {}
            text => lines.push(format!("{label} {text}")),
        }
    }
    lines.join("\n")
}

pub(super) async fn check(args: ShowArgs) -> Result<()> {
    let answer = match args.target.appliance()? {
        Appliance::Remote(api) => api.post("/v1/platform/updates/check", None).await?,
        Appliance::Local(local) => local.check().await?,
    };
    if matches!(args.output.format, Format::Json | Format::Yaml) {
        return args.output.show_value(&answer);
    }
    match text_at(&answer, "/offer/version").as_str() {
        "-" => emit("up to date"),
        version => {
            let notes = text_at(&answer, "/offer/notes");
            emit(&harmless(&format!("{version} is available\n\n{}", notes.trim())))
        }
    }
}

pub(super) async fn install(args: InstallArgs) -> Result<()> {
    match args.target.appliance()? {
        Appliance::Remote(api) => {
            install_remote(&api, args.file.as_deref(), args.allow_downgrade).await?;
        }
        Appliance::Local(local) => {
            let version = local.install(args.file.as_deref(), args.allow_downgrade).await?;
            say(&format!("{version} is installed."));
        }
    }
    say("Start it: palisade update restart");
    Ok(())
}

async fn install_remote(api: &Api, file: Option<&Path>, allow_downgrade: bool) -> Result<()> {
    let body = if let Some(path) = file {
        let unreadable = |error: std::io::Error| {
            let message = format!("{} cannot be read: {error}.", path.display());
            Failure::usage(message, "Name an update file.")
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        say(&format!("Sending {} MiB …", length.div_ceil(1024 * 1024)));
        let query = format!("?allowDowngrade={allow_downgrade}");
        let offer =
            api.upload(&format!("/v1/platform/updates/upload{query}"), file, length).await?;
        say(&harmless(&format!("{} is good.", text_at(&offer, "/version"))));
        json!({"from": "upload", "allowDowngrade": allow_downgrade})
    } else {
        json!({"from": "mirror"})
    };
    api.post("/v1/platform/updates/install", Some(&body)).await?;
    let mut last = String::new();
    loop {
        let status = api.get("/v1/platform/updates").await?;
        let step = text_at(&status, "/progress/step");
        if step == "-" && !last.is_empty() {
            // The node's service was started again and knows of no installation.
            let message = format!("The installation was interrupted while {last}.");
            return Err(Failure::new(Exit::OperationFailed, message)
                .with_hint("Install it again; what runs was not changed."));
        }
        if step != last {
            say(&harmless(&step));
            last.clone_from(&step);
        }
        match step.as_str() {
            "done" => return Ok(()),
            "failed" => {
                let message = text_at(&status, "/progress/failure");
                let failure = Failure::new(Exit::OperationFailed, message);
                return Err(match text_at(&status, "/progress/hint").as_str() {
                    "-" => failure,
                    hint => failure.with_hint(hint),
                });
            }
            _ => sleep(PAUSE).await,
        }
    }
}

pub(super) async fn restart(args: RestartArgs) -> Result<()> {
    let version = match args.target.appliance()? {
        Appliance::Remote(api) => {
            let answer = api.post("/v1/platform/updates/restart", None).await?;
            text_at(&answer, "/version")
        }
        Appliance::Local(local) => local.restart().await?,
    };
    say(&harmless(&format!(
        "The appliance restarts into {version} and is back in about a minute.\n\
         See how it went: palisade update status"
    )));
    Ok(())
}

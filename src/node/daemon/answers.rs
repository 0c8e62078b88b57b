//! What the operator has answered: showing it, and putting other answers into effect.

use std::time::Duration;

use super::Context;
use crate::{
    error::{Error, Result},
    node::{
        answers::{self, AmendError, Kept},
        paths::Paths,
        properties::{self, salvage},
        protocol::{Amend, Answers, AnswersView, Mistake},
    },
};

/// Services that read what first boot renders.
const READERS: [&str; 2] = ["systemd-resolved.service", "systemd-timesyncd.service"];
const MANAGEMENT_PLANE: &str = "palisade.service";
const FIRST_BOOT: &str = "palisade-first-boot.service";

impl From<&properties::Mistake> for Mistake {
    fn from(mistake: &properties::Mistake) -> Self {
        let line = mistake.to_string();
        let prefix = format!("{}: ", mistake.key);
        let message = line.strip_prefix(&prefix).unwrap_or(&line).to_owned();
        Self { property: mistake.key.clone(), message }
    }
}

/// What was answered, without secrets.
pub(super) async fn view(context: &Context, _ask: Answers) -> Result<AnswersView> {
    let kept = load(context.paths().clone()).await?;
    Ok(kept.map_or_else(nothing, |kept| shown(&kept)))
}

fn nothing() -> AnswersView {
    AnswersView { properties: std::collections::BTreeMap::new(), mistakes: Vec::new() }
}

fn shown(kept: &Kept) -> AnswersView {
    let keys = kept.given.iter().map(|(key, _)| key);
    let properties =
        keys.filter_map(|key| Some((key.to_owned(), kept.given.shown(key)?))).collect();
    let mistakes = salvage(&kept.given).mistakes.iter().map(Mistake::from).collect();
    AnswersView { properties, mistakes }
}

/// The role and the mistakes, for the status.
pub(super) async fn summary(paths: Paths) -> (Option<String>, Vec<Mistake>) {
    let Ok(Some(kept)) = load(paths).await else { return (None, Vec::new()) };
    let salvaged = salvage(&kept.given);
    let role = salvaged.role().ok().map(|role| role.as_str().to_owned());
    (role, salvaged.mistakes.iter().map(Mistake::from).collect())
}

async fn load(paths: Paths) -> Result<Option<Kept>> {
    let loaded = tokio::task::spawn_blocking(move || answers::load(&paths));
    loaded.await.map_err(Error::internal)?.map_err(|error| {
        Error::unavailable("The answers of this machine cannot be read.").caused_by(error)
    })
}

/// Keeps other answers, renders what follows from them, and tells the services.
pub(super) async fn amend(context: &Context, ask: Amend) -> Result<AnswersView> {
    let paths = context.paths().clone();
    let kept = tokio::task::spawn_blocking(move || answers::amend(&paths, ask.properties));
    kept.await.map_err(Error::internal)?.map_err(refused)?;
    apply(context).await?;
    view(context, Answers {}).await
}

fn refused(error: AmendError) -> Error {
    match error {
        AmendError::Mistakes(mistakes) => {
            let error = Error::new(
                crate::error::Kind::Invalid,
                "wrong-answers",
                "Some answers are wrong; nothing was changed.",
            );
            mistakes
                .iter()
                .map(Mistake::from)
                .fold(error, |error, mistake| error.with_field(mistake.property, mistake.message))
        }
        AmendError::Io(error) => {
            Error::unavailable("The answers cannot be kept; nothing was changed.").caused_by(error)
        }
    }
}

/// First boot renders as at every boot; services that read it are told.
async fn apply(context: &Context) -> Result<()> {
    let settings = context.paths().serve_settings();
    let before = tokio::fs::read(&settings).await.ok();
    context.progress("Rendering the settings", None);
    systemctl(context, &["restart", FIRST_BOOT]).await?;
    context.progress("Changing the network", None);
    let run = context.programs().run("networkctl").args(["reload"]);
    run.output().await?.or_failure("Changing the network")?;
    systemctl(context, &[&["try-restart"], &READERS[..]].concat()).await?;
    if tokio::fs::read(&settings).await.ok() != before {
        context.progress("Restarting the management plane", None);
        systemctl(context, &["restart", "--no-block", MANAGEMENT_PLANE]).await?;
    }
    Ok(())
}

async fn systemctl(context: &Context, args: &[&str]) -> Result<()> {
    let run = context.programs().run("systemctl").args(args).within(Duration::from_mins(2));
    run.output().await?.or_failure(&format!("systemctl {}", args.join(" "))).map(drop)
}

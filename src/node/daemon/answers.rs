//! What the operator has answered: showing it, and putting other answers into effect.

use std::time::Duration;

use super::{Context, Node, cluster};
use crate::{
    error::{Error, Result},
    node::{
        answers::{self, AmendError, Kept},
        paths::Paths,
        properties::{self, salvage},
        protocol::{Amend, Answers, AnswersView, Mistake},
    },
};

/// Services that do not come up again are given up by systemd before.
const TIME_TO_APPLY: Duration = Duration::from_mins(4);

impl From<&properties::Mistake> for Mistake {
    fn from(mistake: &properties::Mistake) -> Self {
        Self { property: mistake.key.clone(), message: mistake.sentence() }
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

/// What the status says of the answers.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// The role that was meant, if there is no doubt about it.
    pub(super) role: Option<String>,
    /// Why it is not carried out, if it is not.
    pub(super) waiting: Option<String>,
    /// What is wrong, sources that could not be read included.
    pub(super) mistakes: Vec<Mistake>,
}

/// What first boot has found; before it has come so far, nothing.
pub(super) async fn summary(paths: Paths) -> Summary {
    let found = tokio::task::spawn_blocking(move || {
        let report = answers::read_report(&paths)?;
        Ok::<_, std::io::Error>((report, answers::load(&paths)?))
    });
    let Ok(Ok((Some(report), kept))) = found.await else { return Summary::default() };
    let is_wrong = report.mistakes.iter().any(|mistake| mistake.key == "role");
    let role = kept.filter(|_| !is_wrong).map(|kept| salvage(&kept.given).intended());
    Summary {
        role: role.flatten().map(|role| role.as_str().to_owned()),
        waiting: report.waiting,
        mistakes: report.mistakes.iter().map(Mistake::from).collect(),
    }
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
    // Somebody may just have typed a join code.
    cluster::join_by_answers(&context.node);
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

/// Our own program does it, outside of this daemon's sandbox: it renders what
/// follows from the answers and tells those whose files have changed.
async fn apply(context: &Context) -> Result<()> {
    context.progress("Putting the answers into effect", None);
    render(&context.node).await
}

/// The same for what follows from the cluster.
pub(super) async fn render(node: &Node) -> Result<()> {
    let root = format!("--root={}", node.paths.at("/").display());
    let run = node.programs.outside(&[], "palisade", TIME_TO_APPLY);
    let output = run.args(["node", "answers", "--apply", &root]).output().await?;
    output.or_failure("Putting the answers into effect").map(drop)
}

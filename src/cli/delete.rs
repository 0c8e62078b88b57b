//! `palisade delete`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{
    connection::Connection,
    duration,
    failure::{Exit, Failure, Result},
    find,
    output::{emit, harmless, say},
    resource::Resource,
    terminal, wait,
};

/// Arguments of `palisade delete`.
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// What kind: tenant, project, user, team, role, api-key, assignment or cluster.
    #[arg(value_enum, value_name = "KIND", hide_possible_values = true, ignore_case = true)]
    kind: Resource,
    /// Which ones, by name or uid.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The project of a cluster whose name occurs in several.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Wait until they are gone; 15 minutes without a duration.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
        default_missing_value = "15m", value_parser = duration::parse)]
    wait: Option<Duration>,
    /// Only print what would be deleted.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: DeleteArgs) -> Result<()> {
    let kind = args.kind;
    if kind == Resource::Audit {
        return Err(Failure::usage("Records are never deleted.", "See `palisade get audit`."));
    }
    if !args.yes && !args.dry_run && !terminal::is_there() {
        return Err(Failure::usage(
            "There is no terminal to ask whether you are sure.",
            "Say it with --yes.",
        ));
    }
    let api = args.connection.api()?;
    let project = match &args.project {
        Some(name) => Some(find::uid(&api, Resource::Projects, name).await?),
        None => None,
    };
    // All names first: a wrong one stops everything before anything is gone.
    let mut items = Vec::new();
    for name in &args.names {
        items.push(find::one(&api, kind, name, project.as_deref()).await?);
    }
    let called = |item: &Value| {
        let uid = item["uid"].as_str().unwrap_or("-");
        match kind.name_of(item) {
            name if name == uid => format!("{} {uid}", kind.noun()),
            name => format!("{} {name} ({uid})", kind.noun()),
        }
    };
    if args.dry_run {
        let lines: Vec<_> =
            items.iter().map(|item| format!("would delete {}", called(item))).collect();
        return emit(&harmless(&lines.join("\n")));
    }
    if !args.yes {
        confirm(&items.iter().map(called).collect::<Vec<_>>()).await?;
    }
    for item in &items {
        api.delete(&kind.path_of(&find::uid_of(item)?)).await?;
        if let Some(limit) = args.wait
            && kind.is_read_alone()
        {
            wait::until_gone(&api, kind, item, limit).await?;
        }
        say(&harmless(&format!("Deleted {}.", called(item))));
    }
    Ok(())
}

async fn confirm(called: &[String]) -> Result<()> {
    let question = harmless(&format!("Delete {}? [y/N] ", called.join(", ")));
    let asked = tokio::task::spawn_blocking(move || terminal::line(&question));
    match asked.await {
        Ok(Ok(answer)) if matches!(answer.as_str(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "Nothing was deleted.")),
    }
}

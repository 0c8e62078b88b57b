//! `palisade wait`, and the waiting of other commands. Always bounded.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    client::Api,
    connection::Connection,
    duration,
    failure::{Exit, Failure, Result},
    find,
    format::text_at,
    output::{harmless, say},
    resource::{Resource, reasons},
};

const PAUSE: Duration = Duration::from_secs(1);

/// What a cluster can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Goal {
    Healthy,
    Degraded,
    Unreachable,
    /// Its agent reports, whatever it says.
    Connected,
    Deleted,
}

impl Goal {
    fn is_reached(self, phase: &str) -> bool {
        match self {
            Self::Healthy => phase == "healthy",
            Self::Degraded => phase == "degraded",
            Self::Unreachable => phase == "unreachable",
            Self::Connected => matches!(phase, "healthy" | "degraded"),
            Self::Deleted => false,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unreachable => "unreachable",
            Self::Connected => "connected",
            Self::Deleted => "deleted",
        }
    }
}

/// Arguments of `palisade wait`.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// What kind: cluster.
    #[arg(value_enum, value_name = "KIND", hide_possible_values = true, ignore_case = true)]
    kind: Resource,
    /// Which one, by name or uid.
    #[arg(value_name = "NAME")]
    name: String,
    /// What to wait for.
    #[arg(long = "for", value_enum, default_value_t = Goal::Healthy)]
    goal: Goal,
    /// For how long at most, e.g. 90s, 5m.
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration::parse)]
    timeout: Duration,
    /// The project of a cluster whose name occurs in several.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: WaitArgs) -> Result<()> {
    if args.kind != Resource::Clusters && args.goal != Goal::Deleted {
        return Err(Failure::usage(
            format!("A {} has nothing to wait for but its end.", args.kind.noun()),
            "Wait for a cluster, or --for deleted.",
        ));
    }
    let api = args.connection.api()?;
    let project = match &args.project {
        Some(name) => Some(find::uid(&api, Resource::Projects, name).await?),
        None => None,
    };
    let found = find::one(&api, args.kind, &args.name, project.as_deref()).await;
    match (args.goal, found) {
        (Goal::Deleted, Err(failure)) if failure.exit() == Exit::NotFound => Ok(()),
        (Goal::Deleted, found) => until_gone(&api, args.kind, &found?, args.timeout).await,
        (goal, found) => until(&api, &found?, goal, args.timeout).await.map(drop),
    }
}

/// Waits until a cluster has reached `goal`; says each change on the way.
///
/// Ends with `TimedOut`, and with `OperationFailed` when the cluster is gone.
pub(super) async fn until(
    api: &Api,
    cluster: &Value,
    goal: Goal,
    limit: Duration,
) -> Result<Value> {
    let deadline = Instant::now() + limit;
    let (uid, name) = (find::uid_of(cluster)?, text_at(cluster, "/name"));
    let path = Resource::Clusters.path_of(&uid);
    let mut last = String::new();
    loop {
        let state = match timeout_at(deadline, api.get(&path)).await {
            Err(_) => None,
            Ok(Ok(now)) => Some(now),
            // The appliance may restart while we wait.
            Ok(Err(failure)) if failure.exit() == Exit::Unreachable => {
                if Instant::now() + PAUSE >= deadline {
                    return Err(failure);
                }
                None
            }
            Ok(Err(failure)) if failure.exit() == Exit::NotFound => {
                let message = format!("The cluster {name} was deleted while it was waited for.");
                return Err(Failure::new(Exit::OperationFailed, message)
                    .with_hint("See who did it: `palisade get audit --action cluster.delete`."));
            }
            Ok(Err(failure)) => return Err(failure),
        };
        if let Some(now) = state {
            let phase = text_at(&now, "/phase");
            let line = match reasons(&now).as_str() {
                "-" => phase.clone(),
                why => format!("{phase}: {why}"),
            };
            if line != last {
                say(&harmless(&format!("{name} is {line}")));
                last = line;
            }
            if goal.is_reached(&phase) {
                return Ok(now);
            }
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(timed_out(&name, goal.word(), limit, &last)
                .with_hint(format!("See why: `palisade describe cluster {uid}`.")));
        }
        sleep(PAUSE).await;
    }
}

/// Waits until an object is gone.
pub(super) async fn until_gone(
    api: &Api,
    kind: Resource,
    item: &Value,
    limit: Duration,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    let path = kind.path_of(&find::uid_of(item)?);
    loop {
        match timeout_at(deadline, api.get(&path)).await {
            Ok(Err(failure)) if failure.exit() == Exit::NotFound => return Ok(()),
            Ok(Err(failure)) if failure.exit() != Exit::Unreachable => return Err(failure),
            _ if Instant::now() + PAUSE >= deadline => {
                return Err(timed_out(&kind.name_of(item), "deleted", limit, ""));
            }
            _ => sleep(PAUSE).await,
        }
    }
}

fn timed_out(name: &str, goal: &str, limit: Duration, last: &str) -> Failure {
    let seconds = limit.as_secs();
    let now = if last.is_empty() { String::new() } else { format!("; it is {last}") };
    Failure::new(Exit::TimedOut, format!("{name} was not {goal} within {seconds} s{now}."))
}

//! `palisade get` and `palisade describe`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{
    connection::Connection,
    describe, duration,
    failure::{Failure, Result},
    find::{self, Found, Query},
    format::{Format, Output},
    output::say,
    resource::Resource,
};
use crate::clock::{Clock, SystemClock};

/// How many rows are shown unless the user says otherwise.
const MOST: usize = 500;

/// Arguments of `palisade get`.
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// What kind: tenants, projects, users, teams, roles, api-keys, assignments,
    /// clusters or audit, in the singular or plural.
    #[arg(value_enum, value_name = "KIND", hide_possible_values = true, ignore_case = true)]
    kind: Resource,
    /// Only these, by name or uid.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// The column to sort by, e.g. `name`; with a leading `-` largest first.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many rows.
    #[arg(long, value_name = "N", conflicts_with = "all")]
    limit: Option<usize>,
    /// All rows, however many there are.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// A filter: its name, its value, the kinds that it applies to, and the kind
/// of object that its value names.
type Named<'a> = (&'static str, &'a Option<String>, &'static [Resource], Option<Resource>);

/// What narrows a list down. Each applies to some kinds only.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
struct Filter {
    /// Rows whose name contains this.
    #[arg(long, short = 'q', value_name = "TEXT")]
    search: Option<String>,
    /// Of this project (clusters, assignments, audit).
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Clusters that are pending, healthy, degraded or unreachable.
    #[arg(long)]
    phase: Option<String>,
    /// Users who are invited, active or disabled.
    #[arg(long)]
    state: Option<String>,
    /// Assignments to this user.
    #[arg(long)]
    user: Option<String>,
    /// Assignments to this team.
    #[arg(long)]
    team: Option<String>,
    /// Assignments of this role.
    #[arg(long)]
    role: Option<String>,
    /// Records of what this user (or uid) did.
    #[arg(long)]
    actor: Option<String>,
    /// Records of this action, e.g. `cluster.import`, or of a component: `cluster.`.
    #[arg(long)]
    action: Option<String>,
    /// Records about the object with this uid.
    #[arg(long, value_name = "UID")]
    object: Option<String>,
    /// Records that ended in success, denied or failed.
    #[arg(long)]
    outcome: Option<String>,
    /// Records since this time, e.g. 2026-11-22T05:28:26Z.
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    from: Option<String>,
    /// Records before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Records of the last 90s, 15m, 24h or 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
}

impl Filter {
    /// The query, with names made to uids.
    async fn query(&self, api: &super::client::Api, kind: Resource) -> Result<Query> {
        use Resource::{Assignments, Audit, Clusters, Users};
        let mut query = Query::new();
        let named: [Named; 11] = [
            ("project", &self.project, &[Clusters, Assignments, Audit], Some(Resource::Projects)),
            ("phase", &self.phase, &[Clusters], None),
            ("state", &self.state, &[Users], None),
            ("user", &self.user, &[Assignments], Some(Users)),
            ("team", &self.team, &[Assignments], Some(Resource::Teams)),
            ("role", &self.role, &[Assignments], Some(Resource::Roles)),
            ("action", &self.action, &[Audit], None),
            ("object", &self.object, &[Audit], None),
            ("outcome", &self.outcome, &[Audit], None),
            ("from", &self.from, &[Audit], None),
            ("to", &self.to, &[Audit], None),
        ];
        for (name, value, kinds, names) in named {
            let Some(value) = value else { continue };
            applies(name, kind, kinds)?;
            let value = match names {
                Some(other) => find::uid(api, other, value).await?,
                None => value.clone(),
            };
            query.push((name, value));
        }
        if let Some(actor) = &self.actor {
            applies("actor", kind, &[Audit])?;
            let uid = if actor.contains('@') {
                find::uid(api, Users, actor).await?
            } else {
                actor.clone()
            };
            query.push(("actor", uid));
        }
        if let Some(since) = self.since {
            applies("since", kind, &[Audit])?;
            query.push(("from", SystemClock.now().minus(since).to_string()));
        }
        query.extend(self.search.clone().map(|text| ("q", text)));
        Ok(query)
    }
}

fn applies(flag: &str, kind: Resource, kinds: &[Resource]) -> Result<()> {
    if kinds.contains(&kind) {
        return Ok(());
    }
    let nouns: Vec<_> = kinds.iter().map(|kind| kind.noun()).collect();
    Err(Failure::usage(
        format!("--{flag} does not apply to {}.", kind.noun()),
        format!("It applies to: {}.", nouns.join(", ")),
    ))
}

pub(super) async fn get(args: GetArgs) -> Result<()> {
    let api = args.connection.api()?;
    let kind = args.kind;
    let mut query = args.filter.query(&api, kind).await?;
    if !args.names.is_empty() {
        let project =
            query.iter().find(|(name, _)| *name == "project").map(|(_, uid)| uid.as_str());
        let mut items = Vec::new();
        for name in &args.names {
            items.push(find::one(&api, kind, name, project).await?);
        }
        return match items.as_slice() {
            [one] => args.output.show_one(kind, one),
            several => args.output.show_list(kind, several, several.len() as u64),
        };
    }
    query.extend(args.sort.map(|sort| ("sort", sort)));
    let most = if args.all { usize::MAX } else { args.limit.unwrap_or(MOST) };
    let Found { items, total } = find::list(&api, kind, &query, most).await?;
    if items.is_empty() && matches!(args.output.format, Format::Table | Format::Wide) {
        say(&format!("There is no {} here that you may see.", kind.noun()));
        return Ok(());
    }
    args.output.show_list(kind, &items, total)?;
    if (items.len() as u64) < total && args.limit.is_none() {
        say(&format!("{} of {total} shown; --all shows the rest.", items.len()));
    }
    Ok(())
}

/// Arguments of `palisade describe`.
#[derive(Debug, Args)]
pub(super) struct DescribeArgs {
    /// What kind of object.
    #[arg(value_enum, value_name = "KIND", hide_possible_values = true, ignore_case = true)]
    kind: Resource,
    /// Which ones, by name or uid.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The project of a cluster whose name occurs in several.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn describe(args: DescribeArgs) -> Result<()> {
    let api = args.connection.api()?;
    let project = match &args.project {
        Some(name) => Some(find::uid(&api, Resource::Projects, name).await?),
        None => None,
    };
    let mut items: Vec<Value> = Vec::new();
    for name in &args.names {
        items.push(find::one(&api, args.kind, name, project.as_deref()).await?);
    }
    if args.output.format != Format::Table && args.output.format != Format::Wide {
        return match items.as_slice() {
            [one] => args.output.show_one(args.kind, one),
            several => args.output.show_list(args.kind, several, several.len() as u64),
        };
    }
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            super::output::emit("")?;
        }
        describe::show(&api, args.kind, item).await?;
    }
    Ok(())
}

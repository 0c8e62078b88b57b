//! `palisade create`: flags and files, and what comes back.
//!
//! Standard output carries what is needed next and nothing else: the command
//! that imports a cluster, the link of an invitation, the text of an API key,
//! the uid of anything else.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    client::{Api, unexpected},
    connection::{Connection, read_secret},
    duration,
    failure::{Failure, Result},
    find,
    format::{Format, Output, text_at},
    order::{self, Order, Plan},
    output::{emit, harmless, say},
    private_file::PrivateFile,
    resource::Resource,
    trust::Trust,
    wait::{self, Goal},
};

/// How long `--wait` waits unless it says otherwise.
const WAIT: &str = "15m";

/// Arguments of `palisade create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Create what a YAML file describes, `-` for standard input: documents with
    /// `kind:` and the fields of the kind; projects, roles, users and teams by name.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only print what would be sent.
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Create a customer of the installation, with its first administrator.
    #[command(alias = "tenants")]
    Tenant {
        name: String,
        /// The first label of its own host name; made of the name without it.
        #[arg(long)]
        slug: Option<String>,
        #[arg(long, value_name = "EMAIL", requires = "admin_name")]
        admin_email: Option<String>,
        #[arg(long, value_name = "NAME", requires = "admin_email")]
        admin_name: Option<String>,
        /// Without it the administrator is invited by a link.
        #[arg(long, value_name = "FILE", requires = "admin_email")]
        admin_password_file: Option<PathBuf>,
    },
    /// Create a group of clusters.
    #[command(alias = "projects")]
    Project {
        name: String,
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Create a user; prints the link of the invitation.
    #[command(alias = "users")]
    User {
        #[arg(long)]
        email: String,
        #[arg(long)]
        name: String,
        /// A first password instead of an invitation.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// A role to begin with.
        #[arg(long)]
        role: Option<String>,
        /// The project in which the user has the role.
        #[arg(long, requires = "role")]
        project: Option<String>,
    },
    /// Create a team.
    #[command(alias = "teams")]
    Team {
        name: String,
        #[arg(long, default_value = "")]
        description: String,
        /// A user in it. Can be repeated.
        #[arg(long = "member", value_name = "USER")]
        members: Vec<String>,
    },
    /// Create a role.
    #[command(alias = "roles")]
    Role {
        name: String,
        /// Where it can be assigned: system, tenant or project.
        #[arg(long)]
        scope: String,
        /// What it allows, e.g. cluster.get,cluster.list. Can be repeated.
        #[arg(
            long = "permission",
            value_name = "PERMISSION",
            value_delimiter = ',',
            required = true
        )]
        permissions: Vec<String>,
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Create a credential for a program; prints it once.
    #[command(aliases = ["api-keys", "apikey", "key"])]
    ApiKey {
        name: String,
        /// For how long it works, e.g. 90d; without it until it is deleted.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        expires_in: Option<Duration>,
        /// Write the key to a new file that only you can read.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Give a role to a user or a team.
    #[command(alias = "assignments")]
    Assignment {
        #[arg(long)]
        role: String,
        #[arg(long, conflicts_with = "team", required_unless_present = "team")]
        user: Option<String>,
        #[arg(long)]
        team: Option<String>,
        /// Only in this project.
        #[arg(long)]
        project: Option<String>,
    },
    /// Import a cluster; prints the command that brings its agent in.
    #[command(alias = "clusters")]
    Cluster {
        name: String,
        #[arg(long)]
        project: String,
        /// Wait until it is healthy; 15 minutes without a duration.
        #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
            default_missing_value = WAIT, value_parser = duration::parse)]
        wait: Option<Duration>,
    },
}

/// What is done besides creating.
#[derive(Default)]
struct Extra {
    wait: Option<Duration>,
    out: Option<PathBuf>,
}

pub(super) async fn run(args: CreateArgs) -> Result<()> {
    let (orders, extra) = match (args.what, &args.file) {
        (Some(what), None) => {
            let (order, extra) = what.order()?;
            (vec![order], extra)
        }
        (None, Some(file)) => (order::from_file(file)?, Extra::default()),
        _ => {
            return Err(Failure::usage(
                "Say either what to create or which file describes it.",
                "E.g. `palisade create project Web` or `palisade create -f fleet.yaml`.",
            ));
        }
    };
    let api = args.connection.api()?;
    let mut planned = Vec::new();
    for order in orders {
        let plan = Plan::of(&api, &order, &planned).await?;
        if args.dry_run {
            plan.show(args.output)?;
            planned.push(order);
        } else {
            create(&api, &plan, args.output, &extra).await?;
        }
    }
    Ok(())
}

async fn create(api: &Api, plan: &Plan, output: Output, extra: &Extra) -> Result<()> {
    let place = extra.out.as_deref().map(PrivateFile::create).transpose()?;
    let answer = api.post(plan.kind.path(), Some(&plan.body)).await?;
    let made = item(plan.kind, &answer)?;
    let uid = find::uid_of(made)?;
    // Whatever comes of showing it: the secret is kept first.
    let kept = match (place, answer["secret"].as_str()) {
        (Some(place), Some(secret)) => {
            let path = place.path().display().to_string();
            place.write(&format!("{secret}\n"))?;
            Some(path)
        }
        _ => None,
    };
    match output.format {
        Format::Json | Format::Yaml => output.show_value(&answer)?,
        Format::Name => emit(&plan.kind.tag(made))?,
        Format::Wide => output.show_one(plan.kind, made)?,
        Format::Table => {
            let name = plan.kind.name_of(made);
            say(&harmless(&format!("Created {} {name} ({uid}).", plan.kind.noun())));
            let next = kept.or_else(|| next_step(api, plan, &answer));
            emit(next.as_deref().unwrap_or(&uid))?;
        }
    }
    for step in plan.afterwards(&uid) {
        let done = match &step.body {
            Some(body) => api.post(&step.path, Some(body)).await.map(drop),
            None => api.put(&step.path, None).await,
        };
        done.map_err(|failure| {
            failure.after(&format!("The {} was created, but not {}", plan.kind.noun(), step.what))
        })?;
    }
    match extra.wait {
        Some(limit) => wait::until(api, made, Goal::Healthy, limit).await.map(drop),
        None => Ok(()),
    }
}

/// The object in the answer to its creation.
fn item(kind: Resource, answer: &Value) -> Result<&Value> {
    let place = match kind {
        Resource::Tenants => "/tenant",
        Resource::Users => "/user",
        Resource::ApiKeys => "/apiKey",
        Resource::Clusters => "/cluster",
        _ => "",
    };
    answer.pointer(place).ok_or_else(|| unexpected("nothing was created"))
}

/// What is shown only now. Says what to do with it.
fn next_step(api: &Api, plan: &Plan, answer: &Value) -> Option<String> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    if let Some(link) = text("/invite/url") {
        let until = text_at(answer, "/invite/expiresAt");
        say(&format!("Send this link to the person; it works once, until {until}:"));
        return Some(link);
    }
    if let Some(key) = text("/secret") {
        say("This is the key. Keep it now: it is not shown again.");
        return Some(key);
    }
    if plan.kind == Resource::Clusters {
        let until = text_at(answer, "/import/expiresAt");
        say(&format!("Run this where kubectl reaches the cluster; it works once, until {until}:"));
        // kubectl trusts what this machine trusts, and nothing that was named to us alone.
        let trusted = *api.trust() == Trust::System;
        return text(if trusted { "/import/command" } else { "/import/pinnedCommand" });
    }
    None
}

impl What {
    /// The same as a document would say it.
    fn order(self) -> Result<(Order, Extra)> {
        let mut extra = Extra::default();
        let (kind, body) = match self {
            Self::Tenant { name, slug, admin_email, admin_name, admin_password_file } => {
                let slug = slug.unwrap_or_else(|| slug_of(&name));
                let mut body = json!({"name": name, "slug": slug});
                if let Some(email) = admin_email {
                    body["admin"] = json!({"email": email, "name": admin_name});
                    if let Some(file) = admin_password_file {
                        body["admin"]["password"] = json!(read_secret(&file)?.expose());
                    }
                }
                (Resource::Tenants, body)
            }
            Self::Project { name, description } => {
                (Resource::Projects, json!({"name": name, "description": description}))
            }
            Self::User { email, name, password_file, role, project } => {
                let mut body = json!({"email": email, "name": name});
                if let Some(file) = password_file {
                    body["password"] = json!(read_secret(&file)?.expose());
                }
                put(&mut body, "role", role);
                put(&mut body, "project", project);
                (Resource::Users, body)
            }
            Self::Team { name, description, members } => {
                let body = json!({"name": name, "description": description, "members": members});
                (Resource::Teams, body)
            }
            Self::Role { name, scope, permissions, description } => {
                let body = json!({"name": name, "scope": scope, "permissions": permissions,
                    "description": description});
                (Resource::Roles, body)
            }
            Self::ApiKey { name, expires_in, out } => {
                extra.out = out;
                let mut body = json!({"name": name});
                if let Some(time) = expires_in {
                    // The API counts in days; a part of one is a day.
                    body["expiresInDays"] = json!(time.as_secs().div_ceil(86_400));
                }
                (Resource::ApiKeys, body)
            }
            Self::Assignment { role, user, team, project } => {
                let mut body = json!({"role": role});
                put(&mut body, "user", user);
                put(&mut body, "team", team);
                put(&mut body, "project", project);
                (Resource::Assignments, body)
            }
            Self::Cluster { name, project, wait } => {
                extra.wait = wait;
                (Resource::Clusters, json!({"name": name, "project": project}))
            }
        };
        Ok((Order::new(kind, body)?, extra))
    }
}

fn put(body: &mut Value, name: &str, value: Option<String>) {
    if let Some(value) = value {
        body[name] = json!(value);
    }
}

/// `Acme & Söhne` as `acme-s-hne`: the API says what else is wrong with it.
fn slug_of(name: &str) -> String {
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::slug_of;

    #[test]
    fn a_short_name_is_made_of_the_name() {
        assert_eq!(slug_of("Acme  Works (EU)"), "acme-works-eu");
    }
}

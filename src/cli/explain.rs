//! `palisade why` and `palisade who-can`: explaining permissions.

use clap::Args;
use serde_json::Value;

use super::{
    client::Api,
    connection::Connection,
    failure::Result,
    find::{self, Query},
    format::{Format, Output, text_at},
    output::{emit, harmless},
    resource::Resource,
};

/// Arguments of `palisade why`.
#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// The user, by e-mail address, name or uid.
    user: String,
    #[command(flatten)]
    question: Question,
}

/// What is asked.
#[derive(Debug, Args)]
pub(super) struct Question {
    /// The permission, e.g. cluster.delete.
    permission: String,
    /// On objects of this project; without it everywhere.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Question {
    async fn query(&self, api: &Api) -> Result<Query> {
        let mut query = vec![("permission", self.permission.clone())];
        if let Some(project) = &self.project {
            query.push(("project", find::uid(api, Resource::Projects, project).await?));
        }
        Ok(query)
    }
}

/// Says whether a user may do something, and why.
pub(super) async fn why(args: WhyArgs) -> Result<()> {
    let api = args.question.connection.api()?;
    let user = find::uid(&api, Resource::Users, &args.user).await?;
    let query = args.question.query(&api).await?;
    let path = format!("{}/why", Resource::Users.path_of(&user));
    let answer = api.get_with(&path, &query).await?;
    match args.question.output.format {
        Format::Json | Format::Yaml => args.question.output.show_value(&answer),
        _ => emit(&harmless(&text_at(&answer, "/explanation"))),
    }
}

/// Lists everybody who may do something.
pub(super) async fn who_can(question: Question) -> Result<()> {
    let api = question.connection.api()?;
    let answer = api.get_with("/v1/who-can", &question.query(&api).await?).await?;
    if matches!(question.output.format, Format::Json | Format::Yaml) {
        return question.output.show_value(&answer);
    }
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |item: &Value| {
        let user = &item["user"];
        if question.output.format == Format::Name {
            return Resource::Users.tag(user);
        }
        let reasons = item["because"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reasons: Vec<_> = reasons.iter().map(reason).collect();
        format!("{}  {}  {}", text_at(user, "/email"), text_at(user, "/name"), reasons.join("; "))
    };
    let lines: Vec<_> = items.iter().map(line).collect();
    if lines.is_empty() { Ok(()) } else { emit(&harmless(&lines.join("\n"))) }
}

/// `Project Admin in Web through team Shift`.
fn reason(reason: &Value) -> String {
    let mut text = text_at(reason, "/role/name");
    if let Some(project) = reason.pointer("/project/name").and_then(Value::as_str) {
        text = format!("{text} in {project}");
    }
    match reason.pointer("/via/kind").and_then(Value::as_str) {
        Some("team") => format!("{text} through team {}", text_at(reason, "/via/name")),
        _ => text,
    }
}

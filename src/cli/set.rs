//! `palisade set`: changing single fields, based on what is there.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    client::unexpected,
    connection::Connection,
    failure::{Failure, Result},
    find,
    output::{emit, harmless, say},
    resource::Resource,
};

/// Arguments of `palisade set`.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// What kind: tenant, project, user, team, role or cluster.
    #[arg(value_enum, value_name = "KIND", hide_possible_values = true, ignore_case = true)]
    kind: Resource,
    /// Which one, by name or uid.
    #[arg(value_name = "NAME")]
    name: String,
    /// Fields and their new values, e.g. name=plant-2, state=suspended,
    /// permissions=cluster.get,cluster.list.
    #[arg(value_name = "FIELD=VALUE", value_parser = pair)]
    fields: Vec<(String, String)>,
    /// Put a user into the team. Can be repeated.
    #[arg(long = "add-member", value_name = "USER")]
    add: Vec<String>,
    /// Take a user out of the team. Can be repeated.
    #[arg(long = "remove-member", value_name = "USER")]
    remove: Vec<String>,
    /// The project of a cluster whose name occurs in several.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only print the difference.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected FIELD=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(args: SetArgs) -> Result<()> {
    let kind = args.kind;
    if matches!(kind, Resource::Audit | Resource::ApiKeys | Resource::Assignments) {
        return Err(Failure::usage(
            format!("A {} cannot be changed.", kind.noun()),
            "Delete it and create another one.",
        ));
    }
    if kind != Resource::Teams && !(args.add.is_empty() && args.remove.is_empty()) {
        return Err(Failure::usage("Only teams have members.", "See `palisade set --help`."));
    }
    if args.fields.is_empty() && args.add.is_empty() && args.remove.is_empty() {
        return Err(Failure::usage("There is nothing to change.", "Say it as FIELD=VALUE."));
    }
    let api = args.connection.api()?;
    let project = match &args.project {
        Some(name) => Some(find::uid(&api, Resource::Projects, name).await?),
        None => None,
    };
    let found = find::one(&api, kind, &args.name, project.as_deref()).await?;
    let path = kind.path_of(&find::uid_of(&found)?);
    let change = change(&args.fields);
    let mut members = Vec::new();
    for (names, sign) in [(&args.add, '+'), (&args.remove, '-')] {
        for name in names {
            members.push((sign, name, find::uid(&api, Resource::Users, name).await?));
        }
    }
    if args.dry_run {
        let mut lines = difference(&found, &change)?;
        lines.extend(
            members.iter().map(|(sign, name, uid)| format!("{sign} member: {name} ({uid})")),
        );
        let text =
            if lines.is_empty() { "nothing would change".to_owned() } else { lines.join("\n") };
        return emit(&harmless(&text));
    }
    if !change.is_empty() {
        let version = found["version"].as_i64().ok_or_else(|| unexpected("it has no version"))?;
        api.patch(&path, version, &Value::Object(change)).await?;
    }
    for (sign, _, user) in members {
        let member = format!("{path}/members/{user}");
        if sign == '+' { api.put(&member, None).await? } else { api.delete(&member).await? }
    }
    say(&harmless(&format!("Changed {} {}.", kind.noun(), kind.name_of(&found))));
    Ok(())
}

fn change(fields: &[(String, String)]) -> Map<String, Value> {
    let value = |name: &str, text: &str| match name {
        "permissions" => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            json!(parts.collect::<Vec<_>>())
        }
        _ => json!(text),
    };
    fields.iter().map(|(name, text)| (name.clone(), value(name, text))).collect()
}

/// What would be different, as lines that begin with `-` and `+`.
fn difference(found: &Value, change: &Map<String, Value>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, new) in change {
        let Some(old) = found.get(name) else {
            return Err(Failure::usage(
                format!("There is no field {name}."),
                "See `palisade describe`.",
            ));
        };
        match (old, new) {
            (old, new) if old == new => {}
            (Value::Array(old), Value::Array(new)) => {
                let gone = old.iter().filter(|item| !new.contains(item));
                lines.extend(gone.map(|item| format!("- {name}: {}", plain(item))));
                let come = new.iter().filter(|item| !old.contains(item));
                lines.extend(come.map(|item| format!("+ {name}: {}", plain(item))));
            }
            (old, new) => {
                lines.push(format!("- {name}: {}", plain(old)));
                lines.push(format!("+ {name}: {}", plain(new)));
            }
        }
    }
    Ok(lines)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        let found = json!({"name": "a", "permissions": ["x", "y"], "description": "same"});
        let fields = [("name", "b"), ("permissions", "y,z"), ("description", "same")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let lines = difference(&found, &change(&fields)).expect("known fields");
        assert_eq!(lines, ["- name: a", "+ name: b", "- permissions: x", "+ permissions: z"]);
    }
}

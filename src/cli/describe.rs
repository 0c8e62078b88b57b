//! One object in full, for a person.
//!
//! Owns: the order of its lines, and what belongs to it besides: assignments
//! of a user or team, the latest records about it.

use serde_json::{Map, Value};

use super::{
    client::Api,
    failure::{Exit, Result},
    find::{self, Query},
    format::text_at,
    output::{emit, harmless},
    resource::Resource,
};

/// These lines come first, in this order.
const FIRST: [&str; 8] = ["name", "slug", "email", "uid", "phase", "state", "reasons", "project"];
/// How many records are shown.
const RECORDS: usize = 10;

/// Shows an object with what belongs to it.
pub(super) async fn show(api: &Api, kind: Resource, item: &Value) -> Result<()> {
    let mut lines = Vec::new();
    if let Some(fields) = item.as_object() {
        object(fields, 0, &mut lines);
    }
    let uid = text_at(item, "/uid");
    let filter = match kind {
        Resource::Users => Some("user"),
        Resource::Teams => Some("team"),
        Resource::Roles => Some("role"),
        _ => None,
    };
    if let Some(filter) = filter {
        section(api, Resource::Assignments, vec![(filter, uid.clone())], "Assignments", &mut lines)
            .await?;
    }
    if kind != Resource::Audit {
        section(api, Resource::Audit, vec![("object", uid)], "Records", &mut lines).await?;
    }
    emit(&harmless(&lines.join("\n")))
}

/// A table of other objects; nothing for who may not see them.
async fn section(
    api: &Api,
    kind: Resource,
    query: Query,
    title: &str,
    lines: &mut Vec<String>,
) -> Result<()> {
    let found = match find::list(api, kind, &query, RECORDS).await {
        Ok(found) => found,
        Err(failure) if failure.exit() == Exit::NotAllowed => return Ok(()),
        Err(failure) => return Err(failure),
    };
    if found.items.is_empty() {
        return Ok(());
    }
    lines.push(format!("{title}:"));
    for item in &found.items {
        lines.push(if kind == Resource::Audit { record(item) } else { assignment(item) });
    }
    if (found.items.len() as u64) < found.total {
        lines.push(format!("  … {} in all", found.total));
    }
    Ok(())
}

fn record(item: &Value) -> String {
    let actor = match text_at(item, "/actor/name").as_str() {
        "-" => text_at(item, "/actor/kind"),
        name => name.to_owned(),
    };
    let [at, action, outcome] = ["/at", "/action", "/outcome"].map(|place| text_at(item, place));
    format!("  {at}  {action}  {outcome}  {actor}")
}

fn assignment(item: &Value) -> String {
    let place = match text_at(item, "/project/name").as_str() {
        "-" => "everywhere".to_owned(),
        project => format!("in {project}"),
    };
    let (role, to) = (text_at(item, "/role/name"), text_at(item, "/subject/name"));
    format!("  {role}  to {to}  {place}")
}

fn object(fields: &Map<String, Value>, depth: usize, lines: &mut Vec<String>) {
    let first = FIRST.iter().filter_map(|name| Some((*name, fields.get(*name)?)));
    let rest = fields.iter().map(|(name, value)| (name.as_str(), value));
    let rest = rest.filter(|(name, _)| !FIRST.contains(name));
    for (name, value) in first.chain(rest) {
        field(name, value, depth, lines);
    }
}

fn field(name: &str, value: &Value, depth: usize, lines: &mut Vec<String>) {
    let label = format!("{}{}:", "  ".repeat(depth), words(name));
    match value {
        Value::Object(fields) => {
            if let Some(text) = reference(fields) {
                lines.push(format!("{label:<24}{text}"));
            } else {
                lines.push(label);
                object(fields, depth + 1, lines);
            }
        }
        Value::Array(items) if items.is_empty() => lines.push(format!("{label:<24}-")),
        Value::Array(items) => {
            lines.push(label);
            lines.extend(
                items.iter().map(|item| format!("{}- {}", "  ".repeat(depth + 1), inline(item))),
            );
        }
        _ => lines.push(format!("{label:<24}{}", text_at(value, ""))),
    }
}

/// An object that only names another one.
fn reference(fields: &Map<String, Value>) -> Option<String> {
    let name = fields.get("name")?.as_str()?;
    let uid = fields.get("uid")?.as_str()?;
    (fields.len() <= 3).then(|| format!("{name} ({uid})"))
}

fn inline(item: &Value) -> String {
    match item {
        Value::Object(fields) => reference(fields).unwrap_or_else(|| {
            let parts =
                fields.iter().map(|(name, value)| format!("{}: {}", words(name), inline(value)));
            parts.collect::<Vec<_>>().join(", ")
        }),
        _ => text_at(item, ""),
    }
}

/// `kubernetesVersion` as `Kubernetes version`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (position, character) in name.chars().enumerate() {
        match character {
            c if position == 0 => text.extend(c.to_uppercase()),
            c if c.is_uppercase() => {
                text.push(' ');
                text.extend(c.to_lowercase());
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_name_comes_first_and_references_take_one_line() {
        let item = json!({"agentVersion": "1", "name": "plant", "reasons": [],
            "project": {"name": "Web", "uid": "abc"}, "summary": {"nodes": {"ready": 1, "total": 2}}});
        let mut lines = Vec::new();
        object(item.as_object().expect("an object"), 0, &mut lines);
        assert_eq!(lines[0], "Name:                   plant");
        assert_eq!(lines[2], "Project:                Web (abc)");
        assert_eq!(lines[3], "Agent version:          1");
        assert_eq!(
            lines[4..],
            ["Summary:", "  Nodes:", "    Ready:              1", "    Total:              2"]
        );
    }
}

//! Finding objects: whole lists over their pages, and one by its name.
//!
//! Owns: following cursors, and what a name means.
//! Must not know: what is done with the objects.

use serde_json::Value;

use super::{
    client::{Api, unexpected},
    failure::{Exit, Failure, Result},
    resource::{Resource, is_uid},
};

/// The most rows that the API gives at once.
const PAGE: usize = 200;

/// A query of the API.
pub(super) type Query = Vec<(&'static str, String)>;

/// What a list gave.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) items: Vec<Value>,
    /// How many there are in all.
    pub(super) total: u64,
}

/// At most `most` rows of a list.
pub(super) async fn list(
    api: &Api,
    resource: Resource,
    query: &Query,
    most: usize,
) -> Result<Found> {
    let (mut items, mut total) = (Vec::new(), 0);
    let mut cursor: Option<String> = None;
    while items.len() < most {
        let mut query = query.clone();
        query.push(("limit", (most - items.len()).min(PAGE).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut page = api.get_with(resource.path(), &query).await?;
        let Some(rows) = page["items"].as_array_mut() else {
            return Err(unexpected("it is no list"));
        };
        let none = rows.is_empty();
        items.append(rows);
        total = page["total"].as_u64().unwrap_or(items.len() as u64);
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() || none {
            break;
        }
    }
    Ok(Found { items, total })
}

/// The one object that `name` names: a name (an e-mail address or a short name
/// where there is one), a uid, or `kind/uid`. `project` narrows clusters down.
///
/// `NotFound`; `Conflict` when several have this name.
pub(super) async fn one(
    api: &Api,
    resource: Resource,
    name: &str,
    project: Option<&str>,
) -> Result<Value> {
    let name =
        name.strip_prefix(resource.noun()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    if is_uid(name)
        && resource.is_read_alone()
        && let Some(found) = present(api.get(&resource.path_of(name)).await)?
    {
        return Ok(found);
    }
    if resource == Resource::Audit {
        return Err(missing(resource, name));
    }
    let mut query = Query::new();
    // The API searches names only; tenants have short names besides, and built-in
    // roles may be typed in small letters with dashes.
    let searchable = matches!(
        resource,
        Resource::Projects | Resource::Users | Resource::Teams | Resource::Clusters
    );
    if searchable && name.len() <= 200 {
        query.push(("q", name.to_owned()));
    }
    query.extend(project.map(|uid| ("project", uid.to_owned())));
    let all = list(api, resource, &query, usize::MAX).await?.items;
    pick(resource, name, &all)
}

/// Nothing instead of a failure when the object is not there.
pub(super) fn present(outcome: Result<Value>) -> Result<Option<Value>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.exit() == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The uid of the one object that `name` names.
pub(super) async fn uid(api: &Api, resource: Resource, name: &str) -> Result<String> {
    let found = one(api, resource, name, None).await?;
    uid_of(&found)
}

/// The uid of an object.
pub(super) fn uid_of(item: &Value) -> Result<String> {
    let uid = item["uid"].as_str().filter(|uid| is_uid(uid));
    uid.map(str::to_owned).ok_or_else(|| unexpected("an object has no uid"))
}

/// The best match: a uid, then the exact name, then the name in any case.
fn pick(resource: Resource, name: &str, all: &[Value]) -> Result<Value> {
    let loose = |text: &str| text.to_lowercase().replace(['-', '_'], " ");
    let by_uid = |item: &Value| item["uid"] == name;
    let exactly = |item: &Value| resource.answers_to(item).iter().any(|own| own == name);
    let loosely =
        |item: &Value| resource.answers_to(item).iter().any(|own| loose(own) == loose(name));
    let rules: [&dyn Fn(&Value) -> bool; 3] = [&by_uid, &exactly, &loosely];
    for rule in rules {
        let found: Vec<_> = all.iter().filter(|item| rule(item)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok((*one).clone()),
            several => return Err(ambiguous(resource, name, several)),
        }
    }
    Err(missing(resource, name))
}

fn missing(resource: Resource, name: &str) -> Failure {
    let noun = resource.noun();
    Failure::new(
        Exit::NotFound,
        format!("There is no {noun} {name:?}, or it is not for you to see."),
    )
    .with_code("not-found")
    .with_hint(format!("See what there is: `palisade get {noun}`."))
}

fn ambiguous(resource: Resource, name: &str, several: &[&Value]) -> Failure {
    let uids: Vec<_> = several
        .iter()
        .map(|item| match item["project"]["name"].as_str() {
            Some(project) => format!("{} in {project}", item["uid"].as_str().unwrap_or("-")),
            None => item["uid"].as_str().unwrap_or("-").to_owned(),
        })
        .collect();
    let narrower = if resource == Resource::Clusters { ", or add --project" } else { "" };
    Failure::new(
        Exit::Conflict,
        format!("There are {} with the name {name:?}: {}.", several.len(), uids.join(", ")),
    )
    .with_code("ambiguous")
    .with_hint(format!("Use a uid instead of the name{narrower}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_exact_name_goes_before_one_that_only_looks_alike() {
        let all = vec![json!({"uid": "a", "name": "Web"}), json!({"uid": "b", "name": "web"})];
        let found = pick(Resource::Projects, "web", &all).expect("one");
        assert_eq!(found["uid"], "b");
        assert_eq!(pick(Resource::Projects, "WEB", &all).expect_err("two").exit(), Exit::Conflict);
    }

    #[test]
    fn a_built_in_role_may_be_typed_with_dashes() {
        let all = vec![json!({"uid": "a", "name": "Project Viewer"})];
        assert!(pick(Resource::Roles, "project-viewer", &all).is_ok());
        assert_eq!(pick(Resource::Roles, "viewer", &all).expect_err("none").exit(), Exit::NotFound);
    }
}

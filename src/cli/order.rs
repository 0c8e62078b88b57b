//! What is to be created, and the requests that create it.
//!
//! Owns: reading documents, making names to uids, and what has to be done
//! after the object is there (roles of a user, members of a team).
//! Must not know: where an order comes from, or sending anything but reads.

use std::{io::Read, path::Path};

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    client::Api,
    connection::read,
    failure::{Exit, Failure, Result},
    find,
    format::{Format, Output, pretty, yaml},
    output::{emit, emit_raw},
    resource::{Resource, is_uid},
};

/// Fields that name another object.
const REFERENCES: [(&str, Resource); 4] = [
    ("project", Resource::Projects),
    ("role", Resource::Roles),
    ("user", Resource::Users),
    ("team", Resource::Teams),
];

/// An object that is to be created, with names where the API wants uids.
#[derive(Clone, Debug)]
pub(super) struct Order {
    kind: Resource,
    body: Map<String, Value>,
}

/// A request after the object is there.
#[derive(Debug)]
pub(super) struct Step {
    /// What it does, as the end of "…, but not".
    pub(super) what: &'static str,
    pub(super) path: String,
    /// A POST with this body; without one a PUT.
    pub(super) body: Option<Value>,
}

/// The requests of an order.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Resource,
    pub(super) body: Value,
    /// The role that a new user gets, and where.
    role: Option<(String, Option<String>)>,
    /// The users of a new team.
    members: Vec<String>,
}

impl Order {
    pub(super) fn new(kind: Resource, body: Value) -> Result<Self> {
        match body {
            Value::Object(body) => Ok(Self { kind, body }),
            _ => Err(Failure::usage("A document is no mapping.", "It is `kind:` and fields.")),
        }
    }

    fn is_called(&self, kind: Resource, name: &str) -> bool {
        self.kind == kind
            && kind.answers_to(&Value::Object(self.body.clone())).iter().any(|own| own == name)
    }
}

/// The documents of a YAML file; `-` is standard input.
pub(super) fn from_file(file: &Path) -> Result<Vec<Order>> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        text
    } else {
        read(file)?
    };
    let mut orders = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let document = Value::deserialize(document).map_err(|error| {
            Failure::usage(
                format!("{} cannot be understood: {error}.", file.display()),
                "It has to be YAML (or JSON): `kind:` and the fields of the kind.",
            )
        })?;
        if !document.is_null() {
            orders.push(of_document(document)?);
        }
    }
    if orders.is_empty() {
        return Err(Failure::usage(
            format!("Nothing is described in {}.", file.display()),
            "A document is `kind:` and the fields of the kind.",
        ));
    }
    Ok(orders)
}

fn of_document(mut document: Value) -> Result<Order> {
    let kind = document.as_object_mut().and_then(|fields| fields.remove("kind"));
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
    let found = Resource::from_str(kind, true).ok().filter(|found| *found != Resource::Audit);
    let found = found.ok_or_else(|| {
        Failure::usage(
            format!("A document has the kind {kind:?}."),
            "It has to be tenant, project, user, team, role, api-key, assignment or cluster.",
        )
    })?;
    Order::new(found, document)
}

impl Plan {
    /// Looks names up. What an order in `planned` will create counts as there.
    pub(super) async fn of(api: &Api, order: &Order, planned: &[Order]) -> Result<Self> {
        let mut plan =
            Self { kind: order.kind, body: Value::Null, role: None, members: Vec::new() };
        let mut body = order.body.clone();
        for (field, kind) in REFERENCES {
            let Some(Value::String(name)) = body.get(field) else { continue };
            let uid = look_up(api, kind, name, planned).await?;
            body.insert(field.to_owned(), json!(uid));
        }
        if order.kind == Resource::Users {
            let text = |value: Option<Value>| Some(value?.as_str()?.to_owned());
            let (role, project) = (text(body.remove("role")), text(body.remove("project")));
            plan.role = role.map(|role| (role, project));
        }
        if order.kind == Resource::Teams
            && let Some(Value::Array(members)) = body.remove("members")
        {
            for member in members {
                let name = member.as_str().unwrap_or_default();
                plan.members.push(look_up(api, Resource::Users, name, planned).await?);
            }
        }
        plan.body = Value::Object(body);
        Ok(plan)
    }

    /// What has to follow when the object has this uid.
    pub(super) fn afterwards(&self, uid: &str) -> Vec<Step> {
        let role = self.role.as_ref().map(|(role, project)| {
            let mut body = json!({"role": role, "user": uid});
            if let Some(project) = project {
                body["project"] = json!(project);
            }
            Step {
                what: "given its role",
                path: Resource::Assignments.path().to_owned(),
                body: Some(body),
            }
        });
        let members = self.members.iter().map(|user| Step {
            what: "given all its members",
            path: format!("{}/members/{user}", Resource::Teams.path_of(uid)),
            body: None,
        });
        role.into_iter().chain(members).collect()
    }

    /// Prints the requests instead of sending them. Secrets stay hidden.
    pub(super) fn show(&self, output: Output) -> Result<()> {
        let mut requests = vec![("POST", self.kind.path().to_owned(), Some(self.body.clone()))];
        for step in self.afterwards(&format!("<new {}>", self.kind.noun())) {
            requests.push((if step.body.is_some() { "POST" } else { "PUT" }, step.path, step.body));
        }
        for (method, path, body) in requests {
            let mut body = body.unwrap_or(Value::Null);
            hide(&mut body);
            if output.format == Format::Json {
                emit(&pretty(&json!({"method": method, "path": path, "body": body}))?)?;
            } else {
                let body = if body.is_null() { String::new() } else { yaml(&body)? };
                emit_raw(&format!("# {method} {path}\n{body}---\n"))?;
            }
        }
        Ok(())
    }
}

async fn look_up(api: &Api, kind: Resource, name: &str, planned: &[Order]) -> Result<String> {
    if planned.iter().any(|order| order.is_called(kind, name)) {
        return Ok(format!("<new {} {name}>", kind.noun()));
    }
    // A uid that is none is found out by the API, with the field's name.
    if is_uid(name) {
        return Ok(name.to_owned());
    }
    find::uid(api, kind, name).await
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "password" && !value.is_null() {
                    *value = json!("(hidden)");
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

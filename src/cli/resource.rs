//! The kinds of objects that the commands know.
//!
//! Owns: their names and short forms, where they are in the API, and their
//! columns.
//! Must not know: how to ask for them.

use clap::ValueEnum;
use serde_json::Value;

use super::{duration::short, format::text_at};
use crate::clock::Timestamp;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Resource {
    /// Customers of the installation (system administrators only).
    #[value(aliases = ["tenant", "tn"])]
    Tenants,
    /// Groups of clusters.
    #[value(aliases = ["project", "proj", "pj"])]
    Projects,
    /// People who can log in.
    #[value(aliases = ["user", "us"])]
    Users,
    /// Users who get roles together.
    #[value(aliases = ["team", "tm"])]
    Teams,
    /// Named sets of permissions.
    #[value(aliases = ["role", "ro"])]
    Roles,
    /// Credentials for programs.
    #[value(aliases = ["api-key", "apikeys", "apikey", "keys", "key", "ak"])]
    ApiKeys,
    /// Who has which role.
    #[value(aliases = ["assignment", "assign", "as"])]
    Assignments,
    /// Kubernetes clusters.
    #[value(aliases = ["cluster", "cl"])]
    Clusters,
    /// What has happened.
    #[value(aliases = ["audits", "records", "record", "au"])]
    Audit,
}

/// A column of a table.
pub(super) struct Column {
    pub(super) head: &'static str,
    /// Only with `-o wide`.
    pub(super) wide: bool,
    pub(super) show: fn(&Value, Timestamp) -> String,
}

const fn column(head: &'static str, show: fn(&Value, Timestamp) -> String) -> Column {
    Column { head, wide: false, show }
}

const fn wide(head: &'static str, show: fn(&Value, Timestamp) -> String) -> Column {
    Column { head, wide: true, show }
}

const NAME: Column = column("NAME", |item, _| text_at(item, "/name"));
const UID: Column = wide("UID", |item, _| text_at(item, "/uid"));
const AGE: Column = column("AGE", |item, now| age(item, "/createdAt", now));
const DESCRIPTION: Column = wide("DESCRIPTION", |item, _| text_at(item, "/description"));

const TENANTS: &[Column] = &[
    NAME,
    column("SLUG", |item, _| text_at(item, "/slug")),
    column("STATE", |item, _| text_at(item, "/state")),
    column("PROJECTS", |item, _| text_at(item, "/counts/projects")),
    column("USERS", |item, _| text_at(item, "/counts/users")),
    column("CLUSTERS", |item, _| text_at(item, "/counts/clusters")),
    AGE,
    UID,
];

const PROJECTS: &[Column] =
    &[NAME, column("CLUSTERS", |item, _| text_at(item, "/counts/clusters")), AGE, UID, DESCRIPTION];

const USERS: &[Column] = &[
    NAME,
    column("EMAIL", |item, _| text_at(item, "/email")),
    column("STATE", |item, _| text_at(item, "/state")),
    column("LAST LOGIN", |item, now| age(item, "/lastLoginAt", now)),
    AGE,
    UID,
    wide("TEAMS", |item, _| names(item, "/teams")),
];

const TEAMS: &[Column] =
    &[NAME, column("MEMBERS", |item, _| count(item, "/members")), AGE, UID, DESCRIPTION];

const ROLES: &[Column] = &[
    NAME,
    column("SCOPE", |item, _| text_at(item, "/scope")),
    column("BUILT-IN", |item, _| text_at(item, "/builtIn")),
    column("PERMISSIONS", |item, _| count(item, "/permissions")),
    UID,
    DESCRIPTION,
];

const API_KEYS: &[Column] = &[
    NAME,
    column("PREFIX", |item, _| text_at(item, "/prefix")),
    column("OWNER", |item, _| text_at(item, "/owner/name")),
    column("EXPIRES", |item, _| text_at(item, "/expiresAt")),
    column("LAST USED", |item, now| age(item, "/lastUsedAt", now)),
    AGE,
    UID,
];

const ASSIGNMENTS: &[Column] = &[
    column("UID", |item, _| text_at(item, "/uid")),
    column("ROLE", |item, _| text_at(item, "/role/name")),
    column("TO", |item, _| {
        format!("{} {}", text_at(item, "/subject/kind"), text_at(item, "/subject/name"))
    }),
    column("PROJECT", |item, _| text_at(item, "/project/name")),
    AGE,
];

const CLUSTERS: &[Column] = &[
    NAME,
    column("PROJECT", |item, _| text_at(item, "/project/name")),
    column("PHASE", |item, _| text_at(item, "/phase")),
    column("NODES", |item, _| pair(item, "/summary/nodes/ready", "/summary/nodes/total")),
    column("VERSION", |item, _| text_at(item, "/kubernetesVersion")),
    AGE,
    column("REASON", |item, _| reasons(item)),
    wide("CPU", |item, _| usage(item, "/summary/cpu/usedMillis", "/summary/cpu/allocatableMillis")),
    wide("MEMORY", |item, _| {
        usage(item, "/summary/memory/usedBytes", "/summary/memory/allocatableBytes")
    }),
    wide("PODS", |item, _| text_at(item, "/summary/pods/running")),
    wide("AGENT", |item, _| text_at(item, "/agentVersion")),
    wide("HEARTBEAT", |item, now| age(item, "/lastHeartbeatAt", now)),
    UID,
];

const AUDIT: &[Column] = &[
    column("TIME", |item, _| text_at(item, "/at")),
    column("ACTOR", |item, _| match text_at(item, "/actor/name").as_str() {
        "-" => text_at(item, "/actor/kind"),
        name => name.to_owned(),
    }),
    column("ACTION", |item, _| text_at(item, "/action")),
    column("OBJECT", |item, _| {
        let name = match text_at(item, "/object/name").as_str() {
            "-" => text_at(item, "/object/uid"),
            name => name.to_owned(),
        };
        format!("{} {name}", text_at(item, "/object/kind"))
    }),
    column("OUTCOME", |item, _| text_at(item, "/outcome")),
    wide("PROJECT", |item, _| text_at(item, "/project/name")),
    wide("ADDRESS", |item, _| text_at(item, "/address")),
    wide("POSITION", |item, _| text_at(item, "/position")),
    UID,
    wide("REQUEST", |item, _| text_at(item, "/requestId")),
];

impl Resource {
    /// One of them, as a person says it.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Tenants => "tenant",
            Self::Projects => "project",
            Self::Users => "user",
            Self::Teams => "team",
            Self::Roles => "role",
            Self::ApiKeys => "api-key",
            Self::Assignments => "assignment",
            Self::Clusters => "cluster",
            Self::Audit => "audit",
        }
    }

    /// All of them in the API.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Tenants => "/v1/tenants",
            Self::Projects => "/v1/projects",
            Self::Users => "/v1/users",
            Self::Teams => "/v1/teams",
            Self::Roles => "/v1/roles",
            Self::ApiKeys => "/v1/api-keys",
            Self::Assignments => "/v1/assignments",
            Self::Clusters => "/v1/clusters",
            Self::Audit => "/v1/audit",
        }
    }

    /// One of them in the API. `uid` is an identifier and nothing else.
    pub(super) fn path_of(self, uid: &str) -> String {
        format!("{}/{uid}", self.path())
    }

    /// Whether the API reads a single one.
    pub(super) fn is_read_alone(self) -> bool {
        !matches!(self, Self::ApiKeys | Self::Assignments)
    }

    /// The columns of a table, in order.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Tenants => TENANTS,
            Self::Projects => PROJECTS,
            Self::Users => USERS,
            Self::Teams => TEAMS,
            Self::Roles => ROLES,
            Self::ApiKeys => API_KEYS,
            Self::Assignments => ASSIGNMENTS,
            Self::Clusters => CLUSTERS,
            Self::Audit => AUDIT,
        }
    }

    /// `kind/uid`, which every command takes as a name.
    pub(super) fn tag(self, item: &Value) -> String {
        format!("{}/{}", self.noun(), text_at(item, "/uid"))
    }

    /// What a person calls this one.
    pub(super) fn name_of(self, item: &Value) -> String {
        let pointer = if self == Self::Users { "/email" } else { "/name" };
        match text_at(item, pointer).as_str() {
            "-" => text_at(item, "/uid"),
            name => name.to_owned(),
        }
    }

    /// Everything by which this one can be named.
    pub(super) fn answers_to(self, item: &Value) -> Vec<String> {
        let pointers: &[&str] = match self {
            Self::Tenants => &["/slug", "/name"],
            Self::Users => &["/email", "/name"],
            _ => &["/name"],
        };
        pointers.iter().filter_map(|at| item.pointer(at)?.as_str()).map(str::to_owned).collect()
    }
}

/// Whether a text is an identifier of the API.
pub(super) fn is_uid(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn age(item: &Value, pointer: &str, now: Timestamp) -> String {
    let at = item.pointer(pointer).and_then(Value::as_str).and_then(|text| text.parse().ok());
    at.map_or_else(|| "-".to_owned(), |at: Timestamp| short(now.since(at)))
}

fn count(item: &Value, pointer: &str) -> String {
    item.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len).to_string()
}

fn names(item: &Value, pointer: &str) -> String {
    let list = item.pointer(pointer).and_then(Value::as_array);
    let names: Vec<_> = list.into_iter().flatten().map(|one| text_at(one, "/name")).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn pair(item: &Value, one: &str, all: &str) -> String {
    match item.pointer(all) {
        Some(Value::Number(all)) => format!("{}/{all}", text_at(item, one)),
        _ => "-".to_owned(),
    }
}

fn usage(item: &Value, used: &str, all: &str) -> String {
    let number = |at| item.pointer(at).and_then(Value::as_u64);
    match (number(used), number(all)) {
        (Some(used), Some(all)) if all > 0 => format!("{}%", used.saturating_mul(100) / all),
        _ => "-".to_owned(),
    }
}

/// Why a cluster is not healthy, the most important reason first.
pub(super) fn reasons(item: &Value) -> String {
    let list = item.pointer("/reasons").and_then(Value::as_array);
    let texts: Vec<_> =
        list.into_iter().flatten().map(|reason| text_at(reason, "/message")).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join("; ") }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::Resource;

    #[test]
    fn every_kind_is_found_by_plural_singular_and_short_form() {
        for (text, wanted) in [
            ("clusters", Resource::Clusters),
            ("cluster", Resource::Clusters),
            ("cl", Resource::Clusters),
            ("api-keys", Resource::ApiKeys),
            ("apikey", Resource::ApiKeys),
            ("audit", Resource::Audit),
        ] {
            assert_eq!(Resource::from_str(text, true), Ok(wanted));
        }
    }
}

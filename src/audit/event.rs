//! One thing that happened, as the code that does it describes it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    clock::Timestamp,
    ids::{AuditId, ProjectId},
    rbac::Actor,
    store::audit::AuditRow,
};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// The actor was not allowed to.
    Denied,
    /// It was tried and did not work, e.g. a login with a wrong password.
    Failed,
}

impl Outcome {
    /// The word in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// What happened, to what. Details are names and numbers, never personal data.
#[derive(Clone, Debug)]
pub struct Event {
    action: Cow<'static, str>,
    object_kind: Cow<'static, str>,
    object_id: Option<String>,
    project: Option<ProjectId>,
    outcome: Outcome,
    detail: Map<String, Value>,
}

impl Event {
    /// A successful action, e.g. `cluster.import`, on the kind of object in its name.
    pub fn new(action: impl Into<Cow<'static, str>>) -> Self {
        let action = action.into();
        let object_kind = match &action {
            Cow::Borrowed(text) => Cow::Borrowed(text.split('.').next().unwrap_or(text)),
            Cow::Owned(text) => Cow::Owned(text.split('.').next().unwrap_or(text).to_owned()),
        };
        Self {
            action,
            object_kind,
            object_id: None,
            project: None,
            outcome: Outcome::Success,
            detail: Map::new(),
        }
    }

    /// On this object.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "identifiers are small and copied")]
    pub fn on(mut self, id: impl ToString) -> Self {
        self.object_id = Some(id.to_string());
        self
    }

    /// On an object of another kind than the action's name says.
    #[must_use]
    pub fn on_kind(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.object_kind = Cow::Borrowed(kind);
        self.on(id)
    }

    /// Inside this project.
    #[must_use]
    pub fn in_project(mut self, project: ProjectId) -> Self {
        self.project = Some(project);
        self
    }

    /// With this detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// With another outcome than success.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Action and outcome, as metrics name them.
    pub(super) fn label(&self) -> (Cow<'static, str>, &'static str) {
        (self.action.clone(), self.outcome.as_str())
    }

    /// Whether somebody wanted to change something and could not.
    pub(super) fn is_refused_change(&self) -> bool {
        let operation = self.action.split_once('.').map_or("", |(_, operation)| operation);
        let reads = ["get", "list", "export", "verify", "kubeconfig"].contains(&operation);
        self.outcome != Outcome::Success && !reads
    }

    /// The record of this event.
    pub(super) fn into_row(self, id: AuditId, actor: &Actor, at: Timestamp) -> AuditRow {
        AuditRow {
            id,
            tenant_id: actor.tenant,
            at,
            project_id: self.project,
            actor_kind: actor.principal.kind().to_owned(),
            actor_id: actor.principal.uid(),
            action: self.action.into_owned(),
            object_kind: self.object_kind.into_owned(),
            object_id: self.object_id,
            outcome: self.outcome.as_str().to_owned(),
            detail: Value::Object(self.detail).to_string(),
            request_id: actor.request.request_id.clone(),
            address: actor.request.address.map(|address| address.to_string()),
            mac: Vec::new(),
            position: None,
            link: None,
        }
    }
}

//! Projects: the groups in which a tenant keeps its clusters.

use serde::{Deserialize, Serialize};

use crate::{
    audit::{Event, Ledger},
    error::{Error, Kind, Result},
    identity::stale,
    ids::ProjectId,
    rbac::{
        Permit,
        rights::{ProjectCreate, ProjectDelete, ProjectGet, ProjectList, ProjectUpdate},
    },
    store::{self, Failure, ListQuery, Page, projects::Project},
};

/// What a new project needs.
#[derive(Debug)]
pub struct NewProject {
    /// Unique in the tenant.
    pub name: String,
    /// Free text.
    pub description: String,
}

/// What of a project changes; `None` stays.
#[derive(Debug)]
pub struct ProjectChange {
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
}

/// The projects of all tenants.
#[derive(Clone, Debug)]
pub struct Projects {
    ledger: Ledger,
}

#[derive(Serialize, Deserialize)]
struct Made {
    project: ProjectId,
}

const NAME_TAKEN: &str = "A project of this name exists already";

impl Projects {
    /// Projects behind this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Projects within the permit's reach.
    pub async fn list(
        &self,
        permit: &Permit<ProjectList>,
        list: &ListQuery,
    ) -> Result<Page<Project>> {
        let mut tx = self.ledger.store().read().await?;
        store::projects::list(&mut tx, permit.tenant(), permit.reach(), list).await
    }

    /// One project. `NotFound`.
    pub async fn get(&self, permit: &Permit<ProjectGet>, id: ProjectId) -> Result<Project> {
        let mut tx = self.ledger.store().read().await?;
        let project = store::projects::find(&mut tx, permit.tenant(), id).await?;
        let project = project.ok_or_else(|| Error::not_found("project"))?;
        permit.on("project", Some(id))?;
        Ok(project)
    }

    /// Creates a project. `Conflict` when the name is taken.
    pub async fn create(&self, permit: &Permit<ProjectCreate>, new: NewProject) -> Result<Project> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(Made { project }) = change.replay().await? {
            let found = store::projects::find(change.tx(), tenant, project).await?;
            return found.ok_or_else(|| Error::not_found("project"));
        }
        if tenant.is_system() {
            return Err(Error::forbidden("The system scope has no projects."));
        }
        let project = Project {
            id: ProjectId::random(self.ledger.random()),
            name: new.name.trim().to_owned(),
            description: new.description,
            created_at: self.ledger.clock().now(),
            version: 1,
            clusters: 0,
        };
        store::projects::insert(change.tx(), tenant, &project)
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        let event = Event::new("project.create").on(project.id).in_project(project.id);
        let event = event.with("name", project.name.clone());
        change.commit_with(event, &Made { project: project.id }).await?;
        Ok(project)
    }

    /// Changes name and description. `NotFound`, `Stale`, `Conflict`.
    pub async fn update(
        &self,
        permit: &Permit<ProjectUpdate>,
        id: ProjectId,
        wanted: ProjectChange,
        version: i64,
    ) -> Result<Project> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let found = store::projects::find(change.tx(), tenant, id).await?;
        let mut project = found.ok_or_else(|| Error::not_found("project"))?;
        permit.on("project", Some(id))?;
        if let Some(name) = wanted.name {
            name.trim().clone_into(&mut project.name);
        }
        project.description = wanted.description.unwrap_or(project.description);
        let updated = store::projects::update(change.tx(), tenant, &project, version)
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        if !updated {
            return Err(stale());
        }
        let event = Event::new("project.update").on(id).in_project(id);
        change.commit(event.with("name", project.name.clone())).await?;
        project.version = version + 1;
        Ok(project)
    }

    /// Deletes a project. `NotFound`; `Conflict` while it has clusters.
    pub async fn delete(&self, permit: &Permit<ProjectDelete>, id: ProjectId) -> Result<()> {
        let mut change = self.ledger.begin(permit.actor()).await?;
        permit.on("project", Some(id))?;
        let deleted = store::projects::delete(change.tx(), permit.tenant(), id).await;
        let deleted = deleted.map_err(|error| {
            if error.failure() == Failure::Reference {
                return Error::new(
                    Kind::Conflict,
                    "project-not-empty",
                    "The project still has clusters.",
                )
                .with_hint("Remove its clusters first.");
            }
            error.into()
        })?;
        if !deleted {
            return Err(Error::not_found("project"));
        }
        change.outdate(permit.tenant());
        change.commit(Event::new("project.delete").on(id).in_project(id)).await
    }
}

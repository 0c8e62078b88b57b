//! Assignments: which user or team has which role, and where.
//!
//! Owns: what can be assigned to whom and where, and the names beside it.
//! Must not know: what the permissions protect.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    administrators::{administrator_role, makes_administrator, refuse_losing},
    delegation::refuse_beyond,
    rights::find_role,
    users::{directory, find_present},
};
use crate::{
    audit::{Event, Ledger},
    clock::Timestamp,
    error::{Error, Result},
    ids::{AssignmentId, ProjectId, RoleId, TeamId, TenantId, UserId},
    rbac::{
        Permission, Permit, RoleScope,
        rights::{RoleAssign, RoleList},
    },
    store::{
        self, ListQuery, Page, Tx,
        assignments::{AssignmentFilter, AssignmentRow},
    },
};

/// Who has a role, by name.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A user.
    User(UserId, String),
    /// A team.
    Team(TeamId, String),
}

/// An assignment with the names of what it connects.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Identifier.
    pub id: AssignmentId,
    /// The role.
    pub role: (RoleId, String),
    /// Who has it.
    pub subject: Subject,
    /// Only in this project; `None`: everywhere.
    pub project: Option<(ProjectId, String)>,
    /// When it was given.
    pub created_at: Timestamp,
}

/// A role to be given to somebody.
#[derive(Clone, Copy, Debug)]
pub struct NewAssignment {
    /// The role.
    pub role: RoleId,
    /// The user, or …
    pub user: Option<UserId>,
    /// … the team.
    pub team: Option<TeamId>,
    /// Only in this project.
    pub project: Option<ProjectId>,
}

/// The assignments of all tenants.
#[derive(Clone, Debug)]
pub struct Assignments {
    ledger: Ledger,
}

#[derive(Serialize, Deserialize)]
struct Made {
    assignment: AssignmentId,
}

impl Assignments {
    /// Assignments behind this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Assignments, oldest first.
    pub async fn list(
        &self,
        permit: &Permit<RoleList>,
        filter: AssignmentFilter,
        list: &ListQuery,
    ) -> Result<Page<Assignment>> {
        let tenant = permit.tenant();
        let mut tx = self.ledger.store().read().await?;
        let page = store::assignments::list(&mut tx, tenant, filter, list).await?;
        let names = Labels::load(&self.ledger, &mut tx, tenant, &page.items).await?;
        let described: Result<Vec<_>> = page.items.iter().map(|row| names.describe(row)).collect();
        Ok(Page { items: described?, next: page.next, total: page.total })
    }

    /// Gives a role to a user or a team. `Invalid` with the field for what does
    /// not exist or does not go together, `Conflict` when it was given already,
    /// `Forbidden` when it allows more than the caller may do there.
    pub async fn create(
        &self,
        permit: &Permit<RoleAssign>,
        new: NewAssignment,
    ) -> Result<Assignment> {
        let tenant = permit.tenant();
        refuse_two_subjects(&new)?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(Made { assignment }) = change.replay().await? {
            let row = find(change.tx(), tenant, assignment).await?;
            return self.describe(change.tx(), tenant, row).await;
        }
        let tx = change.tx();
        let role = find_role(tx, tenant, new.role).await?.ok_or_else(|| missing("role"))?;
        refuse_wrong_place(role.scope, new.project.is_some())?;
        if let Some(user) = new.user {
            find_present(tx, tenant, user).await.map_err(|_| missing("user"))?;
        }
        if let Some(team) = new.team {
            store::teams::find(tx, tenant, team).await?.ok_or_else(|| missing("team"))?;
        }
        if let Some(project) = new.project {
            store::projects::find(tx, tenant, project).await?.ok_or_else(|| missing("project"))?;
        }
        let handed = [(role.permissions, new.project)];
        refuse_beyond(&mut change, Permission::RoleAssign, &handed).await?;
        let row = AssignmentRow {
            id: AssignmentId::random(self.ledger.random()),
            role_id: new.role,
            user_id: new.user,
            team_id: new.team,
            project_id: new.project,
            created_at: self.ledger.clock().now(),
        };
        store::assignments::insert(change.tx(), tenant, &row)
            .await
            .map_err(|error| error.on_duplicate("role", "This role was given there already"))?;
        let made = Made { assignment: row.id };
        let assignment = self.describe(change.tx(), tenant, row).await?;
        change.outdate(tenant);
        change.commit_with(event("role.assign", &assignment), &made).await?;
        Ok(assignment)
    }

    /// Takes a role away. `NotFound`; `Conflict` when it would take the role of
    /// the last administrator.
    pub async fn delete(&self, permit: &Permit<RoleAssign>, id: AssignmentId) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let row = find(change.tx(), tenant, id).await?;
        if let Some(user) = row.user_id
            && makes_administrator(&row, administrator_role(tenant)?)
        {
            refuse_losing(change.tx(), tenant, user).await?;
        }
        let assignment = self.describe(change.tx(), tenant, row).await?;
        store::assignments::delete(change.tx(), tenant, id).await?;
        change.outdate(tenant);
        change.commit(event("role.unassign", &assignment)).await
    }

    async fn describe(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        row: AssignmentRow,
    ) -> Result<Assignment> {
        let rows = [row];
        let names = Labels::load(&self.ledger, tx, tenant, &rows).await?;
        names.describe(&rows[0])
    }
}

/// What the record says: the role by name, the user by uid only.
fn event(action: &'static str, assignment: &Assignment) -> Event {
    let event = Event::new(action).on_kind("assignment", assignment.id);
    let event = event.with("role", assignment.role.1.clone());
    let event = match &assignment.subject {
        Subject::User(user, _) => event.with("user", user.to_string()),
        Subject::Team(team, name) => {
            event.with("team", team.to_string()).with("teamName", name.clone())
        }
    };
    match &assignment.project {
        Some((project, name)) => event.in_project(*project).with("project", name.clone()),
        None => event,
    }
}

async fn find(tx: &mut Tx, tenant: TenantId, id: AssignmentId) -> Result<AssignmentRow> {
    let row = store::assignments::find(tx, tenant, id).await?;
    row.ok_or_else(|| Error::not_found("assignment"))
}

fn missing(field: &'static str) -> Error {
    Error::invalid(field, format!("there is no such {field}"))
}

/// A role goes to one user or one team. Kind: `Invalid`.
fn refuse_two_subjects(new: &NewAssignment) -> Result<()> {
    match (new.user, new.team) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) => Err(Error::invalid("user", "name a user or a team")),
        (Some(_), Some(_)) => Err(Error::invalid("team", "name either a user or a team")),
    }
}

/// Only roles for projects can be held in a project; they can be held
/// everywhere too. Kind: `Invalid`.
fn refuse_wrong_place(scope: RoleScope, in_project: bool) -> Result<()> {
    match (scope, in_project) {
        (RoleScope::Project, _) | (RoleScope::Tenant | RoleScope::System, false) => Ok(()),
        (RoleScope::Tenant | RoleScope::System, true) => Err(Error::invalid(
            "project",
            format!("a role of scope {} cannot be held in a project", scope.as_str()),
        )),
    }
}

/// The names of everything that some assignments connect.
#[derive(Debug)]
pub(super) struct Labels {
    roles: HashMap<RoleId, String>,
    users: HashMap<UserId, String>,
    teams: HashMap<TeamId, String>,
    projects: HashMap<ProjectId, String>,
}

impl Labels {
    pub(super) async fn load(
        ledger: &Ledger,
        tx: &mut Tx,
        tenant: TenantId,
        rows: &[AssignmentRow],
    ) -> Result<Self> {
        let (mut roles, mut teams) = (HashMap::new(), HashMap::new());
        for row in rows {
            if !roles.contains_key(&row.role_id)
                && let Some(role) = find_role(tx, tenant, row.role_id).await?
            {
                roles.insert(row.role_id, role.name);
            }
            if let Some(id) = row.team_id
                && !teams.contains_key(&id)
                && let Some(team) = store::teams::find(tx, tenant, id).await?
            {
                teams.insert(id, team.name);
            }
        }
        let users = directory(ledger, tx, tenant).await?;
        Ok(Self {
            roles,
            teams,
            users: users.into_iter().map(|(id, user)| (id, user.name)).collect(),
            projects: store::projects::names(tx, tenant).await?.into_iter().collect(),
        })
    }

    fn describe(&self, row: &AssignmentRow) -> Result<Assignment> {
        let subject = match (row.user_id, row.team_id) {
            (Some(user), None) => {
                Subject::User(user, self.users.get(&user).cloned().unwrap_or_default())
            }
            (None, Some(team)) => Subject::Team(team, self.team(team)),
            _ => return Err(Error::internal(format!("assignment {} without subject", row.id))),
        };
        Ok(Assignment {
            id: row.id,
            role: (row.role_id, self.role(row.role_id)),
            subject,
            project: row.project_id.map(|project| (project, self.project(project))),
            created_at: row.created_at,
        })
    }

    pub(super) fn role(&self, id: RoleId) -> String {
        self.roles.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn team(&self, id: TeamId) -> String {
        self.teams.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn project(&self, id: ProjectId) -> String {
        self.projects.get(&id).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn only_a_role_for_projects_can_be_held_in_one() {
        assert!(refuse_wrong_place(RoleScope::Project, true).is_ok());
        assert!(refuse_wrong_place(RoleScope::Project, false).is_ok());
        for scope in [RoleScope::Tenant, RoleScope::System] {
            assert!(refuse_wrong_place(scope, false).is_ok());
            let refusal = refuse_wrong_place(scope, true).unwrap_err();
            assert_eq!(refusal.fields()[0].field, "project");
        }
    }

    #[test]
    fn a_role_goes_to_one_user_or_one_team() {
        let (user, team) = (UserId::random(&SystemRandom), TeamId::random(&SystemRandom));
        let role = RoleId::random(&SystemRandom);
        let none = NewAssignment { role, user: None, team: None, project: None };
        assert!(refuse_two_subjects(&NewAssignment { user: Some(user), ..none }).is_ok());
        assert!(refuse_two_subjects(&NewAssignment { team: Some(team), ..none }).is_ok());
        let refusal = refuse_two_subjects(&none).unwrap_err();
        assert_eq!(refusal.fields()[0].field, "user");
        let both = NewAssignment { user: Some(user), team: Some(team), ..none };
        assert_eq!(refuse_two_subjects(&both).unwrap_err().fields()[0].field, "team");
    }

    #[test]
    fn the_record_of_an_assignment_names_no_person() {
        let assignment = Assignment {
            id: AssignmentId::random(&SystemRandom),
            role: (RoleId::random(&SystemRandom), "Auditor".to_owned()),
            subject: Subject::User(UserId::random(&SystemRandom), "Ada Lovelace".to_owned()),
            project: None,
            created_at: Timestamp::from_seconds(0),
        };
        let shown = format!("{:?}", event("role.assign", &assignment));
        assert!(shown.contains("Auditor") && !shown.contains("Ada"), "{shown}");
    }
}

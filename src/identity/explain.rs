//! Answers to "why may she?" and "who can?".
//!
//! Owns: tracing a permission back to roles, teams and projects, and saying it
//! in words.
//! Must not know: how decisions are made; it asks the same [`Grants`] that
//! requests are decided by, so that an explanation cannot differ from a decision.

use std::collections::HashMap;

use super::{
    assignments::Labels,
    rights::{RoleRights, find_role, load_grants},
    users::{UserView, directory, find_present, open_user},
};
use crate::{
    audit::Ledger,
    error::{Error, Result},
    ids::{ProjectId, RoleId, TeamId, TenantId, UserId},
    rbac::{
        Grant, Grants, Permission, Permit, Source,
        rights::{RoleList, UserList},
    },
    store::{self, Tx, assignments::AssignmentRow},
};

/// How somebody got a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Assigned to the user of this name.
    User(String),
    /// Assigned to the team of this name.
    Team(String),
}

/// One role that allows something.
#[derive(Clone, Debug)]
pub struct Reason {
    /// The role.
    pub role: (RoleId, String),
    /// Directly or through a team.
    pub via: Via,
    /// Only in this project; `None`: everywhere.
    pub project: Option<(ProjectId, String)>,
}

/// Whether somebody may do something, and why.
#[derive(Debug)]
pub struct Explanation {
    /// The decision.
    pub allowed: bool,
    /// The roles that allow it.
    pub because: Vec<Reason>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// Somebody who may do something.
#[derive(Debug)]
pub struct Able {
    /// The user.
    pub user: UserView,
    /// The roles that allow it.
    pub because: Vec<Reason>,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The permission.
    pub permission: Permission,
    /// On an object of this project; `None`: in the whole scope.
    pub project: Option<ProjectId>,
}

/// Explains decisions.
#[derive(Clone, Debug)]
pub struct Explain {
    ledger: Ledger,
}

impl Explain {
    /// Over this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Why a user may do something, or why not. `NotFound` for the user,
    /// `Invalid` for the project.
    pub async fn why(
        &self,
        permit: &Permit<RoleList>,
        user: UserId,
        question: Question,
    ) -> Result<Explanation> {
        let tenant = permit.tenant();
        let mut tx = self.ledger.store().read().await?;
        let row = find_present(&mut tx, tenant, user).await?;
        let place = self.place(&mut tx, tenant, question.project).await?;
        let ring = self.ledger.vault().ring(&mut tx, tenant).await?;
        let view = open_user(&ring, row)?;
        let grants = load_grants(&mut tx, tenant, user).await?;
        let reaching = store::assignments::of_user(&mut tx, tenant, user).await?;
        let names = Labels::load(&self.ledger, &mut tx, tenant, &reaching).await?;
        let why = grants.why(question.permission, question.project);
        let because = reasons(&why.because, &view.name, &names);
        let elsewhere = elsewhere(&grants, question, &names);
        let sentence = Sentence {
            who: &view.name,
            state: &view.state,
            permission: question.permission,
            place: place.as_deref(),
            because: &because,
            elsewhere: &elsewhere,
        };
        Ok(Explanation { allowed: why.allowed, sentence: sentence.text(), because })
    }

    /// Everybody who may do something, by name. Disabled users are left out.
    /// `Invalid` for the project.
    pub async fn who_can(
        &self,
        permit: &Permit<UserList>,
        question: Question,
    ) -> Result<Vec<Able>> {
        let tenant = permit.tenant();
        let mut tx = self.ledger.store().read().await?;
        self.place(&mut tx, tenant, question.project).await?;
        let rows = store::assignments::all(&mut tx, tenant).await?;
        let names = Labels::load(&self.ledger, &mut tx, tenant, &rows).await?;
        let users = directory(&self.ledger, &mut tx, tenant).await?;
        let memberships = store::teams::memberships(&mut tx, tenant).await?;
        let roles = roles_of(&mut tx, tenant, &rows).await?;
        let mut able: Vec<_> = users
            .into_values()
            .filter(|user| user.state != "disabled")
            .filter_map(|user| {
                let teams: Vec<_> = memberships
                    .iter()
                    .filter(|(member, ..)| *member == user.id)
                    .map(|(_, team, _)| *team)
                    .collect();
                let why = grants(user.id, &teams, &rows, &roles)
                    .why(question.permission, question.project);
                let because = reasons(&why.because, &user.name, &names);
                why.allowed.then_some(Able { user, because })
            })
            .collect();
        able.sort_by_cached_key(|able| (able.user.name.to_lowercase(), able.user.id));
        Ok(able)
    }

    /// The name of the project that is asked about.
    async fn place(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        project: Option<ProjectId>,
    ) -> Result<Option<String>> {
        let Some(id) = project else { return Ok(None) };
        let project = store::projects::find(tx, tenant, id).await?;
        let project = project.ok_or_else(|| Error::invalid("project", "there is no such project"));
        Ok(Some(project?.name))
    }
}

async fn roles_of(
    tx: &mut Tx,
    tenant: TenantId,
    rows: &[AssignmentRow],
) -> Result<HashMap<RoleId, RoleRights>> {
    let mut roles = HashMap::new();
    for row in rows {
        if !roles.contains_key(&row.role_id)
            && let Some(role) = find_role(tx, tenant, row.role_id).await?
        {
            roles.insert(row.role_id, role);
        }
    }
    Ok(roles)
}

/// What reaches one user, out of all assignments of the tenant.
fn grants(
    user: UserId,
    teams: &[TeamId],
    rows: &[AssignmentRow],
    roles: &HashMap<RoleId, RoleRights>,
) -> Grants {
    let reaching = rows.iter().filter(|row| {
        row.user_id == Some(user) || row.team_id.is_some_and(|team| teams.contains(&team))
    });
    let grants = reaching.filter_map(|row| {
        Some(Grant {
            role: row.role_id,
            permissions: roles.get(&row.role_id)?.permissions,
            source: row.team_id.map_or(Source::User, Source::Team),
            project: row.project_id,
        })
    });
    Grants::new(grants.collect())
}

fn reasons(because: &[Grant], user: &str, names: &Labels) -> Vec<Reason> {
    let reason = |grant: &Grant| Reason {
        role: (grant.role, names.role(grant.role)),
        via: match grant.source {
            Source::User => Via::User(user.to_owned()),
            Source::Team(team) => Via::Team(names.team(team)),
        },
        project: grant.project.map(|project| (project, names.project(project))),
    };
    because.iter().map(reason).collect()
}

/// The projects in which the permission holds, when the question was about the
/// whole scope or about another project.
fn elsewhere(grants: &Grants, question: Question, names: &Labels) -> Vec<String> {
    let holding = grants.projects().iter().filter(|(project, set)| {
        Some(**project) != question.project && set.contains(question.permission)
    });
    holding.map(|(project, _)| names.project(*project)).collect()
}

/// What an explanation says.
#[derive(Debug)]
struct Sentence<'a> {
    who: &'a str,
    state: &'a str,
    permission: Permission,
    place: Option<&'a str>,
    because: &'a [Reason],
    elsewhere: &'a [String],
}

impl Sentence<'_> {
    fn text(&self) -> String {
        let where_ = match self.place {
            Some(project) => format!("in project {project}"),
            None => "in the whole scope".to_owned(),
        };
        let Self { who, permission, .. } = self;
        let mut text = if self.because.is_empty() {
            format!("{who} has no role that allows {permission} {where_}.")
        } else {
            let roles: Vec<_> = self.because.iter().map(role_in_words).collect();
            format!("{who} may do {permission} {where_}: {}.", roles.join(", and "))
        };
        if self.because.is_empty() && !self.elsewhere.is_empty() {
            let noun = if self.elsewhere.len() == 1 { "project" } else { "projects" };
            text = format!("{text} It is allowed in {noun} {}.", self.elsewhere.join(", "));
        }
        text += match self.state {
            "disabled" => " The account is disabled, so nothing can be done with it.",
            "invited" => " The invitation has not been accepted yet.",
            _ => "",
        };
        text
    }
}

fn role_in_words(reason: &Reason) -> String {
    let via = match &reason.via {
        Via::User(_) => "assigned directly".to_owned(),
        Via::Team(team) => format!("through team {team}"),
    };
    let place = match &reason.project {
        Some((_, project)) => format!("in project {project}"),
        None => "everywhere".to_owned(),
    };
    format!("role {}, {via}, {place}", reason.role.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    fn reason(via: Via, project: Option<&str>) -> Reason {
        let project = project.map(|name| (ProjectId::random(&SystemRandom), name.to_owned()));
        Reason { role: (RoleId::random(&SystemRandom), "Project Admin".to_owned()), via, project }
    }

    fn sentence<'a>(because: &'a [Reason], elsewhere: &'a [String]) -> Sentence<'a> {
        Sentence {
            who: "Ada",
            state: "active",
            permission: Permission::ClusterDelete,
            place: Some("Berlin"),
            because,
            elsewhere,
        }
    }

    #[test]
    fn the_sentence_names_role_team_and_project() {
        let because = [
            reason(Via::Team("Operations".to_owned()), Some("Berlin")),
            reason(Via::User("Ada".to_owned()), None),
        ];
        assert_eq!(
            sentence(&because, &[]).text(),
            "Ada may do cluster.delete in project Berlin: role Project Admin, through team \
             Operations, in project Berlin, and role Project Admin, assigned directly, everywhere."
        );
    }

    #[test]
    fn a_refusal_says_where_it_would_be_allowed() {
        let elsewhere = ["Paris".to_owned()];
        assert_eq!(
            sentence(&[], &elsewhere).text(),
            "Ada has no role that allows cluster.delete in project Berlin. It is allowed in \
             project Paris."
        );
    }

    #[test]
    fn the_roles_of_a_disabled_account_are_told_with_what_they_are_worth() {
        let because = [reason(Via::User("Ada".to_owned()), None)];
        let text = Sentence { state: "disabled", ..sentence(&because, &[]) }.text();
        assert!(text.contains("disabled"), "{text}");
    }

    #[test]
    fn a_role_of_a_team_reaches_its_members_and_nobody_else() {
        let (team, member) = (TeamId::random(&SystemRandom), UserId::random(&SystemRandom));
        let role = RoleId::random(&SystemRandom);
        let row = AssignmentRow {
            id: crate::ids::AssignmentId::random(&SystemRandom),
            role_id: role,
            user_id: None,
            team_id: Some(team),
            project_id: None,
            created_at: crate::clock::Timestamp::from_seconds(0),
        };
        let rights = RoleRights {
            name: "Deleter".to_owned(),
            scope: crate::rbac::RoleScope::Project,
            permissions: [Permission::ClusterDelete].into_iter().collect(),
        };
        let (rows, roles) = ([row], HashMap::from([(role, rights)]));
        assert!(grants(member, &[team], &rows, &roles).allows(Permission::ClusterDelete, None));
        assert!(!grants(member, &[], &rows, &roles).allows(Permission::ClusterDelete, None));
    }
}

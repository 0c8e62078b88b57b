//! Teams: users that get roles together.
//!
//! Owns: teams and who is in them.
//! Must not know: what the roles of a team allow, except that nobody brings
//! somebody into a team that may do more than he himself.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    delegation::{Handed, refuse_beyond},
    policies::stale,
    rights::find_role,
    users::{UserView, directory, find_present},
};
use crate::{
    audit::{Event, Ledger},
    error::{Error, Result},
    ids::{TeamId, TenantId, UserId},
    rbac::{
        Permission, Permit,
        rights::{TeamCreate, TeamDelete, TeamGet, TeamList, TeamUpdate},
    },
    store::{self, ListQuery, Page, Tx, teams::Team},
};

const NAME_TAKEN: &str = "A team of this name exists already";

/// A team and its members, by name.
#[derive(Clone, Debug)]
pub struct TeamWithMembers {
    /// The team.
    pub team: Team,
    /// Its members.
    pub members: Vec<UserView>,
}

/// What a new team needs.
#[derive(Debug)]
pub struct NewTeam {
    /// Unique in the tenant.
    pub name: String,
    /// Free text.
    pub description: String,
}

/// What of a team changes; `None` stays.
#[derive(Debug)]
pub struct TeamChange {
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
}

/// The teams of all tenants.
#[derive(Clone, Debug)]
pub struct Teams {
    ledger: Ledger,
}

#[derive(Serialize, Deserialize)]
struct Made {
    team: TeamId,
}

impl Teams {
    /// Teams behind this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// All teams with their members.
    pub async fn list(
        &self,
        permit: &Permit<TeamList>,
        list: &ListQuery,
    ) -> Result<Page<TeamWithMembers>> {
        let tenant = permit.tenant();
        let mut tx = self.ledger.store().read().await?;
        let page = store::teams::list(&mut tx, tenant, list).await?;
        let users = directory(&self.ledger, &mut tx, tenant).await?;
        let mut members: HashMap<TeamId, Vec<UserView>> = HashMap::new();
        for (user, team, _) in store::teams::memberships(&mut tx, tenant).await? {
            members.entry(team).or_default().extend(users.get(&user).cloned());
        }
        Ok(page.map(|team| {
            let members = sorted(members.remove(&team.id).unwrap_or_default());
            TeamWithMembers { team, members }
        }))
    }

    /// One team. `NotFound`.
    pub async fn get(&self, permit: &Permit<TeamGet>, id: TeamId) -> Result<TeamWithMembers> {
        let mut tx = self.ledger.store().read().await?;
        self.load(&mut tx, permit.tenant(), id).await
    }

    async fn load(&self, tx: &mut Tx, tenant: TenantId, id: TeamId) -> Result<TeamWithMembers> {
        let team = find(tx, tenant, id).await?;
        let users = directory(&self.ledger, tx, tenant).await?;
        let members = store::teams::members(tx, tenant, id).await?;
        let members = members.iter().filter_map(|user| users.get(user).cloned()).collect();
        Ok(TeamWithMembers { team, members: sorted(members) })
    }

    /// Creates a team without members. `Conflict` when the name is taken.
    pub async fn create(
        &self,
        permit: &Permit<TeamCreate>,
        new: NewTeam,
    ) -> Result<TeamWithMembers> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        if let Some(Made { team }) = change.replay().await? {
            return self.load(change.tx(), tenant, team).await;
        }
        let team = Team {
            id: TeamId::random(self.ledger.random()),
            name: new.name.trim().to_owned(),
            description: new.description,
            created_at: self.ledger.clock().now(),
            version: 1,
        };
        store::teams::insert(change.tx(), tenant, &team)
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        let event = Event::new("team.create").on(team.id).with("name", team.name.clone());
        change.commit_with(event, &Made { team: team.id }).await?;
        Ok(TeamWithMembers { team, members: Vec::new() })
    }

    /// Changes name and description. `NotFound`, `Stale`, `Conflict`.
    pub async fn update(
        &self,
        permit: &Permit<TeamUpdate>,
        id: TeamId,
        wanted: TeamChange,
        version: i64,
    ) -> Result<TeamWithMembers> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let mut found = self.load(change.tx(), tenant, id).await?;
        let team = &mut found.team;
        if let Some(name) = wanted.name {
            name.trim().clone_into(&mut team.name);
        }
        if let Some(description) = wanted.description {
            team.description = description;
        }
        let updated = store::teams::update(change.tx(), tenant, team, version)
            .await
            .map_err(|error| error.on_duplicate("name", NAME_TAKEN))?;
        if !updated {
            return Err(stale());
        }
        team.version = version + 1;
        let event = Event::new("team.update").on(id).with("name", team.name.clone());
        change.commit(event).await?;
        Ok(found)
    }

    /// Deletes a team; its members lose what they had through it. `NotFound`.
    pub async fn delete(&self, permit: &Permit<TeamDelete>, id: TeamId) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let team = find(change.tx(), tenant, id).await?;
        store::teams::delete(change.tx(), tenant, id).await?;
        change.outdate(tenant);
        change.commit(Event::new("team.delete").on(id).with("name", team.name)).await
    }

    /// Adds a member; does nothing when it is one already. `NotFound` for team
    /// or user; `Forbidden` when the team may do more than the caller.
    pub async fn add_member(
        &self,
        permit: &Permit<TeamUpdate>,
        id: TeamId,
        user: UserId,
    ) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let team = find(change.tx(), tenant, id).await?;
        find_present(change.tx(), tenant, user).await?;
        let handed = rights_of(change.tx(), tenant, id).await?;
        refuse_beyond(&mut change, Permission::TeamUpdate, &handed).await?;
        if !store::teams::add_member(change.tx(), tenant, id, user).await? {
            return Ok(());
        }
        change.outdate(tenant);
        let event = Event::new("team.addMember").on(id).with("name", team.name);
        change.commit(event.with("user", user.to_string())).await
    }

    /// Removes a member. `NotFound`, also when it is none.
    pub async fn remove_member(
        &self,
        permit: &Permit<TeamUpdate>,
        id: TeamId,
        user: UserId,
    ) -> Result<()> {
        let tenant = permit.tenant();
        let mut change = self.ledger.begin(permit.actor()).await?;
        let team = find(change.tx(), tenant, id).await?;
        if !store::teams::remove_member(change.tx(), tenant, id, user).await? {
            return Err(Error::not_found("member"));
        }
        change.outdate(tenant);
        let event = Event::new("team.removeMember").on(id).with("name", team.name);
        change.commit(event.with("user", user.to_string())).await
    }
}

async fn find(tx: &mut Tx, tenant: TenantId, id: TeamId) -> Result<Team> {
    store::teams::find(tx, tenant, id).await?.ok_or_else(|| Error::not_found("team"))
}

/// What every member of a team may do.
async fn rights_of(tx: &mut Tx, tenant: TenantId, team: TeamId) -> Result<Vec<Handed>> {
    let mut rights = Vec::new();
    for assignment in store::assignments::all(tx, tenant).await? {
        if assignment.team_id == Some(team)
            && let Some(role) = find_role(tx, tenant, assignment.role_id).await?
        {
            rights.push((role.permissions, assignment.project_id));
        }
    }
    Ok(rights)
}

fn sorted(mut members: Vec<UserView>) -> Vec<UserView> {
    members.sort_by_cached_key(|member| (member.name.to_lowercase(), member.id));
    members
}

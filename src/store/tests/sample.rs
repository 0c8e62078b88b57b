//! Rows for tests, and a tenant that has one of everything.

use super::{
    super::{
        Tx, api_keys::ApiKeyRow, assignments::AssignmentRow, audit::AuditRow, clusters::ClusterRow,
        projects::Project, roles::RoleRow, sessions::SessionRow, teams::Team, tenants::Tenant,
        users::UserRow,
    },
    Given,
};
use crate::{
    clock::{SystemRandom, Timestamp, random_bytes},
    ids::{
        ApiKeyId, AssignmentId, AuditId, ClusterId, ProjectId, RoleId, SessionId, TeamId, TenantId,
        UserId,
    },
    store::{
        Result, api_keys, assignments, audit, clusters, enrolment, idempotency, one_time, projects,
        roles, sessions, settings, statistics, teams, tenant_keys, tenants, users,
    },
};

/// Draws a new identifier.
macro_rules! new_id {
    ($type:ty) => {
        <$type>::random(&crate::clock::SystemRandom)
    };
}
pub(super) use new_id;

/// A moment, in seconds after the epoch.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A digest that no other test has.
pub(super) fn digest() -> [u8; 32] {
    random_bytes(&SystemRandom)
}

pub(super) fn tenant(slug: &str) -> Tenant {
    Tenant {
        id: new_id!(TenantId),
        name: format!("{slug} Inc."),
        slug: slug.to_owned(),
        state: "active".to_owned(),
        created_at: at(100),
        version: 1,
    }
}

pub(super) fn user(tenant: TenantId) -> UserRow {
    UserRow {
        tenant_id: tenant,
        id: new_id!(UserId),
        email_index: Some(digest()),
        email_sealed: Some(b"sealed e-mail".to_vec()),
        name_sealed: Some(b"sealed name".to_vec()),
        state: "invited".to_owned(),
        password_hash: None,
        password_changed_at: None,
        last_login_at: None,
        created_at: at(100),
        version: 1,
    }
}

pub(super) fn project(name: &str) -> Project {
    Project {
        id: new_id!(ProjectId),
        name: name.to_owned(),
        description: String::new(),
        created_at: at(100),
        version: 1,
        clusters: 0,
    }
}

pub(super) fn team(name: &str) -> Team {
    Team {
        id: new_id!(TeamId),
        name: name.to_owned(),
        description: String::new(),
        created_at: at(100),
        version: 1,
    }
}

pub(super) fn role(name: &str) -> RoleRow {
    RoleRow {
        id: new_id!(RoleId),
        name: name.to_owned(),
        description: String::new(),
        scope: "tenant".to_owned(),
        permissions: "cluster.get cluster.list".to_owned(),
        created_at: at(100),
        version: 1,
    }
}

/// A role for a user in the whole tenant.
pub(super) fn assignment(role: RoleId, user: UserId) -> AssignmentRow {
    AssignmentRow {
        id: new_id!(AssignmentId),
        role_id: role,
        user_id: Some(user),
        team_id: None,
        project_id: None,
        created_at: at(100),
    }
}

pub(super) fn api_key(tenant: TenantId, user: UserId, name: &str) -> ApiKeyRow {
    ApiKeyRow {
        tenant_id: tenant,
        id: new_id!(ApiKeyId),
        name: name.to_owned(),
        user_id: user,
        digest: digest(),
        created_at: at(100),
        expires_at: None,
        last_used_at: None,
    }
}

pub(super) fn session(tenant: TenantId, user: UserId) -> SessionRow {
    SessionRow {
        tenant_id: tenant,
        id: new_id!(SessionId),
        user_id: user,
        created_at: at(100),
        expires_at: at(1_000),
        ended_at: None,
        address: Some("192.0.2.7".to_owned()),
    }
}

pub(super) fn cluster(tenant: TenantId, project: ProjectId, name: &str) -> ClusterRow {
    ClusterRow {
        tenant_id: tenant,
        id: new_id!(ClusterId),
        project_id: project,
        name: name.to_owned(),
        phase: "pending".to_owned(),
        reasons: "[]".to_owned(),
        report: None,
        last_heartbeat_at: None,
        has_kubeconfig: false,
        created_at: at(100),
        version: 1,
    }
}

pub(super) fn record(tenant: TenantId, action: &str, seconds: i64) -> AuditRow {
    AuditRow {
        id: new_id!(AuditId),
        tenant_id: tenant,
        at: at(seconds),
        project_id: None,
        actor_kind: "system".to_owned(),
        actor_id: None,
        action: action.to_owned(),
        object_kind: "tenant".to_owned(),
        object_id: None,
        outcome: "success".to_owned(),
        detail: "{}".to_owned(),
        request_id: "request".to_owned(),
        address: None,
        mac: vec![3; 32],
        position: None,
        link: None,
    }
}

/// A tenant with one of everything.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) tenant: TenantId,
    pub(super) project: ProjectId,
    pub(super) user: UserRow,
    pub(super) team: Team,
    pub(super) role: RoleRow,
    pub(super) assignment: AssignmentId,
    pub(super) api_key: ApiKeyRow,
    pub(super) session: SessionId,
    pub(super) refresh: [u8; 32],
    pub(super) invitation: [u8; 32],
    pub(super) cluster: ClusterId,
    pub(super) import_token: [u8; 32],
    pub(super) agent_key: String,
    pub(super) record: AuditId,
}

impl Given {
    /// A tenant that has one of everything.
    pub(super) async fn world(&self, slug: &str) -> World {
        self.commit(async |tx| build(tx, slug).await).await
    }
}

async fn build(tx: &mut Tx, slug: &str) -> Result<World> {
    let tenant_row = tenant(slug);
    let tenant = tenant_row.id;
    tenants::insert(tx, &tenant_row).await?;
    let key = tenant_keys::TenantKeyRow {
        tenant_id: tenant,
        key_version: 1,
        root_key: "root-1".to_owned(),
        wrapped: vec![1; 64],
    };
    tenant_keys::insert(tx, &key).await?;
    let (project, team, role, user) =
        (project("default"), team("ops"), role("reader"), user(tenant));
    projects::insert(tx, tenant, &project).await?;
    teams::insert(tx, tenant, &team).await?;
    roles::insert(tx, tenant, &role).await?;
    users::insert(tx, &user).await?;
    users::set_password(tx, tenant, user.id, "hash", at(200)).await?;
    users::remember_password(tx, tenant, user.id, "hash", at(200)).await?;
    teams::add_member(tx, tenant, team.id, user.id).await?;
    let given = assignment(role.id, user.id);
    assignments::insert(tx, tenant, &given).await?;
    let api_key = api_key(tenant, user.id, "pipeline");
    api_keys::insert(tx, &api_key).await?;
    let session = session(tenant, user.id);
    sessions::insert(tx, &session).await?;
    let (refresh, invitation, import_token) = (digest(), digest(), digest());
    sessions::insert_refresh(tx, refresh, tenant, session.id, at(100)).await?;
    let one_time = one_time::OneTimeRow {
        tenant_id: tenant,
        user_id: user.id,
        purpose: "invite".to_owned(),
        expires_at: at(1_000),
    };
    one_time::replace(tx, invitation, &one_time).await?;
    let cluster = cluster(tenant, project.id, "edge");
    let agent_key = fleet(tx, &cluster, import_token).await?;
    let setting =
        settings::Setting { value: "{}".to_owned(), sealed: Some(vec![7; 8]), version: 0 };
    settings::put(tx, tenant, "password-policy", &setting, 0).await?;
    let outcome =
        idempotency::Remembered { fingerprint: digest(), outcome_sealed: b"sealed".to_vec() };
    idempotency::insert(tx, tenant, "caller", "key", &outcome, at(100)).await?;
    let record = record(tenant, "tenant.create", 100);
    audit::insert(tx, &record).await?;
    audit::seal(tx, record.id, 1, [1; 32]).await?;
    let checkpoint = audit::Checkpoint {
        tenant_id: tenant,
        position: 1,
        link: [1; 32],
        at: at(100),
        signature: vec![9; 64],
    };
    audit::insert_checkpoint(tx, &checkpoint).await?;
    let user = users::find(tx, tenant, user.id).await?.expect("the user of this tenant");
    Ok(World {
        tenant,
        project: project.id,
        user,
        team,
        role,
        assignment: given.id,
        api_key,
        session: session.id,
        refresh,
        invitation,
        cluster: cluster.id,
        import_token,
        agent_key,
        record: record.id,
    })
}

/// A cluster with a kubeconfig, a token, an agent's key and a measurement.
async fn fleet(tx: &mut Tx, cluster: &ClusterRow, token: [u8; 32]) -> Result<String> {
    let (tenant, id) = (cluster.tenant_id, cluster.id);
    clusters::insert(tx, cluster).await?;
    clusters::set_kubeconfig(tx, tenant, id, b"sealed kubeconfig").await?;
    let import =
        enrolment::ImportToken { tenant_id: tenant, cluster_id: id, expires_at: at(1_000) };
    enrolment::replace_token(tx, token, &import).await?;
    let credential = enrolment::AgentCredential {
        public_key: format!("U{id}"),
        tenant_id: tenant,
        cluster_id: id,
        expires_at: at(1_000),
        revoked_at: None,
    };
    enrolment::insert_credential(tx, &credential).await?;
    let point = statistics::PointRow { at: at(100), point: "{}".to_owned() };
    statistics::insert(tx, tenant, id, &point).await?;
    Ok(credential.public_key)
}

//! A foreign identifier finds nothing and changes nothing, in every function.

use std::collections::BTreeSet;

use super::{
    super::{
        Failure, ListQuery, Page, api_keys,
        assignments::{self, AssignmentFilter, AssignmentRow},
        audit::{self, AuditFilter},
        clusters::{self, ClusterFilter, Observation},
        enrolment::{self, ImportToken},
        idempotency,
        one_time::{self, OneTimeRow},
        projects::{self, Project},
        roles, sessions,
        settings::{self, Setting},
        statistics::{self, PointRow},
        teams,
        tenant_keys::{self, TenantKeyRow},
        tenants,
        users::{self, UserRow},
    },
    Given, on_both,
    rows::{dump, tables},
    sample::{self, World, at, digest, new_id},
};
use crate::{
    ids::{AssignmentId, SessionId, TenantId},
    rbac::Reach,
};

/// Functions that belong to no tenant, or that learn the tenant from a secret
/// which the caller holds. Adding a line here takes a reason.
const WITHOUT_TENANT: &[(&str, &str)] = &[
    ("api_keys::find_for_login", "authentication learns the tenant from the key"),
    ("audit::backlog", "the chain's worker serves all tenants"),
    ("audit::last_checkpoints", "the chain's worker serves all tenants"),
    ("audit::quarantine", "the chain's worker serves all tenants"),
    ("audit::seal", "the chain's worker serves all tenants"),
    ("audit::unsealed", "the chain's worker serves all tenants"),
    ("audit::insert", "a record refers to nothing"),
    ("audit::insert_checkpoint", "a checkpoint refers to nothing"),
    ("clusters::all", "for start-up"),
    ("data_format::refuse_newer", "about the whole database, for start-up"),
    ("transfer::run", "moves the whole database"),
    ("clusters::all_without_reports", "for the comparison with what is in memory"),
    ("tenants::lock", "shows nothing and changes nothing"),
    ("enrolment::find_credential", "an agent proves itself by its signature"),
    ("enrolment::find_token", "whoever holds the token is not logged in"),
    ("enrolment::find_used_token", "whoever holds the token is not logged in"),
    ("enrolment::insert_credential", "keys outlive their cluster and refer to nothing"),
    ("enrolment::of_clusters", "for start-up"),
    ("enrolment::prune_tokens", "housekeeping of all tenants"),
    ("enrolment::revoked", "the bus refuses keys of all tenants"),
    ("enrolment::use_token", "whoever holds the token is not logged in"),
    ("idempotency::insert", "refers to nothing but its tenant"),
    ("idempotency::prune", "housekeeping of all tenants"),
    ("data_format::find", "one row for the whole installation"),
    ("installation::create", "there is one installation"),
    ("installation::find", "there is one installation"),
    ("installation::finish_setup", "there is one installation"),
    ("installation::is_there", "there is one installation"),
    ("installation::sealed_keystore", "there is one installation"),
    ("installation::set_setup_code", "there is one installation"),
    ("installation::lock_keystore", "there is one installation"),
    ("installation::store_keystore", "there is one installation"),
    ("invalidation::insert", "news for the caches of nodes"),
    ("invalidation::prune", "housekeeping of all tenants"),
    ("invalidation::within", "news for the caches of nodes"),
    ("leases::acquire", "the work of the whole installation"),
    ("leases::confirm", "the work of the whole installation"),
    ("leases::find", "the work of the whole installation"),
    ("leases::release", "the work of the whole installation"),
    ("leases::renew", "the work of the whole installation"),
    ("one_time::find", "whoever holds the secret is not logged in"),
    ("one_time::prune", "housekeeping of all tenants"),
    ("one_time::use_up", "whoever holds the secret is not logged in"),
    ("projects::insert", "refers to nothing but its tenant"),
    ("roles::insert", "refers to nothing but its tenant"),
    ("sessions::find_refresh", "whoever holds the token is not logged in"),
    ("sessions::prune", "housekeeping of all tenants"),
    ("sessions::use_refresh", "whoever holds the token is not logged in"),
    ("statistics::prune", "housekeeping of all tenants"),
    ("teams::insert", "refers to nothing but its tenant"),
    ("tenant_keys::all", "for the rotation of the root key"),
    ("tenant_keys::lock", "changes nothing"),
    ("tenant_keys::insert", "refers to nothing but its tenant"),
    ("tenants::all_ids", "system administrators see all tenants"),
    ("tenants::delete", "system administrators see all tenants"),
    ("tenants::find", "system administrators see all tenants"),
    ("tenants::find_by_slug", "the login page sees all tenants"),
    ("tenants::insert", "system administrators see all tenants"),
    ("tenants::list", "system administrators see all tenants"),
    ("tenants::lock", "changes nothing and tells nothing"),
    ("tenants::update", "system administrators see all tenants"),
    ("users::find_everywhere", "the login at the common address, before the tenant is known"),
    ("users::insert", "refers to nothing but its tenant"),
    ("users::prune_history", "housekeeping of all tenants"),
];

/// An answer that gives nothing away.
trait Nothing {
    fn is_nothing(&self) -> bool;
}

impl Nothing for () {
    fn is_nothing(&self) -> bool {
        true
    }
}

impl Nothing for bool {
    fn is_nothing(&self) -> bool {
        !self
    }
}

impl Nothing for u32 {
    fn is_nothing(&self) -> bool {
        *self == 0
    }
}

impl Nothing for u64 {
    fn is_nothing(&self) -> bool {
        *self == 0
    }
}

impl<T> Nothing for Option<T> {
    fn is_nothing(&self) -> bool {
        self.is_none()
    }
}

impl<T> Nothing for Vec<T> {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

impl<T, N> Nothing for (Vec<T>, Option<N>) {
    fn is_nothing(&self) -> bool {
        self.0.is_empty() && self.1.is_none()
    }
}

impl<T> Nothing for Page<T> {
    fn is_nothing(&self) -> bool {
        self.items.is_empty() && self.total == 0
    }
}

impl Nothing for tenants::Counts {
    fn is_nothing(&self) -> bool {
        self.projects + self.users + self.clusters == 0
    }
}

/// Calls functions in the name of a tenant that has nothing, with identifiers
/// of another: each must find nothing and leave every row as it is. Gives
/// their names.
macro_rules! find_nothing {
    ($given:expr; $($module:ident::$function:ident($($argument:expr),* $(,)?);)+) => {{
        let mut names = BTreeSet::new();
        let tables = tables(&$given).await;
        let mut tx = $given.store.begin().await.expect("begin");
        let before = dump(&mut tx, &tables).await;
        drop(tx);
        $({
            let name = concat!(stringify!($module), "::", stringify!($function));
            let mut tx = $given.store.begin().await.expect("begin");
            let answer = $module::$function(&mut tx, $($argument),*).await;
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
            assert!(answer.is_nothing(), "{name} finds something of a foreign tenant");
            assert_eq!(dump(&mut tx, &tables).await, before, "{name} changes something");
            names.insert(name);
        })+
        names
    }};
}

/// Calls functions that would make a row of one tenant refer to a row of
/// another: each must fail. Gives their names.
macro_rules! refuse_reference {
    ($given:expr; $($module:ident::$function:ident($($argument:expr),* $(,)?);)+) => {{
        let mut names = BTreeSet::new();
        $({
            let name = concat!(stringify!($module), "::", stringify!($function));
            let mut tx = $given.store.begin().await.expect("begin");
            let refused = $module::$function(&mut tx, $($argument),*).await.err();
            let refused = refused.unwrap_or_else(|| panic!("{name} joins two tenants"));
            assert_eq!(refused.failure(), Failure::Reference, "{name}: {refused:?}");
            names.insert(name);
        })+
        names
    }};
}

/// The public functions of all aggregates, as `module::function`.
fn functions() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the store's folder").flatten() {
        let path = entry.path();
        let (Some(module), Some("rs")) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.extension().and_then(|extension| extension.to_str()),
        ) else {
            continue;
        };
        let source = std::fs::read_to_string(&path).expect("a source file");
        for line in source.lines() {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name = rest.split(['(', '<']).next().unwrap_or(rest);
                found.insert(format!("{module}::{name}"));
            }
        }
    }
    found
}

on_both! {
    async fn a_foreign_identifier_finds_nothing_in_any_function(given: Given) {
        let theirs = given.world("acme").await;
        let stranger = sample::tenant("stranger");
        given.commit(async |tx| tenants::insert(tx, &stranger).await).await;

        let mut covered = nothing_in_rights(&given, stranger.id, &theirs).await;
        covered.extend(nothing_in_accounts(&given, stranger.id, &theirs).await);
        covered.extend(nothing_in_fleet(&given, stranger.id, &theirs).await);
        covered.extend(nothing_in_records(&given, stranger.id, &theirs).await);
        covered.extend(no_reference(&given, stranger.id, &theirs).await);

        let without: BTreeSet<_> = WITHOUT_TENANT.iter().map(|(name, _)| *name).collect();
        let twice: Vec<_> = covered.intersection(&without).collect();
        assert!(twice.is_empty(), "these are tested, no need to excuse them: {twice:?}");
        covered.extend(without);
        let missing: Vec<_> =
            functions().into_iter().filter(|name| !covered.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "call these in this test with foreign identifiers: {missing:?}");
    }
}

type Names = BTreeSet<&'static str>;

async fn nothing_in_rights(given: &Given, stranger: TenantId, theirs: &World) -> Names {
    let list = ListQuery::default();
    let everything = AssignmentFilter::default();
    find_nothing! { given;
        assignments::active_holders(stranger, theirs.role.id);
        assignments::all(stranger);
        assignments::delete(stranger, theirs.assignment);
        assignments::find(stranger, theirs.assignment);
        assignments::list(stranger, everything, &list);
        assignments::of_user(stranger, theirs.user.id);
        projects::delete(stranger, theirs.project);
        projects::find(stranger, theirs.project);
        projects::list(stranger, &Reach::Projects([theirs.project].into()), &list);
        projects::names(stranger);
        projects::update(stranger, &Project { id: theirs.project, ..sample::project("x") }, 1);
        roles::all(stranger);
        roles::delete(stranger, theirs.role.id);
        roles::find(stranger, theirs.role.id);
        roles::update(stranger, &theirs.role, 1);
        teams::delete(stranger, theirs.team.id);
        teams::find(stranger, theirs.team.id);
        teams::list(stranger, &list);
        teams::members(stranger, theirs.team.id);
        teams::memberships(stranger);
        teams::remove_member(stranger, theirs.team.id, theirs.user.id);
        teams::update(stranger, &theirs.team, 1);
    }
}

async fn nothing_in_accounts(given: &Given, stranger: TenantId, theirs: &World) -> Names {
    let user = UserRow { tenant_id: stranger, ..theirs.user.clone() };
    let index = theirs.user.email_index.expect("they have an e-mail");
    find_nothing! { given;
        api_keys::delete(stranger, theirs.api_key.id);
        api_keys::find(stranger, theirs.api_key.id);
        api_keys::list(stranger, Some(theirs.user.id), &ListQuery::default());
        api_keys::note_use(stranger, theirs.api_key.id, at(300));
        one_time::end_all(stranger, theirs.user.id);
        sessions::end(stranger, theirs.session, at(300));
        sessions::end_all(stranger, theirs.user.id, at(300));
        sessions::end_others(stranger, theirs.user.id, new_id!(SessionId), at(300));
        sessions::find(stranger, theirs.session);
        users::all(stranger);
        users::erase(stranger, theirs.user.id);
        users::find(stranger, theirs.user.id);
        users::find_by_email(stranger, index);
        users::note_login(stranger, theirs.user.id, at(300));
        users::password_history(stranger, theirs.user.id, 5);
        users::reseal(&user);
        users::set_password(stranger, theirs.user.id, "other", at(300));
        users::update(&user, theirs.user.version);
        users::upgrade_hash(stranger, theirs.user.id, "other");
    }
}

async fn nothing_in_fleet(given: &Given, stranger: TenantId, theirs: &World) -> Names {
    let list = ListQuery::default();
    let reach = Reach::Projects([theirs.project].into());
    let filter = ClusterFilter { phase: None, project: Some(theirs.project) };
    let seen = Observation {
        phase: "healthy".to_owned(),
        reasons: "[1]".to_owned(),
        report: None,
        last_heartbeat_at: Some(at(300)),
    };
    let point = PointRow { at: at(300), point: "{}".to_owned() };
    find_nothing! { given;
        clusters::delete(stranger, theirs.cluster);
        clusters::find(stranger, theirs.cluster);
        clusters::kubeconfig(stranger, theirs.cluster);
        clusters::list(stranger, &reach, &filter, &list);
        clusters::observe(stranger, theirs.cluster, &seen);
        clusters::rename(stranger, theirs.cluster, "x", 1);
        clusters::sealed_of_tenant(stranger);
        clusters::set_kubeconfig(stranger, theirs.cluster, b"other");
        enrolment::extend(stranger, &theirs.agent_key, at(2_000));
        enrolment::live_of_tenant(stranger);
        enrolment::of_cluster(stranger, theirs.cluster);
        enrolment::revoke_cluster(stranger, theirs.cluster, at(300));
        statistics::insert(stranger, theirs.cluster, &point);
        statistics::since(stranger, theirs.cluster, at(0));
    }
}

async fn nothing_in_records(given: &Given, stranger: TenantId, theirs: &World) -> Names {
    let (reach, filter) = (Reach::Tenant, AuditFilter::default());
    let key = TenantKeyRow {
        tenant_id: stranger,
        key_version: 1,
        root_key: "root-2".to_owned(),
        wrapped: vec![2; 64],
    };
    let setting = Setting { value: "[]".to_owned(), sealed: None, version: 1 };
    find_nothing! { given;
        audit::chain_from(stranger, 0, 10);
        audit::checkpoints_from(stranger, 0, 10);
        audit::chunk(stranger, &reach, &filter, &ListQuery::default());
        audit::find(stranger, &reach, theirs.record);
        audit::last_checkpoint(stranger);
        audit::quarantined(stranger, 10);
        audit::list(stranger, &reach, &filter, &ListQuery::default());
        idempotency::find(stranger, "caller", "key");
        idempotency::forget_tenant(stranger);
        settings::find(stranger, "password-policy");
        settings::put(stranger, "password-policy", &setting, 1);
        settings::reseal(stranger, "password-policy", b"other");
        settings::sealed_of_tenant(stranger);
        tenant_keys::delete_before(stranger, 9);
        tenant_keys::newest(stranger);
        tenant_keys::of_tenant(stranger);
        tenant_keys::rewrap(&key);
        tenants::counts(stranger);
    }
}

/// Rows that would belong to the stranger and refer to something of theirs.
async fn no_reference(given: &Given, stranger: TenantId, theirs: &World) -> Names {
    let user = theirs.user.id;
    let invitation = OneTimeRow {
        tenant_id: stranger,
        user_id: user,
        purpose: "reset".to_owned(),
        expires_at: at(1_000),
    };
    let token =
        ImportToken { tenant_id: stranger, cluster_id: theirs.cluster, expires_at: at(1_000) };
    refuse_reference! { given;
        api_keys::insert(&sample::api_key(stranger, user, "x"));
        assignments::insert(stranger, &sample::assignment(theirs.role.id, user));
        clusters::insert(&sample::cluster(stranger, theirs.project, "x"));
        enrolment::replace_token(digest(), &token);
        one_time::replace(digest(), &invitation);
        sessions::insert(&sample::session(stranger, user));
        sessions::insert_refresh(digest(), stranger, theirs.session, at(100));
        teams::add_member(stranger, theirs.team.id, user);
        users::remember_password(stranger, user, "hash", at(300));
    }
}

on_both! {
    async fn nothing_can_be_given_to_or_in_something_of_another_tenant(given: Given) {
        let ours = given.world("acme").await;
        let theirs = given.world("globex").await;
        let id = || new_id!(AssignmentId);
        let ours_alone = AssignmentRow {
            project_id: Some(ours.project),
            ..sample::assignment(ours.role.id, ours.user.id)
        };
        given.commit(async |tx| assignments::insert(tx, ours.tenant, &ours_alone).await).await;

        for row in [
            AssignmentRow { id: id(), project_id: Some(theirs.project), ..ours_alone.clone() },
            AssignmentRow { id: id(), user_id: Some(theirs.user.id), ..ours_alone.clone() },
            AssignmentRow {
                id: id(),
                user_id: None,
                team_id: Some(theirs.team.id),
                ..ours_alone.clone()
            },
        ] {
            let mut tx = given.store.begin().await.expect("begin");
            let refused = assignments::insert(&mut tx, ours.tenant, &row).await;
            let refused = refused.expect_err("two tenants are joined");
            assert_eq!(refused.failure(), Failure::Reference, "{row:?}");
        }
        for (team, user) in [(theirs.team.id, ours.user.id), (ours.team.id, theirs.user.id)] {
            let mut tx = given.store.begin().await.expect("begin");
            let refused = teams::add_member(&mut tx, ours.tenant, team, user).await;
            assert_eq!(refused.expect_err("two tenants").failure(), Failure::Reference);
        }
    }
}

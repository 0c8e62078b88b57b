//! Clusters of a running application, with a real broker where one is needed.

use tempfile::TempDir;

use super::*;
use crate::{
    app::{App, Parts},
    bus::{
        AgentKey,
        message::{EnrolRequest, Enrolment, RenewRequest},
    },
    clock::{SystemRandom, TestClock},
    config::{Config, Sources},
    error::Kind,
    rbac::{
        RequestMeta,
        rights::{ClusterDelete, ClusterGet, ClusterImport, ClusterList},
        system_permit,
    },
    store::{ListQuery, clusters::ClusterFilter, projects::Project, tenants::Tenant},
};

struct Given {
    app: App,
    clock: Arc<TestClock>,
    tenant: TenantId,
    project: ProjectId,
    _directory: TempDir,
}

impl Given {
    async fn with(mode: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let data = directory.path().join("var");
        let config = Config::load(Sources::only([
            ("storage.data_dir", data.to_str().expect("a plain path")),
            ("bus.mode", mode),
            ("bus.nats_server", broker()),
            ("bus.listen", "off"),
            ("bus.websocket_listen", "127.0.0.1:0"),
        ]));
        let clock = Arc::new(TestClock::at(Timestamp::from_seconds(1_800_000_000)));
        let parts = Parts {
            config: config.expect("valid settings"),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            metrics: None,
        };
        let app = App::start(parts).await.expect("the application starts");
        let (tenant, project) = world(&app, "acme").await;
        Self { app, clock, tenant, project, _directory: directory }
    }

    fn clusters(&self) -> &Clusters {
        self.app.clusters()
    }

    async fn import(&self) -> Imported {
        let new = NewCluster { name: "edge".into(), project: self.project };
        let permit = system_permit::<ClusterImport>(self.tenant, "a test");
        self.clusters().import(&permit, new).await.expect("imported")
    }

    async fn enrol(&self, token: &str, key: &AgentKey) -> Result<Enrolment> {
        let request = EnrolRequest {
            token: token.into(),
            public_key: key.public_key().to_string(),
            agent_version: "0.1.0".into(),
        };
        self.clusters().enrol(request, RequestMeta::default()).await
    }

    async fn renew(&self, cluster: &str, key: &AgentKey, at: Timestamp) -> Result<Enrolment> {
        let public_key = key.public_key().to_string();
        let text = RenewRequest::signed_text(cluster, &public_key, at);
        let signature = data_encoding::BASE64URL_NOPAD.encode(&key.sign(text.as_bytes()));
        let request = RenewRequest { cluster: cluster.into(), public_key, at, signature };
        self.clusters().renew(request, RequestMeta::default()).await
    }

    fn now(&self) -> Timestamp {
        use crate::clock::Clock;
        self.clock.now()
    }
}

fn broker() -> &'static str {
    let places = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
    places.into_iter().find(|path| std::path::Path::new(path).exists()).unwrap_or("nats-server")
}

/// A tenant with one project.
async fn world(app: &App, slug: &str) -> (TenantId, ProjectId) {
    let (tenant, project) = (TenantId::random(&SystemRandom), ProjectId::random(&SystemRandom));
    let created_at = app.ledger().clock().now();
    let mut tx = app.ledger().store().begin().await.expect("begin");
    let row = Tenant {
        id: tenant,
        name: slug.into(),
        slug: slug.into(),
        state: "active".into(),
        created_at,
        version: 1,
    };
    store::tenants::insert(&mut tx, &row).await.expect("a tenant");
    app.ledger().vault().create_key(&mut tx, tenant).await.expect("a key");
    let row = Project {
        id: project,
        name: "shop".into(),
        description: String::new(),
        created_at,
        version: 1,
        clusters: 0,
    };
    store::projects::insert(&mut tx, tenant, &row).await.expect("a project");
    tx.commit().await.expect("commit");
    (tenant, project)
}

fn token(import: &Import) -> String {
    import.manifest_url.expose().rsplit('/').next().expect("a token").to_owned()
}

fn code<T: fmt::Debug>(outcome: Result<T>) -> String {
    outcome.expect_err("refused").code().to_owned()
}

#[tokio::test]
async fn a_new_cluster_is_pending_and_listed_with_its_project() {
    let given = Given::with("off").await;
    let imported = given.import().await;
    let permit = system_permit::<ClusterList>(given.tenant, "a test");
    let (filter, list) = (ClusterFilter::default(), ListQuery::default());
    let page = given.clusters().list(&permit, &filter, &list).await.expect("a page");
    assert_eq!((page.total, page.items.len()), (1, 1));
    let shown = &page.items[0];
    assert_eq!(shown.cluster.id, imported.cluster.cluster.id);
    assert_eq!(shown.cluster.verdict.phase, Phase::Pending);
    assert_eq!(shown.project_name, "shop");
    assert!(token(&imported.import).starts_with("pc_"));
}

#[tokio::test]
async fn a_foreign_cluster_or_project_reads_as_none() {
    let given = Given::with("off").await;
    let id = given.import().await.cluster.cluster.id;
    let (stranger, _) = world(&given.app, "stranger").await;
    let permit = system_permit::<ClusterGet>(stranger, "a test");
    assert_eq!(code(given.clusters().get(&permit, id).await), "not-found");
    let permit = system_permit::<ClusterDelete>(stranger, "a test");
    assert_eq!(code(given.clusters().delete(&permit, id).await), "not-found");
    let permit = system_permit::<ClusterImport>(stranger, "a test");
    let new = NewCluster { name: "mine".into(), project: given.project };
    assert_eq!(code(given.clusters().import(&permit, new).await), "not-found");
}

#[tokio::test]
async fn reading_the_manifest_does_not_use_the_token_and_an_expired_one_shows_nothing() {
    let given = Given::with("off").await;
    let token = token(&given.import().await.import);
    for _ in 0..2 {
        let manifest = given.clusters().manifest(&token).await.expect("a manifest");
        assert!(manifest.expose().contains(&token));
        assert!(manifest.expose().contains("BEGIN CERTIFICATE"));
    }
    given.clock.advance(Duration::from_hours(24));
    assert_eq!(code(given.clusters().manifest(&token).await), "not-found");
    assert_eq!(code(given.clusters().manifest("pc_x").await), "not-found");
}

#[tokio::test]
async fn without_a_bus_nobody_enrols_and_the_token_stays_good() {
    let given = Given::with("off").await;
    let token = token(&given.import().await.import);
    let refused = given.enrol(&token, &AgentKey::generate(&SystemRandom)).await;
    assert_eq!(code(refused), "bus-off");
    assert!(given.clusters().manifest(&token).await.is_ok());
}

#[tokio::test]
async fn a_token_enrols_one_agent_and_no_second() {
    let given = Given::with("managed").await;
    let imported = given.import().await;
    let token = token(&imported.import);
    let key = AgentKey::generate(&SystemRandom);
    let enrolment = given.enrol(&token, &key).await.expect("enrolled");
    assert_eq!(enrolment.cluster, imported.cluster.cluster.id.to_string());
    let second = given.enrol(&token, &AgentKey::generate(&SystemRandom)).await;
    assert_eq!(code(second), "token-used");
    assert_eq!(code(given.clusters().manifest(&token).await), "not-found");
    let permit = system_permit::<ClusterGet>(given.tenant, "a test");
    let shown = given.clusters().get(&permit, imported.cluster.cluster.id).await.expect("shown");
    assert_eq!(shown.cluster.credential.state, CredentialState::Enrolled);
    assert_eq!(shown.cluster.credential.expires_at, Some(enrolment.expires_at));
    given.app.stop().await;
}

#[tokio::test]
async fn of_two_agents_that_enrol_at_once_one_wins() {
    let given = Given::with("managed").await;
    let token = token(&given.import().await.import);
    let (one, other) = (AgentKey::generate(&SystemRandom), AgentKey::generate(&SystemRandom));
    let (first, second) = tokio::join!(given.enrol(&token, &one), given.enrol(&token, &other));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    given.app.stop().await;
}

#[tokio::test]
async fn an_agent_whose_answer_was_lost_enrols_again_until_the_token_expires() {
    let given = Given::with("managed").await;
    let imported = given.import().await;
    let id = imported.cluster.cluster.id;
    let token = token(&imported.import);
    let (key, thief) = (AgentKey::generate(&SystemRandom), AgentKey::generate(&SystemRandom));
    let first = given.enrol(&token, &key).await.expect("enrolled");

    given.clock.advance(Duration::from_mins(1));
    let again = given.enrol(&token, &key).await.expect("enrolled again");
    assert_eq!(again.cluster, first.cluster);
    assert!(again.expires_at > first.expires_at);
    assert_eq!(code(given.enrol(&token, &thief).await), "token-used");
    let permit = system_permit::<ClusterGet>(given.tenant, "a test");
    let shown = given.clusters().get(&permit, id).await.expect("shown");
    assert_eq!(shown.cluster.credential.expires_at, Some(again.expires_at));

    given.clock.advance(Duration::from_hours(24));
    assert_eq!(code(given.enrol(&token, &key).await), "token-used");
    assert!(given.renew(&first.cluster, &key, given.now()).await.is_ok());
    given.app.stop().await;
}

#[tokio::test]
async fn of_one_agent_that_asks_twice_at_once_both_requests_succeed() {
    let given = Given::with("managed").await;
    let token = token(&given.import().await.import);
    let key = AgentKey::generate(&SystemRandom);
    let (first, second) = tokio::join!(given.enrol(&token, &key), given.enrol(&token, &key));
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    given.app.stop().await;
}

#[tokio::test]
async fn a_used_token_is_of_no_use_to_the_agent_of_another_cluster_or_a_revoked_one() {
    let given = Given::with("managed").await;
    let mine = given.import().await;
    let new = NewCluster { name: "other".into(), project: given.project };
    let permit = system_permit::<ClusterImport>(given.tenant, "a test");
    let other = given.clusters().import(&permit, new).await.expect("imported");
    let (my_key, other_key) =
        (AgentKey::generate(&SystemRandom), AgentKey::generate(&SystemRandom));
    given.enrol(&token(&mine.import), &my_key).await.expect("enrolled");
    given.enrol(&token(&other.import), &other_key).await.expect("enrolled");
    assert_eq!(code(given.enrol(&token(&other.import), &my_key).await), "token-used");

    // The next agent of my cluster voids the first one, whose token goes as well.
    let import = given.clusters().renew_import(&permit, mine.cluster.cluster.id).await;
    let import = import.expect("a new token");
    given.enrol(&token(&import), &AgentKey::generate(&SystemRandom)).await.expect("enrolled");
    assert_eq!(code(given.enrol(&token(&mine.import), &my_key).await), "not-found");
    assert_eq!(code(given.enrol(&token(&import), &my_key).await), "token-used");
    given.app.stop().await;
}

#[tokio::test]
async fn credentials_are_renewed_by_their_own_key_within_five_minutes_only() {
    let given = Given::with("managed").await;
    let imported = given.import().await;
    let cluster = imported.cluster.cluster.id.to_string();
    let key = AgentKey::generate(&SystemRandom);
    given.enrol(&token(&imported.import), &key).await.expect("enrolled");
    assert!(given.renew(&cluster, &key, given.now()).await.is_ok());

    let minutes = Duration::from_mins;
    for (at, outcome) in [
        (given.now().minus(minutes(4)), None),
        (given.now().plus(minutes(4)), None),
        (given.now().minus(minutes(6)), Some("clock-skew")),
        (given.now().plus(minutes(6)), Some("clock-skew")),
    ] {
        let renewed = given.renew(&cluster, &key, at).await;
        let refused = renewed.err();
        assert_eq!(refused.as_ref().map(Error::code), outcome);
    }
    let stranger = AgentKey::generate(&SystemRandom);
    assert_eq!(code(given.renew(&cluster, &stranger, given.now()).await), "credential-revoked");
    let elsewhere = ClusterId::random(&SystemRandom).to_string();
    assert_eq!(code(given.renew(&elsewhere, &key, given.now()).await), "credential-revoked");

    let request = RenewRequest {
        cluster,
        public_key: key.public_key().to_string(),
        at: given.now(),
        signature: data_encoding::BASE64URL_NOPAD.encode(&stranger.sign(b"anything")),
    };
    let forged = given.clusters().renew(request, RequestMeta::default()).await;
    assert_eq!(code(forged), "signature-wrong");
    given.app.stop().await;
}

#[tokio::test]
async fn the_agent_of_a_deleted_cluster_is_refused_and_stays_revoked_for_the_bus() {
    let given = Given::with("managed").await;
    let imported = given.import().await;
    let id = imported.cluster.cluster.id;
    let key = AgentKey::generate(&SystemRandom);
    given.enrol(&token(&imported.import), &key).await.expect("enrolled");
    let permit = system_permit::<ClusterDelete>(given.tenant, "a test");
    given.clusters().delete(&permit, id).await.expect("deleted");

    let refused = given.renew(&id.to_string(), &key, given.now()).await;
    let refused = refused.expect_err("refused");
    assert_eq!((refused.kind(), refused.code()), (Kind::Forbidden, "credential-revoked"));
    let accounts = given.clusters().accounts().await.expect("accounts");
    let account = accounts.iter().find(|account| account.tenant == given.tenant);
    assert!(account.expect("the tenant").revocations.contains_key(&key.public_key()));
    given.app.stop().await;
}

#[tokio::test]
async fn an_agent_that_enrols_again_voids_the_credentials_of_the_one_before() {
    let given = Given::with("managed").await;
    let imported = given.import().await;
    let id = imported.cluster.cluster.id;
    let (old, new) = (AgentKey::generate(&SystemRandom), AgentKey::generate(&SystemRandom));
    given.enrol(&token(&imported.import), &old).await.expect("enrolled");
    let permit = system_permit::<ClusterImport>(given.tenant, "a test");
    let import = given.clusters().renew_import(&permit, id).await.expect("a new token");
    given.enrol(&token(&import), &new).await.expect("enrolled again");
    let refused = given.renew(&id.to_string(), &old, given.now()).await;
    assert_eq!(code(refused), "credential-revoked");
    assert!(given.renew(&id.to_string(), &new, given.now()).await.is_ok());
    given.app.stop().await;
}

#[tokio::test]
async fn what_another_node_changed_is_taken_over() {
    let given = Given::with("off").await;
    let id = given.import().await.cluster.cluster.id;
    let mut changes = given.clusters().changes();
    let mut tx = given.app.ledger().store().begin().await.expect("begin");
    store::clusters::rename(&mut tx, given.tenant, id, "core", 1).await.expect("renamed");
    tx.commit().await.expect("commit");
    given.clusters().compare_once(false).await.expect("compared");
    let Ok(Change::Changed(shown)) = changes.try_recv() else { panic!("no change") };
    assert_eq!(shown.name, "core");

    given.clock.advance(Duration::from_secs(1));
    let mut tx = given.app.ledger().store().begin().await.expect("begin");
    store::clusters::delete(&mut tx, given.tenant, id).await.expect("deleted");
    tx.commit().await.expect("commit");
    given.clusters().compare_once(false).await.expect("compared");
    assert!(matches!(changes.try_recv(), Ok(Change::Deleted { cluster, .. }) if cluster == id));
}

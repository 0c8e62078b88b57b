//! Tenants and revocations while the broker runs, and across its restarts.

use super::*;

async fn cut_off(agent: &mut Agent, within: Duration) -> bool {
    tokio::time::timeout(within, agent.up.wait_for(|up| !up)).await.is_ok()
}

async fn lets_in(rig: &Rig, tenant: TenantId) -> bool {
    let key = AgentKey::generate(&SystemRandom);
    let now = SystemClock.now();
    let lifetime = Duration::from_mins(1);
    let (jwt, _) = rig.bus.issue_agent(tenant, cluster(9), &key.public_key(), now, lifetime);
    Agent::connect(&rig.bus, cluster(9), key, jwt).await.is_ok()
}

#[tokio::test]
async fn credentials_of_a_clock_that_was_ahead_are_revoked_too() {
    let rig = Rig::start(&[tenant(1)]).await;
    let seed = AgentKey::generate(&SystemRandom).seed();
    let key = || AgentKey::from_seed(&seed).expect("a key");
    let ahead = SystemClock.now().plus(Duration::from_hours(1));
    let (jwt, _) = rig.bus.issue_agent(
        tenant(1),
        cluster(1),
        &key().public_key(),
        ahead,
        Duration::from_hours(2),
    );
    let mut agent = Agent::connect(&rig.bus, cluster(1), key(), jwt.clone()).await.expect("let in");
    rig.bus.revoke(tenant(1), &key().public_key(), SystemClock.now()).await.expect("revoked");
    assert!(cut_off(&mut agent, Duration::from_secs(5)).await, "still connected");
    assert!(Agent::connect(&rig.bus, cluster(1), key(), jwt).await.is_err(), "let in again");
}

#[tokio::test]
async fn a_revocation_cuts_the_live_connection_and_spares_the_others() {
    let rig = Rig::start(&[tenant(1)]).await;
    let mut revoked = rig.agent(tenant(1), cluster(1)).await;
    let mut spared = rig.agent(tenant(1), cluster(2)).await;
    let key = revoked.key.public_key();
    rig.bus.revoke(tenant(1), &key, SystemClock.now()).await.expect("revoked");
    assert!(cut_off(&mut revoked, Duration::from_secs(5)).await, "still connected");
    tokio::time::sleep(SILENCE).await;
    assert_ne!(
        revoked.client.connection_state(),
        async_nats::connection::State::Connected,
        "let in again with revoked credentials"
    );
    assert!(!cut_off(&mut spared, SILENCE).await, "another agent was cut off");
}

#[tokio::test]
async fn revoking_for_an_unknown_tenant_is_an_error() {
    let rig = Rig::start(&[]).await;
    let key = AgentKey::generate(&SystemRandom).public_key();
    let error = rig.bus.revoke(tenant(1), &key, SystemClock.now()).await.expect_err("no tenant");
    assert_eq!(error.kind(), crate::error::Kind::NotFound);
}

#[tokio::test]
async fn a_tenant_comes_and_goes_without_a_restart() {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let mut first = rig.agent(tenant(1), cluster(1)).await;
    assert!(!lets_in(&rig, tenant(2)).await);

    let account = TenantAccount { tenant: tenant(2), revocations: Revocations::new() };
    rig.bus.add_tenant(account).await.expect("added");
    let mut second = rig.agent(tenant(2), cluster(1)).await;
    second.client.publish(subject::heartbeat(cluster(1)), heartbeat(1)).await.expect("sent");
    assert_eq!(rig.next().await.tenant, tenant(2));

    rig.bus.remove_tenant(tenant(2)).await.expect("removed");
    assert!(cut_off(&mut second, PATIENCE).await, "an agent of a removed tenant stays");
    assert!(!lets_in(&rig, tenant(2)).await);
    assert!(!cut_off(&mut first, SILENCE).await, "another tenant's agent was cut off");
    assert_eq!(rig.bus.status().restarts, 0);
}

#[tokio::test]
async fn a_restart_of_ours_pushes_only_what_changed() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings(&directory);
    let (bus, _inbound) = start(&settings, &[tenant(1), tenant(2), tenant(3)]).await;
    assert_eq!(bus.control.reconcile().await.expect("compared").unchanged, 3);
    bus.shutdown().await;

    // tenant 1 stays, tenant 2 has a revocation, tenant 3 is gone, tenant 4 is new
    let supervisor =
        Supervisor::start(&settings, &trust(), None, &SystemClock).await.expect("the broker");
    let key = AgentKey::generate(&SystemRandom).public_key();
    let wanted = [
        (tenant(1), Revocations::new()),
        (tenant(2), Revocations::from([(key, SystemClock.now())])),
        (tenant(4), Revocations::new()),
    ];
    let (control, _inbound) = Control::connect(
        supervisor.websocket(),
        Arc::new(trust()),
        wanted.into(),
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
        false,
    )
    .await
    .expect("connected");
    let done = control.first_reconciliation();
    assert_eq!((done.pushed, done.removed, done.unchanged), (2, 1, 1));
}

#[tokio::test]
async fn a_revocation_holds_across_a_restart_of_everything() {
    let directory = TempDir::new().expect("a directory");
    let settings = settings(&directory);
    let (bus, inbound) = start(&settings, &[tenant(1)]).await;
    let rig = Rig { bus, inbound, directory };
    let agent = rig.agent(tenant(1), cluster(1)).await;
    let key = AgentKey::from_seed(&agent.key.seed()).expect("own seed");
    let now = SystemClock.now();
    let lifetime = Duration::from_mins(1);
    let (jwt, _) = rig.bus.issue_agent(tenant(1), cluster(1), &key.public_key(), now, lifetime);
    rig.bus.shutdown().await;

    let revocations = Revocations::from([(key.public_key(), SystemClock.now())]);
    let account = TenantAccount { tenant: tenant(1), revocations };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let started = Bus::start(&settings, trust(), vec![account], None, clock, random).await;
    let (bus, _inbound) = started.expect("the bus starts");
    let outcome = Agent::connect(&bus, cluster(1), key, jwt).await;
    assert!(outcome.is_err(), "revoked credentials were accepted after a restart");
}

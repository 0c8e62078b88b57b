//! What must not get through: every agent against every foreign subject.

use async_nats::{ServerError, Subscriber};
use futures_util::StreamExt;

use super::*;

/// Agents of two tenants; two tenants have a cluster of the same name.
async fn everyone(rig: &Rig) -> Vec<(TenantId, ClusterId, Agent)> {
    let mut all = Vec::new();
    for (tenant, cluster) in
        [(tenant(1), cluster(1)), (tenant(1), cluster(2)), (tenant(2), cluster(1))]
    {
        all.push((tenant, cluster, rig.agent(tenant, cluster).await));
    }
    all
}

async fn arrives(subscriber: &mut Subscriber) -> bool {
    tokio::time::timeout(SILENCE, subscriber.next()).await.is_ok_and(|message| message.is_some())
}

/// What an agent must not listen to, given its own cluster and another.
fn foreign_subscriptions(own: ClusterId, other: ClusterId) -> Vec<String> {
    let mut subjects: Vec<String> = [
        ">",
        "*",
        "*.>",
        "*.*.>",
        "up.>",
        "ctl.>",
        "dn.>",
        "dn.*.>",
        "dn.*.*",
        "_INBOX.>",
        "_INBOX.*.>",
        "_INBOX.*.*.*",
        "_R_.>",
        "$SYS.>",
        "$SYS.REQ.>",
        "$SYS.ACCOUNT.>",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$JS.>",
        "$SYS.REQ.USER.INFO",
    ]
    .map(str::to_owned)
    .to_vec();
    subjects.extend([
        format!("dn.{other}.>"),
        format!("dn.{other}.apply"),
        format!("_INBOX.{other}.>"),
        format!("up.{other}.>"),
        format!("up.{own}.>"),
        format!("ctl.{own}.>"),
        format!("up.{}.{own}.>", tenant(2)),
        format!("dn.{}.{own}.>", tenant(2)),
    ]);
    subjects
}

#[tokio::test]
async fn an_agent_hears_nothing_on_any_foreign_subject() {
    let mut rig = Rig::start(&[tenant(1), tenant(2)]).await;
    let agents = everyone(&rig).await;

    // given: every agent listens to everything that is not its own, and to its own
    let mut foreign = Vec::new();
    let mut own = Vec::new();
    for (tenant, cluster, agent) in &agents {
        let other =
            if *cluster == super::cluster(1) { super::cluster(2) } else { super::cluster(1) };
        for subject in foreign_subscriptions(*cluster, other) {
            let subscriber = agent.client.subscribe(subject.clone()).await.expect("sent");
            foreign.push((format!("{tenant}/{cluster} on {subject}"), subscriber));
        }
        own.push(agent.client.subscribe(subject::commands(*cluster)).await.expect("sent"));
        agent.settle().await;
    }

    // when: everything happens that can happen
    for (tenant, cluster, agent) in &agents {
        agent.client.publish(subject::heartbeat(*cluster), heartbeat(1)).await.expect("sent");
        let report = serde_json::to_vec(&message::Report::default()).expect("a report");
        let to = subject::report(*cluster);
        let request = agent.client.request(to, report.into());
        let acknowledge = async {
            loop {
                if let InboundKind::Report(_, reply) = rig.next().await.kind {
                    return reply.acknowledge().await;
                }
            }
        };
        let (answer, ()) = tokio::join!(request, acknowledge);
        answer.expect("an acknowledgement");
        let command = rig.bus.request(*tenant, *cluster, "apply", "secret".into(), SILENCE);
        command.await.expect_err("nobody answers");
    }
    rig.agent(tenant(2), cluster(3)).await;

    // then
    for subscriber in &mut own {
        assert!(arrives(subscriber).await, "an agent must hear its own commands");
    }
    for (what, subscriber) in &mut foreign {
        let heard = futures_util::FutureExt::now_or_never(subscriber.next()).flatten();
        assert!(heard.is_none(), "{what} heard {heard:?}");
    }
}

/// Where an agent must not publish, given another tenant's and another cluster's names.
fn foreign_publications(own: ClusterId, other: ClusterId) -> Vec<String> {
    let (mine, theirs) = (tenant(1), tenant(2));
    vec![
        subject::heartbeat(other),
        subject::report(other),
        format!("ctl.{other}.answer.1"),
        format!("dn.{other}.apply"),
        format!("dn.{own}.apply"),
        format!("_INBOX.{other}.x"),
        format!("_INBOX.{own}.x"),
        format!("up.{mine}.{other}.heartbeat"),
        format!("up.{theirs}.{own}.heartbeat"),
        format!("ctl.{theirs}.{own}.report"),
        format!("dn.{theirs}.{own}.apply"),
        format!("t.{theirs}.up.{own}.heartbeat"),
        "up.heartbeat".into(),
        "heartbeat".into(),
        "_R_.x.y".into(),
        "$SYS.REQ.CLAIMS.UPDATE".into(),
        "$SYS.REQ.CLAIMS.DELETE".into(),
        "$SYS.REQ.CLAIMS.LIST".into(),
        "$SYS.REQ.SERVER.PING".into(),
        "$SYS.REQ.ACCOUNT.PING.CONNZ".into(),
        "$SYS.REQ.USER.INFO".into(),
        "$JS.API.INFO".into(),
    ]
}

#[tokio::test]
async fn nothing_that_an_agent_sends_to_a_foreign_subject_is_delivered() {
    let mut rig = Rig::start(&[tenant(1), tenant(2)]).await;
    let agents = everyone(&rig).await;
    let mut own = Vec::new();
    for (_, cluster, agent) in &agents {
        own.push(agent.client.subscribe(subject::commands(*cluster)).await.expect("sent"));
        let inbox = format!("{}.x", subject::inbox(*cluster));
        own.push(agent.client.subscribe(inbox).await.expect("sent"));
        agent.settle().await;
    }

    for (_, cluster, agent) in &agents {
        let other =
            if *cluster == super::cluster(1) { super::cluster(2) } else { super::cluster(1) };
        for to in foreign_publications(*cluster, other) {
            agent.client.publish(to.clone(), heartbeat(1)).await.expect("sent");
            let answer_to = format!("_INBOX.{cluster}.x");
            agent.client.publish_with_reply(to, answer_to, heartbeat(1)).await.expect("sent");
        }
        agent.settle().await;
    }

    for subscriber in &mut own {
        assert!(!arrives(subscriber).await, "an agent heard something");
    }
    assert!(rig.inbound.try_recv().is_err(), "control heard something");
}

#[tokio::test]
async fn an_acknowledgement_sent_to_a_foreign_command_subject_is_no_command() {
    // An agent may name any subject of its tenant as the place for an answer.
    // What arrives there has no place to answer, so AgentLink takes it for noise.
    let mut rig = Rig::start(&[tenant(1)]).await;
    let (villain, victim) =
        (rig.agent(tenant(1), cluster(1)).await, rig.agent(tenant(1), cluster(2)).await);
    let mut commands = victim.client.subscribe(subject::commands(cluster(2))).await.expect("sub");
    victim.settle().await;
    let report = serde_json::to_vec(&message::Report::default()).expect("a report");
    let forged = format!("dn.{}.apply", cluster(2));
    let to = subject::report(cluster(1));
    villain.client.publish_with_reply(to, forged, report.into()).await.expect("sent");
    let InboundKind::Report(_, reply) = rig.next().await.kind else { panic!("no report") };
    reply.acknowledge().await;
    if let Ok(Some(message)) = tokio::time::timeout(SILENCE, commands.next()).await {
        assert!(message.reply.is_none() && message.payload.is_empty(), "{message:?}");
    }
}

#[tokio::test]
async fn an_answer_from_another_agent_is_not_taken() {
    let rig = Rig::start(&[tenant(1), tenant(2)]).await;
    let asked = rig.agent(tenant(1), cluster(1)).await;
    let namesake = rig.agent(tenant(2), cluster(1)).await;
    let mut commands = asked.client.subscribe(subject::commands(cluster(1))).await.expect("sub");
    asked.settle().await;
    let ask = rig.bus.request(tenant(1), cluster(1), "apply", "go".into(), PATIENCE);
    let serve = async {
        // The namesake knows even the identifier of the request, and is first.
        let to = commands.next().await.expect("a command").reply.expect("a reply");
        namesake.client.publish(to.clone(), "forged".into()).await.expect("sent");
        namesake.settle().await;
        asked.client.publish(to, "true".into()).await.expect("sent");
    };
    let (answer, ()) = tokio::join!(ask, serve);
    assert_eq!(answer.expect("an answer"), "true");
}

#[tokio::test]
async fn nobody_connects_without_credentials_of_this_installation() {
    let rig = Rig::start(&[tenant(1)]).await;
    let key = || AgentKey::generate(&SystemRandom);
    let now = SystemClock.now();
    let later = now.plus(Duration::from_mins(1));
    let agent = |trust: &Trust, tenant, key: &AgentKey, expires| {
        claims::agent(trust, tenant, cluster(1), &key.public_key(), now, expires)
    };
    let (own, foreign) = (trust(), Trust::derive(&Secret::new([43; 64])));
    let (k1, k2, k3, k4) = (key(), key(), key(), key());
    let stolen = agent(&own, tenant(1), &key(), later);
    let mut tampered = agent(&own, tenant(1), &k4, later);
    tampered.replace_range(60..61, if &tampered[60..61] == "A" { "B" } else { "A" });
    for (what, token, key) in [
        ("another installation", agent(&foreign, tenant(1), &k1, later), k1),
        ("an unknown tenant", agent(&own, tenant(3), &k2, later), k2),
        ("expired", agent(&own, tenant(1), &k3, now.minus(Duration::from_mins(1))), k3),
        ("someone else's key", stolen, key()),
        ("a changed token", tampered, k4),
        ("no token", String::new(), key()),
    ] {
        let outcome = Agent::connect(&rig.bus, cluster(1), key, token).await;
        assert!(outcome.is_err(), "{what} was let in");
    }
    let bare = async_nats::connect(format!("ws://{}", rig.bus.websocket_address())).await;
    assert!(bare.is_err(), "a client without any credentials was let in");
}

#[tokio::test]
async fn a_refused_subscription_is_reported_to_the_agent() {
    // The matrix above would also pass if nothing ever worked; this shows why it does.
    let rig = Rig::start(&[tenant(1)]).await;
    let key = AgentKey::generate(&SystemRandom);
    let lifetime = Duration::from_mins(1);
    let now = SystemClock.now();
    let (jwt, _) = rig.bus.issue_agent(tenant(1), cluster(1), &key.public_key(), now, lifetime);
    let (errors_tx, mut errors) = mpsc::unbounded_channel();
    let client = ConnectOptions::with_auth_callback(move |nonce| {
        let mut auth = Auth::new();
        auth.jwt = Some(jwt.clone());
        auth.signature = Some(key.sign(&nonce));
        std::future::ready(Ok(auth))
    })
    .event_callback(move |event| {
        if let Event::ServerError(ServerError::Other(text)) = event {
            let _ = errors_tx.send(text);
        }
        std::future::ready(())
    })
    .connect(format!("ws://{}", rig.bus.websocket_address()))
    .await
    .expect("connected");
    let _subscriber = client.subscribe("dn.>").await.expect("sent");
    let text = tokio::time::timeout(PATIENCE, errors.recv()).await.expect("in time");
    assert!(text.expect("an error").to_lowercase().contains("permissions violation"));
}

//! What must get through.

use futures_util::StreamExt;

use super::*;

#[tokio::test]
async fn a_heartbeat_arrives_with_the_tenant_that_the_broker_wrote_in() {
    let mut rig = Rig::start(&[tenant(1), tenant(2)]).await;
    let agent = rig.agent(tenant(2), cluster(1)).await;
    agent.client.publish(subject::heartbeat(cluster(1)), heartbeat(7)).await.expect("published");
    let inbound = rig.next().await;
    assert_eq!((inbound.tenant, inbound.cluster), (tenant(2), cluster(1)));
    let InboundKind::Heartbeat(heartbeat) = inbound.kind else { panic!("{inbound:?}") };
    assert_eq!(heartbeat.sequence, 7);
}

#[tokio::test]
async fn a_report_is_acknowledged_to_the_agent_that_sent_it() {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let agent = rig.agent(tenant(1), cluster(1)).await;
    let report = serde_json::to_vec(&message::Report::default()).expect("a report");
    let request = agent.client.request(subject::report(cluster(1)), report.into());
    let serve = async {
        let InboundKind::Report(_, reply) = rig.next().await.kind else { panic!("no report") };
        reply.acknowledge().await;
    };
    let (answer, ()) = tokio::join!(request, serve);
    assert!(answer.expect("an acknowledgement").payload.is_empty());
}

#[tokio::test]
async fn a_command_reaches_its_agent_and_the_answer_comes_back() {
    let rig = Rig::start(&[tenant(1), tenant(2)]).await;
    let agent = rig.agent(tenant(1), cluster(1)).await;
    let mut commands = agent.client.subscribe(subject::commands(cluster(1))).await.expect("sub");
    agent.settle().await;
    let ask = rig.bus.request(tenant(1), cluster(1), "pack.apply", "go".into(), PATIENCE);
    let serve = async {
        let command = commands.next().await.expect("a command");
        assert_eq!(command.subject.as_str(), "dn.0000000000c1.pack.apply");
        assert_eq!(command.payload, "go");
        agent.client.publish(command.reply.expect("a reply"), "done".into()).await.expect("sent");
    };
    let (answer, ()) = tokio::join!(ask, serve);
    assert_eq!(answer.expect("an answer"), "done");
}

#[tokio::test]
async fn a_request_to_an_agent_that_is_not_there_fails_at_once() {
    let rig = Rig::start(&[tenant(1)]).await;
    let ask = rig.bus.request(tenant(1), cluster(1), "apply", Bytes::new(), PATIENCE);
    let error = tokio::time::timeout(Duration::from_secs(1), ask).await.expect("at once");
    assert_eq!(error.expect_err("no agent").code(), "agent-not-connected");
}

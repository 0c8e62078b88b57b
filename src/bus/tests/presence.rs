//! Which agents are connected.

use super::*;

async fn becomes(bus: &Bus, expected: usize) {
    let mut agents = bus.agents();
    let reached = agents.wait_for(|count| *count == expected);
    let reached = tokio::time::timeout(PATIENCE, reached).await.map(drop);
    assert!(reached.is_ok(), "{} agents are connected, not {expected}", bus.status().agents);
}

#[tokio::test]
async fn connected_agents_are_known_until_they_leave() {
    let rig = Rig::start(&[tenant(1), tenant(2)]).await;
    let first = rig.agent(tenant(1), cluster(1)).await;
    let again = rig.agent(tenant(1), cluster(1)).await;
    let second = rig.agent(tenant(2), cluster(2)).await;
    becomes(&rig.bus, 2).await;
    assert!(rig.bus.is_connected(cluster(1)) && rig.bus.is_connected(cluster(2)));
    drop((first, second));
    becomes(&rig.bus, 1).await;
    assert!(rig.bus.is_connected(cluster(1)), "it still has another connection");
    drop(again);
    becomes(&rig.bus, 0).await;
}

#[tokio::test]
async fn agents_that_were_there_before_us_are_found() {
    let mut rig = Rig::start(&[tenant(1)]).await;
    let _agents = [rig.agent(tenant(1), cluster(1)).await, rig.agent(tenant(1), cluster(2)).await];
    let (control, _inbound) = Control::connect(
        rig.bus.websocket_address(),
        Arc::new(trust()),
        [(tenant(1), Revocations::new())].into(),
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
        false,
    )
    .await
    .expect("connected");
    rig.bus.control = control;
    becomes(&rig.bus, 2).await;
}

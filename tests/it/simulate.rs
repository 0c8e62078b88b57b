//! Simulated agents against the whole application: HTTP, tunnel and a real broker.

use std::time::Duration;

use palisade::{
    agent::Transport,
    secret::Secret,
    simulate::{self, Shape, SimulateSettings},
};

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_clusters_enrol_beat_and_report_and_are_gone_at_the_end() {
    let app = TestApp::start_with(&[
        ("bus.mode", "managed"),
        ("bus.listen", "off"),
        ("bus.websocket_listen", "127.0.0.1:0"),
    ])
    .await;
    let system = app.set_up().await;
    let admin = app.tenant(&system, "acme").await;
    let ca_file = app.directory.path().join("ca.crt");
    std::fs::write(&ca_file, app.app.certificates().current().anchor_pem()).expect("written");
    let mut settings = SimulateSettings {
        management_url: app.url.clone(),
        api_key: Secret::new(admin.token().to_owned()),
        ca_file: Some(ca_file),
        transport: Transport::WebSocket,
        clusters: 4,
        project: "simulated".to_owned(),
        name_prefix: "sim".to_owned(),
        duration: Some(Duration::from_secs(15)),
        shape: Shape { degraded_percent: 100, ..Shape::default() },
        cleanup: false,
    };

    let mut lines = Vec::new();
    let never = std::future::pending();
    let seen = simulate::run(settings.clone(), &mut lines, never).await.expect("simulated");

    let lines = String::from_utf8(lines).expect("text");
    assert_eq!((seen.enrolled, seen.connected, seen.reconnects), (4, 4, 0), "{lines}");
    assert!(seen.heartbeats >= 4 && seen.heartbeats_failed == 0, "{lines}");
    assert!(seen.reports >= 4 && seen.reports_failed == 0, "{lines}");
    let list = admin.get("/v1/clusters").await;
    list.assert_status(200);
    assert_eq!(list.json["total"], 4);
    for cluster in list.items() {
        assert_eq!(cluster["phase"], "degraded", "{cluster}");
        assert_eq!(cluster["credential"]["state"], "enrolled");
    }

    // Another run with the same project, which leaves nothing behind.
    settings.name_prefix = "again".to_owned();
    settings.duration = Some(Duration::from_secs(3));
    settings.cleanup = true;
    let mut lines = Vec::new();
    let never = std::future::pending();
    simulate::run(settings, &mut lines, never).await.expect("simulated");
    assert_eq!(admin.get("/v1/clusters").await.json["total"], 4);
    assert!(String::from_utf8(lines).expect("text").contains("deleted 4 clusters, 0 are left"));
}

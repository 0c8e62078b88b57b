//! What every answer has, and what no request may do.

use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;

const HEADERS: [&str; 7] = [
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "content-security-policy",
    "cache-control",
    "x-request-id",
];

#[tokio::test]
async fn security_headers_are_on_every_answer_errors_included() {
    let t = TestApp::start().await;
    let client = t.anonymous();
    for path in
        ["/healthz", "/readyz", "/v1/context", "/v1/projects", "/v1/nowhere", "/openapi.json"]
    {
        let reply = client.get(path).await;
        for header in HEADERS {
            assert!(reply.headers.contains_key(header), "{header} is missing on {path}");
        }
    }
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problem_documents() {
    let t = TestApp::start().await;
    let client = t.anonymous();
    client.get("/v1/nowhere").await.assert_problem(404, "not-found");
    let reply = client.send(client.request(Method::DELETE, "/v1/context")).await;
    reply.assert_problem(405, "wrong-method");
    assert!(reply.headers.contains_key("allow"));
}

#[tokio::test]
async fn a_body_that_is_too_large_too_deep_or_no_json_is_refused() {
    let t = TestApp::start().await;
    let client = t.anonymous();
    let post = |body: String| {
        let request = client.request(Method::POST, "/v1/setup/check");
        client.send(request.header("content-type", "application/json").body(body))
    };
    post(format!("{{\"code\":\"{}\"}}", "x".repeat(1_100_000)))
        .await
        .assert_problem(413, "too-large");
    post(format!("{{\"code\":{}1{}}}", "[".repeat(100), "]".repeat(100)))
        .await
        .assert_problem(400, "too-deep");
    post("{".to_owned()).await.assert_problem(400, "malformed");
    post("{} {}".to_owned()).await.assert_status(400);
    let request = client.request(Method::POST, "/v1/setup/check").body("code=1");
    client.send(request).await.assert_problem(400, "not-json");
}

#[tokio::test]
async fn one_address_cannot_send_without_end() {
    let t = TestApp::start_with(&[
        ("limits.per_address_per_second", "5"),
        ("limits.per_address_burst", "20"),
    ])
    .await;
    let client = t.anonymous();
    let mut limited = None;
    for _ in 0..60 {
        let reply = client.get("/healthz").await;
        if reply.status == 429 {
            limited = Some(reply);
            break;
        }
    }
    let limited = limited.expect("a limit");
    limited.assert_problem(429, "rate-limited");
    assert!(limited.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn agents_and_people_behind_one_address_do_not_keep_each_other_out() {
    let t = TestApp::start_with(&[
        ("limits.per_address_per_second", "1"),
        ("limits.per_address_burst", "5"),
        ("limits.agents_per_address_per_second", "1"),
        ("limits.agents_per_address_burst", "15"),
    ])
    .await;
    let client = t.anonymous();
    let is_limited = async |path: &str| client.get(path).await.status == 429;

    // A site's agents come back together, and there is no bus to take them.
    let mut taken = 0;
    while !is_limited("/bus").await {
        taken += 1;
        assert!(taken < 60, "agents are not limited at all");
    }
    assert!(taken >= 15, "only {taken} agents were taken");
    // One request may come just as the bucket has filled up by one.
    let manifest = "/v1/agent/manifest/none";
    let same_bucket = is_limited(manifest).await || is_limited(manifest).await;
    assert!(same_bucket, "agents have one bucket");
    assert!(!is_limited("/healthz").await, "agents keep people out");

    let t = TestApp::start_with(&[
        ("limits.per_address_per_second", "1"),
        ("limits.per_address_burst", "5"),
    ])
    .await;
    let client = t.anonymous();
    let mut taken = 0;
    while client.get("/healthz").await.status != 429 {
        taken += 1;
        assert!(taken < 60, "people are not limited at all");
    }
    for _ in 0..60 {
        assert_eq!(client.get("/bus").await.status, 426, "people keep agents out");
    }
}

#[tokio::test]
async fn readiness_names_every_part() {
    let t = TestApp::start().await;
    let reply = crate::app::eventually(std::time::Duration::from_secs(5), || async {
        let reply = t.anonymous().get("/readyz").await;
        (reply.status == 200).then_some(reply)
    })
    .await;
    let names: Vec<_> = reply.json["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .map(|check| check["name"].clone())
        .collect();
    for name in ["store", "audit"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
}

#[tokio::test]
async fn metrics_are_for_those_who_may_look_at_the_platform() {
    let t = TestApp::start().await;
    t.anonymous().get("/metrics").await.assert_problem(401, "session-ended");
    let system = t.set_up().await;
    system.get("/metrics").await.assert_status(200);
}

/// What a scrape of the running program has to show after a little of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_metric_is_written_by_the_running_program() {
    use palisade::observability::metrics::{ALL, Kind};

    let installation = crate::process::Installation::with_bus(&[]);
    let server = installation.start().await;
    let system = installation.set_up().await;
    let acme = installation.tenant(&system, "acme").await;
    acme.post("/v1/projects", json!({"name": "Web"})).await.assert_status(201);
    let anonymous = installation.anonymous();
    let body = json!({"email": "x@example.com", "password": "not-the-password-at-all"});
    for _ in 0..11 {
        anonymous.post("/v1/auth/login", body.clone()).await;
    }
    let scrape = crate::app::eventually(std::time::Duration::from_secs(10), || async {
        let scrape = system.get("/metrics").await;
        scrape.assert_status(200);
        scrape.body.contains("palisade_bus_connections").then_some(scrape.body)
    })
    .await;

    let samples: Vec<_> = scrape.lines().filter(|line| !line.starts_with('#')).collect();
    // A heartbeat needs an agent, a failure of the database a broken one, and a cluster three
    // appliances: others have them; here it is enough that the code names them.
    let rare = [
        "palisade_heartbeats_total",
        "palisade_store_errors_total",
        "palisade_cluster_nodes",
        "palisade_cluster_quorum",
        "palisade_cluster_clock_ahead_seconds",
        "palisade_database_lag_bytes",
        "palisade_database_leader",
    ];
    for metric in ALL.iter().filter(|metric| !rare.contains(&metric.name)) {
        let end = if matches!(metric.kind, Kind::Histogram(_)) { "_count" } else { "" };
        let name = format!("{}{end}", metric.name);
        let of = |line: &&&str| {
            line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let sample = samples.iter().find(of);
        let sample = sample.unwrap_or_else(|| panic!("{name} is not in\n{scrape}"));
        for label in metric.labels {
            assert!(sample.contains(&format!("{label}=\"")), "{sample} has no {label}");
        }
    }
    for expected in [
        "palisade_logins_total{outcome=\"success\"} 1",
        "palisade_logins_total{outcome=\"wrong-credentials\"} 10",
        "palisade_logins_total{outcome=\"back-off\"} 1",
        "palisade_rate_limited_total{by=\"login\"} 1",
        "palisade_audit_records_total{outcome=\"failed\"} 10",
        "palisade_mutations_total{action=\"project.create\",outcome=\"success\"} 1",
        "palisade_bus_restarts_total 0",
    ] {
        assert!(samples.contains(&expected), "{expected} is not in\n{scrape}");
    }
    server.stop().await;
}

//! The audit trail: complete, exportable, and impossible to change unseen.

use std::time::Duration;

use serde_json::json;

use crate::{
    app::{TestApp, eventually},
    client::Client,
};

/// A verdict after everything has joined the chain.
async fn verified(client: &Client) -> serde_json::Value {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reply = client.get("/v1/audit/verify").await;
    reply.assert_status(200);
    reply.json
}

#[tokio::test]
async fn changes_logins_and_failures_are_recorded_and_the_chain_is_whole() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    acme.post("/v1/projects", json!({"name": "Web"})).await.assert_status(201);
    t.try_log_in("admin@acme.example.com", "not-the-password-at-all", "tenant")
        .await
        .assert_status(401);
    let records = acme.get("/v1/audit").await;
    let seen: Vec<_> = records
        .items()
        .iter()
        .map(|record| (record["action"].clone(), record["outcome"].clone()))
        .collect();
    for expected in
        [("project.create", "success"), ("auth.login", "success"), ("auth.login", "failed")]
    {
        assert!(seen.contains(&(json!(expected.0), json!(expected.1))), "{expected:?}: {seen:?}");
    }
    let login = records
        .items()
        .iter()
        .find(|record| record["action"] == "auth.login" && record["outcome"] == "success")
        .expect("a login");
    assert_eq!(login["actor"]["kind"], "user", "{login}");
    assert_eq!(login["actor"]["uid"], login["object"]["uid"], "{login}");
    let verdict = verified(&acme).await;
    assert_eq!(verdict["ok"], true, "{verdict}");
    assert!(verdict["records"].as_i64() >= Some(3), "{verdict}");
}

#[tokio::test]
async fn an_export_is_proven_offline_and_any_change_to_it_is_found() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    for number in 0..5 {
        acme.post("/v1/projects", json!({"name": format!("P{number}")})).await.assert_status(201);
    }
    let whole = eventually(Duration::from_secs(5), || async {
        let reply = acme.get("/v1/audit/export.jsonl").await;
        (reply.body.matches("project.create").count() == 5).then_some(reply.body)
    })
    .await;
    let verify = |text: &str| palisade::audit::verify_export(text.as_bytes(), None);
    assert_eq!(verify(&whole).expect("readable").first_bad, None);

    let lines: Vec<&str> = whole.lines().collect();
    let record = lines.iter().position(|line| line.contains("P2")).expect("a record");
    let changed = whole.replace("P2", "PX");
    let deleted = [&lines[..record], &lines[record + 1..]].concat().join("\n");
    let mut swapped = lines.clone();
    let next =
        (record + 1..lines.len()).find(|i| lines[*i].contains("\"record\"")).expect("another");
    swapped.swap(record, next);
    let truncated = lines[..lines.len() - 1].join("\n");
    for (what, text) in [
        ("changed", changed),
        ("deleted", deleted),
        ("swapped", swapped.join("\n")),
        ("truncated", truncated),
    ] {
        let verdict = verify(&text).expect("readable");
        assert!(verdict.first_bad.is_some(), "{what} was not found");
    }
}

#[tokio::test]
async fn a_csv_cell_cannot_start_a_formula() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let new = json!({"email": "evil@acme.example.com", "name": "=cmd()", "password": crate::app::PASSWORD});
    acme.post("/v1/users", new).await.assert_status(201);
    let evil = t.log_in("evil@acme.example.com").await;
    evil.post("/v1/auth/logout", json!({})).await.assert_status(204);
    let csv = acme.get("/v1/audit/export.csv").await;
    csv.assert_status(200);
    assert!(csv.body.contains("'=cmd()"), "{}", csv.body);
    assert!(!csv.body.contains(",=cmd()"), "{}", csv.body);
}

#[tokio::test]
async fn reading_the_audit_trail_is_recorded_too() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    acme.get("/v1/audit").await.assert_status(200);
    let records = acme.get("/v1/audit?action=audit.list").await;
    assert!(!records.items().is_empty());
}

#[tokio::test]
async fn a_user_that_was_acted_on_is_called_by_name_until_it_is_forgotten() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let body = json!({"email": "eve@acme.example.com", "name": "Eve Adler"});
    let made = acme.post("/v1/users", body).await;
    made.assert_status(201);
    let user = made.json["user"]["uid"].as_str().expect("a uid").to_owned();
    let name = async || {
        let records = acme.get(&format!("/v1/audit?action=user.create&object={user}")).await;
        records.items()[0]["object"]["name"].clone()
    };
    assert_eq!(name().await, "Eve Adler");
    acme.delete(&format!("/v1/users/{user}")).await.assert_status(204);
    assert_eq!(name().await, json!(null));
}

#[tokio::test]
async fn anybody_may_have_the_certificate_of_the_authority() {
    let t = TestApp::start().await;
    let reply = t.anonymous().get("/ca.pem").await;
    reply.assert_status(200);
    assert!(reply.body.starts_with("-----BEGIN CERTIFICATE-----"), "{}", reply.body);
}

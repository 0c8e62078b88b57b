//! Projects: the pattern of every resource.

use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn a_project_is_created_changed_listed_and_deleted() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let created = acme.post("/v1/projects", json!({"name": "Web"})).await;
    created.assert_status(201);
    let path = format!("/v1/projects/{}", created.text("/uid"));

    let changed = acme.patch(&path, 1, json!({"description": "All of it"})).await;
    changed.assert_status(200);
    assert_eq!((changed.text("/name"), changed.number("/version")), ("Web", 2));
    assert_eq!(changed.headers["etag"], "\"2\"");
    let list = acme.get("/v1/projects?q=WE").await;
    assert_eq!((list.items().len(), list.number("/total")), (1, 1));
    acme.delete(&path).await.assert_status(204);
    acme.get(&path).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn an_update_needs_the_current_version() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let created = acme.post("/v1/projects", json!({"name": "Web"})).await;
    let path = format!("/v1/projects/{}", created.text("/uid"));
    let without = acme.send(acme.request(Method::PATCH, &path).json(&json!({}))).await;
    without.assert_problem(428, "version-required");
    acme.patch(&path, 7, json!({"name": "Other"})).await.assert_problem(412, "stale");
}

#[tokio::test]
async fn the_same_idempotency_key_has_one_effect_and_one_answer() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let send = |name: &str| {
        let request = acme.request(Method::POST, "/v1/projects");
        acme.send(request.header("idempotency-key", "once").json(&json!({"name": name})))
    };
    let (first, second) = (send("Web").await, send("Web").await);
    first.assert_status(201);
    second.assert_status(201);
    assert_eq!(first.json["uid"], second.json["uid"]);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(acme.get("/v1/projects").await.number("/total"), 1);
    send("Another").await.assert_problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_that_names_the_field() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    acme.post("/v1/projects", json!({"name": "Web"})).await.assert_status(201);
    let reply = acme.post("/v1/projects", json!({"name": "Web"})).await;
    reply.assert_problem(409, "already-exists");
    reply.assert_field("name");
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    for (body, status, field) in [
        (json!({"name": 5}), 400, "name"),
        (json!({"name": "x", "colour": "red"}), 400, "colour"),
        (json!({}), 400, ""),
        (json!({"name": ""}), 422, "name"),
        (json!({"name": "   "}), 422, "name"),
        (json!({"name": "x".repeat(101)}), 422, "name"),
    ] {
        let reply = acme.post("/v1/projects", body.clone()).await;
        reply.assert_status(status);
        reply.assert_field(field);
    }
    let reply = acme.get("/v1/projects?limit=0").await;
    reply.assert_status(422);
    reply.assert_field("limit");
    acme.get("/v1/projects?sort=colour").await.assert_status(422);
    acme.get("/v1/projects?cursor=nonsense").await.assert_status(422);
}

#[tokio::test]
async fn a_foreign_project_answers_like_a_missing_one() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let (acme, rival) = (t.tenant(&system, "acme").await, t.tenant(&system, "rival").await);
    let created = acme.post("/v1/projects", json!({"name": "Web"})).await;
    let foreign = rival.get(&format!("/v1/projects/{}", created.text("/uid"))).await;
    let missing = rival.get("/v1/projects/00000000beef").await;
    foreign.assert_problem(404, "not-found");
    missing.assert_problem(404, "not-found");
    assert_eq!(foreign.json["detail"], missing.json["detail"]);
}

//! Users, teams, roles and API keys, as administrators and auditors meet them.

use reqwest::Method;
use serde_json::json;

use crate::app::{PASSWORD, TestApp};

const TENANT_ADMIN: &str = "0000000000b0";
const TENANT_VIEWER: &str = "0000000000b1";
const PROJECT_VIEWER: &str = "0000000000c2";

#[tokio::test]
async fn an_invited_user_chooses_a_password_once_and_signs_in() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let new = json!({"email": "ada@acme.example.com", "name": "Ada"});
    let created = acme.post("/v1/users", new).await;
    created.assert_status(201);
    let (_, token) = created.text("/invite/url").split_once("#token=").expect("a token");

    let body = json!({"token": token});
    let invited = t.anonymous().post("/v1/auth/invite/inspect", body).await;
    invited.assert_status(200);
    assert_eq!(invited.text("/name"), "Ada");
    let body = json!({"token": token, "password": PASSWORD});
    t.anonymous().post("/v1/auth/invite/accept", body.clone()).await.assert_status(204);
    t.anonymous().post("/v1/auth/invite/accept", body).await.assert_problem(404, "link-used-up");
    t.log_in("ada@acme.example.com").await;
}

#[tokio::test]
async fn disabling_a_user_ends_its_sessions_with_the_next_request() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let viewer = t.user_with_role(&acme, "viewer@acme.example.com", TENANT_VIEWER, None).await;
    let me = viewer.get("/v1/auth/me").await;
    me.assert_status(200);
    let path = format!("/v1/users/{}", me.text("/user/uid"));
    let version = acme.get(&path).await.number("/version");
    acme.patch(&path, version, json!({"state": "disabled"})).await.assert_status(200);
    viewer.get("/v1/auth/me").await.assert_problem(401, "session-ended");
    t.try_log_in("viewer@acme.example.com", PASSWORD, "tenant")
        .await
        .assert_problem(401, "wrong-credentials");
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_with_the_next_request() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let viewer = t.user_with_role(&acme, "viewer@acme.example.com", TENANT_VIEWER, None).await;
    viewer.get("/v1/projects").await.assert_status(200);
    let user = viewer.get("/v1/auth/me").await.text("/user/uid").to_owned();
    let assignments = acme.get(&format!("/v1/assignments?user={user}")).await;
    let uid = assignments.items()[0]["uid"].as_str().expect("an assignment").to_owned();
    acme.delete(&format!("/v1/assignments/{uid}")).await.assert_status(204);
    viewer.get("/v1/projects").await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn the_last_administrator_can_neither_be_disabled_nor_lose_the_role() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let second = t.user_with_role(&acme, "second@acme.example.com", TENANT_ADMIN, None).await;
    let first = acme.get("/v1/auth/me").await.text("/user/uid").to_owned();
    let path = format!("/v1/users/{first}");
    let version = second.get(&path).await.number("/version");
    second.patch(&path, version, json!({"state": "disabled"})).await.assert_status(200);
    let own = second.get("/v1/auth/me").await.text("/user/uid").to_owned();
    let assignments = second.get(&format!("/v1/assignments?user={own}")).await;
    let uid = assignments.items()[0]["uid"].as_str().expect("an assignment").to_owned();
    second
        .delete(&format!("/v1/assignments/{uid}"))
        .await
        .assert_problem(409, "last-administrator");
}

#[tokio::test]
async fn a_project_role_with_a_tenant_permission_is_refused() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let body = json!({"name": "Lister", "scope": "project", "permissions": ["user.list"]});
    let reply = acme.post("/v1/roles", body).await;
    reply.assert_status(422);
    reply.assert_field("permissions");
}

#[tokio::test]
async fn a_role_in_one_project_shows_that_project_and_no_other() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let web = acme.post("/v1/projects", json!({"name": "Web"})).await.text("/uid").to_owned();
    let other = acme.post("/v1/projects", json!({"name": "Other"})).await.text("/uid").to_owned();
    let viewer =
        t.user_with_role(&acme, "viewer@acme.example.com", PROJECT_VIEWER, Some(&web)).await;
    let list = viewer.get("/v1/projects").await;
    assert_eq!((list.number("/total"), list.text("/items/0/name")), (1, "Web"));
    viewer.get(&format!("/v1/projects/{web}")).await.assert_status(200);
    viewer.get(&format!("/v1/projects/{other}")).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_team_hands_its_role_to_its_members_and_why_explains_it() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let new = json!({"email": "ada@acme.example.com", "name": "Ada", "password": PASSWORD});
    let user = acme.post("/v1/users", new).await.text("/user/uid").to_owned();
    let team = acme.post("/v1/teams", json!({"name": "Night shift"})).await.text("/uid").to_owned();
    let add = acme.request(Method::PUT, &format!("/v1/teams/{team}/members/{user}"));
    acme.send(add).await.assert_status(204);
    acme.post("/v1/assignments", json!({"role": TENANT_VIEWER, "team": team}))
        .await
        .assert_status(201);
    let ada = t.log_in("ada@acme.example.com").await;
    ada.get("/v1/projects").await.assert_status(200);
    let why = acme.get(&format!("/v1/users/{user}/why?permission=project.list")).await;
    why.assert_status(200);
    assert_eq!(why.json["allowed"], true);
    assert!(why.text("/explanation").contains("Night shift"), "{}", why.body);
    let who = acme.get("/v1/who-can?permission=project.list").await;
    assert!(who.items().iter().any(|item| item["user"]["uid"] == json!(user)), "{}", who.body);
}

#[tokio::test]
async fn an_api_key_acts_for_its_owner_until_it_is_deleted() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let created = acme.post("/v1/api-keys", json!({"name": "pipeline"})).await;
    created.assert_status(201);
    let program = t.anonymous().with_token(created.text("/secret"));
    program.get("/v1/projects").await.assert_status(200);
    let path = format!("/v1/api-keys/{}", created.text("/apiKey/uid"));
    acme.delete(&path).await.assert_status(204);
    program.get("/v1/projects").await.assert_problem(401, "session-ended");
}

#[tokio::test]
async fn a_deleted_user_leaves_its_uid_and_no_personal_data() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let new = json!({"email": "canary-mail@acme.example.com", "name": "Canary Name"});
    let user = acme.post("/v1/users", new).await.text("/user/uid").to_owned();
    acme.delete(&format!("/v1/users/{user}")).await.assert_status(204);
    let list = acme.get("/v1/users").await;
    assert!(!list.body.contains("Canary Name"), "{}", list.body);
    let records = acme.get(&format!("/v1/audit?object={user}")).await;
    assert!(!records.items().is_empty(), "the uid is gone from the audit trail");
}

#[tokio::test]
async fn another_tenants_users_teams_and_roles_do_not_exist() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let (acme, rival) = (t.tenant(&system, "acme").await, t.tenant(&system, "rival").await);
    let new = json!({"email": "ada@acme.example.com", "name": "Canary Ada"});
    let user = acme.post("/v1/users", new).await.text("/user/uid").to_owned();
    let team = acme.post("/v1/teams", json!({"name": "Canary team"})).await.text("/uid").to_owned();
    let role = acme
        .post(
            "/v1/roles",
            json!({"name": "Canary role", "scope": "tenant", "permissions": ["user.get"]}),
        )
        .await
        .text("/uid")
        .to_owned();
    for path in
        [format!("/v1/users/{user}"), format!("/v1/teams/{team}"), format!("/v1/roles/{role}")]
    {
        rival.get(&path).await.assert_problem(404, "not-found");
        rival.delete(&path).await.assert_problem(404, "not-found");
    }
    for list in [
        "/v1/users",
        "/v1/teams",
        "/v1/roles",
        "/v1/assignments",
        "/v1/audit",
        "/v1/audit/export.csv",
    ] {
        let reply = rival.get(list).await;
        reply.assert_status(200);
        assert!(!reply.body.contains("Canary"), "{list}: {}", reply.body);
    }
}

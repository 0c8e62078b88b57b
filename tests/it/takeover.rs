//! Ways around a password, a right or a key that must stay closed.

use reqwest::Method;
use serde_json::json;

use crate::{
    app::{PASSWORD, TestApp},
    client::Client,
};

const USER_ADMIN: &str = "0000000000b2";
const PROJECT_ADMIN: &str = "0000000000c0";

async fn own_uid(client: &Client) -> String {
    client.get("/v1/auth/me").await.text("/user/uid").to_owned()
}

#[tokio::test]
async fn a_user_admin_cannot_lock_a_tenant_admin_out() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let helper = t.user_with_role(&acme, "helper@acme.example.com", USER_ADMIN, None).await;
    let admin = format!("/v1/users/{}", own_uid(&acme).await);
    let version = acme.get(&admin).await.number("/version");
    for change in [json!({"email": "stolen@evil.example.com"}), json!({"state": "disabled"})] {
        let reply = helper.patch(&admin, version, change).await;
        assert!(matches!(reply.status.as_u16(), 403 | 409), "{} {}", reply.status, reply.body);
    }
    let second = t.user_with_role(&acme, "second@acme.example.com", "0000000000b0", None).await;
    let path = format!("/v1/users/{}", own_uid(&second).await);
    helper.delete(&path).await.assert_problem(403, "beyond-own-rights");
    let version = acme.get(&path).await.number("/version");
    helper
        .patch(&path, version, json!({"state": "disabled"}))
        .await
        .assert_problem(403, "beyond-own-rights");
    acme.patch(&path, version, json!({"state": "disabled"})).await.assert_status(200);
}

#[tokio::test]
async fn a_reset_link_dies_with_the_password_that_it_was_made_for() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let user = t.user_with_role(&acme, "ada@acme.example.com", "0000000000b1", None).await;
    let path = format!("/v1/users/{}/invite", own_uid(&user).await);
    let link = acme.post(&path, json!({})).await;
    let (_, token) = link.text("/url").split_once("#token=").expect("a token");
    let body = json!({"current": PASSWORD, "new": "another-quiet-harbour-58"});
    user.post("/v1/auth/password", body).await.assert_status(204);
    let body = json!({"token": token, "password": "of-the-thief-harbour-58"});
    let late = t.anonymous().post("/v1/auth/invite/accept", body).await;
    assert_eq!(late.status.as_u16(), 404, "{}", late.body);
    t.try_log_in("ada@acme.example.com", "another-quiet-harbour-58", "tenant")
        .await
        .assert_status(200);
}

#[tokio::test]
async fn users_made_while_the_tenants_key_rotates_stay_readable() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let tenant = acme.get("/v1/auth/me").await.text("/tenant/uid").to_owned();
    let rotate = format!("/v1/tenants/{tenant}/key/rotate");
    let making = async {
        for number in 0..40 {
            let new = json!({"email": format!("u{number}@acme.example.com"), "name": "Someone"});
            acme.post("/v1/users", new).await.assert_status(201);
        }
    };
    let rotating = async {
        for _ in 0..12 {
            system.post(&rotate, json!({})).await.assert_status(200);
        }
    };
    tokio::join!(making, rotating);
    let users = acme.get("/v1/users?limit=100").await;
    users.assert_status(200);
    let named = users.items().iter().filter(|user| user["name"] == "Someone").count();
    assert_eq!(named, 40);
}

#[tokio::test]
async fn only_those_who_may_see_the_whole_trail_have_it_verified() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let web = acme.post("/v1/projects", json!({"name": "Web"})).await.text("/uid").to_owned();
    let lead = t.user_with_role(&acme, "lead@acme.example.com", PROJECT_ADMIN, Some(&web)).await;
    lead.get("/v1/audit").await.assert_status(200);
    lead.get("/v1/audit/verify").await.assert_status(403);
    acme.get("/v1/audit/verify").await.assert_status(200);
}

#[tokio::test]
async fn a_guessed_api_key_leaves_no_trace_of_use() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let made = acme.post("/v1/api-keys", json!({"name": "nightly"})).await;
    made.assert_status(201);
    let secret = made.text("/secret").to_owned();
    let flipped = if secret.ends_with('A') { "B" } else { "A" };
    let guess = format!("{}{flipped}", &secret[..secret.len() - 1]);
    t.anonymous().with_token(&guess).get("/v1/auth/me").await.assert_status(401);
    let key = acme.get("/v1/api-keys").await;
    assert!(key.items()[0]["lastUsedAt"].is_null(), "{}", key.body);
    t.anonymous().with_token(&secret).get("/v1/auth/me").await.assert_status(200);
    let key = acme.get("/v1/api-keys").await;
    assert!(!key.items()[0]["lastUsedAt"].is_null(), "{}", key.body);
}

#[tokio::test]
async fn a_change_is_finished_although_its_caller_hangs_up() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    for number in 0..20 {
        let body = json!({"name": format!("Project {number}")});
        let request = acme.request(Method::POST, "/v1/projects").json(&body);
        let sending = tokio::spawn(request.send());
        tokio::time::sleep(std::time::Duration::from_micros(300 * number)).await;
        sending.abort();
    }
    // Whatever had begun is whole: each project has its record and the caches agree.
    crate::app::eventually(std::time::Duration::from_secs(10), || async {
        let projects = acme.get("/v1/projects?limit=100").await.number("/total");
        let records = acme.get("/v1/audit?action=project.create").await.number("/total");
        (projects == records).then_some(())
    })
    .await;
}

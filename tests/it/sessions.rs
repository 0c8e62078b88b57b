//! Logging in, staying logged in, and being logged out.

use std::time::Duration;

use serde_json::json;

use crate::app::{PASSWORD, TestApp};

async fn session(t: &TestApp) -> (String, String) {
    let reply = t.try_log_in("root@example.com", PASSWORD, "system").await;
    reply.assert_status(200);
    (reply.text("/tokens/accessToken").to_owned(), reply.text("/tokens/refreshToken").to_owned())
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_read_the_same() {
    let t = TestApp::start().await;
    t.set_up().await;
    let wrong = t.try_log_in("root@example.com", "not-the-password-at-all", "system").await;
    let unknown = t.try_log_in("nobody@example.com", "not-the-password-at-all", "system").await;
    wrong.assert_problem(401, "wrong-credentials");
    unknown.assert_problem(401, "wrong-credentials");
    assert_eq!(wrong.json["detail"], unknown.json["detail"]);
}

#[tokio::test]
async fn whoever_tries_at_a_tenant_that_nobody_has_leaves_a_record_where_somebody_reads_it() {
    let t = TestApp::start().await;
    let root = t.set_up().await;
    let body = json!({"email": "someone@example.com", "password": "not-the-password-at-all",
        "scope": "tenant", "tenant": "0123456789ab"});
    t.anonymous().post("/v1/auth/login", body).await.assert_problem(401, "wrong-credentials");
    let trail = root.get("/v1/audit?action=auth.login&outcome=failed").await;
    trail.assert_status(200);
    assert_eq!(trail.text("/items/0/detail/reason"), "unknown-account");
}

#[tokio::test]
async fn after_ten_failures_there_is_a_back_off_that_the_right_password_does_not_pass() {
    let t = TestApp::start().await;
    t.set_up().await;
    for _ in 0..10 {
        t.try_log_in("someone@example.com", "not-the-password-at-all", "system").await;
    }
    let reply = t.try_log_in("someone@example.com", "not-the-password-at-all", "system").await;
    reply.assert_problem(429, "too-many-attempts");
}

#[tokio::test]
async fn a_system_administrator_does_not_exist_in_the_tenant_scope() {
    let t = TestApp::start().await;
    t.set_up().await;
    t.try_log_in("root@example.com", PASSWORD, "tenant")
        .await
        .assert_problem(401, "wrong-credentials");
}

#[tokio::test]
async fn logout_takes_effect_with_the_next_request() {
    let t = TestApp::start().await;
    t.set_up().await;
    let (access, _) = session(&t).await;
    let client = t.anonymous().with_token(&access);
    client.get("/v1/auth/me").await.assert_status(200);
    client.post("/v1/auth/logout", json!({})).await.assert_status(204);
    client.get("/v1/auth/me").await.assert_problem(401, "session-ended");
}

#[tokio::test]
async fn logout_everywhere_ends_every_session_of_the_user() {
    let t = TestApp::start().await;
    t.set_up().await;
    let ((first, _), (second, refresh)) = (session(&t).await, session(&t).await);
    let client = t.anonymous().with_token(&first);
    client.post("/v1/auth/logout-everywhere", json!({})).await.assert_status(204);
    let other = t.anonymous().with_token(&second);
    other.get("/v1/auth/me").await.assert_problem(401, "session-ended");
    let body = json!({"refreshToken": refresh, "bearer": true});
    t.anonymous().post("/v1/auth/refresh", body).await.assert_problem(401, "session-ended");
}

#[tokio::test]
async fn of_fifty_parallel_refreshes_one_wins() {
    let t = TestApp::start().await;
    t.set_up().await;
    let (_, refresh) = session(&t).await;
    let client = t.anonymous();
    let attempts = (0..50).map(|_| {
        let (client, refresh) = (client.clone(), refresh.clone());
        tokio::spawn(async move {
            let body = json!({"refreshToken": refresh, "bearer": true});
            client.post("/v1/auth/refresh", body).await.status.as_u16()
        })
    });
    let mut won = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.expect("no panic") {
            200 => won += 1,
            401 => {}
            other => panic!("status {other}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_refresh_token_that_comes_back_later_ends_the_session() {
    let t = TestApp::start().await;
    t.set_up().await;
    let (access, refresh) = session(&t).await;
    let body = json!({"refreshToken": refresh, "bearer": true});
    t.anonymous().post("/v1/auth/refresh", body.clone()).await.assert_status(200);
    tokio::time::sleep(Duration::from_secs(11)).await;
    t.anonymous().post("/v1/auth/refresh", body).await.assert_problem(401, "session-ended");
    let client = t.anonymous().with_token(&access);
    client.get("/v1/auth/me").await.assert_problem(401, "session-ended");
}

#[tokio::test]
async fn a_cookie_works_only_from_the_own_pages_when_it_writes() {
    let t = TestApp::start().await;
    t.set_up().await;
    let (access, _) = session(&t).await;
    let client = t.anonymous();
    let write = |headers: &[(&str, &str)]| {
        let mut request = client
            .request(reqwest::Method::POST, "/v1/auth/logout-everywhere")
            .header("cookie", format!("__Host-palisade={access}"))
            .json(&json!({}));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.send(request)
    };
    write(&[]).await.assert_problem(403, "cross-site");
    write(&[("origin", "https://evil.example")]).await.assert_problem(403, "cross-site");
    write(&[("sec-fetch-site", "cross-site")]).await.assert_problem(403, "cross-site");
    write(&[("sec-fetch-site", "same-site")]).await.assert_problem(403, "cross-site");
    write(&[("sec-fetch-site", "same-origin"), ("origin", "null")])
        .await
        .assert_problem(403, "cross-site");
    write(&[("sec-fetch-site", "same-origin")]).await.assert_status(204);
}

#[tokio::test]
async fn a_token_of_another_installation_is_refused() {
    let (one, other) = (TestApp::start().await, TestApp::start().await);
    one.set_up().await;
    let stranger = other.set_up().await;
    let client = one.anonymous().with_token(stranger.token());
    client.get("/v1/auth/me").await.assert_problem(401, "session-ended");
}

#[tokio::test]
async fn a_user_changes_the_own_password_and_only_the_other_sessions_end() {
    let t = TestApp::start().await;
    t.set_up().await;
    let ((here, _), (elsewhere, _)) = (session(&t).await, session(&t).await);
    let change = async |client: crate::client::Client, current: &str, new: &str| {
        client.post("/v1/auth/password", json!({"current": current, "new": new})).await
    };
    let (here, elsewhere) = (t.anonymous().with_token(&here), t.anonymous().with_token(&elsewhere));
    let new = "another-meadow-anchor-35";
    change(t.anonymous(), PASSWORD, new).await.assert_problem(401, "session-ended");
    let wrong = change(here.clone(), "not-the-password-at-all", new).await;
    wrong.assert_problem(422, "wrong-password");
    wrong.assert_field("current");
    let weak = change(here.clone(), PASSWORD, "short").await;
    weak.assert_status(422);
    weak.assert_field("new");
    change(here.clone(), PASSWORD, new).await.assert_status(204);

    here.get("/v1/auth/me").await.assert_status(200);
    elsewhere.get("/v1/auth/me").await.assert_problem(401, "session-ended");
    t.try_log_in("root@example.com", PASSWORD, "system").await.assert_status(401);
    t.try_log_in("root@example.com", new, "system").await.assert_status(200);
}

#[tokio::test]
async fn me_says_when_the_token_expires_and_when_the_session_ends() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let me = system.get("/v1/auth/me").await;
    let at = |name: &str| me.text(name).parse::<palisade::clock::Timestamp>().expect("a time");
    let (token, end) = (at("/expiresAt"), at("/sessionEndsAt"));
    assert!(end.since(token) > Duration::from_hours(1), "{}", me.body);
    let acme = t.tenant(&system, "acme").await;
    let key = acme.post("/v1/api-keys", json!({"name": "own"})).await.text("/secret").to_owned();
    let me = t.anonymous().with_token(&key).get("/v1/auth/me").await;
    assert!(me.json["sessionEndsAt"].is_null(), "{}", me.body);
}

#[tokio::test]
async fn the_context_tells_forms_the_password_policy_and_nobody_the_blocked_words() {
    let t = TestApp::start().await;
    let policy = "/passwordPolicy/minLength";
    assert_eq!(t.anonymous().get("/v1/context").await.number(policy), 15, "of the first one");
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    // At the common address nobody knows yet whose policy will count.
    let unknown = t.anonymous().get("/v1/context").await;
    assert!(unknown.json["passwordPolicy"].is_null(), "{}", unknown.body);
    let path = "/v1/settings/password-policy";
    let mut wanted = acme.get(path).await.json;
    wanted.as_object_mut().expect("an object").remove("version");
    wanted["minLength"] = json!(20);
    wanted["blockList"] = json!(["skunkworks"]);
    let put = acme.request(reqwest::Method::PUT, path).header("if-match", "\"0\"");
    acme.send(put.json(&wanted)).await.assert_status(200);
    let told = acme.get("/v1/context").await;
    assert_eq!(told.number(policy), 20);
    let at_home = t.anonymous();
    let at_home = at_home.send(
        at_home.request(reqwest::Method::GET, "/v1/context").header("host", "acme.localhost"),
    );
    for reply in [&told, &at_home.await] {
        assert!(!reply.body.contains("skunkworks"), "{}", reply.body);
    }
}

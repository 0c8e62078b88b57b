//! First-boot set-up, and recognising one's own installation.

use serde_json::json;

use crate::app::{PASSWORD, TestApp};

#[tokio::test]
async fn the_code_from_the_console_makes_the_first_administrator_once() {
    let t = TestApp::start().await;
    assert_eq!(t.anonymous().get("/v1/context").await.text("/setup"), "required");

    let root = t.set_up().await;

    let me = root.get("/v1/auth/me").await;
    me.assert_status(200);
    assert_eq!(me.text("/tenant/kind"), "system");
    assert_eq!(me.text("/user/email"), "root@example.com");
    assert_eq!(t.anonymous().get("/v1/context").await.text("/setup"), "done");
    let body = json!({"code": t.setup_code(), "admin":
        {"email": "second@example.com", "name": "Second", "password": PASSWORD}});
    t.anonymous().post("/v1/setup", body).await.assert_problem(409, "setup-done");
}

#[tokio::test]
async fn only_who_has_the_code_hears_who_is_to_be_the_first_administrator() {
    let email = ("server.admin_email", "ada@example.com");
    let t = TestApp::start_in(tempfile::TempDir::new().expect("a directory"), &[email]).await;
    let code = json!({"code": t.setup_code()});
    let told = t.anonymous().post("/v1/setup/check", code).await;
    assert_eq!(told.text("/adminEmail"), "ada@example.com");
    let context = t.anonymous().get("/v1/context").await;
    assert!(!context.body.contains("ada@"), "{}", context.body);
}

#[tokio::test]
async fn a_wrong_code_is_refused_and_guessing_is_slowed_down() {
    let t = TestApp::start().await;
    let guess = json!({"code": "AAAA-AAAA-AAAA-AAAA"});
    for _ in 0..10 {
        t.anonymous()
            .post("/v1/setup/check", guess.clone())
            .await
            .assert_problem(403, "wrong-setup-code");
    }
    let reply = t.anonymous().post("/v1/setup/check", guess).await;
    reply.assert_problem(429, "too-many-attempts");
    assert!(reply.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_weak_first_password_is_refused_with_its_field_and_set_up_stays_open() {
    let t = TestApp::start().await;
    let body = json!({"code": t.setup_code(), "admin":
        {"email": "root@example.com", "name": "Root", "password": "short"}});
    let reply = t.anonymous().post("/v1/setup", body).await;
    reply.assert_status(422);
    reply.assert_field("admin.password");
    t.set_up().await;
}

#[tokio::test]
async fn the_recovery_kit_is_shown_once_with_the_set_up() {
    let t = TestApp::start().await;
    let body = json!({"code": t.setup_code(), "admin":
        {"email": "root@example.com", "name": "Root", "password": PASSWORD}});
    let reply = t.anonymous().post("/v1/setup", body).await;
    reply.assert_status(201);
    assert!(reply.text("/recoveryKit").len() > 200, "{}", reply.body);
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 2);
    for cookie in cookies {
        let cookie = cookie.to_str().expect("ASCII");
        for part in ["__Host-", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
            assert!(cookie.contains(part), "{part} is missing in {cookie}");
        }
    }
}

#[tokio::test]
async fn everything_is_found_again_after_a_restart() {
    let t = TestApp::start().await;
    t.set_up().await;
    let directory = t.stop().await;

    let t = TestApp::start_in(directory, &[]).await;

    t.try_log_in("root@example.com", PASSWORD, "system").await.assert_status(200);
}

#[tokio::test]
async fn a_database_without_its_keystore_is_refused_and_nothing_is_written() {
    let t = TestApp::start().await;
    t.set_up().await;
    let directory = t.stop().await;
    let data = directory.path().join("var");
    std::fs::rename(data.join("keys"), data.join("elsewhere")).expect("the keystore moves");

    let refused = crate::config::start_in(&directory).await.expect_err("refused");

    assert_eq!(refused.code(), "keystore-missing");
    assert!(refused.hint().is_some_and(|hint| hint.contains("palisade keys recover")));
    assert!(!data.join("keys").exists(), "a new keystore was written");
}

#[tokio::test]
async fn the_keystore_of_another_installation_is_refused() {
    let (one, other) = (TestApp::start().await, TestApp::start().await);
    let (one, other) = (one.stop().await, other.stop().await);
    let keys = one.path().join("var/keys");
    std::fs::remove_dir_all(&keys).expect("removable");
    std::fs::rename(other.path().join("var/keys"), &keys).expect("the keystore moves");

    let refused = crate::config::start_in(&one).await.expect_err("refused");

    assert_eq!(refused.code(), "wrong-keystore");
}

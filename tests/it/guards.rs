//! Nobody locks everybody out, nobody hands out more than it has, and nobody
//! gets around its own account's rules: every place where `identity` asks.
//!
//! The last test counts those places, so that a new one is noticed here.

use palisade::rbac::{BuiltIn, Permission};
use reqwest::Method;
use serde_json::json;

use crate::{
    app::{PASSWORD, TestApp},
    client::{Client, Reply},
};

const TENANT_ADMIN: &str = "0000000000b0";
const USER_ADMIN: &str = "0000000000b2";
const ROLE_ADMIN: &str = "0000000000b3";
const TEAM_ADMIN: &str = "0000000000b4";

async fn own_uid(client: &Client) -> String {
    client.get("/v1/auth/me").await.text("/user/uid").to_owned()
}

async fn set_state(client: &Client, user: &str, state: &str) -> Reply {
    let path = format!("/v1/users/{user}");
    let version = client.get(&path).await.number("/version");
    client.patch(&path, version, json!({"state": state})).await
}

/// The first assignment of a user, as `client` sees it.
async fn assignment(client: &Client, user: &str) -> String {
    let list = client.get(&format!("/v1/assignments?user={user}")).await;
    list.text("/items/0/uid").to_owned()
}

/// The refusal, and that the trail has it under this action.
async fn assert_beyond(admin: &Client, who: &Client, reply: &Reply, action: &str) {
    reply.assert_problem(403, "beyond-own-rights");
    let who = own_uid(who).await;
    let records = admin.get(&format!("/v1/audit?actor={who}&action={action}&outcome=denied")).await;
    assert!(!records.items().is_empty(), "no record of the refused {action}");
}

#[tokio::test]
async fn the_last_administrator_of_a_tenant_cannot_be_disabled_deleted_or_demoted_by_anybody() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let first = own_uid(&acme).await;
    let users = t.user_with_role(&acme, "users@acme.example.com", USER_ADMIN, None).await;
    let roles = t.user_with_role(&acme, "roles@acme.example.com", ROLE_ADMIN, None).await;
    // Neither an administrator through a team nor an invited one counts.
    let team = acme.post("/v1/teams", json!({"name": "Admins"})).await.text("/uid").to_owned();
    let member = own_uid(&users).await;
    let join = acme.request(Method::PUT, &format!("/v1/teams/{team}/members/{member}"));
    acme.send(join).await.assert_status(204);
    let body = json!({"role": TENANT_ADMIN, "team": team});
    acme.post("/v1/assignments", body).await.assert_status(201);
    let guest = json!({"email": "guest@acme.example.com", "name": "Guest"});
    let guest = acme.post("/v1/users", guest).await.text("/user/uid").to_owned();
    let body = json!({"role": TENANT_ADMIN, "user": guest});
    acme.post("/v1/assignments", body).await.assert_status(201);

    let last = assignment(&roles, &first).await;
    set_state(&users, &first, "disabled").await.assert_problem(409, "last-administrator");
    let deleted = users.delete(&format!("/v1/users/{first}")).await;
    deleted.assert_problem(409, "last-administrator");
    let path = format!("/v1/assignments/{last}");
    roles.delete(&path).await.assert_problem(409, "last-administrator");
    acme.delete(&path).await.assert_problem(409, "last-administrator");
    acme.get("/v1/users").await.assert_status(200);

    // With a second active one each of them is possible.
    t.user_with_role(&acme, "second@acme.example.com", TENANT_ADMIN, None).await;
    set_state(&users, &first, "disabled").await.assert_status(200);
}

#[tokio::test]
async fn the_last_system_administrator_cannot_be_disabled_deleted_or_demoted_either() {
    let t = TestApp::start().await;
    let root = t.set_up().await;
    let first = own_uid(&root).await;
    // Who may do all of that, but not by the administrators' own role.
    let all = BuiltIn::find("0000000000a0").expect("built in").permissions();
    let all: Vec<_> = all.iter().map(Permission::name).collect();
    let role = json!({"name": "Staff", "scope": "system", "permissions": all});
    let role = root.post("/v1/roles", role).await.text("/uid").to_owned();
    let new = json!({"email": "staff@example.com", "name": "Staff", "password": PASSWORD});
    let staff = root.post("/v1/users", new).await.text("/user/uid").to_owned();
    let body = json!({"role": role, "user": staff});
    root.post("/v1/assignments", body).await.assert_status(201);
    let reply = t.try_log_in("staff@example.com", PASSWORD, "system").await;
    let staff = t.anonymous().with_token(reply.text("/tokens/accessToken"));

    set_state(&staff, &first, "disabled").await.assert_problem(409, "last-administrator");
    let deleted = staff.delete(&format!("/v1/users/{first}")).await;
    deleted.assert_problem(409, "last-administrator");
    let last = assignment(&staff, &first).await;
    let demoted = staff.delete(&format!("/v1/assignments/{last}")).await;
    demoted.assert_problem(409, "last-administrator");
}

#[tokio::test]
async fn two_administrators_cannot_remove_each_other_at_the_same_moment() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let one = t.tenant(&system, "acme").await;
    let other = t.user_with_role(&one, "other@acme.example.com", TENANT_ADMIN, None).await;
    let (first, second) = (own_uid(&one).await, own_uid(&other).await);
    let (path_of_first, path_of_second) =
        (format!("/v1/users/{first}"), format!("/v1/users/{second}"));
    let (gone, also) = tokio::join!(one.delete(&path_of_second), other.delete(&path_of_first));
    let done = [&gone, &also].iter().filter(|reply| reply.status == 204).count();
    assert_eq!(done, 1, "{} {}", gone.body, also.body);
}

#[tokio::test]
async fn nobody_assigns_a_role_that_may_do_more_than_the_assigner() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let roles = t.user_with_role(&acme, "roles@acme.example.com", ROLE_ADMIN, None).await;
    let own = own_uid(&roles).await;
    let reply = roles.post("/v1/assignments", json!({"role": TENANT_ADMIN, "user": own})).await;
    assert_beyond(&acme, &roles, &reply, "role.assign").await;
    let team = acme.post("/v1/teams", json!({"name": "Any"})).await.text("/uid").to_owned();
    let reply = roles.post("/v1/assignments", json!({"role": USER_ADMIN, "team": team})).await;
    reply.assert_problem(403, "beyond-own-rights");
    // A role of its own making opens no way round.
    let all = json!({"name": "All", "scope": "tenant", "permissions": ["user.delete"]});
    let made = roles.post("/v1/roles", all).await;
    made.assert_status(201);
    let reply =
        roles.post("/v1/assignments", json!({"role": made.text("/uid"), "user": own})).await;
    reply.assert_problem(403, "beyond-own-rights");
    // What it has itself it may give.
    let reply = roles.post("/v1/assignments", json!({"role": ROLE_ADMIN, "team": team})).await;
    reply.assert_status(201);
}

#[tokio::test]
async fn nobody_adds_to_a_role_what_he_may_not_do_himself() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let roles = t.user_with_role(&acme, "roles@acme.example.com", ROLE_ADMIN, None).await;
    let held = json!({"name": "Held", "scope": "tenant", "permissions": ["role.list"]});
    let held = acme.post("/v1/roles", held).await.text("/uid").to_owned();
    let own = own_uid(&roles).await;
    acme.post("/v1/assignments", json!({"role": held, "user": own})).await.assert_status(201);

    let path = format!("/v1/roles/{held}");
    let more = json!({"permissions": ["role.list", "cluster.kubeconfig"]});
    let reply = roles.patch(&path, 1, more.clone()).await;
    assert_beyond(&acme, &roles, &reply, "role.update").await;
    assert_eq!(acme.get(&path).await.json["permissions"], json!(["role.list"]));
    let less = json!({"permissions": ["role.get", "role.list"]});
    roles.patch(&path, 1, less).await.assert_status(200);
    acme.patch(&path, 2, more).await.assert_status(200);
}

#[tokio::test]
async fn nobody_fills_a_team_that_may_do_more_than_he_himself() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let teams = t.user_with_role(&acme, "teams@acme.example.com", TEAM_ADMIN, None).await;
    let own = own_uid(&teams).await;
    let team = acme.post("/v1/teams", json!({"name": "Admins"})).await.text("/uid").to_owned();
    let join = |client: &Client| {
        let path = format!("/v1/teams/{team}/members/{own}");
        (client.clone(), client.request(Method::PUT, &path))
    };
    let body = json!({"role": TENANT_ADMIN, "team": team});
    acme.post("/v1/assignments", body).await.assert_status(201);
    let (client, request) = join(&teams);
    let reply = client.send(request).await;
    assert_beyond(&acme, &teams, &reply, "team.update").await;
    teams.get("/v1/audit").await.assert_problem(403, "forbidden");
    let (client, request) = join(&acme);
    client.send(request).await.assert_status(204);
}

#[tokio::test]
async fn nobody_makes_a_way_into_an_account_that_may_do_more_than_he_himself() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let users = t.user_with_role(&acme, "users@acme.example.com", USER_ADMIN, None).await;
    let admin = own_uid(&acme).await;
    let reply = users.post(&format!("/v1/users/{admin}/invite"), json!({})).await;
    assert_beyond(&acme, &users, &reply, "user.update").await;
    let path = format!("/v1/users/{admin}");
    let version = users.get(&path).await.number("/version");
    let moved = users.patch(&path, version, json!({"email": "mine@acme.example.com"})).await;
    moved.assert_problem(403, "beyond-own-rights");
    users.patch(&path, version, json!({"name": "Other name"})).await.assert_status(200);
    // Not even into one of several.
    let second = t.user_with_role(&acme, "second@acme.example.com", TENANT_ADMIN, None).await;
    let second = own_uid(&second).await;
    set_state(&users, &second, "disabled").await.assert_problem(403, "beyond-own-rights");
    let reply = users.delete(&format!("/v1/users/{second}")).await;
    assert_beyond(&acme, &users, &reply, "user.delete").await;
    // Neither for somebody who has a role in one project only.
    let project = acme.post("/v1/projects", json!({"name": "Web"})).await.text("/uid").to_owned();
    let editor = "0000000000c1";
    let editor = t.user_with_role(&acme, "editor@acme.example.com", editor, Some(&project)).await;
    let path = format!("/v1/users/{}/invite", own_uid(&editor).await);
    users.post(&path, json!({})).await.assert_problem(403, "beyond-own-rights");
    // For somebody with less it is what the role is for.
    let new = json!({"email": "new@acme.example.com", "name": "New", "password": PASSWORD});
    let new = users.post("/v1/users", new).await.text("/user/uid").to_owned();
    users.post(&format!("/v1/users/{new}/invite"), json!({})).await.assert_status(200);
}

#[tokio::test]
async fn nobody_disables_deletes_or_resets_the_own_account() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    t.user_with_role(&acme, "second@acme.example.com", TENANT_ADMIN, None).await;
    let own = own_uid(&acme).await;
    let path = format!("/v1/users/{own}");
    set_state(&acme, &own, "disabled").await.assert_problem(409, "own-account");
    acme.delete(&path).await.assert_problem(409, "own-account");
    let reset = acme.post(&format!("{path}/invite"), json!({})).await;
    reset.assert_problem(409, "own-account");
    // An API key is its owner.
    let key = acme.post("/v1/api-keys", json!({"name": "own"})).await.text("/secret").to_owned();
    let key = t.anonymous().with_token(&key);
    key.delete(&path).await.assert_problem(409, "own-account");
    acme.patch(&path, acme.get(&path).await.number("/version"), json!({"name": "Other"}))
        .await
        .assert_status(200);
}

#[tokio::test]
async fn an_api_key_makes_no_other_key() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let key = acme.post("/v1/api-keys", json!({"name": "own"})).await.text("/secret").to_owned();
    let key = t.anonymous().with_token(&key);
    let reply = key.post("/v1/api-keys", json!({"name": "another"})).await;
    reply.assert_problem(403, "session-needed");
}

/// Each of these calls has its test above.
#[test]
fn no_guard_was_added_or_removed_without_a_test() {
    const GUARDS: [(&str, &str, usize); 7] = [
        ("identity/users/manage.rs", "refuse_losing(", 2),
        ("identity/users/manage.rs", "refuse_own(permit", 3),
        ("identity/users/manage.rs", "refuse_beyond(", 3),
        ("identity/assignments.rs", "refuse_losing(", 1),
        ("identity/assignments.rs", "refuse_beyond(", 1),
        ("identity/roles.rs", "refuse_beyond(", 1),
        ("identity/teams.rs", "refuse_beyond(", 1),
    ];
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = 0;
    for (file, call, times) in GUARDS {
        let text = std::fs::read_to_string(source.join(file)).expect("a file");
        let found = text.matches(call).count();
        assert_eq!(found, times, "{call} in {file}");
        all += found;
    }
    assert_eq!(all, 12);
}

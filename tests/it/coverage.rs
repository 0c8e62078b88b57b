//! Every operation of the API, found in its own description.
//!
//! Each operation that is not public is called without a token, and by somebody
//! without any role, whose refusal is recorded. An operation that forgets its
//! permission fails here. Who sees what is in `matrix`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    client::{Client, Reply},
};

/// One operation of the API.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Can be called without credentials.
    public: bool,
    pub(crate) permission: Option<String>,
    /// Names of its query parameters.
    pub(crate) filters: Vec<String>,
}

/// All of them.
pub(crate) fn operations() -> Vec<Operation> {
    let document: Value =
        serde_json::from_str(&palisade::gateway::document()).expect("a JSON document");
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let security = operation["security"].as_array().cloned().unwrap_or_default();
            found.push(Operation {
                method,
                path: path.clone(),
                public: security.is_empty() || security.contains(&json!({})),
                permission: operation["x-permission"].as_str().map(str::to_owned),
                filters: filters(operation),
            });
        }
    }
    found
}

fn filters(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let queries = parameters.filter(|parameter| parameter["in"] == "query");
    queries.filter_map(|parameter| Some(parameter["name"].as_str()?.to_owned())).collect()
}

/// An identifier of nothing.
pub(crate) const NOTHING: &str = "00000000beef";

/// A path with every parameter filled with an identifier of nothing.
fn filled(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { NOTHING } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

async fn call(client: &Client, operation: &Operation, path: &str) -> Reply {
    let request = client.request(operation.method.clone(), path).header("if-match", "\"1\"");
    let request = match operation.method {
        Method::GET | Method::DELETE => request,
        _ => request.json(&json!({})),
    };
    client.send(request).await
}

/// What needs no permission although it is not public: the caller's own things.
const OWN: [&str; 4] =
    ["/v1/auth/me", "/v1/auth/logout", "/v1/auth/logout-everywhere", "/v1/events"];

#[test]
fn every_operation_is_public_or_own_or_names_a_permission_that_exists() {
    for operation in operations() {
        let name = format!("{} {}", operation.method, operation.path);
        match operation.permission {
            Some(permission) => {
                assert!(!operation.public, "{name} is public and names {permission}");
                let known: Result<palisade::rbac::Permission, _> = permission.parse();
                assert!(known.is_ok(), "{name} names the unknown permission {permission}");
            }
            None => assert!(
                operation.public || OWN.contains(&operation.path.as_str()),
                "{name} needs neither a permission nor is it public"
            ),
        }
    }
}

#[tokio::test]
async fn without_a_token_every_operation_that_is_not_public_answers_401() {
    let t = TestApp::start().await;
    t.set_up().await;
    let nobody = t.anonymous();
    for operation in operations().iter().filter(|operation| !operation.public) {
        let reply = call(&nobody, operation, &filled(&operation.path)).await;
        assert_eq!(reply.status, 401, "{} {}: {}", operation.method, operation.path, reply.body);
    }
}

#[tokio::test]
async fn without_a_role_every_operation_with_a_permission_answers_403_and_is_recorded() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    let created = acme
        .post(
            "/v1/users",
            json!({"email": "nobody@acme.example.com", "name": "No Role",
            "password": crate::app::PASSWORD}),
        )
        .await;
    created.assert_status(201);
    let without = t.log_in("nobody@acme.example.com").await;
    let uid = created.text("/user/uid");
    for operation in operations().iter().filter(|operation| operation.permission.is_some()) {
        let reply = call(&without, operation, &filled(&operation.path)).await;
        assert_eq!(reply.status, 403, "{} {}: {}", operation.method, operation.path, reply.body);
        let permission = operation.permission.as_deref().expect("filtered");
        let records =
            acme.get(&format!("/v1/audit?actor={uid}&action={permission}&outcome=denied")).await;
        assert!(!records.items().is_empty(), "no record of the refusal of {permission}");
    }
}

#[tokio::test]
async fn a_tenant_administrator_holds_no_system_permission_and_the_system_none_in_tenants() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    for operation in operations() {
        let Some(permission) = &operation.permission else { continue };
        let permission: palisade::rbac::Permission = permission.parse().expect("known");
        let path = filled(&operation.path);
        if permission.level() == palisade::rbac::Level::System {
            let reply = call(&acme, &operation, &path).await;
            assert_eq!(reply.status, 403, "{} {path}: {}", operation.method, reply.body);
        }
        if !permission.in_system_scope() {
            let reply = call(&system, &operation, &path).await;
            assert_eq!(reply.status, 403, "{} {path}: {}", operation.method, reply.body);
        }
    }
}

#[tokio::test]
async fn an_identifier_of_nothing_answers_404_and_never_a_server_error() {
    let t = TestApp::start().await;
    let system = t.set_up().await;
    let acme = t.tenant(&system, "acme").await;
    for operation in operations().iter().filter(|operation| operation.path.contains('{')) {
        let path = filled(&operation.path);
        for client in [&acme, &system] {
            let reply = call(client, operation, &path).await;
            assert!(
                reply.status.is_client_error() || reply.status == 204,
                "{} {path}: {} {}",
                operation.method,
                reply.status,
                reply.body
            );
        }
    }
}

//! The application under test: in this process, on a port of its own.

use std::{sync::Arc, time::Duration};

use palisade::{
    app::{App, Parts},
    clock::{SystemClock, SystemRandom},
    config::{Config, Sources},
    gateway::Server,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;

/// A password that the default policy accepts.
pub(crate) const PASSWORD: &str = "violet-anchor-meadow-71";

/// A running appliance with a directory that goes with it.
pub(crate) struct TestApp {
    pub(crate) url: String,
    pub(crate) app: App,
    pub(crate) directory: TempDir,
    setup_code: String,
}

impl TestApp {
    /// A fresh installation on SQLite, without a bus.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with further settings.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self::start_in(directory, settings).await
    }

    /// An installation in a directory that may have one already.
    pub(crate) async fn start_in(directory: TempDir, settings: &[(&str, &str)]) -> Self {
        // Fails when another test of this process was first: as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let data = directory.path().join("var");
        let mut all = vec![
            ("storage.data_dir", data.to_str().expect("a plain path")),
            ("server.listen", "127.0.0.1:0"),
            ("bus.mode", "off"),
            ("limits.per_address_per_second", "100000"),
            ("limits.per_address_burst", "100000"),
            ("limits.per_tenant_per_second", "100000"),
            ("limits.per_tenant_burst", "100000"),
        ];
        all.extend_from_slice(settings);
        let config = Config::load(Sources::only(all)).expect("valid settings");
        let server = Server::bind(config.server.listen).expect("a free port");
        let url = format!("https://localhost:{}", server.address().port());
        let parts = Parts {
            config,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            metrics: None,
        };
        let app = App::start(parts).await.expect("the application starts");
        let code = app.setup().new_code().await.expect("the store answers");
        let setup_code = code.map(|code| code.expose_grouped()).unwrap_or_default();
        tokio::spawn(server.run(app.clone()));
        Self { url, app, directory, setup_code }
    }

    /// Stops the application and keeps its directory.
    pub(crate) async fn stop(self) -> TempDir {
        self.app.stop().await;
        self.directory
    }

    /// The code that the console would show.
    pub(crate) fn setup_code(&self) -> &str {
        &self.setup_code
    }

    /// A client that has not signed in.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.url, self.app.certificates().current().anchor_pem())
    }

    /// Completes the set-up; the client is the first system administrator.
    pub(crate) async fn set_up(&self) -> Client {
        let body = json!({
            "code": self.setup_code,
            "admin": {"email": "root@example.com", "name": "Root", "password": PASSWORD},
            "bearer": true,
        });
        let reply = self.anonymous().post("/v1/setup", body).await;
        reply.assert_status(201);
        self.anonymous().with_token(reply.text("/tokens/accessToken"))
    }

    /// A tenant with an administrator, who is the client. `system` is a system administrator.
    pub(crate) async fn tenant(&self, system: &Client, slug: &str) -> Client {
        let email = format!("admin@{slug}.example.com");
        let body = json!({
            "name": slug,
            "slug": slug,
            "admin": {"email": email, "name": format!("Admin of {slug}"), "password": PASSWORD},
        });
        system.post("/v1/tenants", body).await.assert_status(201);
        self.log_in(&email).await
    }

    /// A user of the tenant of `admin` with one built-in or custom role, signed in.
    pub(crate) async fn user_with_role(
        &self,
        admin: &Client,
        email: &str,
        role: &str,
        project: Option<&str>,
    ) -> Client {
        let created = admin
            .post("/v1/users", json!({"email": email, "name": "Someone", "password": PASSWORD}))
            .await;
        created.assert_status(201);
        let mut body = json!({"role": role, "user": created.text("/user/uid")});
        if let Some(project) = project {
            body["project"] = json!(project);
        }
        admin.post("/v1/assignments", body).await.assert_status(201);
        self.log_in(email).await
    }

    /// Signs in with [`PASSWORD`] in the tenant scope.
    pub(crate) async fn log_in(&self, email: &str) -> Client {
        let reply = self.try_log_in(email, PASSWORD, "tenant").await;
        reply.assert_status(200);
        self.anonymous().with_token(reply.text("/tokens/accessToken"))
    }

    /// Tries to sign in.
    pub(crate) async fn try_log_in(
        &self,
        email: &str,
        password: &str,
        scope: &str,
    ) -> crate::client::Reply {
        let body: Value =
            json!({"email": email, "password": password, "scope": scope, "bearer": true});
        self.anonymous().post("/v1/auth/login", body).await
    }
}

/// Waits until `probe` gives a value, or fails after `limit`.
pub(crate) async fn eventually<T, F>(limit: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

//! The appliance under test: the release binary, set up with one tenant.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    http::{Target, request},
    process::{Folder, Server, free_address, program},
};

const EMAIL: &str = "admin@bench.example.com";
pub(crate) const PASSWORD: &str = "only-for-this-measurement-4711";

/// A running appliance. Dropping it ends it, and its broker.
pub(crate) struct Appliance {
    server: Option<Server>,
    pub(crate) target: Target,
    /// An API key of the system administrator.
    pub(crate) system_key: String,
    settings: Settings,
    folder: Folder,
}

/// Where it listens and what differs from the defaults.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    websocket: SocketAddr,
    set: Vec<(String, String)>,
}

impl Settings {
    /// The defaults, but for the ports and the limits on one address, which
    /// would keep one machine from making any load.
    pub(crate) fn new() -> Result<Self> {
        let set = [
            ("limits.per_address_per_second", "1000000"),
            ("limits.per_address_burst", "1000000"),
            ("limits.agents_per_address_per_second", "1000000"),
            ("limits.agents_per_address_burst", "1000000"),
            ("limits.per_tenant_per_second", "1000000"),
            ("limits.per_tenant_burst", "1000000"),
            ("server.drain_seconds", "1"),
        ];
        Ok(Self {
            listen: free_address()?,
            websocket: free_address()?,
            set: set.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        })
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.set.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// The release binary.
pub(crate) fn binary() -> PathBuf {
    program("PALISADE", "palisade")
}

/// `palisade serve` in `folder`, started but not waited for.
pub(crate) fn start(settings: &Settings, folder: &Path) -> Result<Server> {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--data-dir").arg(folder.join("data"));
    command.arg("--listen").arg(settings.listen.to_string());
    let ports = [
        ("bus.listen", "off".to_owned()),
        ("bus.websocket_listen", settings.websocket.to_string()),
    ];
    let ports = ports.iter().map(|(key, value)| (*key, value));
    let set = settings.set.iter().map(|(key, value)| (key.as_str(), value));
    for (key, value) in ports.chain(set) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    command.current_dir(folder);
    Server::start(command, folder.join("serve.log"))
}

impl Appliance {
    /// Starts one and sets it up: an administrator, a tenant, a user of it.
    pub(crate) async fn new(settings: Settings) -> Result<Self> {
        let folder = Folder::new()?;
        let mut server = start(&settings, folder.path())?;
        let target = ready(&mut server, settings.listen, folder.path()).await?;
        let server = Some(server);
        let mut appliance = Self { server, target, system_key: String::new(), settings, folder };
        appliance.system_key = appliance.set_up().await?;
        Ok(appliance)
    }

    /// The folder of its database and its log.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.settings.listen.port())
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.data().join("ca.pem")
    }

    /// The process of `serve` alone.
    pub(crate) fn process(&self) -> Result<u32> {
        Ok(self.server.as_ref().context("the appliance is stopped")?.id())
    }

    /// `serve` and its broker.
    pub(crate) fn processes(&self) -> Result<Vec<u32>> {
        self.server.as_ref().context("the appliance is stopped")?.processes()
    }

    /// Stops it, lets `between` change its files, and starts it again.
    pub(crate) async fn restart(
        &mut self,
        between: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        self.server = None;
        between(&self.data())?;
        let mut server = start(&self.settings, self.folder.path())?;
        self.target = ready(&mut server, self.settings.listen, self.folder.path()).await?;
        self.server = Some(server);
        Ok(())
    }

    /// One call of the API; a refusal is an error.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Result<Value> {
        let mut connection = self.target.connect().await?;
        let answer = connection.call(&request(method, path, token, body.as_ref())).await?;
        answer.json().with_context(|| format!("{method} {path}"))
    }

    async fn set_up(&self) -> Result<String> {
        let code = std::fs::read_to_string(self.data().join("setup-code"))?;
        let body = json!({
            "code": code.trim(),
            "admin": {"email": "root@bench.example.com", "name": "Root", "password": PASSWORD},
            "bearer": true,
        });
        let done = self.call("POST", "/v1/setup", None, Some(body)).await?;
        let system = text(&done, "/tokens/accessToken")?;
        let body = json!({
            "name": "Bench", "slug": "bench",
            "admin": {"email": EMAIL, "name": "Ada Bench", "password": PASSWORD},
        });
        self.call("POST", "/v1/tenants", Some(&system), Some(body)).await?;
        self.new_key(&system).await
    }

    async fn new_key(&self, token: &str) -> Result<String> {
        let body = json!({"name": "bench"});
        text(&self.call("POST", "/v1/api-keys", Some(token), Some(body)).await?, "/secret")
    }

    /// The body of a login of the tenant's administrator.
    pub(crate) fn credentials() -> Value {
        json!({"email": EMAIL, "password": PASSWORD, "bearer": true})
    }

    /// A new session of the tenant's administrator; good for a quarter of an hour.
    pub(crate) async fn token(&self) -> Result<String> {
        let session = self.call("POST", "/v1/auth/login", None, Some(Self::credentials())).await?;
        text(&session, "/tokens/accessToken")
    }

    /// An API key of the tenant's administrator.
    pub(crate) async fn api_key(&self) -> Result<String> {
        self.new_key(&self.token().await?).await
    }

    /// The sum of a metric over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let mut connection = self.target.connect().await?;
        let answer =
            connection.call(&request("GET", "/metrics", Some(&self.system_key), None)).await?;
        ensure!(answer.status == 200, "the metrics have status {}", answer.status);
        let text = String::from_utf8(answer.body)?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then_some(rest.rsplit_once(' ')?.1)
        });
        let values: Vec<f64> = values.map(str::parse).collect::<Result<_, _>>()?;
        ensure!(!values.is_empty(), "there is no metric {name}");
        Ok(values.iter().sum())
    }

    /// A new project; its uid.
    pub(crate) async fn project(&self, token: &str, name: &str) -> Result<String> {
        let body = json!({"name": name});
        text(&self.call("POST", "/v1/projects", Some(token), Some(body)).await?, "/uid")
    }

    /// A new cluster; its uid and its import token.
    pub(crate) async fn cluster(
        &self,
        token: &str,
        project: &str,
        name: &str,
    ) -> Result<(String, String)> {
        let body = json!({"name": name, "project": project});
        let made = self.call("POST", "/v1/clusters", Some(token), Some(body)).await?;
        let manifest = text(&made, "/import/manifestUrl")?;
        let import = manifest.rsplit('/').next().unwrap_or_default().to_owned();
        Ok((text(&made, "/cluster/uid")?, import))
    }
}

/// Waits until `/readyz` says so; answers how to reach it.
async fn ready(server: &mut Server, listen: SocketAddr, folder: &Path) -> Result<Target> {
    let begun = Instant::now();
    loop {
        server.check()?;
        if let Some(target) = try_ready(listen, folder).await {
            return Ok(target);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("the appliance does not become ready; see {}/serve.log", folder.display());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How to reach the appliance, if it is ready.
pub(crate) async fn try_ready(listen: SocketAddr, folder: &Path) -> Option<Target> {
    let anchors = std::fs::read_to_string(folder.join("data/ca.pem")).ok()?;
    let target = Target::new(listen, &anchors).ok()?;
    let mut connection = target.connect().await.ok()?;
    let answer = connection.call(&request("GET", "/readyz", None, None)).await.ok()?;
    (answer.status == 200).then_some(target)
}

/// A text in an answer.
pub(crate) fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    found.with_context(|| format!("no {pointer} in the answer {value}"))
}

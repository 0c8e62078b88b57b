//! `palisade demo`: fills a fresh appliance for somebody who wants to see one.
//!
//! It uses the public API only: set-up with the code of the data directory, a
//! tenant, an API key, and a dozen simulated clusters until it is stopped.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use super::{
    output::{fail, say},
    runtime::single_threaded,
    simulate::{SimulateArgs, simulate},
};
use crate::error::{Error, Kind, Result};

/// For a demonstration on the own machine only.
const PASSWORD: &str = "demonstration-only-4711";

/// Arguments of `palisade demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where the appliance listens.
    #[arg(long, default_value = "https://localhost:8443")]
    url: String,
    /// Its data directory: the set-up code and the CA are read from there.
    #[arg(long, default_value = "var")]
    data_dir: PathBuf,
}

pub(super) fn run(args: DemoArgs) -> ExitCode {
    let ca = args.data_dir.join("ca.pem");
    let prepared = single_threaded().and_then(|runtime| runtime.block_on(prepare(&args)));
    let outcome = prepared.and_then(|key| {
        say(&format!(
            "demo: sign in at {} as admin@demo.example.com, or at {}/system as root@demo.example.com; \
             the password of both is {PASSWORD}",
            args.url, args.url
        ));
        simulate(SimulateArgs::demonstration(args.url, key, ca))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Sets the appliance up and answers an API key of the tenant.
async fn prepare(args: &DemoArgs) -> Result<String> {
    let code = wait_for(&args.data_dir.join("setup-code")).await?;
    let ca = wait_for(&args.data_dir.join("ca.pem")).await?;
    let api = Api::new(&args.url, &ca)?;
    let body = json!({
        "code": code.trim(),
        "admin": {"email": "root@demo.example.com", "name": "Root", "password": PASSWORD},
        "bearer": true,
    });
    let done = api.post("/v1/setup", None, body).await?;
    let system = text(&done, "/tokens/accessToken")?;
    let body = json!({
        "name": "Demo", "slug": "demo",
        "admin": {"email": "admin@demo.example.com", "name": "Ada Demo", "password": PASSWORD},
    });
    api.post("/v1/tenants", Some(&system), body).await?;
    let body = json!({"email": "admin@demo.example.com", "password": PASSWORD, "bearer": true});
    let session = api.post("/v1/auth/login", None, body).await?;
    let admin = text(&session, "/tokens/accessToken")?;
    let key = api.post("/v1/api-keys", Some(&admin), json!({"name": "simulation"})).await?;
    text(&key, "/secret")
}

/// The server writes these files when it is ready for them to be used.
async fn wait_for(file: &PathBuf) -> Result<String> {
    for _ in 0..600 {
        if let Ok(text) = std::fs::read_to_string(file)
            && !text.is_empty()
        {
            return Ok(text);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let message = format!("{} does not appear: is palisade serve running there?", file.display());
    Err(Error::new(Kind::Unavailable, "no-server", message))
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| Error::internal(format!("no {pointer} in the answer")))
}

struct Api {
    http: Client,
    url: String,
}

impl Api {
    fn new(url: &str, ca_pem: &str) -> Result<Self> {
        let ca = Certificate::from_pem(ca_pem.as_bytes()).map_err(Error::internal)?;
        let http = Client::builder().tls_certs_only([ca]).no_proxy().build();
        Ok(Self { http: http.map_err(Error::internal)?, url: url.to_owned() })
    }

    async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Result<Value> {
        let mut request = self.http.post(format!("{}{path}", self.url)).json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let unreachable = |error: reqwest::Error| {
            Error::unavailable(format!("{} does not answer.", self.url)).caused_by(error)
        };
        let response = request.send().await.map_err(unreachable)?;
        let good = response.status().is_success();
        let answer: Value = response.json().await.map_err(unreachable)?;
        if good {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().unwrap_or("no reason given").to_owned();
        Err(Error::new(Kind::Conflict, "demo", format!("{path}: {detail}")))
    }
}

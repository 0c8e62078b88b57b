//! `palisade demo`: fills a fresh appliance for somebody who wants to see one.
//!
//! It uses the public API only: set-up with the code of the data directory, a
//! tenant, an API key, and a dozen simulated clusters until it is stopped.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;

use super::{
    client::{Api, Credential, unexpected},
    failure::{Exit, Failure, Result},
    output::say,
    runtime::single_threaded,
    session::Tokens,
    simulate::{SimulateArgs, simulate},
    trust::Trust,
};

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
    let prepared = single_threaded()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(prepare(&args)));
    let outcome = prepared.and_then(|key| {
        say(&format!(
            "demo: sign in at {} as admin@demo.example.com, or at {}/system as root@demo.example.com; \
             the password of both is {PASSWORD}",
            args.url, args.url
        ));
        Ok(simulate(SimulateArgs::demonstration(args.url, key, ca))?)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Sets the appliance up and answers an API key of the tenant.
async fn prepare(args: &DemoArgs) -> Result<String> {
    let code = wait_for(&args.data_dir.join("setup-code")).await?;
    let ca = wait_for(&args.data_dir.join("ca.pem")).await?;
    let api = Api::new(&args.url, Trust::Ca(ca), Credential::None)?;
    let body = json!({
        "code": code.trim(),
        "admin": {"email": "root@demo.example.com", "name": "Root", "password": PASSWORD},
        "bearer": true,
    });
    let done = api.post_once("/v1/setup", &body).await?;
    let api = api.with(Tokens::of(&done)?.bearer());
    let body = json!({
        "name": "Demo", "slug": "demo",
        "admin": {"email": "admin@demo.example.com", "name": "Ada Demo", "password": PASSWORD},
    });
    api.post("/v1/tenants", Some(&body)).await?;
    let body = json!({"email": "admin@demo.example.com", "password": PASSWORD, "bearer": true});
    let session = api.post_once("/v1/auth/login", &body).await?;
    let api = api.with(Tokens::of(&session)?.bearer());
    let key = api.post("/v1/api-keys", Some(&json!({"name": "simulation"}))).await?;
    let secret = key["secret"].as_str().map(str::to_owned);
    secret.ok_or_else(|| unexpected("there is no key in it"))
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
    Err(Failure::new(Exit::Unreachable, message))
}

//! `palisade demo`: fills a fresh appliance for somebody who wants to see one.
//!
//! It uses the public API only: set-up with the code of the data directory, a
//! tenant, an API key, and a dozen simulated clusters until it is stopped.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::{Value, json};

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
const PASSWORD: &str = "seven-herons-at-dusk-4711";
/// Who looks at the clusters.
const ADMIN: &str = "admin@demo.example.com";
/// How often the server is looked for, and how long to wait between.
const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

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
            "demo: sign in at {} as {ADMIN}, or at {}/system as root@demo.example.com; \
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

/// Sets the appliance up, unless an earlier demonstration has done so, and
/// answers an API key of the tenant.
async fn prepare(args: &DemoArgs) -> Result<String> {
    let ca = wait_for(&args.data_dir.join("ca.pem")).await?;
    let api = Api::new(&args.url, Trust::Ca(ca), Credential::None)?;
    let context = when_reached(&api).await?;
    if context["setup"] == "required" {
        set_up(args, &api).await?;
    }
    let body = json!({"email": ADMIN, "password": PASSWORD, "bearer": true});
    let session = api.post_once("/v1/auth/login", &body).await.map_err(|failure| {
        failure.with_hint("The demonstration wants a data directory of its own: name an empty one.")
    })?;
    let api = api.with(Tokens::of(&session)?.bearer());
    // Agents of an earlier demonstration took their keys with them.
    let left = api.get("/v1/clusters?limit=100").await?;
    for cluster in left["items"].as_array().into_iter().flatten() {
        let uid = cluster["uid"].as_str().unwrap_or_default();
        api.delete(&format!("/v1/clusters/{uid}")).await?;
    }
    let key = api.post("/v1/api-keys", Some(&json!({"name": "simulation"}))).await?;
    let secret = key["secret"].as_str().map(str::to_owned);
    secret.ok_or_else(|| unexpected("there is no key in it"))
}

async fn set_up(args: &DemoArgs, api: &Api) -> Result<()> {
    let code = wait_for(&args.data_dir.join("setup-code")).await?;
    let body = json!({
        "code": code.trim(),
        "admin": {"email": "root@demo.example.com", "name": "Root", "password": PASSWORD},
        "bearer": true,
    });
    let done = api.post_once("/v1/setup", &body).await?;
    let api = api.anonymous().with(Tokens::of(&done)?.bearer());
    let admin = json!({"email": ADMIN, "name": "Ada Lindgren", "password": PASSWORD});
    let body = json!({"name": "Demo", "slug": "demo", "admin": admin});
    api.post("/v1/tenants", Some(&body)).await.map(drop)
}

/// What the server says of itself as soon as it answers.
async fn when_reached(api: &Api) -> Result<Value> {
    let mut tries = 0;
    loop {
        match api.get("/v1/context").await {
            Err(failure) if failure.exit() == Exit::Unreachable && tries < TRIES => tries += 1,
            answer => return answer,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The server writes these files when they can be used.
async fn wait_for(file: &PathBuf) -> Result<String> {
    for _ in 0..TRIES {
        if let Ok(text) = std::fs::read_to_string(file)
            && !text.is_empty()
        {
            return Ok(text);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let message = format!("{} does not appear: is palisade serve running there?", file.display());
    Err(Failure::new(Exit::Unreachable, message))
}

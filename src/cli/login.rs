//! `palisade login`, `logout` and `whoami`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    client::{Api, Credential, unexpected},
    connection::{Connection, read_secret},
    failure::{Exit, Failure, Result},
    format::{Format, Output, text_at},
    home::{Home, Kept, Login},
    output::{emit, harmless, say},
    session::Tokens,
    terminal,
};
use crate::secret::Secret;

/// Arguments of `palisade login`.
#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    #[command(flatten)]
    connection: Connection,
    /// Your e-mail address; asked for on a terminal.
    #[arg(long)]
    email: Option<String>,
    /// A file whose first line is the password. Without it `PALISADE_PASSWORD`
    /// counts, and a terminal is asked.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file with a new password, for the case that the old one has expired.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Log in as a user of a tenant or as a system administrator.
    #[arg(long, value_enum, default_value_t = Scope::Tenant)]
    scope: Scope,
    /// The tenant's short name, when your e-mail address is known in several.
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scope {
    Tenant,
    System,
}

/// Arguments of `palisade logout`.
#[derive(Debug, Args)]
pub(super) struct LogoutArgs {
    /// End all your sessions, also those in browsers.
    #[arg(long)]
    everywhere: bool,
}

/// Arguments of `palisade whoami`.
#[derive(Debug, Args)]
pub(super) struct WhoamiArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn login(args: LoginArgs) -> Result<()> {
    let home = Home::of_process()?;
    let kept = home.load()?;
    let url = args.connection.url(kept.as_ref())?;
    let trust = args.connection.trust(kept.as_ref().filter(|login| login.url == url))?;
    let api = Api::new(&url, trust.clone(), Credential::None)?;
    let (me, credential) = match &args.connection.api_key_file {
        Some(file) => with_key(api, file).await?,
        None => with_password(api, &args).await?,
    };
    let _alone = home.lock().await?;
    home.save(&Login::new(url.clone(), &trust, credential))?;
    say(&harmless(&format!("Logged in at {url} as {}.", describe(&me))));
    Ok(())
}

/// The key stays in its file; only the file's name is kept.
async fn with_key(api: Api, file: &PathBuf) -> Result<(Value, Kept)> {
    let key = read_secret(file)?;
    let me = api.with(Credential::Bearer(key)).get("/v1/auth/me").await?;
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.clone());
    Ok((me, Kept::ApiKey { file }))
}

async fn with_password(api: Api, args: &LoginArgs) -> Result<(Value, Kept)> {
    let email = match &args.email {
        Some(email) => email.clone(),
        None if terminal::is_there() => terminal::line("E-mail: ")?,
        None => {
            return Err(Failure::usage(
                "There is no terminal to ask for your e-mail address.",
                "Say it with --email.",
            ));
        }
    };
    let mut password = password(args)?;
    let mut tenant = args.tenant.clone().filter(|tenant| super::resource::is_uid(tenant));
    let mut changed = false;
    loop {
        let mut body = json!({
            "email": email, "password": password.expose(), "bearer": true,
            "scope": if args.scope == Scope::System { "system" } else { "tenant" },
        });
        if let Some(tenant) = &tenant {
            body["tenant"] = json!(tenant);
        }
        let answer = api.post_once("/v1/auth/login", &body).await?;
        match answer["outcome"].as_str() {
            Some("signedIn") => return finish(api, args, &answer).await,
            Some("chooseTenant") if tenant.is_none() => {
                tenant = Some(choose(&answer, args.tenant.as_deref())?);
            }
            Some("passwordExpired") if !changed => {
                changed = true;
                password = change_password(&api, args, &answer).await?;
            }
            _ => return Err(unexpected("the outcome of the login is unknown")),
        }
    }
}

async fn finish(api: Api, args: &LoginArgs, answer: &Value) -> Result<(Value, Kept)> {
    let tokens = Tokens::of(answer)?;
    let me = answer["session"].clone();
    if let Some(wanted) = &args.tenant
        && args.scope == Scope::Tenant
        && ![&me["tenant"]["slug"], &me["tenant"]["uid"]].iter().any(|is| *is == wanted)
    {
        // The password opened another door than the one that was named.
        api.with(tokens.bearer()).post("/v1/auth/logout", None).await?;
        return Err(Failure::new(Exit::NotAllowed, format!("You are no user of {wanted}."))
            .with_hint("Log in without --tenant, or ask an administrator of that tenant."));
    }
    Ok((me, tokens.into()))
}

fn choose(answer: &Value, wanted: Option<&str>) -> Result<String> {
    let tenants = answer["tenants"].as_array().map(Vec::as_slice).unwrap_or_default();
    let slugs: Vec<_> = tenants.iter().map(|tenant| text_at(tenant, "/slug")).collect();
    let Some(wanted) = wanted else {
        return Err(Failure::usage(
            "Your e-mail address is known in several tenants.",
            format!("Name one of them: --tenant {}", slugs.join(", --tenant ")),
        ));
    };
    let found = tenants.iter().find(|tenant| tenant["slug"] == wanted);
    found.and_then(|tenant| tenant["uid"].as_str()).map(str::to_owned).ok_or_else(|| {
        Failure::new(Exit::NotAllowed, format!("You are no user of {wanted}."))
            .with_hint(format!("You are one of: {}", slugs.join(", ")))
    })
}

async fn change_password(api: &Api, args: &LoginArgs, answer: &Value) -> Result<Secret<String>> {
    let new = match &args.new_password_file {
        Some(file) => read_secret(file)?,
        None if terminal::is_there() => {
            say("Your password has expired.");
            terminal::new_secret("New password: ")?
        }
        None => {
            return Err(Failure::new(Exit::NotAllowed, "Your password has expired.")
                .with_hint("Choose another one with --new-password-file or in the browser."));
        }
    };
    let ticket = ["changeToken", "change_token"].iter().find_map(|name| answer[name].as_str());
    let body = json!({"changeToken": ticket, "new": new.expose()});
    api.post_once("/v1/auth/password", &body).await?;
    Ok(new)
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
fn password(args: &LoginArgs) -> Result<Secret<String>> {
    if let Some(file) = &args.password_file {
        return read_secret(file);
    }
    if let Ok(password) = std::env::var("PALISADE_PASSWORD")
        && !password.is_empty()
    {
        return Ok(Secret::new(password));
    }
    if !terminal::is_there() {
        return Err(Failure::usage(
            "There is no terminal to ask for the password.",
            "Use --password-file, PALISADE_PASSWORD or --api-key-file.",
        ));
    }
    terminal::secret("Password: ")
}

/// Ends the session at the appliance and forgets it here, whatever comes of the first.
pub(super) async fn logout(args: LogoutArgs) -> Result<()> {
    let home = Home::of_process()?;
    let nobody = Connection { url: None, api_key_file: None, ca_file: None, fingerprint: None };
    let Some(login) = home.load()? else {
        say("You were not logged in.");
        return Ok(());
    };
    let ended = match &login.credential {
        Kept::ApiKey { .. } => Ok(()),
        Kept::Session { .. } => end_session(&nobody, args.everywhere).await,
    };
    let _alone = home.lock().await?;
    home.forget()?;
    match ended {
        Ok(()) => {
            say(&format!("Logged out at {}.", login.url));
            Ok(())
        }
        // It has ended before.
        Err(failure) if failure.exit() == Exit::NotAllowed => Ok(()),
        Err(failure) => Err(failure
            .after("The session is forgotten here, but it could not be ended at the appliance")),
    }
}

async fn end_session(connection: &Connection, everywhere: bool) -> Result<()> {
    let path = if everywhere { "/v1/auth/logout-everywhere" } else { "/v1/auth/logout" };
    connection.api()?.post(path, None).await.map(drop)
}

pub(super) async fn whoami(args: WhoamiArgs) -> Result<()> {
    let api = args.connection.api()?;
    let mut me = api.get("/v1/auth/me").await?;
    me["url"] = json!(api.url());
    match args.output.format {
        Format::Json | Format::Yaml => args.output.show_value(&me),
        Format::Name => emit(&text_at(&me, "/user/uid")),
        Format::Table | Format::Wide => {
            let lines = [
                format!("user    {}", describe(&me)),
                format!("uid     {}", text_at(&me, "/user/uid")),
                format!("at      {}", api.url()),
                format!("until   {}", text_at(&me, "/expiresAt")),
            ];
            emit(&harmless(&lines.join("\n")))
        }
    }
}

fn describe(me: &Value) -> String {
    let place = match me["tenant"]["kind"].as_str() {
        Some("system") => "system administrator".to_owned(),
        _ => format!("tenant {}", text_at(me, "/tenant/slug")),
    };
    format!("{} ({place})", text_at(me, "/user/email"))
}

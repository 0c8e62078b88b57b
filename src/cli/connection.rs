//! Which appliance a command talks to, and as whom.
//!
//! Flags go before the environment, both before what `palisade login` left.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    client::{Api, Credential, base_url},
    failure::{Exit, Failure, Result},
    home::{Home, Kept, Login},
    session::Session,
    trust::{Fingerprint, Trust},
};
use crate::secret::Secret;

/// How the appliance is reached. Without any of these, `palisade login` has said it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    /// The appliance, `https://host[:port]`.
    #[arg(long, global = true, value_name = "URL", env = "PALISADE_URL")]
    pub(super) url: Option<String>,
    /// A file with an API key, instead of a session.
    #[arg(long, global = true, value_name = "FILE", env = "PALISADE_API_KEY_FILE")]
    pub(super) api_key_file: Option<PathBuf>,
    /// The CA that signed the appliance's certificate (PEM).
    #[arg(long, global = true, value_name = "FILE", env = "PALISADE_CA_FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The SHA-256 of the appliance's certificate, as its console shows it.
    #[arg(
        long,
        global = true,
        value_name = "SHA256",
        env = "PALISADE_FINGERPRINT",
        conflicts_with = "ca_file"
    )]
    pub(super) fingerprint: Option<Fingerprint>,
}

impl Connection {
    /// Connects as whoever the flags or the login say.
    pub(super) fn api(&self) -> Result<Api> {
        let home = Home::of_process();
        // Scripts may have no home at all; then the flags have to say everything.
        let kept = match &home {
            Ok(home) => home.load()?,
            Err(_) if self.url.is_some() && self.api_key_file.is_some() => None,
            Err(_) => return Err(home.err().unwrap_or_else(|| not_logged_in(None))),
        };
        let url = self.url(kept.as_ref())?;
        let kept = kept.filter(|login| login.url == url);
        let trust = self.trust(kept.as_ref())?;
        let credential = match (&self.api_key_file, kept) {
            (Some(file), _) => Credential::Bearer(read_secret(file)?),
            (None, Some(login)) => match &login.credential {
                Kept::ApiKey { file } => Credential::Bearer(read_secret(file)?),
                Kept::Session { .. } => Credential::Session(Session::new(home?, login)),
            },
            (None, None) => return Err(not_logged_in(Some(&url))),
        };
        Api::new(&url, trust, credential)
    }

    /// The address: named, or of the login.
    pub(super) fn url(&self, kept: Option<&Login>) -> Result<String> {
        match (&self.url, kept) {
            (Some(url), _) => base_url(url),
            (None, Some(login)) => Ok(login.url.clone()),
            (None, None) => Err(not_logged_in(None)),
        }
    }

    /// Whom to trust: named, or as the login at the same address.
    pub(super) fn trust(&self, kept: Option<&Login>) -> Result<Trust> {
        if let Some(pin) = self.fingerprint {
            return Ok(Trust::Pin(pin));
        }
        if let Some(file) = &self.ca_file {
            return Ok(Trust::Ca(read(file)?));
        }
        kept.map_or(Ok(Trust::System), Login::trust)
    }
}

fn not_logged_in(url: Option<&str>) -> Failure {
    let place = url.map(|url| format!(" at {url}")).unwrap_or_default();
    Failure::new(Exit::NotAllowed, format!("You are not logged in{place}."))
        .with_code("not-logged-in")
        .with_hint(format!(
            "Log in: `palisade login --url {}`. Scripts use --url and --api-key-file.",
            url.unwrap_or("https://…")
        ))
}

/// A file that the user has named, as text.
pub(super) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).map_err(|error| {
        Failure::usage(
            format!("{} cannot be read: {error}.", file.display()),
            "Name a file that you may read.",
        )
    })
}

/// A file with one secret: its first line, and nobody else may read it.
pub(super) fn read_secret(file: &Path) -> Result<Secret<String>> {
    let text = Secret::new(read(file)?);
    // Pipes and process substitutions are private by themselves.
    let open = fs::metadata(file).is_ok_and(|file| file.is_file() && file.mode() & 0o007 != 0);
    if open {
        return Err(Failure::usage(
            format!("Everybody may read {}: a secret does not belong there.", file.display()),
            format!("Make it private: `chmod 600 {}`.", file.display()),
        ));
    }
    let line = text.expose().lines().next().unwrap_or_default().trim_end_matches('\r');
    if line.is_empty() {
        return Err(Failure::usage(
            format!("{} is empty.", file.display()),
            "Its first line has to be the secret.",
        ));
    }
    Ok(Secret::new(line.to_owned()))
}

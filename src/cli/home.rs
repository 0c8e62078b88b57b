//! What stays between two commands: where the appliance is and the session.
//!
//! Owns: `session.json`, its permissions, replacing it as one step, and the
//! lock that keeps two commands from using one refresh token.
//! Must not know: HTTP.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, Serializer};
use tokio::time::{Instant, sleep};

use super::{
    failure::{Exit, Failure, Result},
    trust::Trust,
};
use crate::{clock::Timestamp, files, secret::Secret};

const FILE: &str = "session.json";
const LOCK: &str = "session.lock";
/// The longest that another command may hold the lock: one request and some.
const PATIENCE: Duration = Duration::from_secs(90);

/// What `palisade login` leaves behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Login {
    /// `https://host[:port]`.
    pub(super) url: String,
    /// The CA that is trusted, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    /// The one certificate that is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// What the appliance is shown.
    pub(super) credential: Kept,
}

/// A credential that stays between two commands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Kept {
    /// A session of a user. The password is never kept.
    Session {
        #[serde(serialize_with = "exposed")]
        access_token: Secret<String>,
        expires_at: Timestamp,
        #[serde(serialize_with = "exposed")]
        refresh_token: Secret<String>,
    },
    /// The file that holds an API key.
    ApiKey { file: PathBuf },
}

fn exposed<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

impl Login {
    /// A login at `url`.
    pub(super) fn new(url: String, trust: &Trust, credential: Kept) -> Self {
        let (ca_pem, fingerprint) = match trust {
            Trust::System => (None, None),
            Trust::Ca(pem) | Trust::Own(pem) => (Some(pem.clone()), None),
            Trust::Pin(pin) => (None, Some(pin.to_string())),
        };
        Self { url, ca_pem, fingerprint, credential }
    }

    /// The same with another credential.
    pub(super) fn with(self, credential: Kept) -> Self {
        Self { credential, ..self }
    }

    /// Whom the login trusts.
    pub(super) fn trust(&self) -> Result<Trust> {
        match (&self.fingerprint, &self.ca_pem) {
            (Some(text), _) => {
                text.parse().map(Trust::Pin).map_err(|error| damaged(Path::new(FILE), &error))
            }
            (None, Some(pem)) => Ok(Trust::Ca(pem.clone())),
            (None, None) => Ok(Trust::System),
        }
    }
}

/// The directory of everything that the client commands keep.
#[derive(Clone, Debug)]
pub(super) struct Home(PathBuf);

impl Home {
    /// `PALISADE_HOME`, else `palisade` in `XDG_CONFIG_HOME`, else `~/.config/palisade`.
    pub(super) fn of_process() -> Result<Self> {
        let own = non_empty("PALISADE_HOME");
        let shared = || non_empty("XDG_CONFIG_HOME").map(|base| base.join("palisade"));
        let user = || non_empty("HOME").map(|home| home.join(".config").join("palisade"));
        own.or_else(shared).or_else(user).map(Self).ok_or_else(|| {
            Failure::usage(
                "There is no place to keep a session.",
                "Set HOME, XDG_CONFIG_HOME or PALISADE_HOME, or use --url and --api-key-file.",
            )
        })
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    /// The login, if there is one. Refuses a file that others may read.
    pub(super) fn load(&self) -> Result<Option<Login>> {
        let path = self.file();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable("read", &path, &error)),
        };
        let metadata = file.metadata().map_err(|error| unusable("read", &path, &error))?;
        if metadata.mode() & 0o077 != 0 {
            let message = format!("Others may read {}: it is not used.", path.display());
            return Err(Failure::new(Exit::Failed, message)
                .with_hint("Log in again: `palisade login`, after removing the file."));
        }
        let mut text = zeroize::Zeroizing::new(String::new());
        io::Read::read_to_string(&mut file, &mut text)
            .map_err(|error| unusable("read", &path, &error))?;
        serde_json::from_str(&text).map(Some).map_err(|error| damaged(&path, &error.to_string()))
    }

    /// Replaces the login as one step, so that a crash leaves the old or the new one.
    pub(super) fn save(&self, login: &Login) -> Result<()> {
        self.make()?;
        let text = serde_json::to_vec_pretty(login)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let text = Secret::new(text);
        files::replace(&self.file(), text.expose(), files::PRIVATE)
            .map_err(|error| unusable("written", &self.file(), &error))
    }

    /// Forgets the login. Says whether there was one.
    pub(super) fn forget(&self) -> Result<bool> {
        match fs::remove_file(self.file()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unusable("removed", &self.file(), &error)),
        }
    }

    /// Keeps other commands of this user out until the returned file is dropped.
    pub(super) async fn lock(&self) -> Result<File> {
        self.make()?;
        let path = self.0.join(LOCK);
        let options =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = options.map_err(|error| unusable("opened", &path, &error))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(unusable("locked", &path, &error)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(20)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let message =
                        format!("Another palisade command keeps {} locked.", path.display());
                    return Err(Failure::new(Exit::Failed, message)
                        .with_hint("Wait for it to end, or end it."));
                }
            }
        }
    }

    fn make(&self) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| unusable("made", &self.0, &error))
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
fn non_empty(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn unusable(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be {doing}: {error}.", path.display()))
        .with_hint("PALISADE_HOME names another directory.")
}

fn damaged(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be understood: {why}.", path.display()))
        .with_hint("Remove it and log in again: `palisade login`.")
}

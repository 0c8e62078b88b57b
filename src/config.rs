//! Settings: one TOML file, the environment and flags.
//!
//! Owns: the sections, their defaults and ranges, which source wins (flag, then
//! environment, then file, then default), and the sentence that an operator
//! reads when something is wrong.
//! Must not know: what a setting does. Secrets appear only as paths of files.
//!
//! Start at [`Config::load`]. A setting is one entry in its section's file; the
//! sample, `describe`, the environment variable and the documentation follow.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

mod agents;
mod bus;
mod error;
mod keystore;
mod layers;
mod limits;
mod log;
mod names;
mod nearest;
mod postgres_url;
mod secret_file;
mod server;
mod session;
mod setting;
mod storage;
#[cfg(test)]
mod tests;
mod value;

pub use agents::Agents;
pub use bus::{Bus, BusCluster, BusMode};
pub use error::{ConfigError, Origin};
pub use keystore::{Keystore, Seal};
pub use layers::{Effective, OTHER_VARIABLES};
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use names::{HostName, Listen, LogFilter, Network, NotAHostName};
pub(crate) use nearest::nearest;
pub use postgres_url::{PostgresServer, PostgresUrl};
pub use secret_file::{SecretFile, SecretFileError};
pub use server::Server;
pub use session::Session;
pub use setting::Setting;
pub use storage::{Database, Postgres, Storage};
pub use value::{Days, Hours, Milliseconds, Minutes, Seconds};

use layers::Layers;
use setting::Section;
use value::Raw;

/// The sections in the order of the sample.
const SECTIONS: &[Section] = &[
    Server::SECTION,
    Storage::SECTION,
    Postgres::SECTION,
    Keystore::SECTION,
    Bus::SECTION,
    BusCluster::SECTION,
    Limits::SECTION,
    Session::SECTION,
    Log::SECTION,
    Agents::SECTION,
];

impl Setting {
    /// Every setting that exists.
    pub fn all() -> impl Iterator<Item = &'static Setting> {
        SECTIONS.iter().flat_map(|section| section.settings)
    }
}

/// Where settings are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file named by `--config`. Without it `PALISADE_CONFIG` names the file.
    pub file: Option<PathBuf>,
    /// Files of which the first that exists is read when no file was named.
    pub search: Vec<PathBuf>,
    /// The environment; what does not start with `PALISADE_` is ignored.
    pub env: Vec<(String, String)>,
    /// Keys and values from the command line; the last one of a key wins.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The sources of a running command: its environment, and
    /// `./palisade.toml` or `/etc/palisade/palisade.toml` if no file is named.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        // A name or value that is not UTF-8 becomes one that no setting accepts.
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os()
            .map(|(name, value)| (lossy(name), lossy(value)))
            .filter(|(name, _)| name.starts_with("PALISADE_"))
            .collect();
        let search = vec!["palisade.toml".into(), "/etc/palisade/palisade.toml".into()];
        Self { file, search, env, overrides }
    }

    /// Nothing but these keys and values: for tests and for commands that bring their own.
    pub fn only<K: Into<String>, V: Into<String>>(
        overrides: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let overrides = overrides.into_iter().map(|(key, value)| (key.into(), value.into()));
        Self { overrides: overrides.collect(), ..Self::default() }
    }

    fn chosen_file(&self) -> Option<PathBuf> {
        let named = self.file.clone().or_else(|| {
            let variable = self.env.iter().find(|(name, _)| name == "PALISADE_CONFIG");
            variable.map(|(_, path)| path.into())
        });
        named.or_else(|| self.search.iter().find(|path| path.exists()).cloned())
    }
}

/// All settings, typed and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[storage]`
    pub storage: Storage,
    /// `[storage.postgres]`
    pub postgres: Postgres,
    /// `[keystore]`
    pub keystore: Keystore,
    /// `[bus]`
    pub bus: Bus,
    /// `[bus.cluster]`
    pub bus_cluster: BusCluster,
    /// `[limits]`
    pub limits: Limits,
    /// `[session]`
    pub session: Session,
    /// `[log]`
    pub log: Log,
    /// `[agents]`
    pub agents: Agents,
    file: Option<PathBuf>,
    effective: Vec<Effective>,
}

impl Config {
    /// Reads and checks all settings. Stops at the first that is wrong.
    /// Reads files and checks the permissions of secret files; changes nothing.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let file = sources.chosen_file();
        let mut layers = Layers::default();
        if let Some(path) = &file {
            layers.add_file(path)?;
        }
        layers.add_environment(sources.env.into_iter())?;
        layers.add_overrides(&sources.overrides)?;

        let listen_port = layers.peek::<std::net::SocketAddr>("server.listen")?.port();
        let port = i64::from(if listen_port == 0 { 443 } else { listen_port });
        layers.derive("server.public_port", "server.listen", Raw::Integer(port));
        let server = Server::read(&mut layers)?;
        let storage = Storage::read(&mut layers)?;
        let postgres = Postgres::read(&mut layers)?;
        let keys = storage.data_dir.join("keys").to_string_lossy().into_owned();
        layers.derive("keystore.dir", "storage.data_dir", Raw::Text(keys));
        let image = format!("{}/palisade/agent:{}", server.authority(), env!("CARGO_PKG_VERSION"));
        layers.derive("agents.image", "server.fqdn", Raw::Text(image));
        let config = Self {
            server,
            storage,
            postgres,
            keystore: Keystore::read(&mut layers)?,
            bus: Bus::read(&mut layers)?,
            bus_cluster: BusCluster::read(&mut layers)?,
            limits: Limits::read(&mut layers)?,
            session: Session::read(&mut layers)?,
            log: Log::read(&mut layers)?,
            agents: Agents::read(&mut layers)?,
            file,
            effective: layers.into_effective(),
        };
        config.check()?;
        Ok(config)
    }

    /// The file that was read, if one was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Every setting with its value and where it comes from, in the order of the sample.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The effective settings as text, one per line, each with its origin.
    pub fn describe(&self) -> String {
        let lines: Vec<(String, &Origin)> = self
            .effective
            .iter()
            .map(|setting| match &setting.value {
                Some(value) => (format!("{} = {value}", setting.key), &setting.origin),
                None => (format!("# {} is not set", setting.key), &setting.origin),
            })
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0).min(60);
        let mut text = String::new();
        for (line, origin) in lines {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{line:width$}  # {origin}");
        }
        text
    }

    /// What depends on more than one setting.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: &str| Err(ConfigError::at(key, self.origin(key), problem));
        if self.storage.database == Database::Postgres && self.postgres.url.is_none() {
            return wrong(
                "storage.postgres.url",
                "must be set because storage.database is \"postgres\"",
            );
        }
        if self.storage.database == Database::Postgres
            && self.postgres.ca_file.is_none()
            && self.postgres.url.as_ref().is_some_and(|url| !url.is_local())
        {
            return wrong(
                "storage.postgres.ca_file",
                "must be set because the server is on another machine: name the CA that signed \
                 its certificate",
            );
        }
        if self.bus.mode != BusMode::Off && !self.bus.websocket_listen.ip().is_loopback() {
            return wrong(
                "bus.websocket_listen",
                "must be a loopback address such as 127.0.0.1: this port is not encrypted",
            );
        }
        if let Some((key, problem)) = self.incomplete() {
            return wrong(key, &problem);
        }
        let (postgres, cluster) = (&self.postgres, &self.bus_cluster);
        let files = [
            ("storage.postgres.ca_file", postgres.ca_file.as_ref()),
            ("storage.postgres.cert_file", postgres.cert_file.as_ref()),
            ("bus.cluster.certificate", cluster.certificate.as_ref()),
            ("bus.cluster.authority", cluster.authority.as_ref()),
        ];
        for (key, file) in files {
            if let Some(path) = file
                && let Err(error) = std::fs::File::open(path)
            {
                let problem = format!("names {}, which cannot be read: {error}", path.display());
                return wrong(key, &problem);
            }
        }
        // The seal key may not exist before the first start; its mode counts once it does.
        let may_be_made_later = self.keystore.seal_key_file.as_ref();
        let secrets = [
            ("storage.postgres.password_file", postgres.password_file.as_ref()),
            ("storage.postgres.key_file", postgres.key_file.as_ref()),
            ("bus.cluster.key", cluster.key.as_ref()),
            ("keystore.passphrase_file", self.keystore.passphrase_file.as_ref()),
            ("keystore.seal_key_file", may_be_made_later.filter(|file| file.path().exists())),
        ];
        for (key, file) in secrets {
            if let Some(Err(error)) = file.map(SecretFile::check) {
                return wrong(key, &error.to_string());
            }
        }
        Ok(())
    }

    /// A setting that is missing although one that goes with it is there.
    fn incomplete(&self) -> Option<(&'static str, String)> {
        const PAIR: [&str; 2] = ["storage.postgres.cert_file", "storage.postgres.key_file"];
        let (postgres, cluster) = (&self.postgres, &self.bus_cluster);
        let groups: [&[(&'static str, bool)]; 2] = [
            &[(PAIR[0], postgres.cert_file.is_some()), (PAIR[1], postgres.key_file.is_some())],
            &[
                ("bus.cluster.name", cluster.name.is_some()),
                ("bus.cluster.listen", cluster.listen.is_some()),
                ("bus.cluster.peers", !cluster.peers.is_empty()),
                ("bus.cluster.certificate", cluster.certificate.is_some()),
                ("bus.cluster.key", cluster.key.is_some()),
                ("bus.cluster.authority", cluster.authority.is_some()),
            ],
        ];
        groups.into_iter().find_map(|group| {
            let (there, _) = group.iter().find(|(_, is_set)| *is_set)?;
            let (missing, _) = group.iter().find(|(_, is_set)| !is_set)?;
            Some((*missing, format!("must be set because {there} is")))
        })
    }

    fn origin(&self, key: &str) -> &Origin {
        self.effective
            .iter()
            .find(|setting| setting.key == key)
            .map_or(&Origin::Default, |setting| &setting.origin)
    }
}

/// A configuration file that names every setting with its documentation and
/// default; reading it as it is changes nothing.
pub fn sample() -> String {
    let mut text = String::from(
        "# Configuration of Palisade. Every line that starts with '#' and a key shows the default\n\
         # or an example. A flag wins over an environment variable (PALISADE_SERVER_LISTEN for\n\
         # server.listen), a variable over this file. Secrets are never written here: name a file.\n",
    );
    for Section { name, doc, settings } in SECTIONS {
        text.push('\n');
        for line in *doc {
            let _ = writeln!(text, "#{line}");
        }
        let _ = writeln!(text, "[{name}]");
        for setting in *settings {
            let (_, name) = setting.split();
            for line in setting.doc {
                let _ = writeln!(text, "#{line}");
            }
            if let Some((low, high)) = setting.range {
                let _ = writeln!(text, "# From {low} to {high}.");
            }
            if !setting.choices.is_empty() {
                let _ = writeln!(text, "# One of: {}.", setting.choices.join(", "));
            }
            let _ = match (setting.default, setting.example) {
                (Some(value), _) | (None, Some(value)) => writeln!(text, "#{name} = {value}"),
                (None, None) => writeln!(text, "#{name} ="),
            };
        }
    }
    text
}

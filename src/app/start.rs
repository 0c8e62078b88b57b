//! Building the application, in the order in which its parts need each other.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    App, Services, before_update, bus,
    data_dir::{self, Occupied},
    install, singleton, tasks,
};
use crate::{
    appliance::{Health, Keys, Nodes, ServedCertificate, Updates},
    audit::{Ledger, Sealer},
    certificates::InternalCa,
    clock::{Clock, Random, Timestamp},
    config::{self, Config, Database},
    error::{Error, Kind, Result},
    identity::{
        ApiKeys, Assignments, Explain, Hasher, Login, Newcomers, Passwords, Peppers, Policies,
        Roles, SessionLimits, Sessions, Setup, SigningKeys, Teams, Throttle, Users,
    },
    node::paths::Paths,
    observability::{MetricsHandle, Readiness},
    rbac::Epochs,
    release::Build,
    secret::Secret,
    store::{ClientCertificate, PostgresSettings, Store, StoreSettings},
    tenants::{Projects, Tenants},
    trail::Trail,
    vault::Vault,
};

/// What the application takes from outside.
#[derive(Debug)]
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// What is counted, if this process counts.
    pub metrics: Option<MetricsHandle>,
}

/// Why the application did not start. Nothing is left running.
pub type StartError = Error;

impl App {
    /// Opens or creates the installation and starts the background tasks.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        Self::start_with(parts, None).await
    }

    /// The same with the keystore's passphrase, which somebody has typed.
    pub async fn start_with(
        parts: Parts,
        passphrase: Option<Secret<String>>,
    ) -> Result<Self, StartError> {
        let Parts { config, clock, random, metrics } = parts;
        let node = appliance_of(&config);
        let readiness = Readiness::default();
        let occupied = Occupied::new(&config.storage.data_dir)?;
        let store = prepare(&config, clock.now()).await?;
        let keystore =
            install::keystore(&config, passphrase.as_ref(), &store, &clock, &random).await?;
        drop(passphrase);
        let keystore = Arc::new(keystore);
        store.migrate().await?;
        let vault = Arc::new(Vault::new(Arc::clone(&keystore), Arc::clone(&random)));
        install::ensure(&store, &vault, &*clock, &*random).await?;

        let epochs = Arc::new(Epochs::default());
        let ledger = Ledger::new(
            store.clone(),
            Arc::clone(&vault),
            Arc::clone(&clock),
            Arc::clone(&random),
            epochs,
        );
        let ca = InternalCa::new(&keystore.ca().certificate_pem, &keystore.ca().key_pem)?;
        let names = config.server.names();
        let parent = Some(&config.server.fqdn).filter(|name| name.address().is_none());
        let anchor = config.storage.anchor_file();
        let served_certificate =
            ServedCertificate::load(ledger.clone(), ca, names, parent.cloned(), anchor).await?;

        let hasher = Hasher::new(
            Peppers::new(Secret::new(keystore.password_pepper().expose().to_vec()), Vec::new())?,
            Arc::clone(&random),
        );
        let signing = Arc::new(SigningKeys::new(ledger.clone())?);
        let limits = SessionLimits {
            longest: config.session.refresh_hours.duration(),
            idle: config.session.idle_minutes.duration(),
        };
        let sessions = Arc::new(Sessions::new(ledger.clone(), Arc::clone(&signing), limits));
        let throttle = || Throttle::new(Arc::clone(&clock));
        let heads = config.storage.data_dir.join("audit-heads");
        let certificates = served_certificate.store();
        let clusters = bus::clusters(&config, &ledger, certificates).await?;
        let inbound = bus::start(&config, &clusters, &ledger, certificates, &random).await?;
        let (duty, keeper) = singleton::duty(&store, &*random);
        let newcomers = Newcomers::new(ledger.clone(), hasher.clone());
        let services = Services {
            login: Login::new(ledger.clone(), Arc::clone(&sessions), hasher.clone(), throttle()),
            setup: Setup::new(ledger.clone(), Arc::clone(&sessions), hasher.clone(), throttle()),
            passwords: Passwords::new(ledger.clone(), hasher, throttle()),
            users: Users::new(ledger.clone(), newcomers.clone()),
            teams: Teams::new(ledger.clone()),
            roles: Roles::new(ledger.clone()),
            assignments: Assignments::new(ledger.clone()),
            explain: Explain::new(ledger.clone()),
            api_keys: ApiKeys::new(ledger.clone()),
            policies: Policies::new(ledger.clone()),
            tenants: Tenants::new(ledger.clone(), newcomers),
            projects: Projects::new(ledger.clone()),
            clusters,
            own_image: tokio::sync::OnceCell::new(),
            duty,
            trail: Trail::new(ledger.clone(), heads.clone()),
            sessions,
            served_certificate,
            keys: Keys::new(ledger.clone(), signing),
            health: Health::new(ledger.clone(), node.as_ref()),
            updates: Arc::new(Updates::new(ledger.clone(), node.as_ref())),
            nodes: Arc::new(Nodes::new(ledger.clone(), node.as_ref())),
            started_at: clock.now(),
            readiness,
            metrics,
            ledger,
            tasks: TaskTracker::new(),
            occupied,
            stopping: CancellationToken::new(),
            config,
        };
        let sealer = Sealer::new(store, vault, clock, heads);
        let app = Self(Arc::new(services));
        tasks::start(&app, sealer, keeper, node.as_ref());
        bus::run(&app, inbound);
        Ok(app)
    }
}

/// The appliance whose management plane this is: its data lie where the layout
/// wants them, and first boot has made a place for the node daemon's socket.
fn appliance_of(config: &Config) -> Option<Paths> {
    Paths::of_appliance(&config.storage.data_dir).filter(|node| node.run().is_dir())
}

/// The database of the settings before it is changed by this version: not while
/// a restore is incomplete, and with a copy for the way back when another
/// version was the last to use it. The caller migrates it, once the keystore has
/// shown that it is its own.
pub(super) async fn prepare(config: &Config, now: Timestamp) -> Result<Store> {
    before_update::refuse_half_restored(config)?;
    let store = open_store(config).await?;
    before_update::keep(config, &store, &Build::own(), now).await?;
    Ok(store)
}

/// The database of the settings, with its limits.
pub(super) async fn open_store(config: &Config) -> Result<Store> {
    open_store_within(config, config.storage.statement_timeout_ms.duration()).await
}

/// The same with another limit of one statement.
pub(super) async fn open_store_within(config: &Config, limit: Duration) -> Result<Store> {
    let store = Store::open(&store_settings(config, limit)?).await?;
    store.refuse_newer_data(&Build::own()).await?;
    Ok(store.with_statement_limit(limit))
}

fn store_settings(config: &Config, limit: Duration) -> Result<StoreSettings> {
    match config.storage.database {
        Database::Sqlite => {
            Ok(StoreSettings::Sqlite { path: data_dir::database(&config.storage.data_dir) })
        }
        Database::Postgres => {
            let postgres = &config.postgres;
            let url = postgres.url.as_ref().ok_or_else(|| {
                Error::invalid(
                    "storage.postgres.url",
                    "is needed when storage.database is postgres",
                )
            })?;
            let password = postgres.password_file.as_ref().map(|file| {
                file.read()
                    .map_err(|error| Error::new(Kind::Invalid, "secret-file", format!("{error}.")))
            });
            Ok(StoreSettings::Postgres(PostgresSettings {
                url: url.as_str().to_owned(),
                password: password.transpose()?,
                ca_file: postgres.ca_file.clone(),
                client: client_certificate(postgres),
                max_connections: config.storage.max_connections,
                statement_timeout: limit,
            }))
        }
    }
}

/// The settings have both files or none.
fn client_certificate(postgres: &config::Postgres) -> Option<ClientCertificate> {
    let (certificate, key) = (postgres.cert_file.clone()?, postgres.key_file.as_ref()?);
    Some(ClientCertificate { certificate, key: key.path().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[tokio::test]
    async fn the_limit_of_the_settings_reaches_the_database() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().to_str().expect("a plain path");
        let open = async |limit: &str| {
            let settings = [("storage.data_dir", place), ("storage.statement_timeout_ms", limit)];
            let config = Config::load(Sources::only(settings)).expect("valid settings");
            open_store(&config).await.expect("it opens")
        };
        let slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                    WHERE i < 3000000) SELECT COUNT(*) FROM n";
        let mut tx = open("100").await.read().await.expect("a connection");
        tx.fetch_one::<i64>(slow, ()).await.expect_err("it takes longer");
        let mut tx = open("600000").await.read().await.expect("a connection");
        assert_eq!(tx.fetch_one::<i64>(slow, ()).await.expect("in time"), 3_000_000);
    }
}

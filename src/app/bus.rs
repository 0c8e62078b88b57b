//! The message bus of this node: starting it, watching over it, ending it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::mpsc;

use super::App;
use crate::{
    audit::Ledger,
    bus::{
        BrokerState, Bus, BusSettings, ClusterSettings, Inbound, InboundTotals, PeerTls, TlsFiles,
        Trust,
    },
    certificates::{CertificateStore, ServerCertificate},
    clock::Random,
    clusters::{Clusters, Front, Terms},
    config::{BusCluster, BusMode, Config},
    error::{Error, Kind, Result},
    observability::metrics,
};

/// How often the bus is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The clusters, without a bus yet.
pub(super) async fn clusters(
    config: &Config,
    ledger: &Ledger,
    certificates: &Arc<CertificateStore>,
) -> Result<Clusters> {
    let terms = Terms {
        heartbeat_timeout: config.agents.heartbeat_timeout_seconds.duration(),
        credential_life: config.agents.credential_days.duration(),
        import_token_life: config.agents.import_token_hours.duration(),
    };
    let (origin, image) = (config.server.origin(), config.agents.image.clone());
    let certificates = Arc::clone(certificates);
    let front = move || {
        let certificate = certificates.current();
        Front {
            origin: origin.clone(),
            ca_pem: certificates.agent_anchors(),
            pin: certificate.info().pin.clone(),
            image: image.clone(),
        }
    };
    Clusters::load(ledger.clone(), terms, Arc::new(front)).await
}

/// Starts the bus as the settings say and gives it to `clusters`. The answer is
/// what agents say; `None` without a bus. `Unavailable` when the broker cannot
/// be started: a node that agents cannot reach must not look as if it worked.
pub(super) async fn start(
    config: &Config,
    clusters: &Clusters,
    ledger: &Ledger,
    certificates: &CertificateStore,
    random: &Arc<dyn Random>,
) -> Result<Option<mpsc::Receiver<Inbound>>> {
    if config.bus.mode == BusMode::Off {
        return Ok(None);
    }
    let directory = config.storage.data_dir.join("bus");
    let listen = config.bus.listen.address();
    let tls = if listen.is_some() {
        Some(write_tls(&directory, &certificates.for_agents())?)
    } else {
        remove_tls(&directory);
        None
    };
    let settings = BusSettings {
        managed: config.bus.mode == BusMode::Managed,
        binary: config.bus.nats_server.clone(),
        listen,
        websocket: config.bus.websocket_listen,
        max_connections: config.bus.max_connections,
        cluster: cluster(&config.bus_cluster),
        ..BusSettings::in_directory(directory)
    };
    let trust = Trust::derive(ledger.vault().keystore().bus_seed());
    let accounts = clusters.accounts().await?;
    let clock = Arc::clone(ledger.clock());
    let (told, random) = (accounts.clone(), Arc::clone(random));
    let starting = Bus::start(&settings, trust, told, tls.as_ref(), clock, random);
    let (bus, inbound) = Box::pin(starting).await?;
    clusters.attach(bus, accounts).await;
    Ok(Some(inbound))
}

/// The settings have all of it or nothing.
fn cluster(settings: &BusCluster) -> Option<ClusterSettings> {
    Some(ClusterSettings {
        name: settings.name.clone()?,
        listen: settings.listen?,
        peers: settings.peers.clone(),
        tls: PeerTls {
            certificate: settings.certificate.clone()?,
            key: settings.key.as_ref()?.path().to_owned(),
            authority: settings.authority.clone()?,
        },
    })
}

fn tls_files(directory: &Path) -> TlsFiles {
    TlsFiles { certificate: directory.join("server.crt"), key: directory.join("server.key") }
}

/// What the listener needed in an earlier run must not lie around without it.
fn remove_tls(directory: &Path) {
    let TlsFiles { certificate, key } = tls_files(directory);
    for path in [key, certificate] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => tracing::warn!(
                %error, "{} is not needed any more and cannot be removed; remove it", path.display()
            ),
            _ => {}
        }
    }
}

/// The broker's own listener shows the appliance's certificate. The broker
/// reads files, so the key lies beside it, for us alone.
fn write_tls(directory: &Path, certificate: &ServerCertificate) -> Result<TlsFiles> {
    let files = tls_files(directory);
    let write = |path: &Path, text: &str| {
        let temporary = path.with_extension("new");
        let _ = fs::remove_file(&temporary);
        let opened =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        opened.and_then(|mut file| file.write_all(text.as_bytes()))?;
        fs::rename(&temporary, path)
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .and_then(|()| write(&files.key, certificate.key_pem().expose()))
        .and_then(|()| write(&files.certificate, certificate.chain_pem()))
        .map_err(|error| {
            let shown = directory.display();
            let message = format!("The message broker's directory {shown} cannot be written.");
            Error::new(Kind::Unavailable, "bus-directory", message).caused_by(error)
        })?;
    Ok(files)
}

/// Starts the loops of the clusters, and reports on the bus.
pub(super) fn run(app: &App, inbound: Option<mpsc::Receiver<Inbound>>) {
    let (clusters, stopping) = (app.clusters().clone(), app.stopping().clone());
    let duty = app.duty().clone();
    app.tasks().spawn(async move {
        Box::pin(clusters.run(inbound, stopping, || duty.is_held())).await;
    });
    watch(app);
}

/// Says how the bus is doing, and gives the broker a new certificate.
fn watch(app: &App) {
    let reporter = app.readiness().register("bus");
    let (app, stopping) = (app.clone(), app.stopping().clone());
    app.clone().tasks().spawn(async move {
        let mut every = tokio::time::interval(LOOK_EVERY);
        let fingerprint = || app.certificates().for_agents().info().fingerprint.clone();
        let mut shown = fingerprint();
        let cluster = cluster(&app.config().bus_cluster).map(|cluster| cluster.tls);
        let changed = || cluster.as_ref().map(changed_at);
        let mut known = changed();
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            count(&app);
            let Some(status) = app.clusters().bus_status() else {
                reporter.good("is switched off: no agents can connect");
                continue;
            };
            app.clusters().hearing(status.connected);
            match (status.connected, status.broker) {
                (true, BrokerState::Ready | BrokerState::External) => {
                    reporter.good("agents can connect")
                }
                (_, BrokerState::Restarting { .. }) => {
                    reporter.bad("the message broker has ended and is started again")
                }
                _ => reporter.bad("the message broker does not answer"),
            };
            let current = fingerprint();
            if current != shown {
                exchange_certificate(&app).await;
                shown = current;
            }
            let now = changed();
            if now != known
                && let Ok(bus) = app.clusters().bus()
            {
                tracing::info!("the message broker reads its certificate for the other brokers");
                bus.reload_certificate().await;
                known = now;
            }
        }
    });
}

/// When each of the files was replaced last.
fn changed_at(tls: &PeerTls) -> [Option<SystemTime>; 3] {
    let changed = |path: &PathBuf| fs::metadata(path).and_then(|found| found.modified()).ok();
    [&tls.certificate, &tls.key, &tls.authority].map(changed)
}

/// What changes all the time is counted when somebody looks, not one by one.
fn count(app: &App) {
    for (phase, clusters) in app.clusters().phases() {
        metrics::clusters(phase.as_str(), clusters);
    }
    let Some(status) = app.clusters().bus_status() else { return };
    metrics::bus(status.agents, status.restarts);
    let InboundTotals { accepted, malformed, excessive, overflowed } = status.inbound;
    metrics::messages(accepted);
    metrics::bad_messages("malformed", malformed);
    metrics::bad_messages("excessive", excessive);
    metrics::bad_messages("overflowed", overflowed);
}

async fn exchange_certificate(app: &App) {
    let Ok(bus) = app.clusters().bus() else { return };
    if app.config().bus.listen.address().is_none() {
        return;
    }
    let directory = app.config().storage.data_dir.join("bus");
    match write_tls(&directory, &app.certificates().for_agents()) {
        Ok(_) => bus.reload_certificate().await,
        Err(error) => tracing::warn!(
            error = %error.chain(),
            "the message broker still shows the certificate that was replaced"
        ),
    }
}

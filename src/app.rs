//! The application: every long-lived part, built once from the configuration.
//!
//! Owns: the order in which things start and stop, and the background tasks.
//! Must not know: axum or the command line. Tests build the same application.
//!
//! Handlers get an [`App`] and reach the services through it; a service holds
//! what it needs and never the whole `App`.

mod before_update;
mod bus;
mod cluster_metrics;
mod data_dir;
mod install;
mod offline;
mod singleton;
mod start;
mod support;
mod tasks;

use std::{path::PathBuf, sync::Arc};

use tokio::sync::OnceCell;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    appliance::{Health, Keys, Nodes, ServedCertificate, Updates},
    audit::Ledger,
    certificates::{CertificateInfo, CertificateStore},
    clock::Timestamp,
    clusters::Clusters,
    config::Config,
    error::{Error, Result},
    identity::{
        ApiKeys, Assignments, Explain, Login, Passwords, Policies, Roles, Sessions, Setup, Teams,
        Users,
    },
    observability::{MetricsHandle, Readiness},
    packs::OwnImage,
    tenants::{Projects, Tenants},
    trail::Trail,
};

pub use before_update::{BeforeUpdate, data_before_update};
pub use data_dir::Occupied;
pub use offline::{NodeCredentials, Offline, Source, check_recovery_kit, node_credentials};
pub use singleton::Duty;
pub use start::{Parts, StartError};

/// The running application. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct App(Arc<Services>);

/// What the application is made of.
#[derive(Debug)]
pub(crate) struct Services {
    config: Config,
    ledger: Ledger,
    readiness: Readiness,
    metrics: Option<MetricsHandle>,
    served_certificate: ServedCertificate,
    keys: Keys,
    health: Health,
    updates: Arc<Updates>,
    nodes: Arc<Nodes>,
    started_at: Timestamp,
    sessions: Arc<Sessions>,
    login: Login,
    setup: Setup,
    users: Users,
    passwords: Passwords,
    teams: Teams,
    roles: Roles,
    assignments: Assignments,
    explain: Explain,
    api_keys: ApiKeys,
    policies: Policies,
    tenants: Tenants,
    projects: Projects,
    clusters: Clusters,
    trail: Trail,
    own_image: OnceCell<Arc<OwnImage>>,
    duty: Duty,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// While it lives, no other process works on the data directory.
    occupied: Occupied,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        impl App {
            $($(#[$doc])* pub fn $name(&self) -> &$type { &self.0.$name })*
        }
    };
}

parts! {
    /// The configuration.
    config: Config;
    /// Changes and records.
    ledger: Ledger;
    /// What works and what does not.
    readiness: Readiness;
    /// The server certificate.
    served_certificate: ServedCertificate;
    /// The installation's keys.
    keys: Keys;
    /// The health of the machine.
    health: Health;
    /// Updates of the image.
    updates: Arc<Updates>;
    /// The nodes of the cluster.
    nodes: Arc<Nodes>;
    /// Login sessions.
    sessions: Sessions;
    /// Logging in.
    login: Login;
    /// First-boot set-up.
    setup: Setup;
    /// Users.
    users: Users;
    /// Choosing passwords.
    passwords: Passwords;
    /// Teams.
    teams: Teams;
    /// Roles.
    roles: Roles;
    /// Who has which role.
    assignments: Assignments;
    /// Why somebody may do something.
    explain: Explain;
    /// API keys.
    api_keys: ApiKeys;
    /// Password policies.
    policies: Policies;
    /// Tenants.
    tenants: Tenants;
    /// Projects.
    projects: Projects;
    /// Clusters.
    clusters: Clusters;
    /// The audit trail.
    trail: Trail;
    /// Whether this node does what one node of several does.
    duty: Duty;
    /// Every background task; the server waits for them when it stops.
    tasks: TaskTracker;
    /// Cancelled when the server stops.
    stopping: CancellationToken;
}

impl App {
    /// What is counted, if this process counts.
    pub fn metrics(&self) -> Option<&MetricsHandle> {
        self.0.metrics.as_ref()
    }

    /// The agent's image, described when it is first asked for.
    pub async fn own_image(&self) -> Result<Arc<OwnImage>> {
        let describe = async || {
            let described = tokio::task::spawn_blocking(OwnImage::of_this_program);
            described.await.map_err(Error::internal)?.map(Arc::new)
        };
        self.0.own_image.get_or_try_init(describe).await.cloned()
    }

    /// When this process started.
    pub fn started_at(&self) -> Timestamp {
        self.0.started_at
    }

    /// The certificate that the TLS listener shows.
    pub fn certificates(&self) -> &Arc<CertificateStore> {
        self.0.served_certificate.store()
    }

    /// Where the console of the appliance finds the set-up code.
    pub fn setup_code_file(&self) -> PathBuf {
        self.config().storage.data_dir.join("setup-code")
    }

    /// Removes that file: once set-up is done nobody needs the code any more.
    pub fn forget_setup_code(&self) {
        if let Err(error) = std::fs::remove_file(self.setup_code_file())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the used set-up code stays in its file; it opens nothing");
        }
    }

    /// What the server certificate says.
    pub fn certificate(&self) -> CertificateInfo {
        self.certificates().current().info().clone()
    }

    /// Stops the background tasks and closes the store. The gateway has stopped before.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.clusters.detach().await;
        self.0.ledger.store().close().await;
        self.0.occupied.release();
    }
}

//! PostgreSQL: one server, or whichever of several is the primary.
//!
//! Owns: the connections, and which server they lead to.
//! Must not know: what is read and written.
//!
//! A [`Reign`] is the time during which one server is the primary. It has a
//! pool of its own, so that nothing that leads to a former primary can be taken
//! for a connection to the present one. With one server there is one reign. With
//! several, `follow` asks all of them every second and acts, `choose` decides,
//! and whatever still waits for a server that is not the primary any more ends.
//!
//! While there is no primary, or it says nothing, what only reads goes to a
//! standby: sessions count and lists are shown for the twenty seconds that the
//! servers need to agree. Whatever decides about a change reads in a transaction
//! that can write, and those are begun on a primary only.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use sqlx::{Connection as _, Executor, postgres::PgPool};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Failure, Result, StoreError, Tx, migrate};
use crate::secret::Secret;

mod choose;
mod commit;
mod connect;
mod follow;
mod reign;
mod seen;

pub(super) use reign::Reign;
pub use seen::{ServerRole, ServerSeen, Servers};

use connect::Server;
use follow::{Follower, Told};

/// How long a start waits for a primary, unless it is told otherwise.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a caller waits for a primary: a planned change is over soon, and
/// who waits for an unplanned one had better be told.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// How long the end of the connections of a reign may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How to reach a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgresql://user@host:port/database`, without a password; a host that
    /// begins with an encoded slash is the folder of a Unix socket. Several
    /// servers of one cluster are separated by commas.
    pub url: String,
    /// Password; not needed with a certificate or on a Unix socket.
    pub password: Option<Secret<String>>,
    /// The CA that must have signed the server's certificate. Without it TLS is
    /// used only when the server is on a Unix socket or the loopback address.
    pub ca_file: Option<PathBuf>,
    /// The certificate by which the server knows us, and its key. Both files are
    /// read for every new connection.
    pub client: Option<ClientCertificate>,
    /// The most connections that this node opens.
    pub max_connections: u32,
    /// After this time the server gives up on a statement.
    pub statement_timeout: Duration,
}

/// A certificate that we show, as PEM files.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The database; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Postgres(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reigns: watch::Receiver<Option<Reign>>,
    /// Where to read while there is no primary.
    refuge: watch::Receiver<Option<Reign>>,
    /// What the servers say, where there are several.
    seen: Option<watch::Receiver<Servers>>,
    /// Makes the follower look at once.
    look: Arc<Notify>,
    /// Ends the follower.
    stop: CancellationToken,
}

impl Postgres {
    /// Connects to the server, or waits at most `patience` for a primary among several.
    pub(super) async fn open(settings: &PostgresSettings, patience: Duration) -> Result<Self> {
        let servers = Server::all(settings)?;
        if let [only] = &*servers {
            let reign = Reign::of_the_only(only.open(settings.max_connections).await?);
            let (reigns, refuge) = (watch::channel(Some(reign)).1, watch::channel(None).1);
            return Ok(Self::new(reigns, refuge, None, Arc::default()));
        }
        let (reign_tx, reigns) = watch::channel(None);
        let (refuge_tx, refuge) = watch::channel(None);
        let (seen_tx, seen) = watch::channel(Servers::unasked(&servers));
        let look = Arc::new(Notify::new());
        let told = Told { reigns: reign_tx, refuge: refuge_tx, seen: seen_tx };
        let follower = Follower::new(servers, settings.max_connections, told, Arc::clone(&look));
        let opened = Self::new(reigns, refuge, Some(seen), look);
        tokio::spawn(follower.run(opened.0.stop.clone()));
        opened.reign(Instant::now() + patience).await?;
        Ok(opened)
    }

    fn new(
        reigns: watch::Receiver<Option<Reign>>,
        refuge: watch::Receiver<Option<Reign>>,
        seen: Option<watch::Receiver<Servers>>,
        look: Arc<Notify>,
    ) -> Self {
        Self(Arc::new(Shared { reigns, refuge, seen, look, stop: CancellationToken::new() }))
    }

    pub(super) fn seen(&self) -> Option<watch::Receiver<Servers>> {
        self.0.seen.clone()
    }

    pub(super) async fn begin(&self, limit: Duration) -> Result<Tx> {
        let begin = |pool: PgPool| async move { pool.begin().await };
        let (transaction, reign) = self.opened(limit, begin).await?;
        Ok(Tx::postgres(transaction, reign))
    }

    /// A connection to look at committed data: on a standby while there is no
    /// primary to ask.
    pub(super) async fn read(&self, limit: Duration) -> Result<Tx> {
        let refuge = self.0.refuge.borrow().clone();
        if let Some(refuge) = refuge {
            let acquired = refuge.during(limit, refuge.pool().acquire()).await;
            match acquired {
                Ok(connection) => return Ok(Tx::postgres_read(connection, refuge)),
                // The next look finds another one, or a primary.
                Err(error) => tracing::debug!(%error, "a standby does not answer"),
            }
        }
        self.read_primary(limit).await
    }

    /// The same on the primary.
    pub(super) async fn read_primary(&self, limit: Duration) -> Result<Tx> {
        let acquire = |pool: PgPool| async move { pool.acquire().await };
        let (connection, reign) = self.opened(limit, acquire).await?;
        Ok(Tx::postgres_read(connection, reign))
    }

    /// Brings the schema up to date. Several nodes may try at once: one migrates,
    /// the others wait for a moment and then answer `Unavailable`.
    pub(super) async fn migrate(&self) -> Result<()> {
        let reign = self.reign(Instant::now() + PATIENCE).await?;
        let pool = reign.pool().clone();
        let work = async move {
            let mut connection = pool.acquire().await?.detach();
            // A migration may take longer than a request has. The limit for locks stays:
            // a migration that waits for one makes everybody wait who comes after it.
            connection.execute("SET statement_timeout = 0").await?;
            migrate::postgres().run(&mut connection).await?;
            Ok::<_, StoreError>(connection.close().await?)
        };
        reign.unless_over(work).await?
    }

    /// Waits for connections that are still in use.
    pub(super) async fn close(&self) {
        self.0.stop.cancel();
        let (reign, refuge) = (self.0.reigns.borrow().clone(), self.0.refuge.borrow().clone());
        for reign in [reign, refuge].into_iter().flatten() {
            reign.pool().close().await;
        }
    }

    /// The present reign, or the next one that begins before `until`.
    async fn reign(&self, until: Instant) -> Result<Reign> {
        let mut reigns = self.0.reigns.clone();
        if let Ok(Ok(found)) = timeout_at(until, reigns.wait_for(Option::is_some)).await
            && let Some(reign) = &*found
        {
            return Ok(reign.clone());
        }
        self.0.look.notify_one();
        let seen = self.0.seen.as_ref().map(|seen| seen.borrow().to_string());
        Err(StoreError::new(Failure::Unavailable, seen.unwrap_or_default()))
    }

    /// Opens something on the primary. Nothing was done when that fails, so it
    /// is tried again when the primary has changed meanwhile.
    async fn opened<T: Send, F: Future<Output = sqlx::Result<T>> + Send>(
        &self,
        limit: Duration,
        open: impl Fn(PgPool) -> F,
    ) -> Result<(T, Reign)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let reign = self.reign(until).await?;
            let error = match reign.during(limit, open(reign.pool().clone())).await {
                Ok(opened) => return Ok((opened, reign)),
                Err(error) => error,
            };
            if error.failure() == Failure::Unavailable {
                self.0.look.notify_one();
            }
            if !reign.is_over() || Instant::now() >= until {
                return Err(error);
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Ends what is connected to a former primary, without waiting for it.
fn close_soon(pool: PgPool) {
    tokio::spawn(async move { timeout(CLOSE_LIMIT, pool.close()).await });
}

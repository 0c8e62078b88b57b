//! The pool of connections to PostgreSQL.

use std::{path::PathBuf, time::Duration};

use sqlx::{
    ConnectOptions, Connection as _, Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use super::{Result, StoreError, Tx, migrate};
use crate::secret::Secret;

/// How to reach a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgresql://user@host:port/database`, without a password; a host that
    /// begins with an encoded slash is the folder of a Unix socket.
    pub url: String,
    /// Password; not needed with a certificate or on a Unix socket.
    pub password: Option<Secret<String>>,
    /// The CA that must have signed the server's certificate. Without it TLS is
    /// used only when the server is on a Unix socket or the loopback address.
    pub ca_file: Option<PathBuf>,
    /// The most connections that this node opens.
    pub max_connections: u32,
    /// After this time the server gives up on a statement.
    pub statement_timeout: Duration,
}

pub(super) async fn open(settings: &PostgresSettings) -> Result<PgPool> {
    let mut options: PgConnectOptions = settings.url.parse()?;
    options = options
        .application_name("palisade")
        // A statement that takes longer than this has lost its client anyway.
        .options([
            ("statement_timeout", settings.statement_timeout.as_millis().to_string()),
            ("lock_timeout", "5000".to_owned()),
        ])
        .disable_statement_logging();
    options = match &settings.ca_file {
        Some(file) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(file),
        None => options.ssl_mode(PgSslMode::Prefer),
    };
    if let Some(password) = &settings.password {
        options = options.password(password.expose());
    }
    Ok(PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(Duration::from_secs(5))
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Reads that decide anything go to the primary, never to a standby.
                let in_recovery: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()")
                    .fetch_one(&mut *connection)
                    .await?;
                if in_recovery {
                    return Err(sqlx::Error::Configuration("this server is a standby".into()));
                }
                connection.execute("SET TIME ZONE 'UTC'").await.map(drop)
            })
        })
        .connect_with(options)
        .await?)
}

pub(super) async fn begin(pool: &PgPool, limit: Duration) -> Result<Tx> {
    let begun = tokio::time::timeout(limit, pool.begin()).await;
    Ok(Tx::postgres(begun.map_err(|_| StoreError::timeout())??))
}

/// Brings the schema up to date. Several nodes may try at once: one migrates,
/// the others wait for a moment and then answer `Unavailable`.
pub(super) async fn migrate(pool: &PgPool) -> Result<()> {
    let mut connection = pool.acquire().await?.detach();
    // A migration may take longer than a request has. The limit for locks stays:
    // a migration that waits for one makes everybody wait who comes after it.
    connection.execute("SET statement_timeout = 0").await?;
    migrate::postgres().run(&mut connection).await?;
    Ok(connection.close().await?)
}

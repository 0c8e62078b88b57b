//! How one server is connected to, and asked what it is.

use std::{fmt, io, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection as _, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::{sync::Notify, time::timeout};

use super::{
    PostgresSettings,
    choose::{Answer, Place},
};
use crate::{
    config::PostgresUrl,
    error::chain,
    store::{Failure, Result, StoreError},
};

/// How long one server may take to say what it is, connecting included.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// How long saying goodbye may take.
const GOODBYE_LIMIT: Duration = Duration::from_millis(100);

/// Whether it is a standby, and when its process was started.
const WHAT_IT_IS: &str = "SELECT pg_is_in_recovery(),
    CAST(EXTRACT(EPOCH FROM pg_postmaster_start_time()) * 1000000 AS BIGINT)";

/// Timeline, position in the log, and cluster. A standby knows the timeline of
/// its last restart point, and that of the stream if it may look. A role may
/// have been forbidden to ask any of this.
const WHERE_IT_IS: &str = "SELECT
    CASE WHEN pg_is_in_recovery()
        THEN CAST(GREATEST((SELECT timeline_id FROM pg_control_checkpoint()),
                           (SELECT received_tli FROM pg_stat_wal_receiver)) AS BIGINT)
        ELSE CAST(CAST('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS BIT(32))
                  AS BIGINT) END,
    CAST(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                              ELSE pg_current_wal_lsn() END, '0/0') AS BIGINT),
    (SELECT system_identifier FROM pg_control_system())";

/// One server of the setting.
#[derive(Clone)]
pub(super) struct Server {
    /// Host and port, to speak of it.
    pub(super) name: String,
    options: PgConnectOptions,
}

/// The options have the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    /// All servers of the setting, in its order.
    pub(super) fn all(settings: &PostgresSettings) -> Result<Vec<Self>> {
        let url = PostgresUrl::parse(&settings.url).map_err(|problem| {
            StoreError::new(Failure::Broken, format!("storage.postgres.url {problem}"))
        })?;
        let servers = url.servers().iter().map(|server| {
            let options = options(server.url.parse()?, settings);
            Ok(Self { name: server.name.clone(), options })
        });
        servers.collect()
    }

    /// The pool of an only server, with a first connection in it.
    pub(super) async fn open(&self, max_connections: u32) -> Result<PgPool> {
        let pool = pool(max_connections).after_connect(|connection, _| {
            Box::pin(async move {
                // Reads that decide anything go to the primary, never to a standby.
                if what_it_is(connection).await?.0 {
                    return Err(refused("this server is a standby"));
                }
                prepare(connection).await
            })
        });
        Ok(pool.connect_with(self.options.clone()).await?)
    }

    /// The pool of the primary that was `started` then. A server that was
    /// started again meanwhile may have been replaced: it is refused, and
    /// `look` is told, until all have been asked anew.
    pub(super) fn pool(&self, max_connections: u32, started: i64, look: Arc<Notify>) -> PgPool {
        let pool = pool(max_connections).after_connect(move |connection, _| {
            let look = Arc::clone(&look);
            Box::pin(async move {
                if what_it_is(connection).await? != (false, started) {
                    look.notify_one();
                    return Err(refused("this server is not the primary that was found"));
                }
                prepare(connection).await
            })
        });
        pool.connect_lazy_with(self.options.clone())
    }

    /// The pool of a standby that was `started` then, to read while there is no primary.
    pub(super) fn standby_pool(&self, max_connections: u32, started: i64) -> PgPool {
        let pool = pool(max_connections).after_connect(move |connection, _| {
            Box::pin(async move {
                if what_it_is(connection).await? != (true, started) {
                    return Err(refused("this server is not the standby that was found"));
                }
                prepare(connection).await
            })
        });
        pool.connect_lazy_with(self.options.clone())
    }

    /// Asks it what it is, on a connection for that alone.
    pub(super) async fn ask(&self) -> Answer {
        match timeout(ASK_LIMIT, self.look()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => read_failure(&error),
            Err(_) => Answer::Silent(format!("nothing within {ASK_LIMIT:?}")),
        }
    }

    async fn look(&self) -> sqlx::Result<Answer> {
        let mut connection = self.options.connect().await?;
        let (in_recovery, started) = what_it_is(&mut connection).await?;
        let asked = sqlx::query_as(WHERE_IT_IS).fetch_one(&mut connection).await;
        let (timeline, position, system) = match asked {
            Err(sqlx::Error::Database(_)) => (None, None, None),
            answered => answered?,
        };
        let _ = timeout(GOODBYE_LIMIT, connection.close()).await;
        let place = Place { system, timeline, position, started };
        Ok(if in_recovery { Answer::Standby(place) } else { Answer::Primary(place) })
    }
}

fn options(mut options: PgConnectOptions, settings: &PostgresSettings) -> PgConnectOptions {
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
    if let Some(client) = &settings.client {
        options = options.ssl_client_cert(&client.certificate).ssl_client_key(&client.key);
    }
    if let Some(password) = &settings.password {
        options = options.password(password.expose());
    }
    options
}

fn pool(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(max_connections).acquire_timeout(Duration::from_secs(5))
}

async fn what_it_is(connection: &mut PgConnection) -> sqlx::Result<(bool, i64)> {
    sqlx::query_as(WHAT_IT_IS).fetch_one(connection).await
}

async fn prepare(connection: &mut PgConnection) -> sqlx::Result<()> {
    connection.execute("SET TIME ZONE 'UTC'").await.map(drop)
}

fn refused(why: &'static str) -> sqlx::Error {
    sqlx::Error::Configuration(why.into())
}

/// What a server that could not be asked shows by that.
fn read_failure(error: &sqlx::Error) -> Answer {
    // cannot_connect_now, admin_shutdown, crash_shutdown
    const NOT_NOW: [&str; 3] = ["57P03", "57P01", "57P02"];
    match error {
        sqlx::Error::Io(cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Answer::Down(cause.to_string())
        }
        sqlx::Error::Database(told) => {
            let now = told.code().is_none_or(|code| !NOT_NOW.contains(&&*code));
            let why = told.message().to_owned();
            if now { Answer::Busy(why) } else { Answer::Down(why) }
        }
        other => Answer::Silent(chain(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown_with_the_server() {
        let settings = PostgresSettings {
            url: "postgresql://palisade@db1:5433,db2/palisade".into(),
            password: Some(crate::secret::Secret::new("hunter2".into())),
            ca_file: None,
            client: None,
            max_connections: 2,
            statement_timeout: ASK_LIMIT,
        };
        let servers = Server::all(&settings).expect("servers");
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[0].options.get_host(), "db1");
        assert_eq!(servers[0].options.get_port(), 5433);
        assert_eq!(servers[1].options.get_database(), Some("palisade"));
        assert!(!format!("{servers:?}").contains("hunter2"));
    }
}

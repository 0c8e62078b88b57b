//! Creating projects: a row and its audit record, on disk before the answer.
//! 64 writers at once, on SQLite and on PostgreSQL.

use std::{fmt::Write as _, path::Path};

use anyhow::Result;
use serde_json::json;

use super::Size;
use crate::{
    appliance::{Appliance, Settings},
    http::request,
    load::Pool,
    measure::Samples,
    peers::{Postgres, Sqlite},
    table::{Goal, Row},
};

const WRITERS: usize = 64;
const GROUP: usize = 32;
const PATH: &str = "audited durable change, 64 writers";

pub(super) async fn measure(size: Size) -> Result<Vec<Row>> {
    let mut rows = on_sqlite(size).await?;
    rows.push(on_postgres(size).await?);
    Ok(rows)
}

async fn on_sqlite(size: Size) -> Result<Vec<Row>> {
    let appliance = Appliance::new(Settings::new()?.with("bus.mode", "off")).await?;
    let mut writers = Writers::new(&appliance).await?;
    let mut peer = Peer::new(&appliance.data().join("palisade.db"), appliance.folder().path())?;
    let (mut ours, mut single, mut grouped) =
        (Samples::default(), Samples::default(), Samples::default());
    writers.rate(size.of(1_000)).await?; // warm
    for _ in 0..size.rounds {
        ours.push(writers.rate(size.of(4_096)).await?);
        single.push(peer.rate(size.of(256), 1)?);
        grouped.push(peer.rate(size.of(4_096), GROUP)?);
    }
    let row = |peer, theirs, goal| Row::beside(PATH, "per second", &ours, peer, theirs, goal);
    Ok(vec![
        row("the same rows in sqlite3, FULL, one by one", &single, Goal::AtLeast(20.0)),
        row("… in groups of 32", &grouped, Goal::AtLeast(0.7)),
    ])
}

async fn on_postgres(size: Size) -> Result<Row> {
    let server = Postgres::start().await?;
    let settings = Settings::new()?
        .with("bus.mode", "off")
        .with("storage.database", "postgres")
        .with("storage.postgres.url", &server.url());
    let appliance = Appliance::new(settings).await?;
    let mut writers = Writers::new(&appliance).await?;
    server.psql(
        "palisade",
        "CREATE SEQUENCE peer_number; CREATE TABLE peer (tenant_id TEXT NOT NULL, id TEXT PRIMARY KEY, \
         name TEXT NOT NULL, description TEXT NOT NULL, created_at BIGINT NOT NULL, version BIGINT NOT NULL)",
    )?;
    let script = appliance.folder().write(
        "insert.sql",
        "INSERT INTO peer VALUES ('0123456789ab', nextval('peer_number')::text, 'a project', '', 0, 1);\n",
    )?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    writers.rate(size.of(1_000)).await?;
    for _ in 0..size.rounds {
        ours.push(writers.rate(size.of(2_000)).await?);
        theirs.push(server.pgbench(&script, 32, 2)?);
    }
    let path = format!("{PATH}, PostgreSQL");
    let peer = "pgbench -M prepared -c32, a single insert";
    Ok(Row::beside(path, "per second", &ours, peer, &theirs, Goal::AtLeast(1.5)))
}

/// Connections that create projects with names that nobody has used.
struct Writers {
    pool: Pool,
    token: String,
    used: usize,
}

impl Writers {
    async fn new(appliance: &Appliance) -> Result<Self> {
        let pool = Pool::open(&appliance.target, WRITERS).await?;
        Ok(Self { pool, token: appliance.token().await?, used: 0 })
    }

    async fn rate(&mut self, total: usize) -> Result<f64> {
        let (token, first) = (self.token.clone(), self.used);
        self.used += total;
        let create = move |number| {
            let body = json!({"name": format!("project {}", first + number)});
            request("POST", "/v1/projects", Some(&token), Some(&body))
        };
        self.pool.renew().await?;
        Ok(self.pool.run(total, create).await?.per_second())
    }
}

/// A database with our tables, and `sqlite3` that writes the same rows.
struct Peer {
    sqlite: Sqlite,
    used: usize,
}

impl Peer {
    fn new(database: &Path, folder: &Path) -> Result<Self> {
        let copy = folder.join("peer.db");
        let made = format!("VACUUM INTO '{}'", copy.display());
        Sqlite::answer(database, &made)?;
        let mut sqlite = Sqlite::open(&copy, &[])?;
        sqlite.run(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;\n\
             PRAGMA secure_delete = ON; PRAGMA cache_size = -4000;",
        )?;
        Ok(Self { sqlite, used: 0 })
    }

    /// Pairs of rows per second, `group` pairs in a transaction.
    fn rate(&mut self, total: usize, group: usize) -> Result<f64> {
        let mut script = String::new();
        for number in self.used..self.used + total {
            let begins = (number - self.used).is_multiple_of(group);
            let ends =
                (number - self.used + 1).is_multiple_of(group) || number + 1 == self.used + total;
            if begins {
                script.push_str("BEGIN IMMEDIATE;\n");
            }
            let _ = writeln!(
                script,
                "INSERT INTO project SELECT id, 'p{number:011}', 'project {number}', '', {number}, 1 \
                 FROM tenant WHERE slug = 'bench';\n\
                 INSERT INTO audit_record (id, tenant_id, at, actor_kind, actor_id, action, \
                 object_kind, object_id, outcome, detail, request_id, address, mac) \
                 SELECT 'r{number:011}', id, {number}, 'user', '0123456789ab', 'project.create', \
                 'project', 'p{number:011}', 'success', '{{\"name\":\"project {number}\"}}', \
                 '0123456789abcdef', '127.0.0.1', randomblob(32) FROM tenant WHERE slug = 'bench';"
            );
            if ends {
                script.push_str("COMMIT;\n");
            }
        }
        self.used += total;
        let cost = self.sqlite.run(&script)?;
        Ok(total as f64 / cost.took.as_secs_f64())
    }
}

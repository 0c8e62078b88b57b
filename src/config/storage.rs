//! Settings of the database.

use std::path::PathBuf;

use super::{
    PostgresUrl, SecretFile,
    setting::section,
    value::{Milliseconds, choice},
};

choice! {
    /// Which database keeps the state.
    pub enum Database {
        /// Inside the process, in `storage.data_dir`.
        Sqlite = "sqlite",
        /// A server; needed for high availability.
        Postgres = "postgres",
    }
}

section! {
    /// Where state is kept.
    pub struct Storage in "storage";

    /// The directory of everything that the appliance writes.
    data_dir: PathBuf = "./var";
    /// `sqlite` keeps the state in the data directory; `postgres` is needed for high availability.
    database: Database = "sqlite";
    /// Connections that read at the same time.
    max_connections: u32 = 16 where 2..=1_000;
    /// How long one statement may take before the database gives up on it.
    statement_timeout_ms: Milliseconds = 10_000 where 100..=600_000;
}

section! {
    /// The PostgreSQL server, when `storage.database` is `postgres`.
    pub struct Postgres in "storage.postgres";

    /// User, host, port and database, without a password. Several servers of one cluster are
    /// separated by commas (`db1:5432,db2:5432,db3:5432`): whichever is the primary is used.
    url: Option<PostgresUrl> as "postgresql://palisade@db.example.com:5432/palisade";
    /// A file with the password, readable by nobody else.
    password_file: Option<SecretFile> as "/etc/palisade/postgres-password";
    /// The CA that signed the server's certificate (PEM). With it the connection is
    /// encrypted and the server's name is verified.
    ca_file: Option<PathBuf> as "/etc/palisade/postgres-ca.pem";
    /// The certificate (PEM) by which the server knows us instead of a password. Its common
    /// name is the user. Connections that are made later use what the file holds then.
    cert_file: Option<PathBuf> as "/etc/palisade/postgres.crt";
    /// The private key of that certificate (PEM), readable by nobody else.
    key_file: Option<SecretFile> as "/etc/palisade/postgres.key";
}

impl Storage {
    /// What programs on this machine have to trust to talk to the appliance; no secret.
    pub fn anchor_file(&self) -> PathBuf {
        self.data_dir.join("ca.pem")
    }
}

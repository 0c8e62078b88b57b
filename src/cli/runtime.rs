//! Runtimes for commands, and the wish to end them.

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{
    config::{Config, Sources},
    error::{Error, Result},
    observability,
};

/// One thread: for the agent and for clients.
pub(super) fn single_threaded() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().map_err(Error::internal)
}

/// As many threads as cores: for the server and for simulations.
pub(super) fn multi_threaded() -> Result<Runtime> {
    Builder::new_multi_thread().enable_all().build().map_err(Error::internal)
}

/// Lets the process have as many files and connections open as the system
/// allows: shells and systemd set 1,024 for programs that use `select`, and a
/// server of a thousand agents has two for each.
pub(super) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Starts logging for commands that have no settings file; `format` is `human` or `json`.
pub(super) fn start_logging(format: &str) -> Result<()> {
    let config = Config::load(Sources::only([("log.format", format)])).map_err(Error::internal)?;
    observability::init(config.log.format, &config.log.filter).map_err(Error::internal)
}

/// Ready when somebody asks the process to end. A process that cannot listen
/// for signals is ended by them, which is what they ask for.
pub(super) async fn terminated() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

//! `palisade serve`: the management plane.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    config::{Settings, refuse},
    output::{fail, say},
    terminal,
};
use crate::{
    app::{App, Parts},
    clock::{SystemClock, SystemRandom},
    config::Config,
    error::{Error, Result},
    files::{self, PRIVATE},
    gateway::Server,
    observability::{self, Metrics},
    secret::Secret,
};

/// Arguments of `palisade serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
    /// Address and port of the HTTPS server (`server.listen`).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The directory of everything that the appliance writes (`storage.data_dir`).
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let mut flags = Vec::new();
    if let Some(listen) = args.listen {
        flags.push(("server.listen".to_owned(), listen.to_string()));
    }
    if let Some(directory) = args.data_dir {
        flags.push(("storage.data_dir".to_owned(), directory.display().to_string()));
    }
    let config = match args.settings.load(flags) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    if let Err(error) = observability::init(config.log.format, &config.log.filter) {
        return fail(&Error::internal(error));
    }
    let passphrase = match terminal::passphrase(&config, false) {
        Ok(passphrase) => passphrase,
        Err(failure) => return failure.report(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = runtime
        .map_err(Error::internal)
        .and_then(|runtime| runtime.block_on(serve(config, passphrase)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn serve(config: Config, passphrase: Option<Secret<String>>) -> Result<()> {
    let server = Server::bind(config.server.listen)?;
    let metrics = Metrics::install().map_err(Error::internal)?;
    let parts = Parts {
        config,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        metrics: Some(metrics),
    };
    let app = App::start_with(parts, passphrase).await?;
    // First, so that nobody who has seen the greeting ends it the hard way.
    stop_on_signal(&app)?;
    greet(&app, server.address()).await?;
    let outcome = server.run(app.clone()).await;
    app.stop().await;
    outcome
}

/// What an administrator needs for the first visit.
async fn greet(app: &App, address: SocketAddr) -> Result<()> {
    say(&format!("Palisade {} listens on https://{address}", env!("CARGO_PKG_VERSION")));
    say(&format!("Certificate SHA-256: {}", app.certificate().fingerprint));
    match app.setup().new_code().await? {
        Some(code) => {
            let line = format!("{}\n", code.expose_grouped());
            // For the console of the appliance, which shows the code.
            files::replace(&app.setup_code_file(), line.as_bytes(), PRIVATE)
                .map_err(Error::internal)?;
            say(&format!("Set-up code: {}", code.expose_grouped()));
            say(&format!("Open {} in a browser and type it.", app.config().server.origin()));
        }
        None => app.forget_setup_code(),
    }
    Ok(())
}

fn stop_on_signal(app: &App) -> Result<()> {
    let stopping = app.stopping().clone();
    // Both are caught from here on, not only when the task runs for the first time.
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    app.tasks().spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stopping.cancelled() => {}
        }
        tracing::info!("stopping: open requests may finish");
        stopping.cancel();
    });
    Ok(())
}

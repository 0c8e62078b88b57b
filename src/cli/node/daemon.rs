//! `palisade node daemon`.

use tokio_util::sync::CancellationToken;

use super::Layout;
use crate::{
    cli::{failure::Result, runtime},
    node::daemon::{self, Options},
};

/// Runs until it is asked to end.
#[expect(clippy::disallowed_methods, reason = "the service manager says where it listens")]
pub(super) async fn daemon(layout: Layout) -> Result<()> {
    runtime::start_logging("human")?;
    let stopping = CancellationToken::new();
    let signal = stopping.clone();
    tokio::spawn(async move {
        runtime::terminated().await;
        signal.cancel();
    });
    let notify = std::env::var_os("NOTIFY_SOCKET");
    Ok(daemon::run(Options { paths: layout.paths(), notify, stopping }).await?)
}

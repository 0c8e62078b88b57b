//! Work that goes on in the background.
//!
//! Owns: what is done how often, and which of it one node does for all: sealing
//! the audit chain, forgetting what has expired, renewing the certificate.
//! Must not know: how it is done, or how nodes agree on who does it.
//!
//! The rest is about this process or this machine and runs on every node.

use std::{collections::HashSet, time::Duration};

use super::{App, cluster_metrics, singleton::Keeper};
use crate::{
    appliance::NodeRecords,
    audit::{Ledger, Sealer},
    error::Error,
    identity::policy::MAX_HISTORY,
    node::{client::Client, paths::Paths},
    store::{self, leases::Fence},
};

/// News of other nodes may be this old when they are committed: a commit may
/// wait for a standby to come back.
const LATEST_COMMIT: Duration = Duration::from_mins(1);

/// Starts all of it; everything ends when the application stops.
pub(super) fn start(app: &App, sealer: Sealer, keeper: Option<Keeper>, node: Option<&Paths>) {
    if let Some(keeper) = keeper {
        app.tasks().spawn(keeper.run(app.stopping().clone()));
    }
    seal(app, sealer);
    follow(app);
    follow_certificate(app);
    follow_keystore(app);
    prune(app);
    sort_samples(app);
    look_after_certificate(app);
    collect_node_events(app, node);
    cluster_metrics::start(app, node);
}

/// Joins audit records to their chains, at most half a second behind.
fn seal(app: &App, sealer: Sealer) {
    let reporter = app.readiness().register("audit");
    let (duty, stopping) = (app.duty().clone(), app.stopping().clone());
    app.tasks().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(400));
        loop {
            let going_on = stopping.run_until_cancelled(every.tick()).await.is_some();
            match duty.fence() {
                None => reporter.good("another node keeps the audit chain current"),
                Some(fence) => match sealer.run_once(&fence).await {
                    Ok(_) => reporter.good("the audit chain is current"),
                    Err(error) => {
                        tracing::warn!(error = %error.chain(), "audit records cannot be sealed; trying again");
                        reporter.bad("audit records cannot be sealed: the store does not answer")
                    }
                },
            };
            if !going_on {
                return;
            }
        }
    });
}

/// Takes over what other nodes and the console have changed.
fn follow(app: &App) {
    let reporter = app.readiness().register("store");
    let (ledger, stopping) = (app.ledger().clone(), app.stopping().clone());
    app.tasks().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(400));
        let (mut seen, mut last) = (HashSet::new(), tokio::time::Instant::now());
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            let asked = tokio::time::Instant::now();
            match ledger.follow(LATEST_COMMIT + asked.duration_since(last), &seen).await {
                Ok(news) => (seen, last) = (news, asked),
                Err(error) => {
                    reporter.bad(error.message().to_owned());
                    continue;
                }
            }
            // News are read from a standby too, while there is no primary.
            match ledger.store().ping().await {
                Ok(()) => reporter.good("the database answers"),
                Err(error) => reporter.bad(Error::from(error).message().to_owned()),
            };
        }
    });
}

/// Keeps the keystore and its copy in the database in step. Whoever changes the
/// keystore stores the copy at once; this is for other nodes, and for those who
/// could not.
fn follow_keystore(app: &App) {
    let (app, stopping) = (app.clone(), app.stopping().clone());
    app.tasks().clone().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        let mut failed = false;
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            let followed = app.keys().follow().await;
            if let Err(error) = &followed
                && !failed
            {
                tracing::warn!(error = %error.chain(), "the keystore cannot be compared with its copy in the database; trying again");
            }
            failed = followed.is_err();
        }
    });
}

/// Renews the internal certificate and warns before an imported one ends.
fn look_after_certificate(app: &App) {
    let (reporter, app) = (app.readiness().register("certificate"), app.clone());
    let stopping = app.stopping().clone();
    app.tasks().clone().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_hours(1));
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            match app.served_certificate().look_after(app.duty().is_held()).await {
                Ok(None) => reporter.good("the server certificate is valid"),
                Ok(Some(warning)) => {
                    tracing::warn!("{warning}");
                    reporter.good(warning)
                }
                Err(error) => reporter.bad(error.message().to_owned()),
            };
        }
    });
}

/// Takes over the certificate that another node has renewed or imported.
fn follow_certificate(app: &App) {
    if !app.ledger().store().is_shared() {
        return;
    }
    let (app, stopping) = (app.clone(), app.stopping().clone());
    app.tasks().clone().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        let mut failed = false;
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            let followed = app.served_certificate().follow().await;
            if let Err(error) = &followed
                && !failed
            {
                tracing::warn!(error = %error.chain(), "the certificate cannot be compared with the other nodes'; trying again");
            }
            failed = followed.is_err();
        }
    });
}

/// Records what was done on the machine itself, where the node daemon runs.
fn collect_node_events(app: &App, node: Option<&Paths>) {
    let Some(paths) = node else { return };
    let records = NodeRecords::new(app.ledger().clone(), Client::of(paths));
    let stopping = app.stopping().clone();
    app.tasks().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        let mut failed = false;
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            let collected = records.collect().await;
            if let Err(error) = &collected
                && !failed
            {
                tracing::warn!(error = %error.chain(), "events of the node cannot be recorded; trying again");
            }
            failed = collected.is_err();
        }
    });
}

/// Forgets what has expired.
fn prune(app: &App) {
    let (ledger, stopping) = (app.ledger().clone(), app.stopping().clone());
    let duty = app.duty().clone();
    app.tasks().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_mins(10));
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            let Some(fence) = duty.fence() else { continue };
            if let Err(error) = prune_once(&ledger, &fence).await {
                tracing::warn!(error = %error.chain(), "expired rows cannot be removed; trying again in ten minutes");
            }
        }
    });
}

/// Keeps the samples of histograms from piling up when nobody scrapes them.
fn sort_samples(app: &App) {
    let Some(metrics) = app.metrics().cloned() else { return };
    let stopping = app.stopping().clone();
    app.tasks().spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            metrics.upkeep();
        }
    });
}

async fn prune_once(ledger: &Ledger, fence: &Fence) -> crate::error::Result<()> {
    const DAY: Duration = Duration::from_hours(24);
    // For a week, an agent that comes back with a used token is told so.
    const WEEK: Duration = Duration::from_hours(7 * 24);
    let now = ledger.clock().now();
    let mut tx = ledger.store().begin().await?;
    store::idempotency::prune(&mut tx, now.minus(DAY)).await?;
    store::invalidation::prune(&mut tx, Duration::from_hours(1)).await?;
    store::one_time::prune(&mut tx, now).await?;
    store::enrolment::prune_tokens(&mut tx, now.minus(WEEK)).await?;
    store::users::prune_history(&mut tx, MAX_HISTORY).await?;
    store::sessions::prune(&mut tx, now.minus(DAY)).await?;
    store::statistics::prune(&mut tx, now.minus(DAY)).await?;
    fence.confirm(&mut tx).await?;
    Ok(tx.commit().await?)
}

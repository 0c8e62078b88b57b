//! What the node daemon knows of the cluster, as metrics.
//!
//! Owns: how often it is asked, and what a node says that is not there any more.
//! Must not know: how the state was found out.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::App;
use crate::{
    node::{
        client::Client,
        ha::engines::DatabaseRole,
        paths::Paths,
        protocol::{ClusterState, ClusterView},
    },
    observability::metrics,
};

const EVERY: Duration = Duration::from_secs(10);

/// Measures until the application stops, where there is a node daemon and
/// somebody who reads metrics.
pub(super) fn start(app: &App, node: Option<&Paths>) {
    let (Some(paths), Some(_)) = (node, app.metrics()) else { return };
    let (client, stopping) = (Client::of(paths), app.stopping().clone());
    app.tasks().spawn(async move {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut measured = Measured::default();
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            match client.ask(ClusterState {}).await {
                Ok(view) => measured.take(Some(&view)),
                Err(error) => {
                    tracing::debug!(%error, "the state of the cluster is not known");
                    measured.take(None);
                }
            }
        }
    });
}

/// The nodes of which something was said: a gauge stays until it is set again.
#[derive(Debug, Default)]
struct Measured {
    nodes: BTreeSet<String>,
}

impl Measured {
    /// Records what is known now. An installation that never had a cluster says nothing.
    fn take(&mut self, view: Option<&ClusterView>) {
        let nodes = view.map_or(&[][..], |view| &view.nodes[..]);
        if nodes.is_empty() && self.nodes.is_empty() {
            return;
        }
        let (mut ready, mut not_ready, mut silent) = (0, 0, 0);
        let mut gone = self.nodes.clone();
        for node in nodes {
            match node.ready {
                Some(true) => ready += 1,
                Some(false) => not_ready += 1,
                None => silent += 1,
            }
            let leads =
                node.database.as_ref().map(|database| database.role == DatabaseRole::Leader);
            let behind = node.database.as_ref().and_then(|database| match database.role {
                DatabaseRole::Leader => Some(0),
                DatabaseRole::Synchronous | DatabaseRole::Replica => database.lag_bytes,
            });
            let name = node.name.as_str();
            metrics::cluster_node(name, leads, behind, node.clock_ahead_ms);
            gone.remove(name);
            self.nodes.insert(name.to_owned());
        }
        for name in &gone {
            metrics::cluster_node(name, None, None, None);
        }
        for (state, number) in [("ready", ready), ("not_ready", not_ready), ("silent", silent)] {
            metrics::cluster_nodes(state, number);
        }
        let quorum = view.and_then(|view| view.quorum);
        metrics::cluster_quorum(quorum.map(|quorum| quorum.present >= quorum.needed));
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde_json::json;

    use super::*;

    fn view(nodes: &[&str]) -> ClusterView {
        let one = |name: &&str| {
            let leads = *name == "n1";
            let role = if leads { "leader" } else { "synchronous" };
            json!({
                "name": name, "own": leads, "address": "192.0.2.11",
                "joined": "2026-11-22T05:00:00Z", "ready": leads, "clockAheadMs": 250,
                "database": {"role": role, "state": "streaming",
                    "lagBytes": if leads { json!(null) } else { json!(64) }},
                "ifStopped": "",
            })
        };
        let view = json!({
            "own": "n1", "phase": "running", "nodes": nodes.iter().map(one).collect::<Vec<_>>(),
            "quorum": {"present": 2, "members": 3, "needed": 2}, "warnings": [],
        });
        serde_json::from_value(view).expect("a view")
    }

    #[test]
    fn a_node_that_is_gone_is_unknown_and_an_installation_without_a_cluster_says_nothing() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let mut measured = Measured::default();
        let mut scrape = |view: Option<&ClusterView>| {
            ::metrics::with_local_recorder(&recorder, || measured.take(view));
            handle.render()
        };
        assert_eq!(scrape(Some(&view(&[]))), "");
        assert_eq!(scrape(None), "");
        let both = scrape(Some(&view(&["n1", "n2"])));
        let one = scrape(Some(&view(&["n1"])));
        let nobody = scrape(None);
        for (scrape, expected) in [
            (&both, "palisade_cluster_nodes{state=\"ready\"} 1"),
            (&both, "palisade_cluster_nodes{state=\"not_ready\"} 1"),
            (&both, "palisade_cluster_quorum 1"),
            (&both, "palisade_database_leader{node=\"n1\"} 1"),
            (&both, "palisade_database_leader{node=\"n2\"} 0"),
            (&both, "palisade_database_lag_bytes{node=\"n1\"} 0"),
            (&both, "palisade_database_lag_bytes{node=\"n2\"} 64"),
            (&both, "palisade_cluster_clock_ahead_seconds{node=\"n2\"} 0.25"),
            (&one, "palisade_database_leader{node=\"n2\"} NaN"),
            (&one, "palisade_database_lag_bytes{node=\"n2\"} NaN"),
            (&nobody, "palisade_cluster_quorum NaN"),
            (&nobody, "palisade_cluster_nodes{state=\"ready\"} 0"),
            (&nobody, "palisade_database_leader{node=\"n1\"} NaN"),
        ] {
            assert!(scrape.lines().any(|line| line == expected), "{expected} is not in\n{scrape}");
        }
    }
}

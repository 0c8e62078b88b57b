//! Kubeconfigs: kept sealed, handed out only with a record.

use serde::Deserialize;

use super::{Clusters, no_cluster, service::find};
use crate::{
    audit::Event,
    error::{Error, Kind, Result},
    ids::ClusterId,
    rbac::{
        Permit,
        rights::{ClusterKubeconfig, ClusterUpdate},
    },
    secret::Secret,
    store,
};

/// Where it is sealed for: it opens nowhere else.
const PLACE: (&str, &str) = ("cluster", "kubeconfig");

impl Clusters {
    /// Stores a kubeconfig, replacing the one before. `NotFound`; `Invalid`
    /// when the text is no kubeconfig.
    pub async fn store_kubeconfig(
        &self,
        permit: &Permit<ClusterUpdate>,
        id: ClusterId,
        kubeconfig: &Secret<String>,
    ) -> Result<()> {
        check(kubeconfig)?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        let row = find(change.tx(), permit, id).await?;
        let tenant = row.tenant_id;
        let ring = self.ledger.vault().ring(change.tx(), tenant).await?;
        let (table, column) = PLACE;
        let sealed = ring.seal(table, column, &id.to_string(), kubeconfig.expose().as_bytes());
        if !store::clusters::set_kubeconfig(change.tx(), tenant, id, &sealed).await? {
            return Err(no_cluster());
        }
        let event = Event::new("cluster.update").on(id).in_project(row.project_id);
        let row = store::clusters::ClusterRow { has_kubeconfig: true, ..row };
        let shown = self.shown(change.tx(), row).await?;
        change.outdate_fleet();
        change.commit(event.with("kubeconfig", "stored")).await?;
        self.registry.put(shown.cluster);
        Ok(())
    }

    /// The stored kubeconfig. It is recorded before it is handed out. `NotFound`; code `no-kubeconfig` when none is stored.
    pub async fn kubeconfig(
        &self,
        permit: &Permit<ClusterKubeconfig>,
        id: ClusterId,
    ) -> Result<Secret<String>> {
        let mut tx = self.ledger.store().read().await?;
        let row = find(&mut tx, permit, id).await?;
        let sealed = store::clusters::kubeconfig(&mut tx, row.tenant_id, id).await?;
        let sealed = sealed.ok_or_else(|| {
            let message = "No kubeconfig is stored for this cluster.";
            Error::new(Kind::NotFound, "no-kubeconfig", message)
                .with_hint("Store one on the cluster's page first.")
        })?;
        let ring = self.ledger.vault().ring(&mut tx, row.tenant_id).await?;
        drop(tx);
        let (table, column) = PLACE;
        let text = Secret::new(ring.open_text(table, column, &id.to_string(), &sealed)?);
        let event = Event::new("cluster.kubeconfig").on(id).in_project(row.project_id);
        self.ledger.note(permit.actor(), event.with("name", row.name)).await?;
        Ok(text)
    }
}

/// The parts of a kubeconfig without which it is none.
#[derive(Deserialize)]
struct Shape {
    kind: String,
    clusters: Vec<serde::de::IgnoredAny>,
}

/// Refuses what is no kubeconfig. The parser's own words are not repeated: they
/// might quote a key.
fn check(kubeconfig: &Secret<String>) -> Result<()> {
    let shape: Option<Shape> = serde_yaml_ng::from_str(kubeconfig.expose()).ok();
    if shape.is_some_and(|shape| shape.kind == "Config" && !shape.clusters.is_empty()) {
        return Ok(());
    }
    let message = "must be a kubeconfig: YAML with kind Config and at least one cluster";
    Err(Error::invalid("kubeconfig", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kubeconfig_is_accepted_and_the_refusal_does_not_quote_it() {
        let good = "apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster: {}\n";
        assert!(check(&Secret::new(good.to_owned())).is_ok());
        for bad in ["", "kind: Config", "kind: Pod\nclusters: [1]", "hunter2: [", "{}"] {
            let refused = check(&Secret::new(bad.to_owned())).expect_err("refused");
            assert!(!refused.chain().contains("hunter2"), "{}", refused.chain());
        }
    }
}

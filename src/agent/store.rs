//! The ConfigMap that keeps the agent's identity.
//!
//! Owns: reading and writing it.
//! Must not know: what is in it beyond its entries.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{state::SavedState, watch::cause};
use crate::error::{Error, Kind, Result};

/// Who owns the entries, for server-side apply.
const MANAGER: &str = "palisade-agent";

/// Where the identity is kept between two runs.
#[derive(Clone, Debug)]
pub struct StateStore {
    configmaps: Api<ConfigMap>,
    name: String,
}

impl StateStore {
    /// The ConfigMap `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { configmaps: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    /// What was kept; `None` when there is nothing.
    ///
    /// Errors: `Unavailable` when Kubernetes does not answer, `Invalid` when
    /// the ConfigMap is not ours.
    pub async fn load(&self) -> Result<Option<SavedState>> {
        let found =
            self.configmaps.get_opt(&self.name).await.map_err(|error| {
                failure(&format!("ConfigMap {} cannot be read", self.name), &error)
            })?;
        let Some(configmap) = found else { return Ok(None) };
        let state = SavedState::from_data(&configmap.data.unwrap_or_default());
        state.map(Some).map_err(|broken| {
            let message = format!("ConfigMap {} is not usable.", self.name);
            Error::new(Kind::Invalid, "broken-state", message).caused_by(broken)
        })
    }

    /// Whether the API server gives an answer that its database has to know.
    pub(super) async fn answers(&self) -> kube::Result<()> {
        self.configmaps.get_metadata_opt(&self.name).await.map(drop)
    }

    /// Keeps `state`, replacing what was there.
    ///
    /// Errors: `Unavailable`.
    pub async fn save(&self, state: &SavedState) -> Result<()> {
        let configmap = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "labels": {"app.kubernetes.io/part-of": "palisade"},
            },
            "data": state.to_data(),
        });
        let parameters = PatchParams::apply(MANAGER).force();
        let saved = self.configmaps.patch(&self.name, &parameters, &Patch::Apply(&configmap)).await;
        saved
            .map(|_| ())
            .map_err(|error| failure(&format!("ConfigMap {} cannot be written", self.name), &error))
    }
}

fn failure(what: &str, error: &kube::Error) -> Error {
    Error::unavailable(format!("{what}: {}.", cause(error)))
}

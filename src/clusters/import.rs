//! The command that brings a cluster in.
//!
//! Owns: the import token and the two commands around it.
//! Must not know: who may have them.

use serde::{Deserialize, Serialize};

use super::{Front, Shown};
use crate::{clock::Timestamp, identity::OneTimeSecret, ids::ProjectId, secret::Secret};

/// What a new cluster needs.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Unique in the project.
    pub name: String,
    /// Its project.
    pub project: ProjectId,
}

/// A new cluster and how to bring it in.
#[derive(Debug)]
pub struct Imported {
    /// The cluster, still without an agent.
    pub cluster: Shown,
    /// What to do in the cluster.
    pub import: Import,
}

/// How to bring a cluster in; shown once, because it contains the token.
#[derive(Clone, Debug)]
pub struct Import {
    /// For a machine that trusts the appliance's certificate.
    pub command: Secret<String>,
    /// For one that does not: it accepts the certificate by its public key.
    pub pinned_command: Secret<String>,
    /// Where the manifest is.
    pub manifest_url: Secret<String>,
    /// Until when the token works.
    pub expires_at: Timestamp,
}

impl Import {
    /// The commands for a token.
    pub(super) fn new(front: &Front, token: &str, expires_at: Timestamp) -> Self {
        let url = format!("{}/v1/agent/manifest/{token}", front.origin);
        let command = format!("kubectl apply -f {url}");
        let pinned = format!(
            "curl -fsS --insecure --pinnedpubkey 'sha256//{}' {url} | kubectl apply -f -",
            front.pin
        );
        Self {
            command: Secret::new(command),
            pinned_command: Secret::new(pinned),
            manifest_url: Secret::new(url),
            expires_at,
        }
    }
}

/// What a repetition of the same request needs to answer the same.
#[derive(Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) cluster: crate::ids::ClusterId,
    pub(super) token: String,
    pub(super) expires_at: Timestamp,
}

impl Remembered {
    pub(super) fn new(
        cluster: crate::ids::ClusterId,
        token: &OneTimeSecret,
        expires_at: Timestamp,
    ) -> Self {
        Self { cluster, token: token.expose().to_owned(), expires_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_command_trusts_one_public_key_and_nothing_else() {
        let front = Front {
            origin: "https://palisade.example.test:8443".into(),
            ca_pem: String::new(),
            pin: "AAAA".into(),
            image: String::new(),
        };
        let import = Import::new(&front, "pc_x", Timestamp::from_seconds(0));
        let url = "https://palisade.example.test:8443/v1/agent/manifest/pc_x";
        assert_eq!(import.command.expose(), &format!("kubectl apply -f {url}"));
        assert_eq!(
            import.pinned_command.expose(),
            &format!(
                "curl -fsS --insecure --pinnedpubkey 'sha256//AAAA' {url} | kubectl apply -f -"
            )
        );
    }
}

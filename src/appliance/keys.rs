//! The installation's keys: their state and their rotation.

use std::sync::Arc;

use crate::{
    audit::{Event, Ledger},
    error::Result,
    identity::SigningKeys,
    keystore::Status,
    rbac::{
        Permit,
        rights::{PlatformGet, PlatformUpdate},
    },
};

/// The installation's keys.
#[derive(Debug)]
pub struct Keys {
    ledger: Ledger,
    signing: Arc<SigningKeys>,
}

impl Keys {
    /// Keys of the ledger's keystore; `signing` is what access tokens are checked with.
    pub fn new(ledger: Ledger, signing: Arc<SigningKeys>) -> Self {
        Self { ledger, signing }
    }

    /// What may be shown of the keys.
    pub fn status(&self, _permit: &Permit<PlatformGet>) -> Status {
        self.ledger.vault().keystore().status()
    }

    /// Takes over what another node, or a command on this one, has changed.
    pub async fn follow(&self) -> Result<()> {
        self.signing.follow().await
    }

    /// Wraps every tenant's key with a new root key.
    pub async fn rotate_root(&self, permit: &Permit<PlatformUpdate>) -> Result<Status> {
        let vault = self.ledger.vault();
        vault.rotate_root(self.ledger.store(), self.ledger.clock()).await?;
        let status = vault.keystore().status();
        let event =
            Event::new("platform.rotateRootKey").with("key", status.roots[0].id.to_string());
        self.ledger.note(permit.actor(), event).await?;
        Ok(status)
    }

    /// Signs new sessions with a new key; tokens of the old one stay good for
    /// the rest of their minutes.
    pub async fn rotate_jwt(&self, permit: &Permit<PlatformUpdate>) -> Result<Status> {
        let vault = self.ledger.vault();
        let clock = Arc::clone(self.ledger.clock());
        let mut change = self.ledger.begin(permit.actor()).await?;
        let drafted = vault.draft(change.tx(), move |keystore, random| {
            keystore.draft_jwt_rotation(&*clock, random)
        });
        let (key, draft) = drafted.await?;
        change.commit(Event::new("platform.rotateJwtKey").with("key", key.to_string())).await?;
        vault.adopt(draft).await?;
        self.signing.renew()?;
        Ok(vault.keystore().status())
    }
}

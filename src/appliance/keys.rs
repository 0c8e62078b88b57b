//! The installation's keys: their state and their rotation.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    audit::{Event, Ledger},
    error::{Error, Result},
    identity::TokenKeys,
    keystore::{Keystore, Status},
    rbac::{
        Permit,
        rights::{PlatformGet, PlatformUpdate},
    },
    store,
};

/// The installation's keys.
#[derive(Debug)]
pub struct Keys {
    ledger: Ledger,
    tokens: Arc<ArcSwap<TokenKeys>>,
}

impl Keys {
    /// Keys of the ledger's keystore; `tokens` is what access tokens are checked with.
    pub fn new(ledger: Ledger, tokens: Arc<ArcSwap<TokenKeys>>) -> Self {
        Self { ledger, tokens }
    }

    /// What may be shown of the keys.
    pub fn status(&self, _permit: &Permit<PlatformGet>) -> Status {
        self.ledger.vault().keystore().status()
    }

    /// Wraps every tenant's key with a new root key.
    pub async fn rotate_root(&self, permit: &Permit<PlatformUpdate>) -> Result<Status> {
        let (vault, clock) = (self.ledger.vault(), self.ledger.clock());
        vault.rotate_root(self.ledger.store(), &**clock).await?;
        let status = vault.keystore().status();
        let event =
            Event::new("platform.rotateRootKey").with("key", status.roots[0].id.to_string());
        self.ledger.note(permit.actor(), event).await?;
        Ok(status)
    }

    /// Signs new sessions with a new key; tokens of the old one stay good for
    /// the rest of their minutes.
    pub async fn rotate_jwt(&self, permit: &Permit<PlatformUpdate>) -> Result<Status> {
        let keystore = Arc::clone(self.ledger.vault().keystore());
        let clock = Arc::clone(self.ledger.clock());
        let random = crate::clock::SystemRandom;
        let rotated = tokio::task::spawn_blocking({
            let keystore = Arc::clone(&keystore);
            move || keystore.rotate_jwt(&*clock, &random)
        });
        rotated.await.map_err(Error::internal)??;
        self.tokens.store(Arc::new(token_keys(&keystore)?));
        let status = keystore.status();
        let event = Event::new("platform.rotateJwtKey").with("key", status.jwt[0].id.to_string());
        let mut change = self.ledger.begin(permit.actor()).await?;
        let id = keystore.installation_id().to_string();
        store::installation::store_keystore(change.tx(), &id, &keystore.export_sealed()).await?;
        change.commit(event).await?;
        Ok(status)
    }
}

/// The keys of the keystore in the form that access tokens want.
pub fn token_keys(keystore: &Keystore) -> Result<TokenKeys> {
    let keys = keystore.jwt_keys();
    let earlier: Vec<_> = keys
        .previous
        .iter()
        .map(|old| (old.key.kid.as_str(), &old.key.secret.expose()[..], old.verifies_until))
        .collect();
    let current = (keys.current.kid.as_str(), &keys.current.secret.expose()[..]);
    TokenKeys::new(current, &earlier).map_err(Error::internal)
}

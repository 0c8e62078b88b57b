//! The keys of access tokens, in step with the keystore.
//!
//! Owns: when the keystore is asked for them, and when it is compared with the
//! one that other nodes use.
//! Must not know: what is in a token.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::tokens::TokenKeys;
use crate::{audit::Ledger, error::Result, vault::Vault};

/// The least time between two looks because of a token with a key that nobody
/// knows: anybody can make one.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// The keys of access tokens.
#[derive(Debug)]
pub struct SigningKeys {
    ledger: Ledger,
    live: Arc<ArcSwap<TokenKeys>>,
    /// When the last look began, in uptime.
    looked: Mutex<Option<Duration>>,
}

impl SigningKeys {
    /// The keys of the ledger's keystore.
    pub fn new(ledger: Ledger) -> Result<Self> {
        let live = Arc::new(ArcSwap::from_pointee(TokenKeys::of(ledger.vault())?));
        Ok(Self { ledger, live, looked: Mutex::default() })
    }

    /// What tokens are signed and checked with: it follows every change.
    pub fn live(&self) -> &Arc<ArcSwap<TokenKeys>> {
        &self.live
    }

    /// Takes the keys that the keystore has now.
    pub fn renew(&self) -> Result<()> {
        self.live.store(Arc::new(TokenKeys::of(self.ledger.vault())?));
        Ok(())
    }

    /// Brings the keystore and its copy in the database together, and takes its
    /// keys. Errors as [`Vault::follow`].
    pub async fn follow(&self) -> Result<()> {
        let followed = self.ledger.vault().follow(self.ledger.store()).await;
        // Also when that failed: a command on this machine may have changed it.
        self.renew()?;
        followed
    }

    /// The same because of a token whose key is unknown here: another node may
    /// have signed it with one that it has just made. Answers whether that was
    /// looked for since it was asked; without other nodes it is not.
    pub(super) async fn look_again(&self) -> bool {
        if !self.ledger.store().is_shared() {
            return false;
        }
        let clock = self.ledger.clock();
        let asked = clock.uptime();
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|looked| looked >= asked) {
            return true;
        }
        if let Some(pause) = looked.map(|looked| clock.uptime().saturating_sub(looked))
            && pause < LOOK_PAUSE
        {
            tokio::time::sleep(LOOK_PAUSE.saturating_sub(pause)).await;
        }
        *looked = Some(clock.uptime());
        match self.follow().await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(error = %error.chain(), "the keys of other nodes were not read");
                false
            }
        }
    }
}

impl TokenKeys {
    /// The keys of the keystore in the form that access tokens want.
    fn of(vault: &Vault) -> Result<Self> {
        let keys = vault.keystore().jwt_keys();
        let earlier: Vec<_> = keys
            .previous
            .iter()
            .map(|old| (old.key.kid.as_str(), &old.key.secret.expose()[..], old.verifies_until))
            .collect();
        let current = (keys.current.kid.as_str(), &keys.current.secret.expose()[..]);
        Self::new(current, &earlier).map_err(crate::error::Error::internal)
    }
}

//! Letting people in again, while nothing runs: a link for an administrator,
//! another certificate.

use std::sync::Arc;

use super::{Offline, no_installation};
use crate::{
    appliance::{ServedCertificate, Source},
    audit::Ledger,
    certificates::{CertificateInfo, InternalCa},
    error::{Error, Kind, Result},
    identity::{self, RecoveryLink},
    ids::TenantId,
    rbac::{Epochs, rights::CertificateGet, system_permit},
    store::Store,
    vault::Vault,
};

const WHY: &str = "somebody with access to the machine itself lets an administrator in again";

impl Offline {
    /// A link with which a system administrator chooses a new password, as a
    /// whole URL beside its parts; see [`identity::recover_administrator`].
    pub async fn reset_administrator(&self, email: Option<&str>) -> Result<(RecoveryLink, String)> {
        let (store, ledger) = self.ledger().await?;
        let permit = system_permit(TenantId::SYSTEM, WHY);
        let link = identity::recover_administrator(&ledger, &permit, email).await;
        store.close().await;
        let link = link?;
        let url = format!("{}/invite#token={}", self.config.server.origin(), link.token.expose());
        Ok((link, url))
    }

    /// Another certificate of the internal authority. `Conflict`
    /// (`certificate-imported`) when an imported one is served: it is not ours
    /// to renew.
    pub async fn renew_certificate(&self) -> Result<CertificateInfo> {
        let (store, ledger) = self.ledger().await?;
        let renewed = self.renew(ledger).await;
        store.close().await;
        renewed
    }

    async fn renew(&self, ledger: Ledger) -> Result<CertificateInfo> {
        let (certificate, key) = {
            let ca = ledger.vault().keystore().ca();
            (ca.certificate_pem.clone(), ca.key_pem.clone())
        };
        let ca = InternalCa::new(&certificate, &key)?;
        let settings = &self.config.server;
        let parent = Some(&settings.fqdn).filter(|name| name.address().is_none()).cloned();
        let served = ServedCertificate::load(
            ledger,
            ca,
            settings.names(),
            parent,
            self.config.storage.anchor_file(),
        )
        .await?;
        let permit = system_permit::<CertificateGet>(TenantId::SYSTEM, WHY);
        if served.get(&permit).0 == Source::Imported {
            let message = "The served certificate was imported; only its owner can renew it.";
            return Err(Error::new(Kind::Conflict, "certificate-imported", message).with_hint(
                "Import another one, or go back to the internal authority, in the appliance's \
                 pages under Certificate.",
            ));
        }
        served.reset(&system_permit(TenantId::SYSTEM, WHY)).await?;
        Ok(served.get(&permit).1)
    }

    /// The store and the ledger of an installation that has begun.
    async fn ledger(&self) -> Result<(Store, Ledger)> {
        let known = self.known().await?.ok_or_else(no_installation)?;
        let keystore = Arc::new(self.keystore_beside(Some(&known)).await?);
        self.ledger_of(keystore).await
    }

    /// The same over a keystore that was opened already.
    pub(super) async fn ledger_of(
        &self,
        keystore: Arc<crate::keystore::Keystore>,
    ) -> Result<(Store, Ledger)> {
        let store = self.migrated().await?;
        let ledger = self.ledger_on(store.clone(), keystore);
        Ok((store, ledger))
    }

    /// The ledger of a store that is prepared.
    pub(super) fn ledger_on(
        &self,
        store: Store,
        keystore: Arc<crate::keystore::Keystore>,
    ) -> Ledger {
        let vault = Arc::new(Vault::new(keystore, Arc::clone(&self.random)));
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        Ledger::new(store, vault, clock, random, Arc::new(Epochs::default()))
    }
}

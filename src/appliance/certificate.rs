//! The server certificate: from the internal CA, or imported.
//!
//! It is kept in the database, the key sealed, so that a restart (and every
//! other node) shows the same fingerprint. The internal one renews itself.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};

use crate::{
    audit::{Event, Ledger},
    certificates::{
        CertificateInfo, CertificateStore, InternalCa, ServerCertificate, validate_import,
    },
    config::HostName,
    error::{Error, Result},
    files::{self, PUBLIC},
    ids::TenantId,
    rbac::{
        Permit,
        rights::{CertificateGet, CertificateUpdate},
        system_permit,
    },
    secret::Secret,
    store::{self, Tx, settings::Setting},
};

/// The name of the setting that keeps the certificate.
const SETTING: &str = "certificate";

/// Where the served certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Our own CA; clients have to be given it.
    Internal,
    /// An administrator's.
    Imported,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    source: Source,
    chain: String,
    anchor: String,
}

/// The certificate that the gateway serves.
#[derive(Debug)]
pub struct ServedCertificate {
    ledger: Ledger,
    ca: InternalCa,
    names: Vec<HostName>,
    parent: Option<HostName>,
    store: Arc<CertificateStore>,
    source: RwLock<Source>,
    anchor_file: PathBuf,
    /// Held from a change of what is kept until it is served.
    changing: tokio::sync::Mutex<()>,
}

impl ServedCertificate {
    /// Takes the kept certificate, or issues and keeps the first one.
    /// `names` must be covered; names below `parent` are the tenants' own.
    /// Programs on this machine find in `anchor_file` what they have to trust.
    pub async fn load(
        ledger: Ledger,
        ca: InternalCa,
        names: Vec<HostName>,
        parent: Option<HostName>,
        anchor_file: PathBuf,
    ) -> Result<Self> {
        let now = ledger.clock().now();
        let mut change = ledger
            .begin(
                system_permit::<CertificateUpdate>(TenantId::SYSTEM, "the appliance starts")
                    .actor(),
            )
            .await?;
        let kept = read(&ledger, change.tx()).await?;
        let names = match &kept {
            Some((Source::Internal, certificate, _)) if ledger.store().is_shared() => {
                with_those_of(certificate.info(), names)
            }
            _ => names,
        };
        let usable = kept.filter(|(source, certificate, _)| {
            let covered = names.iter().all(|name| {
                certificate.info().names.iter().any(|covered| *covered == name.to_string())
            });
            // An imported one stays whatever it says: its owner decides.
            *source == Source::Imported || (covered && !certificate.info().is_due_for_renewal(now))
        });
        let (source, certificate) = if let Some((source, certificate, _)) = usable {
            (source, certificate)
        } else {
            let issued = ca.issue_server(&names, parent.as_ref(), now, ledger.random())?;
            keep(&ledger, change.tx(), Source::Internal, &issued).await?;
            let event = Event::new("certificate.renew");
            let fingerprint = issued.info().fingerprint.clone();
            change.commit(event.with("fingerprint", fingerprint)).await?;
            (Source::Internal, issued)
        };
        let store = Arc::new(CertificateStore::new(certificate));
        if source == Source::Imported {
            let now = ledger.clock().now();
            store.swap_for_agents(ca.issue_server(
                &names,
                parent.as_ref(),
                now,
                ledger.random(),
            )?);
        }
        let (source, changing) = (RwLock::new(source), tokio::sync::Mutex::default());
        let served = Self { ledger, ca, names, parent, store, source, anchor_file, changing };
        served.publish_anchor().map_err(Error::internal)?;
        Ok(served)
    }

    fn publish_anchor(&self) -> std::io::Result<()> {
        files::renew(&self.anchor_file, self.anchor_pem().as_bytes(), PUBLIC).map(drop)
    }

    /// For the TLS listener; follows every change.
    pub fn store(&self) -> &Arc<CertificateStore> {
        &self.store
    }

    /// What is served, and whose it is.
    pub fn get(&self, _permit: &Permit<CertificateGet>) -> (Source, CertificateInfo) {
        (self.source(), self.store.current().info().clone())
    }

    fn source(&self) -> Source {
        *self.source.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The CA certificate that clients need for the served one.
    pub fn anchor_pem(&self) -> String {
        self.store.current().anchor_pem().to_owned()
    }

    /// Serves an administrator's certificate from now on. `Invalid`, with
    /// everything that is wrong with it.
    pub async fn import(
        &self,
        permit: &Permit<CertificateUpdate>,
        chain_pem: &str,
        key_pem: &Secret<String>,
    ) -> Result<()> {
        let now = self.ledger.clock().now();
        let imported = validate_import(chain_pem, key_pem, &self.names, now)?;
        self.replace(permit, "certificate.import", Source::Imported, imported.certificate).await
    }

    /// Goes back to a certificate of the internal CA.
    pub async fn reset(&self, permit: &Permit<CertificateUpdate>) -> Result<()> {
        let issued = self.issue()?;
        self.replace(permit, "certificate.reset", Source::Internal, issued).await
    }

    fn issue(&self) -> Result<ServerCertificate> {
        let now = self.ledger.clock().now();
        let names = if self.ledger.store().is_shared() {
            with_those_of(self.store.for_agents().info(), self.names.clone())
        } else {
            self.names.clone()
        };
        self.ca.issue_server(&names, self.parent.as_ref(), now, self.ledger.random())
    }

    async fn replace(
        &self,
        permit: &Permit<CertificateUpdate>,
        action: &'static str,
        source: Source,
        certificate: ServerCertificate,
    ) -> Result<()> {
        let _changing = self.changing.lock().await;
        let mut change = self.ledger.begin(permit.actor()).await?;
        keep(&self.ledger, change.tx(), source, &certificate).await?;
        let fingerprint = certificate.info().fingerprint.clone();
        change.commit(Event::new(action).with("fingerprint", fingerprint)).await?;
        self.serve(source, certificate);
        Ok(())
    }

    /// Serves what another node has kept since, if it has.
    pub async fn follow(&self) -> Result<()> {
        let _changing = self.changing.lock().await;
        let mut tx = self.ledger.store().read().await?;
        let Some((source, kept, _)) = read(&self.ledger, &mut tx).await? else { return Ok(()) };
        if kept.info().fingerprint != self.store.current().info().fingerprint {
            tracing::info!("another node has changed the server certificate");
            self.serve(source, kept);
        }
        Ok(())
    }

    fn serve(&self, source: Source, certificate: ServerCertificate) {
        if source == Source::Internal {
            self.store.swap_for_agents(certificate.clone());
        }
        self.store.swap(certificate);
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = source;
        if let Err(error) = self.publish_anchor() {
            // It counts all the same; the next start writes the file.
            let file = self.anchor_file.display();
            tracing::warn!(%error, %file, "programs on this machine trust the certificate before");
        }
    }

    /// Renews the internal certificate when a third of its life is left, if
    /// `renews`: of several nodes one does, and the others [`follow`](Self::follow).
    /// Answers what an operator should know, if anything.
    pub async fn look_after(&self, renews: bool) -> Result<Option<String>> {
        let now = self.ledger.clock().now();
        let info = self.store.current().info().clone();
        if renews && self.source() == Source::Internal && info.is_due_for_renewal(now) {
            let permit = system_permit(TenantId::SYSTEM, "the internal certificate renews itself");
            self.reset(&permit).await?;
            return Ok(None);
        }
        // An internal one is the same for agents and comes with the renewal.
        let own = self.source() == Source::Imported;
        if own && self.store.for_agents().info().is_due_for_renewal(now) {
            self.store.swap_for_agents(self.issue()?);
        }
        Ok(info.alarm(now).map(|_| {
            format!("the server certificate ends in {} days: import a new one", info.days_left(now))
        }))
    }
}

/// The names of this node, and those of the others, for which the certificate was
/// issued before: all nodes show the same one, and none knows the others' names.
fn with_those_of(shown: &CertificateInfo, mut names: Vec<HostName>) -> Vec<HostName> {
    let others = shown.names.iter().filter_map(|name| name.parse::<HostName>().ok());
    for other in others {
        if !names.contains(&other) {
            names.push(other);
        }
    }
    names
}

async fn read(ledger: &Ledger, tx: &mut Tx) -> Result<Option<(Source, ServerCertificate, i64)>> {
    let Some(setting) = store::settings::find(tx, TenantId::SYSTEM, SETTING).await? else {
        return Ok(None);
    };
    let kept: Kept = serde_json::from_str(&setting.value).map_err(Error::internal)?;
    let sealed = setting.sealed.ok_or_else(|| Error::internal("a certificate without its key"))?;
    let ring = ledger.vault().ring(tx, TenantId::SYSTEM).await?;
    let key = Secret::new(ring.open_text("setting", "sealed", SETTING, &sealed)?);
    let certificate = ServerCertificate::from_parts(&kept.chain, &key, &kept.anchor)?;
    Ok(Some((kept.source, certificate, setting.version)))
}

async fn keep(
    ledger: &Ledger,
    tx: &mut Tx,
    source: Source,
    certificate: &ServerCertificate,
) -> Result<()> {
    let kept = Kept {
        source,
        chain: certificate.chain_pem().to_owned(),
        anchor: certificate.anchor_pem().to_owned(),
    };
    let ring = ledger.vault().ring(tx, TenantId::SYSTEM).await?;
    let key = certificate.key_pem().expose().as_bytes();
    let setting = Setting {
        value: serde_json::to_string(&kept).map_err(Error::internal)?,
        sealed: Some(ring.seal("setting", "sealed", SETTING, key)),
        version: 0,
    };
    let found = store::settings::find(tx, TenantId::SYSTEM, SETTING).await?;
    let version = found.map_or(0, |found| found.version);
    if store::settings::put(tx, TenantId::SYSTEM, SETTING, &setting, version).await? {
        return Ok(());
    }
    Err(crate::identity::stale())
}

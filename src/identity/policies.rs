//! The password policy that an administrator sets, per tenant.

use crate::{
    audit::{Event, Ledger},
    error::{Error, Kind, Result},
    ids::TenantId,
    rbac::{
        Permit,
        rights::{PolicyGet, PolicyUpdate},
    },
    store::{self, Tx, settings::Setting},
};

use super::policy::PasswordPolicy;

const NAME: &str = "passwordPolicy";

/// A policy and how often it was changed.
#[derive(Clone, Debug)]
pub struct StoredPolicy {
    /// The rules.
    pub policy: PasswordPolicy,
    /// 0 for the defaults.
    pub version: i64,
}

/// The policy of a tenant, or the defaults.
pub(super) async fn load(tx: &mut Tx, tenant: TenantId) -> Result<StoredPolicy> {
    let Some(setting) = store::settings::find(tx, tenant, NAME).await? else {
        return Ok(StoredPolicy { policy: PasswordPolicy::default(), version: 0 });
    };
    let policy = serde_json::from_str(&setting.value).map_err(Error::internal)?;
    Ok(StoredPolicy { policy, version: setting.version })
}

/// The password policies of all tenants.
#[derive(Clone, Debug)]
pub struct Policies {
    ledger: Ledger,
}

impl Policies {
    /// Policies in this store.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// The policy of the permit's tenant.
    pub async fn get(&self, permit: &Permit<PolicyGet>) -> Result<StoredPolicy> {
        load(&mut self.ledger.store().read().await?, permit.tenant()).await
    }

    /// What anybody may know who chooses a password in `tenant`: everything but
    /// the tenant's own block list, which says something about the tenant.
    pub async fn shown(&self, tenant: TenantId) -> Result<PasswordPolicy> {
        let policy = load(&mut self.ledger.store().read().await?, tenant).await?.policy;
        Ok(PasswordPolicy { block_list: Vec::new(), ..policy })
    }

    /// Replaces it. `Invalid` with the fields, `Stale` when it has changed since `version`.
    pub async fn put(
        &self,
        permit: &Permit<PolicyUpdate>,
        policy: PasswordPolicy,
        version: i64,
    ) -> Result<StoredPolicy> {
        policy.validate()?;
        let mut change = self.ledger.begin(permit.actor()).await?;
        let value = serde_json::to_string(&policy).map_err(Error::internal)?;
        let setting = Setting { value: value.clone(), sealed: None, version };
        let tenant = permit.tenant();
        if !store::settings::put(change.tx(), tenant, NAME, &setting, version).await? {
            return Err(stale());
        }
        let rules = serde_json::from_str::<serde_json::Value>(&value).map_err(Error::internal)?;
        change.commit(Event::new("passwordPolicy.update").with("policy", rules)).await?;
        Ok(StoredPolicy { policy, version: version + 1 })
    }
}

/// The object has changed since the caller read it.
pub fn stale() -> Error {
    Error::new(Kind::Stale, "stale", "This was changed by somebody else meanwhile.")
        .with_hint("Load it again and repeat your change.")
}

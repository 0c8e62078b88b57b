//! The tenants themselves.

use crate::{
    audit::Ledger,
    error::{Error, Result},
    identity::Caller,
    store::{self, tenants::Tenant},
};

/// All tenants.
#[derive(Clone, Debug)]
pub struct Tenants {
    ledger: Ledger,
}

impl Tenants {
    /// Tenants behind this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// The tenant whose host name begins with this label. Public: the login
    /// page shows its name.
    pub async fn by_slug(&self, slug: &str) -> Result<Option<Tenant>> {
        let mut tx = self.ledger.store().read().await?;
        let tenant = store::tenants::find_by_slug(&mut tx, slug).await?;
        Ok(tenant.filter(|tenant| !tenant.id.is_system()))
    }

    /// The caller's own tenant: needs no permission.
    pub async fn own(&self, caller: &Caller) -> Result<Tenant> {
        let mut tx = self.ledger.store().read().await?;
        let tenant = store::tenants::find(&mut tx, caller.tenant).await?;
        tenant.ok_or_else(|| Error::not_found("tenant"))
    }
}

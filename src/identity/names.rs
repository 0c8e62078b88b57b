//! Names for uids: what people read in the audit trail.

use std::collections::HashMap;

use super::users::open_user;
use crate::{
    audit::Ledger,
    error::Result,
    ids::{TenantId, UserId},
    store::{self, Tx},
};

/// The names of users and API keys of one tenant that were looked up so far.
/// A deleted user has no name any more, only its uid.
#[derive(Debug)]
pub struct Names {
    tenant: TenantId,
    known: HashMap<String, Option<String>>,
}

impl Names {
    /// Names of this tenant.
    pub fn new(tenant: TenantId) -> Self {
        Self { tenant, known: HashMap::new() }
    }

    /// The name of an actor of this kind, if it (still) has one.
    pub async fn actor(
        &mut self,
        ledger: &Ledger,
        tx: &mut Tx,
        kind: &str,
        id: &str,
    ) -> Result<Option<String>> {
        if let Some(name) = self.known.get(id) {
            return Ok(name.clone());
        }
        let name = match kind {
            "user" => self.user(ledger, tx, id).await?,
            "apiKey" => self.api_key(tx, id).await?,
            _ => None,
        };
        self.known.insert(id.to_owned(), name.clone());
        Ok(name)
    }

    async fn user(&self, ledger: &Ledger, tx: &mut Tx, id: &str) -> Result<Option<String>> {
        let Ok(id) = id.parse::<UserId>() else { return Ok(None) };
        let Some(row) = store::users::find(tx, self.tenant, id).await? else { return Ok(None) };
        let ring = ledger.vault().ring(tx, self.tenant).await?;
        let name = open_user(&ring, row)?.name;
        Ok((!name.is_empty()).then_some(name))
    }

    async fn api_key(&self, tx: &mut Tx, id: &str) -> Result<Option<String>> {
        let Ok(id) = id.parse() else { return Ok(None) };
        let key = store::api_keys::find(tx, self.tenant, id).await?;
        Ok(key.map(|key| key.name))
    }
}

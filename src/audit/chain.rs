//! The digests that make a trail tamper-evident. Pure.
//!
//! Three layers, each for another attacker:
//! * a keyed digest (`mac`) on every record from the moment it is written:
//!   somebody with the database but without the keystore can neither change nor
//!   add a record;
//! * a chain: each record's `link` covers the one before it, so a missing,
//!   moved or added record breaks every later link;
//! * a signed checkpoint at least once a second: an export can be verified
//!   elsewhere, with nothing but the public key.

use sha2::{Digest, Sha256};

use crate::{
    clock::Timestamp,
    ids::TenantId,
    keystore::Keystore,
    store::audit::{AuditRow, Checkpoint},
};

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last position; 0 for an empty chain.
    pub position: i64,
    /// The link of the last record; zeros for an empty chain.
    pub link: [u8; 32],
}

impl Head {
    /// The start of every chain.
    pub const EMPTY: Self = Self { position: 0, link: [0; 32] };

    /// The head after `row` has joined.
    #[must_use]
    pub fn extended(self, row: &AuditRow) -> Self {
        let position = self.position + 1;
        Self { position, link: link(self.link, position, row) }
    }
}

/// Every field that a record is made of, unambiguously: each with its length.
fn content(row: &AuditRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    let mut add = |field: Option<&str>| match field {
        Some(text) => {
            bytes.extend_from_slice(&(text.len() as u64 + 1).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        None => bytes.extend_from_slice(&0_u64.to_be_bytes()),
    };
    add(Some("palisade audit record 1"));
    add(Some(&row.id.to_string()));
    add(Some(&row.tenant_id.to_string()));
    add(Some(&row.at.as_micros().to_string()));
    add(row.project_id.map(|id| id.to_string()).as_deref());
    add(Some(&row.actor_kind));
    add(row.actor_id.as_deref());
    add(Some(&row.action));
    add(Some(&row.object_kind));
    add(row.object_id.as_deref());
    add(Some(&row.outcome));
    add(Some(&row.detail));
    add(Some(&row.request_id));
    add(row.address.as_deref());
    bytes
}

/// The link of a record at `position`, after a record with the link `before`.
pub fn link(before: [u8; 32], position: i64, row: &AuditRow) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(before);
    digest.update(position.to_be_bytes());
    digest.update(content(row));
    digest.finalize().into()
}

/// The keyed digest of a record.
pub(super) fn mac(keystore: &Keystore, row: &AuditRow) -> Vec<u8> {
    keystore.audit_key().mac(&content(row)).to_vec()
}

/// What the signature of a checkpoint covers.
pub fn checkpoint_text(tenant: TenantId, head: Head, at: Timestamp) -> Vec<u8> {
    let link = data_encoding::HEXLOWER.encode(&head.link);
    format!(
        "palisade audit checkpoint 1\n{tenant}\n{}\n{link}\n{}\n",
        head.position,
        at.as_micros()
    )
    .into_bytes()
}

/// A signed checkpoint.
pub(super) fn checkpoint(
    keystore: &Keystore,
    tenant: TenantId,
    head: Head,
    at: Timestamp,
) -> Checkpoint {
    let signature = keystore.audit_key().sign(&checkpoint_text(tenant, head, at)).to_vec();
    Checkpoint { tenant_id: tenant, position: head.position, link: head.link, at, signature }
}

//! The trust tree of the bus.
//!
//! Owns: the key pairs of the operator, the accounts and our own users, all
//! derived from one seed.
//! Must not know: what these keys sign (see [`super::claims`]) or how the seed is kept.
//!
//! The derivation is deterministic, so every node of an installation has the
//! same tree, nothing of it is stored, and a restored installation accepts the
//! agents that it had before.

use hkdf::Hkdf;
use nkeys::{KeyPair, KeyPairType};
use sha2::Sha512;

use crate::{ids::TenantId, secret::Secret};

/// Separates these keys from anything else derived from the same seed.
const SALT: &[u8] = b"palisade bus trust v1";

/// Every key of the bus that management holds.
pub struct Trust {
    seed: Secret<[u8; 64]>,
    operator: KeyPair,
    system: KeyPair,
    system_user: KeyPair,
    control: KeyPair,
    control_user: KeyPair,
}

impl Trust {
    /// Derives the tree. The same seed gives the same keys, always.
    pub fn derive(seed: &Secret<[u8; 64]>) -> Self {
        let key = |kind, label: &str| derive_key(seed, kind, label);
        Self {
            operator: key(KeyPairType::Operator, "operator"),
            system: key(KeyPairType::Account, "account/system"),
            system_user: key(KeyPairType::User, "user/system"),
            control: key(KeyPairType::Account, "account/control"),
            control_user: key(KeyPairType::User, "user/control"),
            seed: seed.clone(),
        }
    }

    /// Signs accounts.
    pub(super) fn operator(&self) -> &KeyPair {
        &self.operator
    }

    /// The broker's own account: claims and events.
    pub(super) fn system(&self) -> &KeyPair {
        &self.system
    }

    /// Our client on the system account.
    pub(super) fn system_user(&self) -> &KeyPair {
        &self.system_user
    }

    /// The account that all tenants talk to.
    pub(super) fn control(&self) -> &KeyPair {
        &self.control
    }

    /// Our client on the control account.
    pub(super) fn control_user(&self) -> &KeyPair {
        &self.control_user
    }

    /// The account of one tenant; signs its agents.
    pub(super) fn tenant(&self, tenant: TenantId) -> KeyPair {
        derive_key(&self.seed, KeyPairType::Account, &format!("account/tenant/{tenant}"))
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust({})", self.operator.public_key())
    }
}

fn derive_key(seed: &Secret<[u8; 64]>, kind: KeyPairType, label: &str) -> KeyPair {
    let mut raw = [0; 32];
    Hkdf::<Sha512>::new(Some(SALT), seed.expose())
        .expand(label.as_bytes(), &mut raw)
        .expect("32 bytes are less than the most that HKDF gives");
    KeyPair::new_from_raw(kind, raw).expect("32 bytes are a seed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uid;

    fn publics(trust: &Trust) -> Vec<String> {
        let tenants = ["000000000001", "000000000002"]
            .map(|uid| trust.tenant(TenantId(uid.parse::<Uid>().expect("a uid"))));
        [
            trust.operator(),
            trust.system(),
            trust.system_user(),
            trust.control(),
            trust.control_user(),
            &tenants[0],
            &tenants[1],
        ]
        .map(KeyPair::public_key)
        .to_vec()
    }

    #[test]
    fn the_same_seed_gives_the_same_tree_on_every_node() {
        let seed = || Secret::new([9; 64]);
        assert_eq!(publics(&Trust::derive(&seed())), publics(&Trust::derive(&seed())));
    }

    #[test]
    fn two_installations_share_no_key_and_no_two_keys_of_a_tree_are_alike() {
        let mut all = publics(&Trust::derive(&Secret::new([1; 64])));
        all.extend(publics(&Trust::derive(&Secret::new([2; 64]))));
        let raw: std::collections::HashSet<_> =
            all.iter().map(|key| nkeys::from_public_key(key).expect("a key").1).collect();
        assert_eq!(raw.len(), all.len());
    }

    #[test]
    fn the_derivation_never_changes() {
        // A change would lock out every agent of every installation.
        assert_eq!(
            Trust::derive(&Secret::new([0; 64])).operator().public_key(),
            "OAABMWPCG5VZI5SGVJZWP726XB4PVALROSHHIURXRZ3V4DUEDUUFHGLY"
        );
    }

    #[test]
    fn debug_output_shows_public_keys_only() {
        let trust = Trust::derive(&Secret::new([3; 64]));
        assert!(format!("{trust:?}").starts_with("Trust(O"));
    }
}

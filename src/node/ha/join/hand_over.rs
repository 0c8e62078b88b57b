//! What a member hands to the node that it lets in.
//!
//! Owns: its bytes, before they are sealed.
//! Must not know: what the keystore's bytes mean.

use std::net::Ipv4Addr;

use zeroize::Zeroizing;

use super::Refusal;
use crate::{
    keystore::crypto,
    node::ha::members::{Members, NodeName},
    secret::Secret,
};

/// The first part, so that a later form can be told from this one.
const FORM: &[u8] = b"palisade hand-over 1";
/// Parts in front of the credentials.
const FIXED: usize = 5;
/// Parts of a credential.
const EACH: usize = 3;
/// More credentials than any node has.
const MOST_CREDENTIALS: usize = 32;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Whose: `node`, or the name of a user of the engines.
    pub name: String,
    /// The certificate.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: Secret<String>,
}

/// All that a new member needs.
#[derive(Clone, Debug)]
pub struct HandOver {
    /// What the new node is called from now on: what it asked for, unless that was taken.
    pub name: NodeName,
    /// The members, the new one among them.
    pub members: Members,
    /// The certificate of the internal CA.
    pub authority_pem: String,
    /// The new node's certificates.
    pub credentials: Vec<Credential>,
    /// The keystore, sealed for the new node. Opaque here.
    pub keystore: Secret<Vec<u8>>,
}

impl HandOver {
    /// The bytes to be sealed.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let members = self.members.to_json();
        let mut parts = vec![
            FORM,
            self.name.as_str().as_bytes(),
            members.as_bytes(),
            self.authority_pem.as_bytes(),
            self.keystore.expose(),
        ];
        for credential in &self.credentials {
            parts.push(credential.name.as_bytes());
            parts.push(credential.certificate_pem.as_bytes());
            parts.push(credential.key_pem.expose().as_bytes());
        }
        Zeroizing::new(crypto::encode(&parts))
    }

    /// What was handed to the node with this address.
    pub(super) fn decode(bytes: &[u8], own: Ipv4Addr) -> Result<Self, Refusal> {
        let found = Self::read(bytes).ok_or(Refusal::BadHandOver)?;
        let place = found.members.get(&found.name).map_err(|_| Refusal::BadHandOver)?;
        if place.address == own { Ok(found) } else { Err(Refusal::BadHandOver) }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let parts = parts(bytes)?;
        let (fixed, credentials) = parts.split_first_chunk::<FIXED>()?;
        let [FORM, name, members, authority, keystore] = *fixed else { return None };
        if !credentials.len().is_multiple_of(EACH) {
            return None;
        }
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let credentials = credentials.chunks_exact(EACH).map(|parts| {
            Some(Credential {
                name: text(parts[0])?,
                certificate_pem: text(parts[1])?,
                key_pem: Secret::new(text(parts[2])?),
            })
        });
        Some(Self {
            name: text(name)?.parse().ok()?,
            members: Members::from_json(&text(members)?).ok()?,
            authority_pem: text(authority)?,
            credentials: credentials.collect::<Option<_>>()?,
            keystore: Secret::new(keystore.to_vec()),
        })
    }
}

/// Takes apart what `crypto::encode` has put together.
pub(in crate::node::ha) fn parts(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        parts.push(part);
        if parts.len() > FIXED + EACH * MOST_CREDENTIALS {
            return None;
        }
        bytes = rest;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ha::{join::tests::hand_over, members::tests::member};

    #[test]
    fn what_is_handed_over_is_what_arrives() {
        let sent = hand_over();
        let got = HandOver::decode(&sent.encode(), member(2).address).expect("it arrives");
        assert_eq!(got.members, sent.members);
        assert_eq!(got.authority_pem, sent.authority_pem);
        assert_eq!(got.keystore.expose(), sent.keystore.expose());
        let flat = |from: &HandOver| {
            let each = from.credentials.iter();
            each.map(|one| {
                (one.name.clone(), one.certificate_pem.clone(), one.key_pem.expose().clone())
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(flat(&got), flat(&sent));
        assert!(!format!("{got:?}").contains("the key of"), "{got:?}");
    }

    #[test]
    fn a_hand_over_for_somebody_else_or_cut_anywhere_is_refused() {
        let bytes = hand_over().encode();
        assert!(HandOver::decode(&bytes, member(1).address).is_err(), "n1 is a member already");
        for length in 0..bytes.len() {
            // Without its last credentials it would be whole but for the seal around it.
            let whole = HandOver::decode(&bytes[..length], member(2).address);
            assert!(whole.is_err() || whole.is_ok_and(|it| it.credentials.len() < 2), "{length}");
        }
        let endless = crypto::encode(&vec![FORM; FIXED + EACH * MOST_CREDENTIALS + 1]);
        assert!(HandOver::decode(&endless, member(2).address).is_err());
    }
}

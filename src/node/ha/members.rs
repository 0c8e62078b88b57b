//! The members of the management cluster.
//!
//! Owns: their names and addresses, the text in which nodes tell them to each
//! other, and what is wrong or risky about them.
//! Must not know: which of them leads, or whether one can be reached.

mod name;
mod warnings;

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub use name::{NodeName, NotANodeName};
pub use warnings::{Reading, TOLERATED_DIFFERENCE, Warning};

use crate::{clock::Timestamp, ids::Uid};

/// The most nodes of a cluster. Three outlive the loss of one; more is for later.
pub const MOST: usize = 3;
/// The form of the text.
const VERSION: u32 = 1;
/// The most characters of what names a host.
const LONGEST_HOST: usize = 64;

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: NodeName,
    /// Its address on the network between the nodes.
    pub address: Ipv4Addr,
    /// What it shares the fate of: the physical host or whatever else the
    /// operator names. Nothing when nobody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Since when it is a member.
    pub joined: Timestamp,
    /// The fingerprint of its certificate, as `CertificateInfo` writes it.
    pub certificate: String,
}

/// The members, in the order in which they joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Members {
    cluster: Uid,
    members: Vec<Member>,
}

/// Why these cannot be the members of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberFault {
    /// Too many.
    #[error("the cluster has {MOST} nodes already; take one out of it before another one joins")]
    Full,
    /// None.
    #[error("a cluster has at least one node; the last one cannot leave")]
    Empty,
    /// The same name twice.
    #[error("a node named {0} is a member already; give the new one another name")]
    SameName(NodeName),
    /// The same address twice.
    #[error("{address} is the address of {holder} already; give the new node another one")]
    SameAddress {
        /// The address.
        address: Ipv4Addr,
        /// Who has it.
        holder: NodeName,
    },
    /// An address at which nobody can be reached.
    #[error("{0} is not the address of one machine; write its address on the cluster's network")]
    NoHostAddress(Ipv4Addr),
    /// The same certificate twice.
    #[error("{0} has this certificate already; every node needs one of its own")]
    SameCertificate(NodeName),
    /// A host that cannot be shown.
    #[error("the name of a host is 1 to {LONGEST_HOST} printable characters")]
    Host,
    /// Nobody of this name.
    #[error("no node named {0} is a member; `palisade node status` lists them")]
    Unknown(NodeName),
}

/// Why a text does not say who the members are.
#[derive(Debug, thiserror::Error)]
pub enum TextFault {
    /// A newer version of Palisade wrote it.
    #[error(
        "the list of the cluster's members has the form {found}, and this version knows form \
         {VERSION}; start the version that wrote it"
    )]
    Version {
        /// The form of the text.
        found: u64,
    },
    /// It is damaged, or says what cannot be.
    #[error("the list of the cluster's members is damaged; take it from another node")]
    Damaged(#[from] serde_json::Error),
}

/// The members as they are written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    cluster: Uid,
    members: Vec<Member>,
}

impl From<Members> for Written {
    fn from(members: Members) -> Self {
        Self { version: VERSION, cluster: members.cluster, members: members.members }
    }
}

impl TryFrom<Written> for Members {
    type Error = MemberFault;

    fn try_from(written: Written) -> Result<Self, MemberFault> {
        Self::checked(written.cluster, written.members)
    }
}

/// What all forms of the text have in common.
#[derive(Deserialize)]
struct Form {
    version: u64,
}

impl Members {
    /// A cluster of one node.
    pub fn founded(cluster: Uid, first: Member) -> Result<Self, MemberFault> {
        Self::checked(cluster, vec![first])
    }

    fn checked(cluster: Uid, members: Vec<Member>) -> Result<Self, MemberFault> {
        if members.is_empty() {
            return Err(MemberFault::Empty);
        }
        for (place, member) in members.iter().enumerate() {
            fits(&members[..place], member)?;
        }
        Ok(Self { cluster, members })
    }

    /// The members and one more.
    pub fn with(&self, member: Member) -> Result<Self, MemberFault> {
        fits(&self.members, &member)?;
        let mut more = self.clone();
        more.members.push(member);
        Ok(more)
    }

    /// What a node can be called that asks for this name: the same, or the same
    /// with a number behind it when a member has it.
    pub fn free_name(&self, wanted: &NodeName) -> NodeName {
        let taken: Vec<_> = self.members.iter().map(|member| member.name.clone()).collect();
        wanted.free_among(&taken)
    }

    /// Whether a node of this name and address could join.
    pub fn could_take(&self, name: &NodeName, address: Ipv4Addr) -> Result<(), MemberFault> {
        place_is_free(&self.members, name, address)
    }

    /// The members without one.
    pub fn without(&self, name: &NodeName) -> Result<Self, MemberFault> {
        self.get(name)?;
        let left = self.members.iter().filter(|member| member.name != *name).cloned().collect();
        Self::checked(self.cluster, left)
    }

    /// The same members, one of them with a new certificate.
    pub fn with_certificate(
        &self,
        name: &NodeName,
        certificate: &str,
    ) -> Result<Self, MemberFault> {
        self.get(name)?;
        let mut members = self.members.clone();
        for member in members.iter_mut().filter(|member| member.name == *name) {
            certificate.clone_into(&mut member.certificate);
        }
        Self::checked(self.cluster, members)
    }

    /// What the cluster is called, so that nodes of two clusters never mix.
    pub fn cluster(&self) -> Uid {
        self.cluster
    }

    /// All of them, first the one that founded the cluster.
    pub fn all(&self) -> &[Member] {
        &self.members
    }

    /// One of them.
    pub fn get(&self, name: &NodeName) -> Result<&Member, MemberFault> {
        let found = self.members.iter().find(|member| member.name == *name);
        found.ok_or_else(|| MemberFault::Unknown(name.clone()))
    }

    /// All but one.
    pub fn others(&self, name: &NodeName) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.name != *name)
    }

    /// The text that goes to a node that joins.
    ///
    /// # Panics
    /// Never: names, addresses and times have a text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names, addresses and times have a text")
    }

    /// Reads [`Self::to_json`].
    pub fn from_json(text: &str) -> Result<Self, TextFault> {
        let form: Form = serde_json::from_str(text)?;
        if form.version != u64::from(VERSION) {
            return Err(TextFault::Version { found: form.version });
        }
        Ok(serde_json::from_str(text)?)
    }
}

fn place_is_free(others: &[Member], name: &NodeName, address: Ipv4Addr) -> Result<(), MemberFault> {
    if others.len() >= MOST {
        return Err(MemberFault::Full);
    }
    if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
        return Err(MemberFault::NoHostAddress(address));
    }
    for other in others {
        if other.name == *name {
            return Err(MemberFault::SameName(name.clone()));
        }
        if other.address == address {
            return Err(MemberFault::SameAddress { address, holder: other.name.clone() });
        }
    }
    Ok(())
}

fn fits(others: &[Member], new: &Member) -> Result<(), MemberFault> {
    place_is_free(others, &new.name, new.address)?;
    if let Some(other) = others.iter().find(|other| other.certificate == new.certificate) {
        return Err(MemberFault::SameCertificate(other.name.clone()));
    }
    if new.host.as_deref().is_some_and(|host| !is_host(host)) {
        return Err(MemberFault::Host);
    }
    Ok(())
}

/// Whether a text can name a host: it is shown on screens.
pub(super) fn is_host(text: &str) -> bool {
    (1..=LONGEST_HOST).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
pub(super) mod tests;

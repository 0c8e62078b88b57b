//! The certificates of a node of the cluster, issued by whoever has the keystore.

use std::net::Ipv4Addr;

use crate::{
    app::install,
    certificates::{ClusterUser, InternalCa, NodeCertificate},
    clock::{Clock, Random},
    config::{Config, HostName},
    error::Result,
    keystore::Keystore,
    secret::Secret,
};

/// The certificates of one node.
#[derive(Debug)]
pub struct NodeCredentials {
    /// The certificate of the internal CA.
    pub authority_pem: String,
    /// The node's own.
    pub node: NodeCertificate,
    /// Those of the users as whom its engines call each other.
    pub users: Vec<(ClusterUser, NodeCertificate)>,
}

/// Issues them. The keystore is only read, so a server may run meanwhile.
pub fn node_credentials(
    config: &Config,
    passphrase: Option<&Secret<String>>,
    name: &HostName,
    address: Ipv4Addr,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<NodeCredentials> {
    let keystore = Keystore::open(&config.keystore.dir, install::unlock(config, passphrase)?)?;
    let authority = InternalCa::new(&keystore.ca().certificate_pem, &keystore.ca().key_pem)?;
    let now = clock.now();
    let user = |user| Ok((user, authority.issue_user(user, now, random)?));
    Ok(NodeCredentials {
        authority_pem: authority.certificate_pem().to_owned(),
        node: authority.issue_node(name, address.into(), now, random)?,
        users: ClusterUser::ALL.into_iter().map(user).collect::<Result<_>>()?,
    })
}

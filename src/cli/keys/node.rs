//! `palisade keys node`: what the node daemon asks for when a node joins.

use std::net::Ipv4Addr;

use clap::Args;

use super::offline::Place;
use crate::{
    app::{NodeCredentials, node_credentials},
    certificates::NodeCertificate,
    cli::{failure::Result, output::emit_raw, terminal},
    clock::{SystemClock, SystemRandom},
    config::HostName,
    error::Error,
    node::ha::{
        keys::NODE,
        local::{Certificates, Written},
    },
};

/// Arguments of `palisade keys node`.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// The name of the node.
    #[arg(long)]
    name: HostName,
    /// Its address between the nodes.
    #[arg(long)]
    address: Ipv4Addr,
    #[command(flatten)]
    place: Place,
}

/// Writes certificates and keys to standard output, as JSON.
pub(super) fn node(args: NodeArgs) -> Result<()> {
    let config = args.place.config()?;
    let passphrase = terminal::passphrase(&config, false)?;
    let NodeCredentials { authority_pem, node, users } = node_credentials(
        &config,
        passphrase.as_ref(),
        &args.name,
        args.address,
        &SystemClock,
        &SystemRandom,
    )?;
    let written = |name: &str, certificate: &NodeCertificate| Written {
        name: name.to_owned(),
        certificate_pem: certificate.certificate_pem().to_owned(),
        key_pem: certificate.key_pem().clone(),
    };
    let mut credentials = vec![written(NODE, &node)];
    credentials.extend(users.iter().map(|(user, it)| written(user.name(), it)));
    let fingerprint = node.info().fingerprint.clone();
    let text = serde_json::to_string(&Certificates { authority_pem, credentials, fingerprint });
    emit_raw(&zeroize::Zeroizing::new(text.map_err(Error::internal)?))
}

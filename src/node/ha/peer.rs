//! How nodes of a cluster speak to each other: mutual TLS on the network
//! between them.
//!
//! Owns: the port, the certificates of both sides, and who the other side is.
//! Must not know: what is said.
//!
//! A certificate of the internal CA is not enough: it has to be for the address
//! from which the other side comes, and that address has to be a member's. The
//! files are read for every connection, so an exchanged certificate counts at
//! once.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{
    keys::NODE,
    members::{Members, NodeName},
    render::{DAEMONS, KeyReader, keys},
};
use crate::node::paths::Paths;

/// They are next to each other.
const TIME_TO_CONNECT: Duration = Duration::from_secs(3);

/// What a node shows of itself, and whom it believes.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: RootCertStore,
}

impl Identity {
    fn read(paths: &Paths) -> io::Result<Self> {
        let files = keys(paths, KeyReader::Palisade, NODE);
        let wrong = |error: rustls::pki_types::pem::Error| io::Error::other(error.to_string());
        let mut authority = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&files.authority).map_err(wrong)?;
        authority.add(certificate).map_err(io::Error::other)?;
        Ok(Self {
            chain: vec![CertificateDer::from_pem_file(&files.certificate).map_err(wrong)?],
            key: PrivateKeyDer::from_pem_file(&files.key).map_err(wrong)?,
            authority,
        })
    }
}

/// Calls another member.
pub async fn call(
    paths: &Paths,
    own: Ipv4Addr,
    other: Ipv4Addr,
) -> io::Result<client::TlsStream<TcpStream>> {
    let Identity { chain, key, authority } = Identity::read(paths)?;
    let config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(authority)
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)?;
    let connecting = async {
        let socket = TcpSocket::new_v4()?;
        // The address by which the other side knows this node.
        socket.bind(SocketAddr::from((own, 0)))?;
        let stream = socket.connect(SocketAddr::from((other, DAEMONS))).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(IpAddr::V4(other).into());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer within 3 s");
    timeout(TIME_TO_CONNECT, connecting).await.map_err(|_| late())?
}

/// Answers a member's call; an error when it is anybody else.
pub async fn answer(
    paths: &Paths,
    members: &Members,
    stream: TcpStream,
) -> io::Result<(NodeName, server::TlsStream<TcpStream>)> {
    let from = stream.peer_addr()?.ip();
    let Identity { chain, key, authority } = Identity::read(paths)?;
    let verifier =
        WebPkiClientVerifier::builder(Arc::new(authority)).build().map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let shown = shown.ok_or_else(|| io::Error::other("it shows no certificate"))?;
    let name = who(shown, from, members)?;
    Ok((name, stream))
}

/// The member that comes from `from` with this certificate of the CA.
fn who(shown: &CertificateDer<'_>, from: IpAddr, members: &Members) -> io::Result<NodeName> {
    let parsed = ParsedCertificate::try_from(shown).map_err(io::Error::other)?;
    verify_server_name(&parsed, &ServerName::IpAddress(from.into())).map_err(io::Error::other)?;
    let member = members.all().iter().find(|member| IpAddr::V4(member.address) == from);
    let member =
        member.ok_or_else(|| io::Error::other(format!("{from} is no member's address")))?;
    Ok(member.name.clone())
}

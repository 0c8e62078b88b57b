//! Handshakes over loopback with a real client.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    CertificateError, CipherSuite, ClientConfig, ProtocolVersion, RootCertStore,
    SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    time_provider::TimeProvider,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::forge::{Authority, RANDOM, host, now};
use crate::{
    bus::AGENT_ALPN,
    certificates::{
        CertificateInfo, CertificateStore, InternalCa, ServerCertificate, server_config,
        validate_import,
    },
    clock::Timestamp,
};

#[derive(Debug)]
struct Fixed(Timestamp);

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.as_seconds()).unwrap();
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

fn internal(name: &str) -> InternalCa {
    let root = Authority::root(name);
    InternalCa::new(&root.pem(), &root.key_pem()).unwrap()
}

/// A server that sends back what it receives, on every connection.
async fn serve(store: &Arc<CertificateStore>) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(Arc::clone(store)).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// A client that trusts `anchor` and lives at `at`.
fn client(
    anchor: &str,
    at: Timestamp,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(anchor.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(Fixed(at)))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

async fn connect(
    config: ClientConfig,
    name: &str,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let socket = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

async fn echo(stream: &mut TlsStream<TcpStream>, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, text);
}

fn seen(stream: &TlsStream<TcpStream>) -> String {
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    CertificateInfo::from_der(&certificates[0]).unwrap().fingerprint
}

async fn refusal(config: ClientConfig, name: &str, address: SocketAddr) -> CertificateError {
    let error = connect(config, name, address).await.expect_err("the client must refuse");
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(error)) => error.clone(),
        other => panic!("another error: {other:?}"),
    }
}

#[tokio::test]
async fn clients_of_tls_1_2_and_1_3_connect_by_name_address_and_subdomain() {
    let ca = internal("CA");
    let names = [host("palisade.test"), host("127.0.0.1"), host("::1")];
    let issued = ca.issue_server(&names, Some(&names[0]), now(), &RANDOM).unwrap();
    let address = serve(&Arc::new(CertificateStore::new(issued))).await;
    for (version, expected) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        for name in ["palisade.test", "acme.palisade.test", "127.0.0.1", "::1"] {
            let config = client(ca.certificate_pem(), now(), &[version]);
            let mut stream = connect(config, name, address).await.unwrap();
            echo(&mut stream, b"hello").await;
            let (_, connection) = stream.get_ref();
            assert_eq!(connection.protocol_version(), Some(expected));
            assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
        }
    }
}

#[tokio::test]
async fn a_wrong_ca_an_expired_certificate_and_a_wrong_name_are_refused() {
    let (ca, other) = (internal("CA"), internal("Other"));
    let issued = ca.issue_server(&[host("palisade.test")], None, now(), &RANDOM).unwrap();
    let after_the_end = issued.info().not_after.plus(std::time::Duration::from_secs(1));
    let before_the_start = issued.info().not_before.minus(std::time::Duration::from_secs(1));
    let address = serve(&Arc::new(CertificateStore::new(issued))).await;
    let pem = ca.certificate_pem();
    for version in [&TLS12, &TLS13] {
        let wrong_ca = client(other.certificate_pem(), now(), &[version]);
        assert_eq!(
            refusal(wrong_ca, "palisade.test", address).await,
            CertificateError::UnknownIssuer
        );
        let late = client(pem, after_the_end, &[version]);
        assert!(matches!(
            refusal(late, "palisade.test", address).await,
            CertificateError::ExpiredContext { .. }
        ));
        let early = client(pem, before_the_start, &[version]);
        assert!(matches!(
            refusal(early, "palisade.test", address).await,
            CertificateError::NotValidYetContext { .. }
        ));
        for name in ["other.test", "acme.palisade.test", "10.0.0.1"] {
            let config = client(pem, now(), &[version]);
            assert!(matches!(
                refusal(config, name, address).await,
                CertificateError::NotValidForNameContext { .. }
            ));
        }
    }
}

#[tokio::test]
async fn the_certificate_changes_for_new_connections_and_open_ones_go_on() {
    let ca = internal("CA");
    let issue = || ca.issue_server(&[host("palisade.test")], None, now(), &RANDOM).unwrap();
    let (old, new) = (issue(), issue());
    let (before, after) = (old.info().fingerprint.clone(), new.info().fingerprint.clone());
    let store = Arc::new(CertificateStore::new(old));
    let address = serve(&store).await;
    let config = || client(ca.certificate_pem(), now(), &[&TLS12, &TLS13]);

    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(connect(config(), "palisade.test", address).await.unwrap());
    }
    store.swap(new);
    for stream in &mut open {
        assert_eq!(seen(stream), before);
        echo(stream, b"still here").await;
    }
    let mut fresh = connect(config(), "palisade.test", address).await.unwrap();
    assert_eq!(seen(&fresh), after);
    assert_eq!(store.current().info().fingerprint, after);
    echo(&mut fresh, b"hello").await;
}

#[tokio::test]
async fn an_imported_certificate_is_served_with_its_chain() {
    let root = Authority::root("Company Root");
    let below = root.intermediate("Company CA");
    let (leaf, key) = below.leaf();
    let chain = leaf + &below.pem() + &root.pem();
    let imported = validate_import(&chain, &key, &[host("palisade.test")], now()).unwrap();
    let anchor = imported.certificate.anchor_pem().to_owned();
    // As it comes back out of the store at the next start.
    let (chain_pem, key_pem) =
        (imported.certificate.chain_pem().to_owned(), imported.certificate.key_pem().clone());
    let certificate = ServerCertificate::from_parts(&chain_pem, &key_pem, &anchor).unwrap();
    let address = serve(&Arc::new(CertificateStore::new(certificate))).await;
    for version in [&TLS12, &TLS13] {
        let config = client(&anchor, now(), &[version]);
        let stream = connect(config, "palisade.test", address).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_returning_client_resumes_its_session() {
    let ca = internal("CA");
    let issued = ca.issue_server(&[host("palisade.test")], None, now(), &RANDOM).unwrap();
    let address = serve(&Arc::new(CertificateStore::new(issued))).await;
    for version in [&TLS12, &TLS13] {
        let config = client(ca.certificate_pem(), now(), &[version]);
        let mut first = connect(config.clone(), "palisade.test", address).await.unwrap();
        echo(&mut first, b"take the ticket").await;
        let again = connect(config, "palisade.test", address).await.unwrap();
        assert_eq!(again.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    }
}

/// Sends the hello of an old client and returns the alert's description.
async fn alert_for(version: [u8; 2], suite: [u8; 2], address: SocketAddr) -> u8 {
    let mut body = version.to_vec();
    body.extend([7; 32]); // random
    body.extend([0, 0, 2, suite[0], suite[1], 1, 0]); // no session; one suite; no compression
    let groups = [0, 10, 0, 4, 0, 2, 0, 0x17];
    let signatures = [0, 13, 0, 6, 0, 4, 4, 3, 4, 1];
    let extensions = [&groups[..], &signatures[..]].concat();
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&record).await.unwrap();
    let mut alert = [0; 7];
    socket.read_exact(&mut alert).await.unwrap();
    assert_eq!(alert[0], 21, "an alert record, not {alert:?}");
    alert[6]
}

#[tokio::test]
async fn old_versions_and_weak_ciphers_are_refused() {
    let ca = internal("CA");
    let issued = ca.issue_server(&[host("palisade.test")], None, now(), &RANDOM).unwrap();
    let address = serve(&Arc::new(CertificateStore::new(issued))).await;
    let strong = [0xc0, 0x2b]; // ECDHE-ECDSA-AES128-GCM-SHA256
    for old in [[3, 0], [3, 1], [3, 2]] {
        assert_eq!(alert_for(old, strong, address).await, 70, "protocol_version for {old:?}");
    }
    for weak in [
        [0x00, 0x2f], // RSA-AES128-CBC-SHA: neither forward secrecy nor authenticated
        [0x00, 0x9c], // RSA-AES128-GCM-SHA256: no forward secrecy
        [0xc0, 0x09], // ECDHE-ECDSA-AES128-CBC-SHA: not authenticated
        [0x00, 0x05], // RC4
    ] {
        assert_eq!(alert_for([3, 3], weak, address).await, 40, "handshake_failure for {weak:?}");
    }
}

#[test]
fn every_cipher_is_authenticated_and_has_forward_secrecy() {
    let ca = internal("CA");
    let issued = ca.issue_server(&[host("palisade.test")], None, now(), &RANDOM).unwrap();
    let config = server_config(Arc::new(CertificateStore::new(issued))).unwrap();
    let suites: Vec<CipherSuite> = config
        .crypto_provider()
        .cipher_suites
        .iter()
        .map(rustls::SupportedCipherSuite::suite)
        .collect();
    assert_eq!(suites.len(), 9);
    for suite in suites {
        let name = format!("{suite:?}");
        assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
        assert!(name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305_"), "{name}");
    }
    assert_eq!(config.max_early_data_size, 0);
}

#[tokio::test]
async fn agents_see_the_internal_certificate_whatever_people_see() {
    let (internal_ca, corporate) = (internal("CA"), internal("Corporate"));
    let names = [host("palisade.test")];
    let store = Arc::new(CertificateStore::new(
        internal_ca.issue_server(&names, None, now(), &RANDOM).unwrap(),
    ));
    let address = serve(&store).await;
    store.swap(corporate.issue_server(&names, None, now(), &RANDOM).unwrap());

    let people = client(corporate.certificate_pem(), now(), &[&TLS13]);
    let stream = connect(people.clone(), "palisade.test", address).await.unwrap();
    assert_eq!(seen(&stream), store.current().info().fingerprint);

    let mut agent = client(internal_ca.certificate_pem(), now(), &[&TLS13]);
    agent.alpn_protocols = vec![AGENT_ALPN.to_vec(), b"http/1.1".to_vec()];
    let stream = connect(agent, "palisade.test", address).await.unwrap();
    assert_eq!(seen(&stream), store.for_agents().info().fingerprint);
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    let anchors = store.agent_anchors();
    for ca in [&internal_ca, &corporate] {
        assert!(anchors.contains(ca.certificate_pem().trim()));
    }
}

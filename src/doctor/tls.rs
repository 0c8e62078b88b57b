//! What a TLS port answers to which greeting.
//!
//! Owns: the greetings, and reading a certificate without believing it.
//! Must not know: what is good.
//!
//! Our TLS library cannot speak the versions that have to be refused, so the
//! first message is written by hand: nothing but the kind of answer counts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{facts::Port, machine::LIMIT};
use crate::certificates::CertificateInfo;

const TLS_1_0: u16 = 0x0301;
const TLS_1_1: u16 = 0x0302;
const TLS_1_2: u16 = 0x0303;

/// With forward secrecy and authenticated encryption.
const MODERN: &[u16] = &[0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9];
/// The same key exchange with ciphers that can be tampered with.
const BLOCKS: &[u16] = &[0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc027];
/// Whoever gets the key later reads what was recorded before.
const NO_SECRECY: &[u16] = &[0x009c, 0x009d, 0x002f, 0x0035, 0x000a];

/// Greetings that have to be refused.
const WEAK: &[(&str, u16, &[u16])] = &[
    ("TLS 1.0", TLS_1_0, &[0xc009, 0xc00a, 0xc013, 0xc014, 0x002f, 0x0035]),
    ("TLS 1.1", TLS_1_1, &[0xc009, 0xc00a, 0xc013, 0xc014, 0x002f, 0x0035]),
    ("ciphers in CBC mode", TLS_1_2, BLOCKS),
    ("key exchange without forward secrecy", TLS_1_2, NO_SECRECY),
];

/// Where this machine reaches its own listener.
pub(super) fn own_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Greets our own port in several ways.
pub(super) async fn look(listen: SocketAddr) -> Result<Port, String> {
    let address = own_address(listen);
    let modern = answers(address, TLS_1_2, MODERN).await?;
    let mut weak = Vec::new();
    for (name, version, suites) in WEAK {
        if answers(address, *version, suites).await? {
            weak.push(*name);
        }
    }
    let certificate = certificate(address, None, LIMIT).await.ok();
    Ok(Port { modern, weak, certificate })
}

/// Whether the server takes up the greeting.
async fn answers(address: SocketAddr, version: u16, suites: &[u16]) -> Result<bool, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&greeting(version, suites)).await?;
        let mut head = [0_u8; 6];
        // A server may refuse by closing, too.
        match stream.read_exact(&mut head).await {
            Ok(_) => Ok(head[0] == HANDSHAKE && head[5] == SERVER_HELLO),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
        }
    };
    match timeout(LIMIT, exchange).await {
        Ok(answer) => answer.map_err(|error| format!("{address} cannot be reached: {error}")),
        Err(_) => Err(format!("{address} does not answer in {} s", LIMIT.as_secs())),
    }
}

const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;

/// A `ClientHello` in its record.
fn greeting(version: u16, suites: &[u16]) -> Vec<u8> {
    fn list(items: &[u16]) -> Vec<u8> {
        let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_be_bytes()).collect();
        [&length(bytes.len())[..], &bytes].concat()
    }
    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &length(content.len()), content].concat()
    }
    fn length(length: usize) -> [u8; 2] {
        u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
    }
    // Curves P-256, P-384 and X25519; signatures by ECDSA and RSA.
    let mut extensions = extension(10, &list(&[0x0017, 0x0018, 0x001d]));
    extensions.extend(extension(11, &[1, 0]));
    let schemes = [0x0403, 0x0503, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0203, 0x0201];
    extensions.extend(extension(13, &list(&schemes)));
    let mut body = version.to_be_bytes().to_vec();
    // Nothing is kept secret in this conversation.
    body.extend([0x5a; 32]);
    body.push(0);
    body.extend(list(suites));
    body.extend([1, 0]);
    body.extend(length(extensions.len()));
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(length(body.len()));
    message.extend(body);
    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend(length(message.len()));
    record.extend(message);
    record
}

/// The beginning of every HTTP client here.
pub(super) fn client() -> reqwest::ClientBuilder {
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
}

/// The certificate that a server shows, whoever signed it. `name` is asked for
/// if it is not the address itself.
pub(super) async fn certificate(
    address: SocketAddr,
    name: Option<&str>,
    limit: Duration,
) -> Result<CertificateInfo, String> {
    let unusable = |error: reqwest::Error| crate::error::chain(&error);
    let mut builder = client()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(limit);
    let mut host = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    if let Some(name) = name {
        builder = builder.resolve(name, address);
        name.clone_into(&mut host);
    }
    let client = builder.build().map_err(unusable)?;
    let url = format!("https://{host}:{}/healthz", address.port());
    let answer = client.get(url).send().await.map_err(unusable)?;
    let shown = answer.extensions().get::<reqwest::tls::TlsInfo>();
    let der = shown.and_then(|info| info.peer_certificate()).ok_or("it shows no certificate")?;
    CertificateInfo::from_der(der)
        .map_err(|error| format!("its certificate is unreadable: {error}"))
}

/// Whether somebody takes a connection.
pub(super) async fn connects(address: SocketAddr, limit: Duration) -> Result<(), String> {
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every greeting with the same record.
    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut greeting = [0_u8; 1024];
                let length = stream.read(&mut greeting).await.unwrap_or(0);
                assert!(length > 40 && greeting[0] == HANDSHAKE);
                let _ = stream.write_all(answer).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_server_that_takes_up_everything_is_weak() {
        let port = look(server(&[22, 3, 3, 0, 40, 2, 0, 0]).await).await.expect("looked");
        assert!(port.modern);
        assert_eq!(port.weak.len(), WEAK.len());
        assert!(port.certificate.is_none());
    }

    #[tokio::test]
    async fn an_alert_and_a_closed_connection_are_refusals() {
        for answer in [&[21, 3, 3, 0, 2, 2, 70][..], &[]] {
            let port = look(server(answer).await).await.expect("looked");
            assert!(!port.modern && port.weak.is_empty(), "{port:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_not_a_good_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        assert!(look(address).await.is_err());
    }
}

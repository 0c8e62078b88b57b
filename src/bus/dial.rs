//! How an agent gets a connection to management: directly or through a proxy,
//! with the right certificate at the other end.
//!
//! Owns: HTTP CONNECT, SOCKS 5, the roots of trust, and saying in words what
//! went wrong on the way.
//! Must not know: what is spoken over the connection.

mod proxy;

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_socks::{Error as SocksError, tcp::Socks5Stream};

use super::head::Head;
pub(super) use proxy::split_port;
pub use proxy::{InvalidProxy, Proxy, ProxyCredentials, ProxyKind, is_direct};

/// How long a connection may take, TLS included.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// What an agent offers besides the protocol that is spoken, so that management
/// shows it the certificate of its own authority.
pub const AGENT_ALPN: &[u8] = b"palisade-agent";
/// The longest answer of a proxy.
const HEAD_LIMIT: usize = 8 * 1024;

/// Why there is no connection, in words for whoever runs the cluster.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No route, name or listener.
    #[error("{target} cannot be reached")]
    Unreachable {
        /// `host:port`.
        target: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("{target} does not answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// `host:port`.
        target: String,
    },
    /// The proxy itself.
    #[error("the proxy {proxy} cannot be reached")]
    ProxyUnreachable {
        /// `host:port` of the proxy.
        proxy: String,
        /// What the system says.
        source: io::Error,
    },
    /// The proxy wants other credentials, or some at all.
    #[error("the proxy {proxy} refused {}", if *given { "the user name or password" } else { "us because it wants a user name and password" })]
    ProxyPassword {
        /// `host:port` of the proxy.
        proxy: String,
        /// Whether we gave some.
        given: bool,
    },
    /// The proxy does not connect us.
    #[error("the proxy {proxy} refused to connect to {target}: {reason}")]
    ProxyRefused {
        /// `host:port` of the proxy.
        proxy: String,
        /// `host:port`.
        target: String,
        /// What the proxy says.
        reason: String,
    },
    /// The other end is not who it should be, or speaks no TLS.
    #[error("{host} did not prove its identity")]
    Tls {
        /// The name that was expected.
        host: String,
        /// What is wrong.
        source: io::Error,
    },
}

/// Opens a TCP connection to `host:port`, through `proxy` if there is one.
pub async fn dial(proxy: Option<&Proxy>, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let target = format!("{host}:{port}");
    let connect = async {
        match proxy {
            None => TcpStream::connect((host, port))
                .await
                .map_err(|source| DialError::Unreachable { target: target.clone(), source }),
            Some(proxy) if proxy.kind == ProxyKind::Http => through_http(proxy, &target).await,
            Some(proxy) => through_socks(proxy, host, port, &target).await,
        }
    };
    let outcome = timeout(PATIENCE, connect).await;
    let stream = outcome.map_err(|_| DialError::Silent { target: target.clone() })??;
    stream.set_nodelay(true).map_err(|source| DialError::Unreachable { target, source })?;
    Ok(stream)
}

async fn through_http(proxy: &Proxy, target: &str) -> Result<TcpStream, DialError> {
    let mut stream = connect_to_proxy(proxy).await?;
    let authorization = proxy.credentials.as_ref().map_or_else(String::new, |credentials| {
        let pair = format!("{}:{}", credentials.user, credentials.password.expose());
        format!("Proxy-Authorization: Basic {}\r\n", data_encoding::BASE64.encode(pair.as_bytes()))
    });
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        Head::read(&mut stream, HEAD_LIMIT).await
    };
    let head = asked
        .await
        .map_err(|source| DialError::ProxyUnreachable { proxy: proxy.address(), source })?;
    match head.status() {
        Some(200..=299) if head.rest.is_empty() => Ok(stream),
        // Some proxies answer 401 where 407 is meant.
        Some(401 | 407) => Err(DialError::ProxyPassword {
            proxy: proxy.address(),
            given: proxy.credentials.is_some(),
        }),
        _ => Err(DialError::ProxyRefused {
            proxy: proxy.address(),
            target: target.to_owned(),
            reason: head.reason(),
        }),
    }
}

/// The proxy resolves the name: a cluster behind one often cannot.
async fn through_socks(
    proxy: &Proxy,
    host: &str,
    port: u16,
    target: &str,
) -> Result<TcpStream, DialError> {
    let stream = connect_to_proxy(proxy).await?;
    let outcome = match &proxy.credentials {
        None => Socks5Stream::connect_with_socket(stream, (host, port)).await,
        Some(credentials) => {
            Socks5Stream::connect_with_password_and_socket(
                stream,
                (host, port),
                &credentials.user,
                credentials.password.expose(),
            )
            .await
        }
    };
    outcome.map(Socks5Stream::into_inner).map_err(|error| match error {
        SocksError::PasswordAuthFailure(_)
        | SocksError::NoAcceptableAuthMethods
        | SocksError::AuthorizationRequired => {
            DialError::ProxyPassword { proxy: proxy.address(), given: proxy.credentials.is_some() }
        }
        other => DialError::ProxyRefused {
            proxy: proxy.address(),
            target: target.to_owned(),
            reason: other.to_string(),
        },
    })
}

async fn connect_to_proxy(proxy: &Proxy) -> Result<TcpStream, DialError> {
    TcpStream::connect((proxy.host.as_str(), proxy.port))
        .await
        .map_err(|source| DialError::ProxyUnreachable { proxy: proxy.address(), source })
}

/// Whom we believe; cheap to clone, and made once for many links, which then
/// also resume each other's TLS sessions.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

/// The roots of trust cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// Not PEM, or no certificate in it.
    #[error("the CA bundle has no usable PEM certificate")]
    Bundle,
    /// The system has none.
    #[error("this system has no CA certificates; give a CA bundle")]
    System,
}

impl Tls {
    /// Believes the CAs in `bundle` (PEM) and no others; without a bundle, the system's.
    ///
    /// # Panics
    /// Never: the cryptographic provider knows TLS 1.2 and 1.3.
    pub fn new(bundle: Option<&str>) -> Result<Self, InvalidRoots> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = bundle {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|_| InvalidRoots::Bundle)?;
                roots.add(certificate).map_err(|_| InvalidRoots::Bundle)?;
            }
            if roots.is_empty() {
                return Err(InvalidRoots::Bundle);
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(InvalidRoots::System);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![AGENT_ALPN.to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.0)
    }

    /// Does the TLS handshake over `stream` and checks that the other end is `host`.
    pub async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let failed = |source| DialError::Tls { host: host.to_owned(), source };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let handshake = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
        match timeout(PATIENCE, handshake).await {
            Ok(outcome) => outcome.map_err(failed),
            Err(_) => Err(DialError::Silent { target: host.to_owned() }),
        }
    }
}

//! A little gateway with TLS, as the real one uses the tunnel.

use std::{convert::Infallible, sync::Mutex};

use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::bus::{dial::Tls, tunnel};

/// A CA and what it signed.
pub(super) struct Pki {
    pub(super) ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca_pem = params.self_signed(&key).expect("a CA").pem();
        Self { ca_pem, issuer: Issuer::new(params, key) }
    }

    pub(super) fn tls(&self) -> Tls {
        Tls::new(Some(&self.ca_pem)).expect("a bundle")
    }

    /// A certificate for `localhost`, and its key.
    pub(super) fn leaf(&self) -> (rcgen::Certificate, KeyPair) {
        self.leaf_for("localhost")
    }

    /// A certificate for this name or address, and its key.
    pub(super) fn leaf_for(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    pub(super) fn write_leaf(&self, directory: &TempDir) -> TlsFiles {
        let (certificate, key) = self.leaf();
        let files = TlsFiles {
            certificate: directory.path().join("tls.crt"),
            key: directory.path().join("tls.key"),
        };
        std::fs::write(&files.certificate, certificate.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    fn acceptor(&self) -> TlsAcceptor {
        let (certificate, key) = self.leaf();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A gateway in front of a broker; the broker may change or be away.
pub(super) struct Gateway {
    pub(super) port: u16,
    pub(super) pki: Pki,
    pub(super) backend: Arc<Mutex<SocketAddr>>,
}

impl Gateway {
    pub(super) async fn start(backend: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let pki = Pki::new();
        let acceptor = pki.acceptor();
        let backend = Arc::new(Mutex::new(backend));
        let current = Arc::clone(&backend);
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (acceptor, current) = (acceptor.clone(), Arc::clone(&current));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let backend = *current.lock().expect("not poisoned");
                        async move { Ok::<_, Infallible>(serve(request, backend, peer).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self { port, pki, backend }
    }
}

async fn serve(
    mut request: Request<Incoming>,
    backend: SocketAddr,
    peer: SocketAddr,
) -> Response<String> {
    let answer = |status| Response::builder().status(status).body(String::new()).expect("valid");
    let key = request.headers().get("sec-websocket-key").and_then(|key| key.to_str().ok());
    let (Some(key), "/bus") = (key.map(str::to_owned), request.uri().path()) else {
        return answer(StatusCode::BAD_REQUEST);
    };
    let Ok(mut opened) = tunnel::open(backend, &key, peer.ip()).await else {
        return answer(StatusCode::SERVICE_UNAVAILABLE);
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let accept = opened.accept.clone();
    tokio::spawn(async move {
        let mut agent = TokioIo::new(upgrade.await.expect("an upgrade"));
        agent.write_all(&opened.early_bytes).await.expect("written");
        let _ = tunnel::splice(&mut agent, &mut opened.stream).await;
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-accept", accept)
        .body(String::new())
        .expect("valid")
}

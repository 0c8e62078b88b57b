//! What the tests of the agent share: a TLS server in management's place, and
//! an API server that knows ConfigMaps only.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use hyper::{Method, Request, Response};
use kube::{Client, client::Body};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::settings::{AgentSettings, Management, TokenSource};
use crate::secret::Secret;

pub(super) fn token() -> Secret<String> {
    Secret::new("the-token".to_owned())
}

/// A CA and a certificate that it gave to `localhost`, as PEM.
pub(super) struct Pki {
    pub(super) ca: String,
    pub(super) certificate: String,
    pub(super) private_key: String,
}

impl Pki {
    pub(super) fn new(ca_name: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name.push(DnType::CommonName, ca_name);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        Self { ca: ca.pem(), certificate: leaf.pem(), private_key: key.serialize_pem() }
    }
}

/// A TLS server on loopback. It answers each request with what a function says,
/// byte for byte, and closes.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) ca_pem: String,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) async fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::of_ca("Example CA", answer).await
    }

    pub(super) async fn of_ca(
        name: &str,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let pki = Pki::new(name);
        let certificate = CertificateDer::from_pem_slice(pki.certificate.as_bytes()).unwrap();
        let private = PrivateKeyDer::from_pem_slice(pki.private_key.as_bytes()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(socket).await else { continue };
                let text = exchange(stream, &answer).await;
                seen.lock().unwrap().push(text);
            }
        });
        Self { port, ca_pem: pki.ca, requests }
    }

    pub(super) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(super) fn settings(&self, folder: &tempfile::TempDir) -> AgentSettings {
        let ca = folder.path().join("ca.crt");
        std::fs::write(&ca, &self.ca_pem).unwrap();
        let url = format!("https://localhost:{}", self.port);
        AgentSettings { ca_file: Some(ca), ..AgentSettings::new(url, TokenSource::Value(token())) }
    }

    pub(super) fn management(&self) -> Management {
        let folder = tempfile::tempdir().unwrap();
        Management::from_settings(&self.settings(&folder)).unwrap()
    }
}

/// Reads one request with its body, writes the answer, closes.
pub(super) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &(impl Fn(&str) -> String + Sync),
) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..read]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let length = so_far.to_lowercase().split("content-length: ").nth(1).and_then(|rest| {
            rest.split("\r\n").next().and_then(|digits| digits.parse::<usize>().ok())
        });
        let complete = so_far
            .split_once("\r\n\r\n")
            .is_some_and(|(_, body)| body.len() >= length.unwrap_or(0));
        if complete || read == 0 {
            let _ = stream.write_all(answer(&so_far).as_bytes()).await;
            let _ = stream.shutdown().await;
            return so_far;
        }
    }
}

/// An API server that knows ConfigMaps by path, and can be told to refuse writes.
#[derive(Clone, Default)]
pub(super) struct Cluster(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    configmaps: HashMap<String, Value>,
    writes_left: Option<usize>,
}

impl Cluster {
    pub(super) fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let (code, answer) = cluster.answer(&head.method, head.uri.path(), &body);
                let body = Body::from(serde_json::to_vec(&answer).unwrap());
                let response = Response::builder().status(code).body(body).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "default")
    }

    /// Refuses all writes after the next `writes`.
    pub(super) fn allow_writes(&self, writes: Option<usize>) {
        self.0.lock().unwrap().writes_left = writes;
    }

    pub(super) fn configmaps(&self) -> HashMap<String, Value> {
        self.0.lock().unwrap().configmaps.clone()
    }

    pub(super) fn put(&self, path: &str, data: &Value) {
        let value = json!({"metadata": {"name": "x"}, "data": data});
        self.0.lock().unwrap().configmaps.insert(path.to_owned(), value);
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let mut inner = self.0.lock().unwrap();
        let refused = |code: u16, message: &str| {
            (
                code,
                json!({"kind": "Status", "status": "Failure", "code": code, "message": message,
                "reason": if code == 404 { "NotFound" } else { "Forbidden" }}),
            )
        };
        if *method == Method::GET {
            return match inner.configmaps.get(path) {
                Some(found) => (200, found.clone()),
                None => refused(404, "not found"),
            };
        }
        match &mut inner.writes_left {
            Some(0) => return refused(403, "configmaps is forbidden"),
            Some(left) => *left -= 1,
            None => {}
        }
        assert_eq!(*method, Method::PATCH, "only server-side apply is expected");
        let value: Value = serde_json::from_slice(body).unwrap();
        inner.configmaps.insert(path.to_owned(), value.clone());
        (200, value)
    }
}

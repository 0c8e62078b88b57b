//! The peers: real servers and programs, set up as their makers suggest.

mod postgres;
mod sqlite;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use axum::{Router, routing::get};
use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

pub(crate) use postgres::Postgres;
pub(crate) use sqlite::Sqlite;

use crate::{
    http::Target,
    process::{Folder, Server, free_address, program},
};

/// A certificate for `localhost` that signs itself, and its key.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    pub(crate) file: PathBuf,
    pub(crate) key_file: PathBuf,
}

impl Certificate {
    pub(crate) fn new(folder: &Folder) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let pem = made.cert.pem();
        let file = folder.write("peer.crt", &pem)?;
        let key_file = folder.write("peer.key", &made.signing_key.serialize_pem())?;
        Ok(Self { pem, file, key_file })
    }
}

/// An HTTPS peer that is ready.
pub(crate) struct Https {
    pub(crate) server: Server,
    pub(crate) target: Target,
}

impl Https {
    async fn new(command: Command, listen: SocketAddr, name: &str, by: &By<'_>) -> Result<Self> {
        let mut server = Server::start(command, by.folder.path().join(format!("{name}.log")))?;
        server.until_it_listens(listen).await?;
        Ok(Self { server, target: Target::new(listen, &by.certificate.pem)? })
    }
}

/// What every HTTPS peer needs.
pub(crate) struct By<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) certificate: &'a Certificate,
}

impl By<'_> {
    /// axum and rustls with nothing around them: this program under another name.
    pub(crate) async fn hello(&self) -> Result<Https> {
        let listen = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("hello").arg(listen.to_string());
        command.arg(&self.certificate.file).arg(&self.certificate.key_file);
        Https::new(command, listen, "hello", self).await
    }

    /// nginx with a file of five bytes, one line of log per request as it does
    /// by itself and as we do.
    pub(crate) async fn nginx(&self) -> Result<Https> {
        let listen = free_address()?;
        let folder = self.folder.path().join("nginx");
        std::fs::create_dir_all(folder.join("www"))?;
        std::fs::write(folder.join("www/hello"), "hello")?;
        let text = format!(
            "daemon off;\nuser root;\nworker_processes 2;\npid {0}/pid;\nerror_log {0}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n access_log {0}/access.log;\n client_body_temp_path {0}/1;\n proxy_temp_path {0}/2;\n \
             fastcgi_temp_path {0}/3;\n uwsgi_temp_path {0}/4;\n scgi_temp_path {0}/5;\n \
             sendfile on;\n tcp_nopush on;\n keepalive_requests 100000000;\n keepalive_timeout 1h;\n \
             ssl_protocols TLSv1.2 TLSv1.3;\n \
             server {{\n  listen {listen} ssl;\n  ssl_certificate {1};\n  ssl_certificate_key {2};\n  \
             root {0}/www;\n }}\n}}\n",
            folder.display(),
            self.certificate.file.display(),
            self.certificate.key_file.display(),
        );
        let file = self.folder.write("nginx.conf", &text)?;
        let mut command = Command::new(program("NGINX", "/usr/sbin/nginx"));
        command.arg("-p").arg(&folder).arg("-c").arg(file);
        Https::new(command, listen, "nginx", self).await
    }

    /// Node's HTTPS server that checks an HMAC-SHA-256 token and answers JSON.
    /// Also gives a token that it accepts.
    pub(crate) async fn node(&self) -> Result<(Https, String)> {
        let listen = free_address()?;
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node.mjs"));
        command.arg(listen.port().to_string());
        command.arg(&self.certificate.file).arg(&self.certificate.key_file);
        let node = Https::new(command, listen, "node", self).await?;
        for _ in 0..500 {
            // It prints the token once it listens.
            let said = std::fs::read_to_string(self.folder.path().join("node.log"))?;
            if let Some((token, _)) = said.split_once('\n') {
                return Ok((node, token.to_owned()));
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        bail!("node prints no token")
    }

    /// nats-server with TLS, for whoever connects.
    pub(crate) async fn nats(&self) -> Result<(Server, SocketAddr)> {
        let listen = free_address()?;
        let text = format!(
            "listen: {listen}\nmax_connections: 20000\ntls {{\n cert_file: \"{}\"\n key_file: \"{}\"\n}}\n",
            self.certificate.file.display(),
            self.certificate.key_file.display(),
        );
        let file = self.folder.write("nats.conf", &text)?;
        let mut command = Command::new(program("NATS_SERVER", "nats-server"));
        command.arg("-c").arg(file);
        let mut server = Server::start(command, self.folder.path().join("nats.log"))?;
        server.until_it_listens(listen).await?;
        Ok((server, listen))
    }
}

/// `docker-registry` on a folder of its own, started but not waited for.
pub(crate) fn registry(folder: &Folder) -> Result<(Server, SocketAddr)> {
    let listen = free_address()?;
    let data = folder.path().join("registry");
    let text = format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: {listen}\n",
        data.display()
    );
    let file = folder.write("registry.yml", &text)?;
    let mut command = Command::new(program("DOCKER_REGISTRY", "docker-registry"));
    command.arg("serve").arg(file);
    Ok((Server::start(command, folder.path().join("registry.log"))?, listen))
}

/// The process behind [`By::hello`].
pub(crate) fn hello(listen: SocketAddr, certificate: &Path, key: &Path) -> Result<ExitCode> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let router = Router::new().route("/hello", get(|| async { "hello" }));
    crate::block_on(async move {
        axum_server::bind_rustls(listen, RustlsConfig::from_config(Arc::new(tls)))
            .serve(router.into_make_service())
            .await
            .context("the peer cannot serve")?;
        Ok(ExitCode::SUCCESS)
    })
}

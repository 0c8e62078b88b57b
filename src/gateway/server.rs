//! The HTTPS server: sockets, TLS, time limits and a graceful end.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum_server::{
    Handle,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;

use super::{connections::Counting, router::router};
use crate::{
    app::App,
    certificates,
    error::{Error, Kind, Result},
};

/// A client must finish its TLS handshake within this time.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// A client must send the head of its request within this time: slow clients
/// hold a socket and nothing else.
const HEAD_LIMIT: Duration = Duration::from_secs(15);

/// A bound server. Binding comes first, so that a taken port is a start-up
/// error and nothing has been started yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds the address. Kind: `Unavailable`, naming the address.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        bound.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need the capability CAP_NET_BIND_SERVICE".to_owned()
                }
                _ => error.to_string(),
            };
            Error::new(
                Kind::Unavailable,
                "cannot-listen",
                format!("server.listen: cannot listen on {address}: {why}."),
            )
            .with_hint("Stop the other program, or choose another address with --listen.")
        })
    }

    /// Where it listens: the port is known even when the system chose it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `app.stopping()`, then lets open requests finish.
    pub async fn run(self, app: App) -> Result<()> {
        let tls = certificates::server_config(Arc::clone(app.certificates()))?;
        let config = RustlsConfig::from_config(Arc::new(tls));
        let acceptor =
            RustlsAcceptor::new(config).handshake_timeout(HANDSHAKE_LIMIT).acceptor(Counting);
        let handle = Handle::new();
        let drain = app.config().server.drain_seconds.duration();
        let (stopping, stop) = (app.stopping().clone(), handle.clone());
        app.tasks().spawn(async move {
            stopping.cancelled().await;
            stop.graceful_shutdown(Some(drain));
        });
        let mut server = axum_server::from_tcp(self.listener)
            .map_err(Error::internal)?
            .acceptor(acceptor)
            .handle(handle);
        server
            .http_builder()
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_headers(100);
        server
            .http_builder()
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(250)
            .max_header_list_size(32 * 1024)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(15));
        let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
        server.serve(service).await.map_err(Error::internal)
    }
}

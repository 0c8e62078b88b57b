//! The little way station that lets the bus client go through a proxy.
//!
//! Owns: a listener on loopback that takes the client's plain WebSocket request
//! and carries it on through the proxy, with TLS and the real name.
//! Must not know: what flows through it, or when the client tries again.
//!
//! The client has no way to dial through a proxy, and says no more than "IO
//! error" when its connection fails; the forwarder has both. A random token in
//! the path keeps other programs on the same machine out.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::{
    dial::{DialError, Proxy, Tls, dial},
    head::Head,
    tunnel::splice,
};
use crate::{
    clock::{Random, random_bytes},
    error::chain,
};

/// The path of the bus on the gateway.
pub(super) const BUS_PATH: &str = "/bus";
/// The longest request or answer head.
const HEAD_LIMIT: usize = 8 * 1024;
/// How long a head may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The last failure in words, or nothing while all is well.
#[derive(Clone, Debug, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<String>>>);

impl LastFailure {
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, failure: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// A running forwarder. Dropping it stops listening; what flows, flows on.
pub(super) struct Forwarder {
    address: SocketAddr,
    token: String,
    failure: LastFailure,
    task: JoinHandle<()>,
}

struct Route {
    proxy: Proxy,
    host: String,
    port: u16,
    tls: Tls,
    request_line: String,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("another program tried to use the agent's way to management")]
    WrongToken,
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the connection to management broke")]
    Broken(#[source] io::Error),
    #[error("management does not answer")]
    Silent,
    #[error("management answered {0}")]
    Refused(String),
}

impl Forwarder {
    /// Begins to listen on loopback.
    pub(super) async fn start(
        proxy: Proxy,
        host: String,
        port: u16,
        tls: Tls,
        random: &dyn Random,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let token = data_encoding::HEXLOWER.encode(&random_bytes::<16>(random));
        let request_line = format!("GET /{token} HTTP/1.1");
        let route = Arc::new(Route { proxy, host, port, tls, request_line });
        let failure = LastFailure::default();
        let task = tokio::spawn(listen(listener, route, failure.clone()));
        Ok(Self { address, token, failure, task })
    }

    /// Where the client connects.
    pub(super) fn url(&self) -> String {
        format!("ws://{}/{}", self.address, self.token)
    }

    /// Why the last connection failed.
    pub(super) fn last_failure(&self) -> LastFailure {
        self.failure.clone()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, route: Arc<Route>, failure: LastFailure) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors, most likely; do not spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (route, failure) = (Arc::clone(&route), failure.clone());
        tokio::spawn(async move {
            if let Err(error) = forward(client, &route, &failure).await
                && !matches!(error, Failure::WrongToken)
            {
                failure.set(Some(chain(&error)));
            }
        });
    }
}

async fn forward(
    mut client: TcpStream,
    route: &Route,
    failure: &LastFailure,
) -> Result<(), Failure> {
    let _ = client.set_nodelay(true);
    let request = timeout(PATIENCE, Head::read(&mut client, HEAD_LIMIT)).await;
    let request = request.map_err(|_| Failure::WrongToken)?.map_err(|_| Failure::WrongToken)?;
    if request.first_line() != route.request_line {
        return Err(Failure::WrongToken);
    }
    let stream = dial(Some(&route.proxy), &route.host, route.port).await?;
    let mut server = route.tls.handshake(&route.host, stream).await?;

    let mut rewritten = format!("GET {BUS_PATH} HTTP/1.1\r\nHost: {}\r\n", host_header(route));
    for line in request.headers() {
        if !line.to_ascii_lowercase().starts_with("host:") {
            rewritten.push_str(line);
            rewritten.push_str("\r\n");
        }
    }
    rewritten.push_str("\r\n");
    let asked = async {
        server.write_all(rewritten.as_bytes()).await?;
        server.write_all(&request.rest).await?;
        server.flush().await?;
        Head::read(&mut server, HEAD_LIMIT).await
    };
    let answer = timeout(PATIENCE, asked).await.map_err(|_| Failure::Silent)?;
    let answer = answer.map_err(Failure::Broken)?;
    if answer.status() != Some(101) {
        let _ = client.write_all(answer.as_bytes()).await;
        return Err(Failure::Refused(answer.reason()));
    }
    // From here on the client itself knows better why it was cut off.
    failure.set(None);
    let passed_on = async {
        client.write_all(answer.as_bytes()).await?;
        client.write_all(&answer.rest).await?;
        splice(&mut client, &mut server).await
    };
    let _ = passed_on.await;
    Ok(())
}

fn host_header(route: &Route) -> String {
    let host =
        if route.host.contains(':') { format!("[{}]", route.host) } else { route.host.clone() };
    if route.port == 443 { host } else { format!("{host}:{}", route.port) }
}

//! How a proxy behaves towards one destination.

use std::time::Duration;

use tokio::{net::TcpStream, time::timeout};

use super::observed::{ProxyAnswer, ProxyState};
use crate::{
    bus::dial::{DialError, Proxy, dial},
    doctor::tls,
    secret::Secret,
};

/// Looks at the proxy at `url`, which is asked to connect to `destination`.
pub(super) async fn look(
    url: &Secret<String>,
    destination: Option<(String, u16)>,
    limit: Duration,
) -> Result<ProxyState, String> {
    // A proxy that is spoken to by TLS is only looked for.
    let plain = url.expose().replacen("https://", "http://", 1);
    let destination = destination.filter(|_| plain == *url.expose());
    let proxy = Proxy::parse(&plain).map_err(|error| error.to_string())?;
    drop(Secret::new(plain));
    let by_name = proxy.host.parse::<std::net::IpAddr>().is_err();
    let answer = match timeout(limit, ask(&proxy, destination.as_ref())).await {
        Ok(answer) => answer,
        Err(_) => ProxyAnswer::Unreachable(format!("no answer in {} s", limit.as_secs_f32())),
    };
    let address = proxy.address();
    let state = |answer| ProxyState { address, by_name, answer };
    let (ProxyAnswer::Works, Some((host, port))) = (&answer, destination) else {
        return Ok(state(answer));
    };
    let destination = format!("{host}:{port}");
    Ok(state(intercepted(url, &destination, limit).await.unwrap_or(answer)))
}

/// Connects as agents do, or without a destination to the proxy only.
async fn ask(proxy: &Proxy, destination: Option<&(String, u16)>) -> ProxyAnswer {
    let Some((host, port)) = destination else {
        return match TcpStream::connect((proxy.host.as_str(), proxy.port)).await {
            Ok(_) => ProxyAnswer::Works,
            Err(error) => ProxyAnswer::Unreachable(error.to_string()),
        };
    };
    match dial(Some(proxy), host, *port).await {
        Ok(_) => ProxyAnswer::Works,
        Err(DialError::ProxyPassword { .. }) => ProxyAnswer::WantsCredentials,
        Err(DialError::ProxyRefused { reason, .. }) => ProxyAnswer::Refuses(reason),
        Err(DialError::ProxyUnreachable { source, .. }) => {
            ProxyAnswer::Unreachable(source.to_string())
        }
        Err(
            other @ (DialError::Unreachable { .. }
            | DialError::Silent { .. }
            | DialError::Tls { .. }),
        ) => ProxyAnswer::Unreachable(other.to_string()),
    }
}

/// Whether the destination's certificate is one of the proxy's own: whom the
/// system trusts would not have signed it.
async fn intercepted(
    url: &Secret<String>,
    destination: &str,
    limit: Duration,
) -> Option<ProxyAnswer> {
    let through = || {
        let proxy = reqwest::Proxy::all(url.expose()).ok()?;
        let builder = tls::client().proxy(proxy).timeout(limit).tls_info(true);
        Some(builder.redirect(reqwest::redirect::Policy::none()))
    };
    let target = format!("https://{destination}/");
    let strict = through()?.build().ok()?.get(&target).send().await;
    let refused = strict.err().map(|error| crate::error::chain(&error))?;
    if !refused.contains("certificate") {
        return None;
    }
    let lenient = through()?.tls_danger_accept_invalid_certs(true).build().ok()?;
    let answer = lenient.get(&target).send().await.ok()?;
    let shown = answer.extensions().get::<reqwest::tls::TlsInfo>()?.peer_certificate()?;
    let info = crate::certificates::CertificateInfo::from_der(shown).ok()?;
    Some(ProxyAnswer::Intercepts(info.issuer))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn mirror() -> (String, u16) {
        ("mirror.example".to_owned(), 443)
    }

    async fn proxy(answer: &'static str) -> (Secret<String>, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = [0_u8; 1024];
            let length = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("answered");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (Secret::new(format!("http://user:p%40ss@{address}")), task)
    }

    #[tokio::test]
    async fn a_proxy_that_wants_credentials_is_told_from_one_that_refuses() {
        let (url, task) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        let state = look(&url, Some(mirror()), LIMIT).await.expect("looked");
        assert_eq!(state.answer, ProxyAnswer::WantsCredentials);
        let request = task.await.expect("answered");
        assert!(request.contains("CONNECT mirror.example:443"), "{request}");
        assert!(request.contains("Basic dXNlcjpwQHNz"), "{request}");
        // Some proxies answer 401 where 407 is meant.
        let (url, _task) = proxy("HTTP/1.1 401 Unauthorized\r\n\r\n").await;
        let state = look(&url, Some(mirror()), LIMIT).await.expect("looked");
        assert_eq!(state.answer, ProxyAnswer::WantsCredentials);
        let (url, _task) = proxy("HTTP/1.1 403 Forbidden\r\n\r\n").await;
        let state = look(&url, Some(mirror()), LIMIT).await.expect("looked");
        assert_eq!(state.answer, ProxyAnswer::Refuses("403 Forbidden".to_owned()));
        assert!(!state.by_name && !state.address.contains("p@ss"));
    }

    #[tokio::test]
    async fn a_socks_proxy_is_asked_as_well() {
        // It takes none of the ways to log in that it is offered.
        let (url, _task) = proxy("\u{5}\u{7f}").await;
        let url = Secret::new(url.expose().replacen("http://", "socks5://", 1));
        let state = look(&url, Some(mirror()), LIMIT).await.expect("looked");
        assert_ne!(state.answer, ProxyAnswer::Works);
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_unreachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let url = Secret::new(format!("http://{address}"));
        let state = look(&url, None, LIMIT).await.expect("looked");
        assert!(matches!(state.answer, ProxyAnswer::Unreachable(_)), "{state:?}");
    }
}

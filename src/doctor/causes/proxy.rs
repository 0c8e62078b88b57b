//! How a proxy behaves towards one destination.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::observed::{ProxyAnswer, ProxyState};
use crate::{
    bus::dial::{Proxy, ProxyKind},
    doctor::tls,
    secret::Secret,
};

/// Looks at the proxy at `url`; `destination` (`host:port`) is asked of it.
pub(super) async fn look(
    url: &Secret<String>,
    destination: Option<&str>,
    limit: Duration,
) -> Result<ProxyState, String> {
    // A proxy that is spoken to by TLS is only looked for.
    let plain = url.expose().replacen("https://", "http://", 1);
    let destination = destination.filter(|_| plain == *url.expose());
    let proxy = Proxy::parse(&plain).map_err(|error| error.to_string())?;
    drop(Secret::new(plain));
    let by_name = proxy.host.parse::<std::net::IpAddr>().is_err();
    let answer = match timeout(limit, ask(&proxy, destination)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => ProxyAnswer::Unreachable(error.to_string()),
        Err(_) => ProxyAnswer::Unreachable(format!("no answer in {} s", limit.as_secs_f32())),
    };
    let address = proxy.address();
    let state = |answer| ProxyState { address, by_name, answer };
    let (ProxyAnswer::Works, Some(destination)) = (&answer, destination) else {
        return Ok(state(answer));
    };
    Ok(state(intercepted(url, destination, limit).await.unwrap_or(answer)))
}

async fn ask(proxy: &Proxy, destination: Option<&str>) -> std::io::Result<ProxyAnswer> {
    let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await?;
    let (ProxyKind::Http, Some(destination)) = (proxy.kind, destination) else {
        return Ok(ProxyAnswer::Works);
    };
    let credentials = proxy.credentials.as_ref().map_or_else(String::new, |credentials| {
        let pair = format!("{}:{}", credentials.user, credentials.password.expose());
        let pair = data_encoding::BASE64.encode(pair.as_bytes());
        format!("Proxy-Authorization: Basic {pair}\r\n")
    });
    let request =
        format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n{credentials}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let mut buffer = [0_u8; 1024];
    while !head.contains(&b'\n') && head.len() < 8192 {
        match stream.read(&mut buffer).await? {
            0 => break,
            length => head.extend(&buffer[..length]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let line: String =
        head.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    Ok(match line.split(' ').nth(1) {
        Some("200") => ProxyAnswer::Works,
        Some("407") => ProxyAnswer::WantsCredentials,
        _ if line.is_empty() => ProxyAnswer::Refuses("it closes the connection".to_owned()),
        _ => ProxyAnswer::Refuses(line.chars().take(120).collect()),
    })
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
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

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
        let state = look(&url, Some("mirror.example:443"), LIMIT).await.expect("looked");
        assert_eq!(state.answer, ProxyAnswer::WantsCredentials);
        let request = task.await.expect("answered");
        assert!(request.contains("CONNECT mirror.example:443"), "{request}");
        assert!(request.contains("Basic dXNlcjpwQHNz"), "{request}");
        let (url, _task) = proxy("HTTP/1.1 403 Forbidden\r\n\r\n").await;
        let state = look(&url, Some("mirror.example:443"), LIMIT).await.expect("looked");
        assert_eq!(state.answer, ProxyAnswer::Refuses("HTTP/1.1 403 Forbidden".to_owned()));
        assert!(!state.by_name && !state.address.contains("p@ss"));
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

//! A client that costs little: HTTP/1.1 over TLS on connections that stay open.
//!
//! It shares the machine with what it measures, so requests are bytes that
//! were made before, and of an answer only the status and the end of the body
//! are looked for.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// An HTTPS server at an address, under the name `localhost`.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    tls: TlsConnector,
}

impl Target {
    /// Believes the certificates in `anchors` (PEM).
    pub(crate) fn new(address: SocketAddr, anchors: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(anchors.as_bytes()) {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { address, tls: TlsConnector::from(Arc::new(config)) })
    }

    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        Ok(Connection { stream, buffer: Vec::with_capacity(16 * 1024) })
    }
}

/// One connection; it is used up by an answer that could not be understood.
pub(crate) struct Connection<S = TlsStream<TcpStream>> {
    stream: S,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        let good = (200..300).contains(&self.status);
        ensure!(good, "the answer has status {}: {}", self.status, text());
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).with_context(text)
    }
}

/// The bytes of a request.
pub(crate) fn request(
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let length = (!body.is_empty())
        .then(|| format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    let (token, length) = (token.unwrap_or_default(), length.unwrap_or_default());
    let text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{token}{length}\r\n{body}");
    text.into_bytes()
}

impl Connection<TcpStream> {
    /// Without TLS.
    pub(crate) async fn plain(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        Ok(Self { stream, buffer: Vec::new() })
    }
}

impl<S: AsyncRead + AsyncWriteExt + Unpin> Connection<S> {
    /// Sends a request and keeps the body of the answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<Answer> {
        let mut body = Vec::new();
        let status = self.stream(request, |part| body.extend_from_slice(part)).await?;
        Ok(Answer { status, body })
    }

    /// Sends a request and hands over the body part by part; answers the status.
    pub(crate) async fn stream(
        &mut self,
        request: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break Head::read(&self.buffer[..end], end + 4)?;
            }
            self.more().await?;
        };
        self.buffer.drain(..head.bytes);
        match head.body {
            Some(length) => self.take(length, &mut take).await?,
            None => self.take_chunks(&mut take).await?,
        }
        Ok(head.status)
    }

    async fn take(&mut self, mut length: usize, take: &mut impl FnMut(&[u8])) -> Result<()> {
        while length > 0 {
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let here = length.min(self.buffer.len());
            take(&self.buffer[..here]);
            self.buffer.drain(..here);
            length -= here;
        }
        Ok(())
    }

    async fn take_chunks(&mut self, take: &mut impl FnMut(&[u8])) -> Result<()> {
        loop {
            let line = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.more().await?;
            };
            let size = std::str::from_utf8(&self.buffer[..line])?.to_owned();
            let size = usize::from_str_radix(size.trim(), 16).context("no size of a chunk")?;
            self.buffer.drain(..line + 2);
            self.take(size, take).await?;
            self.take(2, &mut |_| {}).await?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server has closed the connection in the middle of an answer");
        }
        Ok(())
    }
}

struct Head {
    status: u16,
    /// `None`: in chunks.
    body: Option<usize>,
    bytes: usize,
}

impl Head {
    fn read(head: &[u8], bytes: usize) -> Result<Self> {
        let text = std::str::from_utf8(head)?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).with_context(|| format!("no status in {first}"))?;
        let mut body = Some(0);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            if name.eq_ignore_ascii_case("content-length") {
                body = Some(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = None;
            }
        }
        Ok(Self { status: status.parse()?, body, bytes })
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(answer: &'static [u8]) -> Answer {
        let (near, mut far) = tokio::io::duplex(64);
        let server = tokio::spawn(async move {
            let mut request = [0; 8];
            far.read_exact(&mut request).await.unwrap();
            far.write_all(answer).await.unwrap();
            far
        });
        let mut connection = Connection { stream: near, buffer: Vec::new() };
        let answer = connection.call(b"whatever").await.unwrap();
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_end_by_length_and_by_chunks() {
        let answer = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
        let answer = answered(
            b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
        )
        .await;
        assert_eq!((answer.status, answer.body.as_slice()), (404, b"abc0123456789".as_slice()));
        assert!(answer.json().is_err());
    }
}

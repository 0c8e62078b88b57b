//! The raw tunnel that brings an agent's WebSocket from the gateway to the broker.
//!
//! Owns: asking the broker for the same WebSocket, and moving bytes both ways
//! without looking into them.
//! Must not know: HTTP frameworks. The gateway takes an upgrade request apart,
//! calls [`open`], answers 101 with [`Opened::accept`], writes
//! [`Opened::early_bytes`] and calls [`splice`].
//!
//! The broker computes the accept value from the agent's own key, so the two
//! ends share one WebSocket and no frame is ever unmasked or copied twice. An
//! idle tunnel holds no buffer.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::head::Head;

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the ends may take to say goodbye.
const CLOSING: Duration = Duration::from_secs(2);
/// The longest answer of the broker.
const HEAD_LIMIT: usize = 4 * 1024;
/// Bytes moved at a time, on the stack.
const CHUNK: usize = 16 * 1024;
/// Chunks moved in one direction before the other gets its turn.
const ROUNDS: usize = 8;

/// The broker's end of a tunnel.
#[derive(Debug)]
pub struct Opened {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// What the broker sent after its answer; goes to the agent first.
    pub early_bytes: Vec<u8>,
    /// The connection.
    pub stream: TcpStream,
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The request is no WebSocket request: 400.
    #[error("the Sec-WebSocket-Key is not 16 bytes in Base64")]
    BadKey,
    /// The broker cannot be reached: 503.
    #[error("the message broker cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The broker did not answer in time: 503.
    #[error("the message broker does not answer")]
    Silent,
    /// What answers is no broker: 502.
    #[error("the message broker answered {0:?} instead of opening a WebSocket")]
    Refused(String),
}

/// Opens a WebSocket to the broker with the agent's own key. `forwarded_for`
/// is the agent's address, for the broker's log.
pub async fn open(
    backend: SocketAddr,
    sec_websocket_key: &str,
    forwarded_for: IpAddr,
) -> Result<Opened, TunnelError> {
    // It is copied into a request, so nothing else may be in it.
    let key = data_encoding::BASE64.decode(sec_websocket_key.as_bytes());
    if key.map_or(0, |key| key.len()) != 16 {
        return Err(TunnelError::BadKey);
    }
    let attempt = async {
        let mut stream = TcpStream::connect(backend).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: bus\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nX-Forwarded-For: {forwarded_for}\r\n\
             Sec-WebSocket-Key: {sec_websocket_key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let head = Head::read(&mut stream, HEAD_LIMIT).await?;
        Ok((stream, head))
    };
    let attempt = timeout(PATIENCE, attempt).await.map_err(|_| TunnelError::Silent)?;
    let (stream, head) = attempt.map_err(TunnelError::Unreachable)?;
    let accept = head.header("sec-websocket-accept").map(str::to_owned);
    match (head.status(), accept) {
        (Some(101), Some(accept)) => Ok(Opened { accept, early_bytes: head.rest, stream }),
        _ => Err(TunnelError::Refused(head.reason())),
    }
}

/// Moves bytes both ways until either end closes; then both are closed.
pub async fn splice<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Direction::default(), Direction::default());
    let outcome = std::future::poll_fn(|cx| {
        if let Poll::Ready(outcome) = there.advance(cx, a, b) {
            return Poll::Ready(outcome);
        }
        back.advance(cx, b, a)
    })
    .await;
    let goodbye = async {
        let _ = tokio::join!(a.shutdown(), b.shutdown());
    };
    let _ = timeout(CLOSING, goodbye).await;
    outcome
}

/// What was read and not yet written. Empty, and without memory, most of the time.
#[derive(Default)]
struct Direction {
    pending: Vec<u8>,
    written: usize,
    unflushed: bool,
}

impl Direction {
    /// Moves bytes until the reader has none, the writer takes none, or it is
    /// the other direction's turn. Ready when the reader is at its end.
    fn advance<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut chunk = [MaybeUninit::<u8>::uninit(); CHUNK];
        for _ in 0..ROUNDS {
            ready!(self.write_pending(cx, writer))?;
            let mut buffer = ReadBuf::uninit(&mut chunk);
            if Pin::new(&mut *reader).poll_read(cx, &mut buffer)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            let filled = buffer.filled();
            if filled.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = match Pin::new(&mut *writer).poll_write(cx, filled)? {
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            };
            self.unflushed = true;
            if written < filled.len() {
                self.pending = filled[written..].to_vec();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn write_pending<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.written < self.pending.len() {
            let left = &self.pending[self.written..];
            match ready!(Pin::new(&mut *writer).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.pending = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

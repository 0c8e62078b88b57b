//! The head of an HTTP/1 message, read from a raw connection.
//!
//! Owns: reading up to the empty line, and finding a status or header in it.
//! Must not know: what the head is for.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The head, its empty line included, and what followed it on the wire.
pub(super) struct Head {
    text: String,
    pub(super) rest: Vec<u8>,
}

impl Head {
    /// Reads a head of at most `limit` bytes. The bytes after it that came
    /// along are kept; nothing is read in vain.
    pub(super) async fn read<R: AsyncRead + Unpin>(from: &mut R, limit: usize) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(512);
        loop {
            let seen = bytes.len().saturating_sub(3);
            if from.read_buf(&mut bytes).await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the connection was closed before an answer",
                ));
            }
            if let Some(end) = bytes[seen..].windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = bytes.split_off(seen + end + 4);
                let text = String::from_utf8(bytes).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer")
                })?;
                return Ok(Self { text, rest });
            }
            if bytes.len() >= limit {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"));
            }
        }
    }

    /// The first line.
    pub(super) fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The status of an answer, of HTTP/1.0 as well as 1.1.
    pub(super) fn status(&self) -> Option<u16> {
        let rest = self.first_line().strip_prefix("HTTP/1.")?;
        rest.split(' ').nth(1)?.parse().ok()
    }

    /// The first line without the protocol version, to be shown: `503 Service Unavailable`.
    pub(super) fn reason(&self) -> String {
        let line = self.first_line();
        let reason = line.split_once(' ').map_or(line, |(_, reason)| reason);
        reason.chars().filter(|c| !c.is_control()).take(100).collect()
    }

    /// The lines between the first and the empty one.
    pub(super) fn headers(&self) -> impl Iterator<Item = &str> {
        self.text.lines().skip(1).filter(|line| !line.is_empty())
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    /// The head as it came.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_follows_the_head_is_kept() {
        let mut wire: &[u8] = b"HTTP/1.0 200 Fine\r\nX-A: b\r\n\r\nINFO {}";
        let head = Head::read(&mut wire, 1024).await.expect("a head");
        assert_eq!((head.status(), head.header("x-a")), (Some(200), Some("b")));
        assert_eq!((head.reason().as_str(), head.rest.as_slice()), ("200 Fine", &b"INFO {}"[..]));
    }

    #[tokio::test]
    async fn an_endless_or_cut_head_is_an_error() {
        let endless = vec![b'a'; 5_000];
        assert!(Head::read(&mut endless.as_slice(), 1024).await.is_err());
        assert!(Head::read(&mut &b"HTTP/1.1 200 OK\r\n"[..], 1024).await.is_err());
    }
}

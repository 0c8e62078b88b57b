//! Asking the node daemon.
//!
//! Owns: one connection for one request, its limits, and the reasons why there
//! is no answer.
//! Must not know: what the answer is used for.

use std::{path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{
    paths::Paths,
    protocol::{Ask, Credentials, Envelope, Failure, LONGEST_REPLY, Progress, Reply, Request},
};
use crate::error::Error;

/// The daemon answers at once or says how far it is; after this much longer
/// than it may take it is lost.
const GRACE: Duration = Duration::from_secs(15);

/// Where the daemon is asked. Cloning is cheap; each request is a connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The daemon does not run, or does not answer.
    #[error("the node service does not answer: {0}")]
    Silent(String),
    /// It has refused, or it did not work.
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl From<NoAnswer> for Error {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::Failed(failure) => failure.into(),
            NoAnswer::Silent(reason) => {
                Self::unavailable("The node service of this appliance does not answer.")
                    .with_hint("It runs on the appliance's own image only: palisade-node.service")
                    .caused_by(reason)
            }
        }
    }
}

impl Client {
    /// The daemon of this layout.
    pub fn of(paths: &Paths) -> Self {
        Self { socket: paths.socket() }
    }

    /// Asks, and waits for the answer.
    pub async fn ask<A: Ask>(&self, ask: A) -> Result<A::Answer, NoAnswer> {
        self.ask_as(ask, None, None, |_| ()).await
    }

    /// The same with a person's credentials, or the uid of the user for whom
    /// the management plane asks; `progress` hears how far it is.
    pub async fn ask_as<A: Ask>(
        &self,
        ask: A,
        credentials: Option<Credentials>,
        on_behalf_of: Option<String>,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<A::Answer, NoAnswer> {
        let envelope = Envelope { request: ask.into(), credentials, on_behalf_of };
        understood(self.converse(&envelope, progress).await?)
    }

    async fn converse(
        &self,
        envelope: &Envelope,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<serde_json::Value, NoAnswer> {
        let connected = UnixStream::connect(&self.socket).await;
        let stream = connected
            .map_err(|error| NoAnswer::Silent(format!("{}: {error}", self.socket.display())))?;
        converse(stream, envelope, progress).await
    }
}

/// Asks over a connection, and waits for the answer.
pub async fn ask_over<S, A>(stream: S, ask: A) -> Result<A::Answer, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Ask,
{
    let envelope = Envelope { request: ask.into(), credentials: None, on_behalf_of: None };
    understood(converse(stream, &envelope, |_| ()).await?)
}

fn understood<T: DeserializeOwned>(done: serde_json::Value) -> Result<T, NoAnswer> {
    serde_json::from_value(done).map_err(|error| {
        NoAnswer::Silent(format!("its answer is of another version of palisade: {error}"))
    })
}

async fn converse<S>(
    mut stream: S,
    envelope: &Envelope,
    mut progress: impl FnMut(Progress),
) -> Result<serde_json::Value, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Zeroizing::new(serde_json::to_vec(envelope).map_err(|e| lost(&e))?);
    line.push(b'\n');
    // A daemon that has no place answers before it has read everything.
    let sent = stream.write_all(&line).await;
    let mut reader = BufReader::new(stream);
    let limit = patience(&envelope.request);
    loop {
        let reply = timeout(limit, read_reply(&mut reader)).await;
        match reply.map_err(|_| NoAnswer::Silent("it takes too long".to_owned()))?? {
            Some(Reply::Progress(news)) => progress(news),
            Some(Reply::Done(answer)) => return Ok(answer),
            Some(Reply::Failed(failure)) => return Err(NoAnswer::Failed(failure)),
            None => {
                sent.map_err(|error| lost(&error))?;
                return Err(NoAnswer::Silent("it closed the connection".to_owned()));
            }
        }
    }
}

fn patience(request: &Request) -> Duration {
    request.patience() + GRACE
}

async fn read_reply<S>(reader: &mut BufReader<S>) -> Result<Option<Reply>, NoAnswer>
where
    S: AsyncRead + Unpin,
{
    let mut line = Zeroizing::new(Vec::new());
    let most = LONGEST_REPLY as u64 + 1;
    let read = reader.take(most).read_until(b'\n', &mut line).await.map_err(|e| lost(&e))?;
    if read == 0 {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| lost(&error))
}

fn lost(error: &dyn std::error::Error) -> NoAnswer {
    NoAnswer::Silent(error.to_string())
}

//! Accepting connections, and one request from its first byte to its last reply.
//!
//! Owns: the limits (number, size, time) and the order: who asks, what, may he,
//! the record, the work, the answer.
//! Must not know: what any request does.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroize::Zeroizing;

use super::{
    Context, Node, Peer,
    credentials::{self, Proof},
    dispatch,
    peers::{Verdict, verdict},
};
use crate::{
    error::{Error, Kind, Result},
    node::{
        outbox::Begun,
        protocol::{
            Envelope, Failure, LONGEST_REPLY, LONGEST_REQUEST, Need, Progress, Reply, Request,
        },
    },
};

/// Connections at one time; the console keeps one open for a moment each second.
const CONNECTIONS: usize = 32;
/// Whoever connects has something to ask.
const TIME_TO_ASK: Duration = Duration::from_secs(5);
/// Whoever asks reads the answer.
const TIME_TO_READ: Duration = Duration::from_secs(10);
/// Progress that a slow reader may be behind.
const UNREAD_PROGRESS: usize = 16;

/// Answers connections until `stopping`, and then those that are open.
pub(super) async fn serve(node: &Arc<Node>, listener: &UnixListener, stopping: &CancellationToken) {
    let (tracker, places) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files, most likely: others have to end first.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let node = Arc::clone(node);
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracker.spawn(async move {
                let _ = timeout(TIME_TO_READ, refuse_crowd(stream)).await;
            });
            continue;
        };
        tracker.spawn(async move {
            let peer = peer_of(&node, &stream);
            converse(&node, peer, stream).await;
            drop(place);
        });
    }
    tracker.close();
    tracker.wait().await;
}

async fn refuse_crowd(mut stream: UnixStream) {
    let error = Error::unavailable("The node daemon is busy: too many ask at the same time.");
    let _ = send(&mut stream, &Reply::Failed(Failure::from(&error))).await;
}

fn peer_of(node: &Node, stream: &UnixStream) -> Peer {
    match stream.peer_cred() {
        Ok(credentials) => node.accounts.peer(credentials.uid()),
        Err(error) => {
            tracing::warn!(%error, "the kernel does not say who is asking");
            Peer::Stranger
        }
    }
}

/// One request of `peer` from its first byte to its last reply.
pub(super) async fn converse<S>(node: &Arc<Node>, peer: Peer, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let asking = peer.word();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (progress, mut news) = mpsc::channel::<Progress>(UNREAD_PROGRESS);
    let context = Context { node: Arc::clone(node), peer, progress };
    let mut work = std::pin::pin!(async move {
        let asked = timeout(TIME_TO_ASK, read_envelope(&mut reader)).await;
        let late = || Error::new(Kind::Malformed, "too-slow", "No request came within 5 s.");
        let envelope = asked.map_err(|_| late())??;
        // Who only knocks, e.g. to see whether the daemon is there, is not answered.
        match envelope {
            Some(envelope) => handle(&context, envelope).await.map(Some),
            None => Ok(None),
        }
    });
    let outcome = loop {
        tokio::select! {
            biased;
            Some(progress) = news.recv() => {
                // A caller who has gone does not stop what he has begun.
                let _ = timeout(TIME_TO_READ, send(&mut writer, &Reply::Progress(progress))).await;
            }
            outcome = &mut work => break outcome,
        }
    };
    let reply = match outcome {
        Ok(None) => return,
        Ok(Some(answer)) => Reply::Done(answer),
        Err(error) => {
            if matches!(error.kind(), Kind::Internal | Kind::Unavailable | Kind::StorageFull) {
                tracing::warn!(peer = asking, error = %error.chain(), "a request failed");
            } else {
                tracing::info!(peer = asking, error = %error.chain(), "a request was refused");
            }
            Reply::Failed(Failure::from(&error))
        }
    };
    let _ = timeout(TIME_TO_READ, send(&mut writer, &reply)).await;
}

/// One line, or `None` when the caller has closed without a word.
async fn read_envelope(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Envelope>> {
    // It may hold a password.
    let mut line = Zeroizing::new(Vec::with_capacity(4_096));
    let mut chunk = Zeroizing::new([0; 4_096]);
    loop {
        let read = stream.read(&mut *chunk).await;
        let read =
            read.map_err(|error| Error::unavailable(format!("Nothing to read: {error}.")))?;
        if read == 0 && line.is_empty() {
            return Ok(None);
        }
        let end = chunk[..read].iter().position(|&byte| byte == b'\n');
        if line.len() + end.unwrap_or(read) > LONGEST_REQUEST {
            let message = format!("A request has at most {LONGEST_REQUEST} bytes.");
            return Err(Error::new(Kind::TooLarge, "request-too-long", message));
        }
        line.extend_from_slice(&chunk[..end.unwrap_or(read)]);
        if read == 0 || end.is_some() {
            return understand(&line).map(Some);
        }
    }
}

fn understand(line: &[u8]) -> Result<Envelope> {
    serde_json::from_slice(line).map_err(|error| {
        // serde says what it knows, never what the line holds beyond a name.
        let message = format!("The request is not understood: {error}.");
        Error::new(Kind::Malformed, "unknown-request", message)
            .with_hint("Both sides have to be of the same version of palisade.")
    })
}

async fn handle(context: &Context, envelope: Envelope) -> Result<serde_json::Value> {
    let Envelope { request, credentials, on_behalf_of } = envelope;
    let need = request.need();
    let event = match need {
        Need::Change { action, .. } => Some(Begun::new(action, context.peer().word())),
        Need::Read | Need::ManagementPlane | Need::Member => None,
    };
    let event = match verdict(context.peer(), need, context.is_set_up()) {
        Verdict::Allowed => event,
        Verdict::Refused => {
            let message = "This account may not ask the node for this.";
            return Err(Error::forbidden(message)
                .with_hint("Use the appliance's console, its pages, or `palisade` as root."));
        }
        Verdict::WithCredentials(permission) => {
            let credentials = request.proof().or(credentials);
            match credentials::check(context, credentials, permission).await {
                Ok(Proof { word, user }) => event.map(|event| event.proved_by(word).of_user(user)),
                Err(error) => return refused(context, event, error).await,
            }
        }
    };
    let Some(event) = event else { return work(context, request).await };
    // The management plane knows for whom it asks; nobody else is believed.
    let user = on_behalf_of.filter(|_| *context.peer() != Peer::Console);
    context.recorded(event.of_user(user), work(context, request)).await
}

/// A wrong proof is recorded. Nothing at all, and tries during a pause, are not:
/// they would fill the list with what nobody has decided about.
async fn refused<T>(context: &Context, event: Option<Begun>, error: Error) -> Result<T> {
    match event {
        Some(event) if matches!(error.code(), "credentials-needed" | "too-many-tries") => {
            drop(event);
            Err(error)
        }
        Some(event) => context.recorded(event, std::future::ready(Err(error))).await,
        None => Err(error),
    }
}

async fn work(context: &Context, request: Request) -> Result<serde_json::Value> {
    let patience = request.patience();
    timeout(patience, dispatch::answer(context, request)).await.unwrap_or_else(|_| {
        let message = format!("It was not done within {} s.", patience.as_secs());
        Err(Error::new(Kind::Unavailable, "took-too-long", message))
    })
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(Error::internal)?;
    if line.len() > LONGEST_REPLY {
        let error = Error::internal(format!("an answer of {} bytes", line.len()));
        line =
            serde_json::to_vec(&Reply::Failed(Failure::from(&error))).map_err(Error::internal)?;
    }
    line.push(b'\n');
    let line = Zeroizing::new(line);
    stream.write_all(&line).await.map_err(Error::internal)?;
    stream.flush().await.map_err(Error::internal)
}

//! The messages over a connection.
//!
//! Owns: where one message ends, how large it may be and for how long it is
//! waited for; the order of the steps on both sides.
//! Must not know: what kind of connection it is. It needs no protection of its
//! own: the messages bring theirs.
//!
//! A message comes after its length in four bytes. Whoever connects can hold a
//! connection for [`Limits::step`] and make the member keep
//! eight kilobytes; how many connections there are at once is for the caller.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    Fingerprint, HandOver, Introduction, Invitation, JoinCode, Joined, Joining, Receiving, Refusal,
    Waiting,
    message::{self, SMALL},
};
use crate::clock::{Clock, Random};

/// How patient both sides are.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For how long a message is waited for that needs no preparation.
    pub step: Duration,
    /// For how long the hand-over is waited for.
    pub preparation: Duration,
    /// The most bytes of the hand-over.
    pub hand_over: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(10),
            preparation: Duration::from_mins(1),
            hand_over: 4 * 1024 * 1024,
        }
    }
}

/// What the member's side needs for every connection.
#[derive(Debug)]
pub struct Door<'a> {
    /// How the member introduces itself.
    pub own: Introduction,
    /// The open invitation, if there is one.
    pub invitation: &'a Mutex<Option<Invitation>>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Shares and nonces.
    pub random: &'a dyn Random,
    /// How patient it is.
    pub limits: Limits,
}

/// The side of the node that joins. `show` is called once both sides are sure
/// of each other, with the fingerprint for people to compare.
pub async fn dial<S>(
    stream: &mut S,
    code: &JoinCode,
    own: Introduction,
    random: &dyn Random,
    limits: &Limits,
    show: impl FnOnce(&Waiting),
) -> Result<Joined, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (joining, hello) = Joining::start(code, own, random);
    write(stream, &hello, limits.step).await?;
    let (proving, proof) = joining.answered(&read(stream, SMALL, limits.step).await?)?;
    write(stream, &proof, limits.step).await?;
    let waiting = proving.proved(&read(stream, SMALL, limits.step).await?)?;
    show(&waiting);
    let hand_over = read(stream, limits.hand_over, limits.preparation).await?;
    let (joined, receipt) = waiting.received(&hand_over)?;
    write(stream, &receipt, limits.step).await?;
    Ok(joined)
}

/// The member's side of one connection. `prepare` gets who joins and the
/// fingerprint to show, and makes what is handed over. The node is a member
/// when this returns it, and not before: without its receipt it may have
/// nothing. A refusal has been told to the other side.
pub async fn receive<S, P>(
    stream: &mut S,
    door: &Door<'_>,
    prepare: P,
) -> Result<Introduction, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: AsyncFnOnce(&Introduction, Fingerprint) -> Result<HandOver, Refusal>,
{
    let outcome = let_in(stream, door, prepare).await;
    if let Err(refusal) = &outcome
        && !matches!(refusal, Refusal::Told(_) | Refusal::Disconnected)
    {
        // Who has gone does not want to know.
        let _ = write(stream, &message::refusal(refusal), door.limits.step).await;
    }
    outcome
}

async fn let_in<S, P>(stream: &mut S, door: &Door<'_>, prepare: P) -> Result<Introduction, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: AsyncFnOnce(&Introduction, Fingerprint) -> Result<HandOver, Refusal>,
{
    let step = door.limits.step;
    let invitation = || door.invitation.lock().unwrap_or_else(PoisonError::into_inner);
    let hello = read(stream, SMALL, step).await?;
    let greeted =
        Receiving::greeted(invitation().as_ref(), &door.own, &hello, door.clock, door.random);
    let (receiving, answer) = greeted?;
    write(stream, &answer, step).await?;
    let proof = read(stream, SMALL, step).await?;
    let proved = receiving.proved(invitation().as_mut(), &proof, door.clock);
    let (admitted, own_proof) = proved?;
    write(stream, &own_proof, step).await?;
    let preparing = prepare(admitted.newcomer(), admitted.fingerprint());
    let prepared = timeout(door.limits.preparation, preparing).await;
    let content = prepared.map_err(|_| Refusal::TimedOut)??;
    let (handing, message) = admitted.hand_over(&content, door.random);
    write(stream, &message, step).await?;
    handing.received(&read(stream, SMALL, step).await?)
}

/// Reads one message. Its length decides before a byte of it is kept.
async fn read<S>(stream: &mut S, most: usize, patience: Duration) -> Result<Vec<u8>, Refusal>
where
    S: AsyncRead + Unpin,
{
    let reading = async {
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        if length > most {
            return Ok(Err(Refusal::Malformed));
        }
        let mut message = Vec::new();
        // Memory grows with what arrives, not with what was announced.
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut *stream).take(limit).read_to_end(&mut message).await?;
        Ok::<_, io::Error>(if message.len() == length {
            Ok(message)
        } else {
            Err(Refusal::Disconnected)
        })
    };
    let read = timeout(patience, reading).await.map_err(|_| Refusal::TimedOut)?;
    read.map_err(|_| Refusal::Disconnected)?
}

async fn write<S>(stream: &mut S, message: &[u8], patience: Duration) -> Result<(), Refusal>
where
    S: AsyncWrite + Unpin,
{
    let length = u32::try_from(message.len()).map_err(|_| Refusal::Malformed)?;
    let frame = [&length.to_be_bytes()[..], message].concat();
    let writing = async {
        stream.write_all(&frame).await?;
        stream.flush().await
    };
    let written = timeout(patience, writing).await.map_err(|_| Refusal::TimedOut)?;
    written.map_err(|_| Refusal::Disconnected)
}

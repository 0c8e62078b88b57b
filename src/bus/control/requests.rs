//! Requests to agents and their answers.
//!
//! Owns: which request waits for which answer.
//! Must not know: what is asked.
//!
//! Control writes `dn.<tenant>.<cluster>.<verb>` and names
//! `ctl.<cluster>.answer.<id>` as the place to answer, which only that agent may
//! publish to. The answer comes back with the tenant written in by the broker,
//! so an answer counts only if tenant, cluster and id are those that were asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{Client, Message, StatusCode};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{
    bus::subject::{self, Received},
    clock::{Random, random_bytes},
    error::{Error, Kind, Result},
    ids::{ClusterId, TenantId},
};

type Answer = Result<Bytes, NobodyListens>;
type Waiting = HashMap<String, (TenantId, ClusterId, oneshot::Sender<Answer>)>;

/// The agent is not connected.
struct NobodyListens;

/// All requests that wait for an answer.
#[derive(Clone)]
pub(super) struct Requests {
    random: Arc<dyn Random>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Requests {
    pub(super) fn new(random: Arc<dyn Random>) -> Self {
        Self { random, waiting: Arc::default() }
    }

    /// Asks an agent; see [`super::Control::request`].
    pub(super) async fn ask(
        &self,
        client: &Client,
        tenant: TenantId,
        cluster: ClusterId,
        verb: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes> {
        if !subject::is_verb(verb) {
            return Err(Error::internal(format!("{verb:?} is no verb for a subject")));
        }
        let id = data_encoding::HEXLOWER.encode(&random_bytes::<12>(self.random.as_ref()));
        let (sender, answer) = oneshot::channel();
        self.lock().insert(id.clone(), (tenant, cluster, sender));
        let guard = Forget { requests: self, id: &id };

        let to = subject::command(tenant, cluster, verb);
        let answer_to = subject::answer(cluster, &id);
        client.publish_with_reply(to, answer_to, payload).await.map_err(|error| {
            Error::unavailable("The message broker cannot be reached.").caused_by(error)
        })?;
        let answer = tokio::time::timeout(timeout, answer).await;
        drop(guard);
        match answer {
            Ok(Ok(Ok(bytes))) => Ok(bytes),
            Ok(Ok(Err(NobodyListens))) => Err(Error::new(
                Kind::Unavailable,
                "agent-not-connected",
                "The agent of this cluster is not connected.",
            )
            .with_hint("Look at the cluster's last heartbeat; try again when it is back.")),
            Ok(Err(_)) | Err(_) => Err(Error::new(
                Kind::Unavailable,
                "agent-silent",
                format!("The agent of this cluster did not answer within {timeout:?}."),
            )),
        }
    }

    /// Takes a message below `ctl` if it is an answer; gives it back if not.
    pub(super) fn settle(&self, message: Message) -> Option<Message> {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            // The broker itself speaks, on the subject that we named.
            if let Some((_, id)) = message.subject.rsplit_once('.')
                && let Some((_, _, sender)) = self.lock().remove(id)
            {
                let _ = sender.send(Err(NobodyListens));
            }
            return None;
        }
        let Some(received) = Received::parse(subject::CTL, &message.subject) else {
            return Some(message);
        };
        let id =
            received.verb.strip_prefix(subject::ANSWER).and_then(|rest| rest.strip_prefix('.'));
        let Some(id) = id else { return Some(message) };
        let mut waiting = self.lock();
        let asked = waiting.get(id).is_some_and(|(tenant, cluster, _)| {
            (*tenant, *cluster) == (received.tenant, received.cluster)
        });
        // An answer that nobody waits for has come too late.
        if asked && let Some((_, _, sender)) = waiting.remove(id) {
            let _ = sender.send(Ok(message.payload));
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a request when nobody waits for it any more.
struct Forget<'a> {
    requests: &'a Requests,
    id: &'a str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.requests.lock().remove(self.id);
    }
}

//! The live stream of one tab: what changes of what its user may see.
//!
//! The user's rights are looked at every second. Whoever may see something else
//! than before, or nothing any more, gets the end of the stream; the client
//! then connects again and reloads its lists.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{clusters::ClusterView, overview::OverviewView};
use crate::{
    app::App,
    clusters::Change,
    error::{Error, Kind, Result},
    gateway::{cookies, extract::SignedIn, respond::Answer},
    identity::Caller,
    ids::{ProjectId, UserId},
    rbac::{Permission, Reach},
    secret::Secret,
};

/// Streams that one user may have open: a browser with many tabs, and some programs.
const PER_USER: usize = 64;
/// After this time a place may be free again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often the caller's session and rights are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Silence longer than this makes proxies close connections.
const COMMENT_AFTER: Duration = Duration::from_secs(15);
/// The overview is sent at most this often.
const OVERVIEW_EVERY: Duration = Duration::from_secs(2);

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream_events)).layer(Extension(Open::default()))
}

/// How many streams each user has open.
#[derive(Clone, Debug, Default)]
struct Open(Arc<Mutex<HashMap<UserId, usize>>>);

/// The right to one stream; given back when it is dropped.
#[derive(Debug)]
struct Place {
    open: Open,
    user: UserId,
}

impl Open {
    /// Kind: `RateLimited` when the user has [`PER_USER`] already.
    fn place(&self, user: UserId) -> Result<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(user).or_default();
        if *count >= PER_USER {
            let message = format!("You have {PER_USER} live views open already.");
            return Err(Error::new(Kind::RateLimited, "too-many-streams", message)
                .with_hint("Close some tabs, or stop programs that follow events.")
                .with_retry_after(RETRY_AFTER));
        }
        *count += 1;
        Ok(Place { open: self.clone(), user })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}

/// Follow what changes: `cluster`, `clusterDeleted`, `overview`, `session`.
#[utoipa::path(get, path = "/v1/events", tag = "Session",
    responses((status = 200, description = "Server-sent events until the session ends.",
        body = String, content_type = "text/event-stream")))]
async fn stream_events(
    State(app): State<App>,
    Extension(open): Extension<Open>,
    SignedIn(caller, _): SignedIn,
    request: Request,
) -> Answer<Response> {
    let place = open.place(caller.user)?;
    let credential = credential(request.headers()).unwrap_or_default();
    let changes = app.clusters().changes();
    let stream = Stream::new(app, caller, Secret::new(credential), changes, place);
    let chunks = futures_util::stream::unfold(stream, async |mut stream| {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// The credential that the envelope has accepted, in the same order of preference.
fn credential(headers: &HeaderMap) -> Option<String> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    bearer.or_else(|| cookies::read(headers, cookies::ACCESS)).map(str::to_owned)
}

/// One stream under way.
struct Stream {
    app: App,
    caller: Caller,
    credential: Secret<String>,
    reach: Option<Reach>,
    changes: broadcast::Receiver<Change>,
    look: Interval,
    spoken: Instant,
    overview_due: bool,
    overview_sent: Option<Instant>,
    sent: u64,
    over: bool,
    _place: Place,
}

impl Stream {
    fn new(
        app: App,
        caller: Caller,
        credential: Secret<String>,
        changes: broadcast::Receiver<Change>,
        place: Place,
    ) -> Self {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        let reach = caller.grants.reach(Permission::ClusterList);
        let overview_due = reach.is_some();
        Self {
            app,
            caller,
            credential,
            reach,
            changes,
            look,
            spoken: now,
            overview_due,
            overview_sent: None,
            sent: 0,
            over: false,
            _place: place,
        }
    }

    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        let stopping = self.app.stopping().clone();
        loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return None,
                _ = self.look.tick() => {
                    if let Some(last) = self.look_around().await {
                        self.over = true;
                        return last;
                    }
                    if let Some(text) = self.due().await {
                        self.spoken = Instant::now();
                        return Some(text);
                    }
                }
                change = self.changes.recv() => match change {
                    Ok(change) => if let Some(text) = self.tell(change).await {
                        self.spoken = Instant::now();
                        return Some(text);
                    },
                    // Too slow: the client connects again and reloads.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                }
            }
        }
    }

    /// Whether the stream has to end: `Some` with the last words, if any.
    async fn look_around(&mut self) -> Option<Option<String>> {
        let now = self.app.ledger().clock().now();
        // An access token that ran out is no end of the session: the browser
        // connects again with a fresh one.
        if self.caller.expires_at.is_some_and(|end| end <= now) {
            return Some(None);
        }
        match self.app.sessions().authenticate(self.credential.expose()).await {
            Ok(caller) => {
                let reach = caller.grants.reach(Permission::ClusterList);
                (reach != self.reach).then_some(None)
            }
            Err(error) if error.kind() == Kind::Unauthenticated => {
                Some(Some(self.event("session", &json!({"state": "ended"}))))
            }
            // The store is away: nobody can be told anything new anyway.
            Err(_) => None,
        }
    }

    /// What time brings: the overview, or a comment against silence.
    async fn due(&mut self) -> Option<String> {
        let now = Instant::now();
        let rested = self.overview_sent.is_none_or(|sent| now - sent >= OVERVIEW_EVERY);
        if self.overview_due && rested {
            self.overview_due = false;
            self.overview_sent = Some(now);
            let reach = self.reach.clone()?;
            let overview = self.app.clusters().overview_within(self.caller.tenant, &reach).await;
            return self.told(overview.map(OverviewView::from), "overview");
        }
        (now - self.spoken >= COMMENT_AFTER).then(|| ":\n\n".to_owned())
    }

    async fn tell(&mut self, change: Change) -> Option<String> {
        match change {
            Change::Changed(cluster) => {
                self.covers(cluster.tenant == self.caller.tenant, cluster.project).then_some(())?;
                self.overview_due = true;
                let shown = self.app.clusters().show((*cluster).clone()).await;
                self.told(shown.map(ClusterView::from), "cluster")
            }
            Change::Deleted { tenant, project, cluster } => {
                self.covers(tenant == self.caller.tenant, project).then_some(())?;
                self.overview_due = true;
                Some(self.event("clusterDeleted", &json!({"uid": cluster})))
            }
        }
    }

    fn covers(&self, own_tenant: bool, project: ProjectId) -> bool {
        own_tenant && self.reach.as_ref().is_some_and(|reach| reach.covers(Some(project)))
    }

    /// A view that cannot be made now is left out; the next change brings it.
    fn told<T: Serialize>(&mut self, view: Result<T>, name: &str) -> Option<String> {
        match view {
            Ok(view) => Some(self.event(name, &view)),
            Err(error) => {
                tracing::debug!(error = %error.chain(), "an event was left out");
                None
            }
        }
    }

    fn event<T: Serialize>(&mut self, name: &str, data: &T) -> String {
        self.sent += 1;
        // JSON has no line breaks outside of strings, and escapes those inside.
        let data = serde_json::to_string(data).unwrap_or_default();
        let mut text = String::with_capacity(data.len() + 64);
        let _ = write!(text, "id: {}\nevent: {name}\ndata: {data}\n\n", self.sent);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    #[test]
    fn one_user_cannot_take_the_streams_of_others_and_gets_places_back() {
        let open = Open::default();
        let (greedy, other) = (UserId::random(&SystemRandom), UserId::random(&SystemRandom));
        let mut places: Vec<_> =
            (0..PER_USER).map(|_| open.place(greedy).expect("a place")).collect();
        assert_eq!(open.place(greedy).expect_err("too many").code(), "too-many-streams");
        open.place(other).expect("not his fault");
        places.pop();
        open.place(greedy).expect("one was given back");
        drop(places);
        assert!(open.0.lock().expect("whole").is_empty(), "nothing is remembered");
    }
}

//! `/bus`: the raw tunnel between an agent and the broker.
//!
//! Outside the API: no identity (the broker asks for it, and ends a connection
//! that does not give it), no body limits, no time limit.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::{
    extract::Context,
    respond::{Answer, ApiError},
};
use crate::{
    app::App,
    bus::tunnel::{self, Opened, TunnelError},
    error::{Error, Kind},
};

/// Opens a WebSocket to the broker with the agent's own key and splices.
pub(super) async fn tunnel(
    State(app): State<App>,
    context: Context,
    request: Request,
) -> Answer<Response> {
    // Browsers send Origin, agents never do: no page may use this.
    if request.headers().contains_key(header::ORIGIN) {
        return Err(Error::new(Kind::Forbidden, "agents-only", "This path is for agents.").into());
    }
    let Some(key) = websocket_key(&request) else { return Ok(upgrade_required()) };
    let key = key.to_owned();
    let backend = app.clusters().bus()?.websocket_address();
    let address = context.meta.address.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
    let opened = tunnel::open(backend, &key, address).await.map_err(refusal)?;
    let Opened { accept, early_bytes, mut stream } = opened;
    let stopping = app.stopping().clone();
    let upgrading = hyper::upgrade::on(request);
    app.tasks().spawn(async move {
        let upgraded = match upgrading.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "an agent left before its tunnel was open");
                return;
            }
        };
        let mut agent = TokioIo::new(upgraded);
        let work = async {
            agent.write_all(&early_bytes).await?;
            agent.flush().await?;
            tunnel::splice(&mut agent, &mut stream).await
        };
        if let Some(Err(error)) = stopping.run_until_cancelled(work).await {
            tracing::debug!(%error, "a tunnel of an agent broke");
        }
    });
    let accept = HeaderValue::from_str(&accept).map_err(Error::internal)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The key of a WebSocket request over HTTP/1.1; `None` for anything else.
fn websocket_key(request: &Request) -> Option<&str> {
    let headers = request.headers();
    let says = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let is_upgrade = request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && says(header::CONNECTION, "upgrade")
        && says(header::UPGRADE, "websocket")
        && says(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    is_upgrade.then_some(key)
}

/// `426`: speak HTTP/1.1 and ask for a WebSocket.
fn upgrade_required() -> Response {
    let headers = [
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::CONTENT_TYPE, "text/plain"),
    ];
    let text = "Agents connect here with a WebSocket over HTTP/1.1.\n";
    (StatusCode::UPGRADE_REQUIRED, headers, text).into_response()
}

fn refusal(error: TunnelError) -> ApiError {
    match error {
        TunnelError::BadKey => {
            let message = "The header Sec-WebSocket-Key cannot be understood.";
            Error::new(Kind::Malformed, "malformed", message).into()
        }
        error => {
            Error::unavailable("The message broker cannot be reached.").caused_by(error).into()
        }
    }
}

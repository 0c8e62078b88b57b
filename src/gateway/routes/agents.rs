//! What agents ask for before they are on the bus.

use axum::{
    Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bus::message::{EnrolRequest, Enrolment, RenewRequest},
    clock::Timestamp,
    gateway::{
        extract::{Context, ValidJson},
        respond::Answer,
    },
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_manifest))
        .routes(routes!(enrol_agent))
        .routes(routes!(renew_agent))
}

/// The manifest that puts the agent into a cluster.
#[utoipa::path(get, path = "/v1/agent/manifest/{token}", tag = "Agents", security(()),
    params(("token" = String, Path, description = "The import token; reading does not use it.")),
    responses((status = 200, description = "Kubernetes objects as YAML.", body = String,
        content_type = "application/yaml")))]
async fn get_manifest(State(app): State<App>, Path(token): Path<String>) -> Answer<Response> {
    let manifest = app.clusters().manifest(&token).await?;
    let headers = [(header::CONTENT_TYPE, "application/yaml")];
    Ok((headers, manifest.expose().clone()).into_response())
}

/// Trades an import token for credentials.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnrolBody {
    /// The one-time token of the import command.
    #[garde(length(bytes, max = 128))]
    token: String,
    /// The public half of the agent's own nkey (`U…`).
    #[garde(length(bytes, max = 128))]
    public_key: String,
    /// The version of the agent.
    #[garde(length(bytes, min = 1, max = 64), ascii)]
    agent_version: String,
}

/// Renews credentials by the agent's own signature.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RenewBody {
    /// The cluster.
    #[garde(length(bytes, max = 128))]
    cluster: String,
    /// The agent's public nkey.
    #[garde(length(bytes, max = 128))]
    public_key: String,
    /// The agent's clock; at most five minutes off.
    #[garde(skip)]
    at: Timestamp,
    /// Of `palisade-renew:<cluster>:<publicKey>:<at in microseconds>`, in base64url without padding.
    #[garde(length(bytes, max = 128))]
    signature: String,
}

/// What the agent needs to dial in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EnrolmentView {
    /// The cluster that the agent speaks for.
    cluster: String,
    /// Credentials for the bus; worth nothing without the agent's nkey.
    jwt: String,
    /// When they expire.
    expires_at: Timestamp,
    /// The appliance's clock.
    server_time: Timestamp,
}

impl From<Enrolment> for EnrolmentView {
    fn from(enrolment: Enrolment) -> Self {
        let Enrolment { cluster, jwt, expires_at, server_time } = enrolment;
        Self { cluster, jwt, expires_at, server_time }
    }
}

/// Enrol the agent of a cluster, once.
#[utoipa::path(post, path = "/v1/agent/enrol", tag = "Agents", security(()),
    request_body = EnrolBody,
    responses((status = 200, description = "Enrolled.", body = EnrolmentView)))]
async fn enrol_agent(
    State(app): State<App>,
    context: Context,
    ValidJson(body): ValidJson<EnrolBody>,
) -> Answer<Json<EnrolmentView>> {
    let EnrolBody { token, public_key, agent_version } = body;
    let request = EnrolRequest { token, public_key, agent_version };
    Ok(Json(app.clusters().enrol(request, context.meta).await?.into()))
}

/// Renew the credentials of an agent.
#[utoipa::path(post, path = "/v1/agent/renew", tag = "Agents", security(()),
    request_body = RenewBody,
    responses((status = 200, description = "Renewed.", body = EnrolmentView)))]
async fn renew_agent(
    State(app): State<App>,
    context: Context,
    ValidJson(body): ValidJson<RenewBody>,
) -> Answer<Json<EnrolmentView>> {
    let RenewBody { cluster, public_key, at, signature } = body;
    let request = RenewRequest { cluster, public_key, at, signature };
    Ok(Json(app.clusters().renew(request, context.meta).await?.into()))
}

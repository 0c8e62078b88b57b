//! The appliance's own state and keys.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::health::ReadyView;
use crate::{
    app::App,
    clock::Timestamp,
    gateway::{extract::Allowed, respond::Answer},
    keystore::{KeyState, KeyStatus, SealKind, Status},
    rbac::rights::{PlatformGet, PlatformUpdate},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_platform))
        .routes(routes!(get_keys))
        .routes(routes!(rotate_root_key))
        .routes(routes!(rotate_jwt_key))
}

/// How the appliance is doing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlatformView {
    version: &'static str,
    started_at: Timestamp,
    uptime_seconds: u64,
    /// Everything that is needed, and whether it works.
    #[serde(flatten)]
    readiness: ReadyView,
}

/// The state of the keys, without any key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeysView {
    installation: String,
    /// `unattended` or `passphrase`.
    seal_mode: &'static str,
    root_keys: Vec<KeyView>,
    jwt_keys: Vec<KeyView>,
    recovery_kit: KitView,
}

/// One key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeyView {
    id: String,
    created_at: Timestamp,
    /// `current`, `replaced` or `verifying`.
    state: &'static str,
    /// Until when it still verifies.
    until: Option<Timestamp>,
}

/// The recovery kit that is valid.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KitView {
    number: String,
    created_at: Timestamp,
}

impl From<KeyStatus> for KeyView {
    fn from(key: KeyStatus) -> Self {
        let (state, until) = match key.state {
            KeyState::Current => ("current", None),
            KeyState::Replaced => ("replaced", None),
            KeyState::VerifiesUntil(until) => ("verifying", Some(until)),
        };
        Self { id: key.id.to_string(), created_at: key.created_at, state, until }
    }
}

impl From<Status> for KeysView {
    fn from(status: Status) -> Self {
        Self {
            installation: status.installation.to_string(),
            seal_mode: match status.seal {
                SealKind::Unattended => "unattended",
                SealKind::Passphrase => "passphrase",
            },
            root_keys: status.roots.into_iter().map(KeyView::from).collect(),
            jwt_keys: status.jwt.into_iter().map(KeyView::from).collect(),
            recovery_kit: KitView { number: status.kit_number, created_at: status.kit_created_at },
        }
    }
}

/// How the appliance is doing.
#[utoipa::path(get, path = "/v1/platform", tag = "Appliance",
    extensions(("x-permission" = json!("platform.get"))),
    responses((status = 200, description = "Its state.", body = PlatformView)))]
async fn get_platform(
    State(app): State<App>,
    Allowed(_permit): Allowed<PlatformGet>,
) -> Json<PlatformView> {
    let started_at = app.started_at();
    Json(PlatformView {
        version: env!("CARGO_PKG_VERSION"),
        started_at,
        uptime_seconds: app.ledger().clock().now().since(started_at).as_secs(),
        readiness: ReadyView::of(&app),
    })
}

/// The state of the appliance's keys.
#[utoipa::path(get, path = "/v1/keys", tag = "Appliance",
    extensions(("x-permission" = json!("platform.get"))),
    responses((status = 200, description = "Their state.", body = KeysView)))]
async fn get_keys(State(app): State<App>, Allowed(permit): Allowed<PlatformGet>) -> Json<KeysView> {
    Json(app.keys().status(&permit).into())
}

/// Make a new root key and wrap every tenant's key with it.
#[utoipa::path(post, path = "/v1/keys/root/rotate", tag = "Appliance",
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 200, description = "The keys now.", body = KeysView)))]
async fn rotate_root_key(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
) -> Answer<Json<KeysView>> {
    Ok(Json(app.keys().rotate_root(&permit).await?.into()))
}

/// Sign sessions with a new key; nobody is logged out.
#[utoipa::path(post, path = "/v1/keys/jwt/rotate", tag = "Appliance",
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 200, description = "The keys now.", body = KeysView)))]
async fn rotate_jwt_key(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
) -> Answer<Json<KeysView>> {
    Ok(Json(app.keys().rotate_jwt(&permit).await?.into()))
}

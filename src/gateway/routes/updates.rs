//! Updates of the appliance.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    appliance::{InstallFrom, UpdatesNow},
    clock::Timestamp,
    gateway::{
        extract::{Allowed, ValidJson, ValidQuery},
        respond::Answer,
    },
    node::update::{Offer, Outcome, Progress, Step, Verdict},
    rbac::rights::{PlatformGet, PlatformUpdate},
};

/// The route of the upload.
pub(in crate::gateway) const UPLOAD: &str = "/v1/platform/updates/upload";
/// How long it may take: hundreds of megabytes over a slow line. Whoever is
/// silent for a minute is cut off before.
pub(in crate::gateway) const UPLOAD_LIMIT: Duration = Duration::from_hours(2);

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_updates))
        .routes(routes!(check_for_update))
        .routes(routes!(upload_update))
        .routes(routes!(install_update))
        .routes(routes!(restart_into_update))
}

/// What runs, and what becomes of an update.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UpdatesView {
    /// What runs.
    version: String,
    /// What is in the other slot and can be started.
    other: Option<String>,
    /// Whether what runs still has to prove itself.
    trial: bool,
    /// What became of the last update.
    last: Option<OutcomeView>,
    /// How far the current update is, or how the last one since the start ended.
    progress: Option<ProgressView>,
    /// The file that was uploaded and waits to be installed.
    uploaded: Option<OfferView>,
}

/// What became of an update.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OutcomeView {
    version: String,
    /// What ran when it was installed.
    from: String,
    /// When it was installed.
    at: Timestamp,
    /// `waiting`, `trial`, `good`, `failing`, `rolledBack`, `left`, `interrupted` or `gone`.
    result: &'static str,
    /// The same as a sentence.
    message: String,
    /// What is new in it, Markdown.
    notes: String,
}

/// How far an update is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProgressView {
    /// `downloading`, `checking`, `unpacking`, `writing`, `done` or `failed`.
    step: &'static str,
    /// Of this step.
    percent: u8,
    /// Whether it still goes on.
    running: bool,
    version: Option<String>,
    /// Why it failed.
    failure: Option<String>,
    /// What to do about it.
    hint: Option<String>,
}

/// An update that could be installed. Its signature was verified.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OfferView {
    version: String,
    /// The day of its release.
    released: String,
    /// What is new in it, Markdown.
    notes: String,
}

/// What the mirror offers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CheckedView {
    /// Whether nothing is newer than what runs.
    up_to_date: bool,
    offer: Option<OfferView>,
}

/// What is installed.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstallBody {
    /// `upload` or `mirror`.
    #[garde(skip)]
    from: FromWhere,
    /// Whether an uploaded file may be older than what runs.
    #[garde(skip)]
    #[serde(default)]
    allow_downgrade: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum FromWhere {
    Upload,
    Mirror,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UploadParams {
    /// Whether the file may be older than what runs.
    #[serde(default)]
    allow_downgrade: bool,
}

/// The version that starts next.
#[derive(Debug, Serialize, ToSchema)]
struct RestartView {
    version: String,
}

impl From<UpdatesNow> for UpdatesView {
    fn from(view: UpdatesNow) -> Self {
        let UpdatesNow { status, uploaded } = view;
        Self {
            version: status.state.version.to_string(),
            other: status.state.other.map(|version| version.to_string()),
            trial: status.state.trial,
            last: status.state.last.map(OutcomeView::from),
            progress: status.progress.map(ProgressView::from),
            uploaded: uploaded.map(OfferView::from),
        }
    }
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        Self {
            version: outcome.version.to_string(),
            from: outcome.from.to_string(),
            at: outcome.at,
            result: match outcome.result {
                Verdict::Waiting => "waiting",
                Verdict::Trial => "trial",
                Verdict::Good => "good",
                Verdict::Failing => "failing",
                Verdict::RolledBack => "rolledBack",
                Verdict::Left => "left",
                Verdict::Interrupted => "interrupted",
                Verdict::Gone => "gone",
            },
            message: outcome.message,
            notes: outcome.notes,
        }
    }
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        let running = progress.is_running();
        let (failure, hint) = match progress.failure {
            Some(failure) => (Some(failure.message), failure.hint),
            None => (None, None),
        };
        Self {
            step: match progress.step {
                Step::Downloading => "downloading",
                Step::Checking => "checking",
                Step::Unpacking => "unpacking",
                Step::Writing => "writing",
                Step::Done => "done",
                Step::Failed => "failed",
            },
            percent: progress.percent,
            running,
            version: progress.version.map(|version| version.to_string()),
            failure,
            hint,
        }
    }
}

impl From<Offer> for OfferView {
    fn from(offer: Offer) -> Self {
        let Offer { version, released, notes, .. } = offer;
        Self { version: version.to_string(), released, notes }
    }
}

/// What runs, what became of the last update, and how far the current one is.
#[utoipa::path(get, path = "/v1/platform/updates", tag = "Appliance",
    extensions(("x-permission" = json!("platform.get"))),
    responses((status = 200, description = "The state of updates.", body = UpdatesView)))]
async fn get_updates(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformGet>,
) -> Answer<Json<UpdatesView>> {
    Ok(Json(app.updates().view(&permit).await?.into()))
}

/// Ask the configured mirror for a newer version.
#[utoipa::path(post, path = "/v1/platform/updates/check", tag = "Appliance",
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 200, description = "What it offers.", body = CheckedView)))]
async fn check_for_update(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
) -> Answer<Json<CheckedView>> {
    let offer = app.updates().check(&permit).await?.map(OfferView::from);
    Ok(Json(CheckedView { up_to_date: offer.is_none(), offer }))
}

/// Upload an update file; it is kept when it is good.
#[utoipa::path(put, path = "/v1/platform/updates/upload", tag = "Appliance",
    params(UploadParams),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 200, description = "It is good.", body = OfferView)))]
async fn upload_update(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
    ValidQuery(params): ValidQuery<UploadParams>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<OfferView>> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let content = body.into_data_stream();
    Ok(Json(app.updates().upload(&permit, length, params.allow_downgrade, content).await?.into()))
}

/// Install an update into the other slot; how far it is, the state says.
#[utoipa::path(post, path = "/v1/platform/updates/install", tag = "Appliance",
    request_body = InstallBody,
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 202, description = "It has begun.")))]
async fn install_update(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
    ValidJson(body): ValidJson<InstallBody>,
) -> Answer<StatusCode> {
    let from = match body.from {
        FromWhere::Upload => InstallFrom::Upload { allow_downgrade: body.allow_downgrade },
        FromWhere::Mirror => InstallFrom::Mirror,
    };
    app.updates().install(&permit, from, app.tasks()).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Restart the appliance into what was installed.
#[utoipa::path(post, path = "/v1/platform/updates/restart", tag = "Appliance",
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 202, description = "It restarts.", body = RestartView)))]
async fn restart_into_update(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
) -> Answer<(StatusCode, Json<RestartView>)> {
    let version = app.updates().restart(&permit).await?.to_string();
    Ok((StatusCode::ACCEPTED, Json(RestartView { version })))
}

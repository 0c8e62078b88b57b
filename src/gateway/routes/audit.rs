//! The audit trail.

use std::future::Future;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ListView;
use crate::{
    app::App,
    clock::Timestamp,
    error::{Error, Result},
    gateway::{
        extract::{Allowed, Id, ListParams, ValidQuery},
        respond::Answer,
    },
    ids::{AuditId, ProjectId},
    rbac::rights::{AuditGet, AuditList},
    store::audit::AuditFilter,
    trail::Record,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_audit))
        .routes(routes!(export_audit_csv))
        .routes(routes!(export_audit_lines))
        .routes(routes!(verify_audit))
        .routes(routes!(get_audit))
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecordView {
    uid: AuditId,
    at: Timestamp,
    /// `tenant` or `system`.
    scope: &'static str,
    project: Option<ProjectRef>,
    actor: ActorView,
    /// E.g. `cluster.import`.
    action: String,
    object: ObjectView,
    /// `success`, `denied` or `failed`.
    outcome: String,
    detail: serde_json::Value,
    request_id: String,
    address: Option<String>,
    /// Its place in the chain, from 1; absent for less than a second.
    position: Option<i64>,
}

/// A project that is mentioned.
#[derive(Debug, Serialize, ToSchema)]
struct ProjectRef {
    uid: ProjectId,
    /// Absent when the project is gone.
    name: Option<String>,
}

/// Who acted.
#[derive(Debug, Serialize, ToSchema)]
struct ActorView {
    /// `user`, `apiKey`, `agent`, `system` or `anonymous`.
    kind: String,
    uid: Option<String>,
    /// Absent when it is gone.
    name: Option<String>,
}

/// What was acted on.
#[derive(Debug, Serialize, ToSchema)]
struct ObjectView {
    kind: String,
    uid: Option<String>,
    /// As it was called then; of a user, the name of today.
    name: Option<String>,
}

impl From<Record> for RecordView {
    fn from(record: Record) -> Self {
        let Record { row, actor_name, object_user, project_name } = record;
        let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap_or_default();
        let name = detail.get("name").and_then(|name| name.as_str()).map(str::to_owned);
        let name = name.or(object_user);
        Self {
            uid: row.id,
            at: row.at,
            scope: if row.tenant_id.is_system() { "system" } else { "tenant" },
            project: row.project_id.map(|uid| ProjectRef { uid, name: project_name }),
            actor: ActorView { kind: row.actor_kind, uid: row.actor_id, name: actor_name },
            action: row.action,
            object: ObjectView { kind: row.object_kind, uid: row.object_id, name },
            outcome: row.outcome,
            detail,
            request_id: row.request_id,
            address: row.address,
            position: row.position.filter(|position| *position > 0),
        }
    }
}

/// What to look for; everything is optional.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditParams {
    /// Not before this time.
    from: Option<Timestamp>,
    /// Before this time.
    to: Option<Timestamp>,
    /// The uid of who acted.
    actor: Option<String>,
    /// An action, or a component with a trailing dot, e.g. `cluster.`.
    action: Option<String>,
    /// The uid of the object.
    object: Option<String>,
    /// `success`, `denied` or `failed`.
    outcome: Option<String>,
    /// Only records of this project.
    project: Option<ProjectId>,
}

impl AuditParams {
    fn filter(self) -> Result<AuditFilter> {
        let texts = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("object", &self.object),
            ("outcome", &self.outcome),
        ];
        for (field, text) in texts {
            if text.as_ref().is_some_and(|text| text.len() > 100 || text.contains('\0')) {
                return Err(Error::invalid(field, "must be a text of at most 100 characters"));
            }
        }
        Ok(AuditFilter {
            from: self.from,
            to: self.to,
            actor: self.actor.filter(|text| !text.is_empty()),
            action: self.action.filter(|text| !text.is_empty()),
            object: self.object.filter(|text| !text.is_empty()),
            outcome: self.outcome.filter(|text| !text.is_empty()),
            project: self.project,
        })
    }
}

/// The state of a chain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChainView {
    /// Nothing was changed, added, moved or removed.
    ok: bool,
    /// How many records were checked.
    records: i64,
    /// When the newest checkpoint was signed.
    checkpoint_at: Option<Timestamp>,
    /// How long the oldest record has been waiting for its place in the chain.
    lag_ms: u64,
    /// The first record that is not as it was written.
    first_bad: Option<FindingView>,
}

/// What is wrong with a record.
#[derive(Debug, Serialize, ToSchema)]
struct FindingView {
    uid: Option<AuditId>,
    position: i64,
    reason: String,
}

/// Search the audit trail; newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "Audit", params(AuditParams, ListParams),
    extensions(("x-permission" = json!("audit.list"))),
    responses((status = 200, description = "One page.", body = ListView<RecordView>)))]
async fn list_audit(
    State(app): State<App>,
    Allowed(permit): Allowed<AuditList>,
    ValidQuery(params): ValidQuery<AuditParams>,
    ValidQuery(list): ValidQuery<ListParams>,
) -> Answer<Json<ListView<RecordView>>> {
    let mut list = list.query()?;
    if list.sort.is_empty() {
        list.descending = true;
    }
    Ok(Json(app.trail().list(&permit, &params.filter()?, &list).await?.into()))
}

/// Look at one record.
#[utoipa::path(get, path = "/v1/audit/{record}", tag = "Audit",
    params(("record" = AuditId, Path, description = "The record.")),
    extensions(("x-permission" = json!("audit.get"))),
    responses((status = 200, description = "The record.", body = RecordView)))]
async fn get_audit(
    State(app): State<App>,
    Allowed(permit): Allowed<AuditGet>,
    Id(record): Id<AuditId>,
) -> Answer<Json<RecordView>> {
    Ok(Json(app.trail().get(&permit, record).await?.into()))
}

/// The records that match, as CSV; oldest first.
#[utoipa::path(get, path = "/v1/audit/export.csv", tag = "Audit", params(AuditParams),
    extensions(("x-permission" = json!("audit.list"))),
    responses((status = 200, description = "A table for spreadsheets.", body = String, content_type = "text/csv")))]
async fn export_audit_csv(
    State(app): State<App>,
    Allowed(permit): Allowed<AuditList>,
    ValidQuery(params): ValidQuery<AuditParams>,
) -> Answer<Response> {
    let export = app.trail().export_csv(&permit, params.filter()?).await?;
    let body = streamed(export, async |mut export| {
        let chunk = export.next().await?;
        Ok(chunk.map(|chunk| (chunk, export)))
    });
    Ok(download(body, "text/csv; charset=utf-8", "attachment; filename=\"audit.csv\""))
}

/// The whole chain with its signed checkpoints, for `palisade audit verify`.
#[utoipa::path(get, path = "/v1/audit/export.jsonl", tag = "Audit",
    extensions(("x-permission" = json!("audit.list"))),
    responses((status = 200, description = "One JSON object on each line.", body = String, content_type = "application/jsonl")))]
async fn export_audit_lines(
    State(app): State<App>,
    Allowed(permit): Allowed<AuditList>,
) -> Answer<Response> {
    let export = app.trail().export_lines(&permit).await?;
    let body = streamed(export, async |mut export| {
        let chunk = export.next().await?;
        Ok(chunk.map(|chunk| (chunk, export)))
    });
    Ok(download(body, "application/jsonl", "attachment; filename=\"audit.jsonl\""))
}

/// A body that is made while it is sent. A failure in the middle cuts the
/// connection: the receiver must not take half an export for a whole one.
fn streamed<S, F>(start: S, step: impl Fn(S) -> F + Copy + Send + 'static) -> Body
where
    S: Send + 'static,
    F: Future<Output = Result<Option<(Vec<u8>, S)>>> + Send + 'static,
{
    Body::from_stream(stream::try_unfold(start, move |state| async move {
        match step(state).await {
            Ok(next) => Ok(next.map(|(chunk, state)| (Bytes::from(chunk), state))),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "an export was cut off");
                Err(std::io::Error::other("the export was cut off"))
            }
        }
    }))
}

fn download(body: Body, content_type: &'static str, disposition: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    response
}

/// Verify the chain.
#[utoipa::path(get, path = "/v1/audit/verify", tag = "Audit",
    extensions(("x-permission" = json!("audit.list"))),
    responses((status = 200, description = "What was found.", body = ChainView)))]
async fn verify_audit(
    State(app): State<App>,
    Allowed(permit): Allowed<AuditList>,
) -> Answer<Json<ChainView>> {
    let state = app.trail().verify(&permit).await?;
    let first_bad = state.verdict.first_bad.map(|finding| FindingView {
        uid: finding.record,
        position: finding.position,
        reason: finding.reason,
    });
    Ok(Json(ChainView {
        ok: first_bad.is_none(),
        records: state.verdict.records,
        checkpoint_at: state.verdict.checkpoint_at,
        lag_ms: state.lag_ms,
        first_bad,
    }))
}

//! The health of the machine: what its doctor says, and the support bundle.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    appliance::Checks,
    clock::Timestamp,
    doctor::{
        causes::{Diagnosis, Finding, Severity},
        cis::{Item, Outcome, Report},
    },
    gateway::{extract::Allowed, respond::Answer},
    rbac::rights::{PlatformGet, PlatformUpdate},
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_checks)).routes(routes!(make_support_bundle))
}

/// What is known of the machine.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChecksView {
    checked_at: Timestamp,
    doctor: DoctorView,
    hardening: HardeningView,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct DoctorView {
    /// Nothing is broken.
    healthy: bool,
    /// Root causes, the worst first.
    findings: Vec<DoctorFindingView>,
    /// What could not be looked at, and why.
    unseen: Vec<String>,
    /// The same as the command line prints it.
    text: String,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct DoctorFindingView {
    /// `error` or `warning`.
    severity: &'static str,
    what: String,
    /// Why we think so.
    evidence: Vec<String>,
    /// What to do next.
    next: String,
    /// What follows from it.
    consequences: Vec<ConsequenceView>,
}

/// Something that is gone when its cause is.
#[derive(Debug, Serialize, ToSchema)]
struct ConsequenceView {
    what: String,
    next: String,
}

/// How well the machine is closed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HardeningView {
    passed: usize,
    failed: usize,
    not_applicable: usize,
    /// Passed of those that apply, in per cent.
    score: usize,
    /// The counts in one line.
    summary: String,
    items: Vec<HardeningItem>,
    /// The same as the command line prints it.
    text: String,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
struct HardeningItem {
    /// Our own number, e.g. `3.4`.
    number: String,
    group: String,
    /// What should be so.
    title: String,
    /// What it protects from.
    reason: String,
    /// What to do when it is not so.
    fix: String,
    /// 1: must be so; 2: defence in depth.
    level: u8,
    /// `pass`, `fail` or `notApplicable`.
    outcome: &'static str,
    /// What was seen.
    evidence: String,
}

impl From<&Checks> for ChecksView {
    fn from(checks: &Checks) -> Self {
        Self {
            checked_at: checks.checked_at,
            doctor: (&checks.doctor).into(),
            hardening: (&checks.hardening).into(),
        }
    }
}

impl From<&Diagnosis> for DoctorView {
    fn from(diagnosis: &Diagnosis) -> Self {
        Self {
            healthy: diagnosis.healthy,
            findings: diagnosis.findings.iter().map(DoctorFindingView::from).collect(),
            unseen: diagnosis.unseen.clone(),
            text: diagnosis.text(),
        }
    }
}

impl From<&Finding> for DoctorFindingView {
    fn from(finding: &Finding) -> Self {
        let consequence = |effect: &Finding| ConsequenceView {
            what: effect.what.clone(),
            next: effect.next.clone(),
        };
        Self {
            severity: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            what: finding.what.clone(),
            evidence: finding.evidence.clone(),
            next: finding.next.clone(),
            consequences: finding.consequences.iter().map(consequence).collect(),
        }
    }
}

impl From<&Report> for HardeningView {
    fn from(report: &Report) -> Self {
        Self {
            passed: report.passed,
            failed: report.failed,
            not_applicable: report.not_applicable,
            score: report.score,
            summary: report.summary(),
            items: report.items.iter().map(HardeningItem::from).collect(),
            text: report.text(),
        }
    }
}

impl From<&Item> for HardeningItem {
    fn from(item: &Item) -> Self {
        Self {
            number: item.number.clone(),
            group: item.group.clone(),
            title: item.title.clone(),
            reason: item.reason.clone(),
            fix: item.fix.clone(),
            level: item.level,
            outcome: match item.outcome {
                Outcome::Pass => "pass",
                Outcome::Fail => "fail",
                Outcome::NotApplicable => "notApplicable",
            },
            evidence: item.evidence.clone(),
        }
    }
}

/// Look at the machine of the appliance: what is wrong, and how well it is closed.
#[utoipa::path(get, path = "/v1/platform/checks", tag = "Appliance",
    extensions(("x-permission" = json!("platform.get"))),
    responses((status = 200, description = "What was seen.", body = ChecksView)))]
async fn get_checks(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformGet>,
) -> Answer<Json<ChecksView>> {
    let checks = app.health().checks(&permit).await?;
    Ok(Json(ChecksView::from(&*checks)))
}

/// Make a support bundle: a tar without secrets.
#[utoipa::path(post, path = "/v1/platform/support-bundle", tag = "Appliance",
    extensions(("x-permission" = json!("platform.update"))),
    responses((status = 200, description = "The bundle.", body = String, content_type = "application/x-tar")))]
async fn make_support_bundle(
    State(app): State<App>,
    Allowed(permit): Allowed<PlatformUpdate>,
) -> Answer<Response> {
    let facts = app.support_facts().await;
    let bundle = app.health().support_bundle(&permit, facts).await?;
    let size = bundle.size();
    let parts = stream::try_unfold((bundle, 0_u64), |(bundle, offset)| async move {
        let part = bundle.part(offset).await.map_err(|error| {
            tracing::warn!(error = %error.chain(), "a support bundle was cut off");
            std::io::Error::other("the bundle was cut off")
        })?;
        let next = offset + part.len() as u64;
        Ok::<_, std::io::Error>((!part.is_empty()).then(|| (Bytes::from(part), (bundle, next))))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"palisade-support.tar\"".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

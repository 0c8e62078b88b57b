//! Clusters.

mod views;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(in crate::gateway) use views::ClusterView;
use views::{ImportView, StatisticsView};

use super::{ListView, not_blank};
use crate::{
    app::App,
    clusters::{NewCluster, Phase},
    error::Error,
    gateway::{
        extract::{Allowed, Id, IfMatch, ListParams, ValidJson, ValidQuery},
        respond::{Answer, Created, Done, Versioned},
    },
    ids::{ClusterId, ProjectId},
    rbac::rights::{
        ClusterDelete, ClusterGet, ClusterImport, ClusterKubeconfig, ClusterList, ClusterUpdate,
    },
    secret::Secret,
    store::clusters::ClusterFilter,
};

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_clusters, import_cluster))
        .routes(routes!(get_cluster, update_cluster, delete_cluster))
        .routes(routes!(renew_cluster_import))
        .routes(routes!(get_cluster_statistics))
        .routes(routes!(get_cluster_kubeconfig, store_cluster_kubeconfig))
}

/// Which clusters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ClusterParams {
    /// Only in this phase: `pending`, `healthy`, `degraded` or `unreachable`.
    phase: Option<String>,
    /// Only in this project.
    #[param(value_type = Option<ProjectId>)]
    project: Option<String>,
}

impl ClusterParams {
    fn filter(self) -> Result<ClusterFilter, Error> {
        let unknown =
            || Error::invalid("phase", "must be pending, healthy, degraded or unreachable");
        let phase = self.phase.as_deref().map(|text| Phase::parse(text).ok_or_else(unknown));
        let project = self.project.as_deref().map(str::parse::<ProjectId>).transpose();
        Ok(ClusterFilter {
            phase: phase.transpose()?.map(|phase| phase.as_str().to_owned()),
            project: project.map_err(|_| Error::invalid("project", "is no project's uid"))?,
        })
    }
}

/// List clusters.
#[utoipa::path(get, path = "/v1/clusters", tag = "Clusters", params(ListParams, ClusterParams),
    extensions(("x-permission" = json!("cluster.list"))),
    responses((status = 200, description = "One page.", body = ListView<ClusterView>)))]
async fn list_clusters(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterList>,
    ValidQuery(list): ValidQuery<ListParams>,
    ValidQuery(which): ValidQuery<ClusterParams>,
) -> Answer<Json<ListView<ClusterView>>> {
    let page = app.clusters().list(&permit, &which.filter()?, &list.query()?).await?;
    Ok(Json(page.into()))
}

/// A cluster to import.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewClusterBody {
    /// Unique in the project.
    #[garde(length(chars, min = 1, max = 100), custom(not_blank))]
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The project that it will be in.
    #[garde(skip)]
    project: ProjectId,
}

/// A new cluster and how to bring it in.
#[derive(Debug, Serialize, ToSchema)]
struct ImportedView {
    cluster: ClusterView,
    import: ImportView,
}

/// Import a cluster.
#[utoipa::path(post, path = "/v1/clusters", tag = "Clusters", request_body = NewClusterBody,
    extensions(("x-permission" = json!("cluster.import"))),
    responses((status = 201, description = "Run the command in the cluster.", body = ImportedView)))]
async fn import_cluster(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterImport>,
    ValidJson(new): ValidJson<NewClusterBody>,
) -> Answer<Created<ImportedView>> {
    let new = NewCluster { name: new.name, project: new.project };
    let done = app.clusters().import(&permit, new).await?;
    Ok(Created(ImportedView { cluster: done.cluster.into(), import: done.import.into() }))
}

/// Look at a cluster.
#[utoipa::path(get, path = "/v1/clusters/{cluster}", tag = "Clusters",
    params(("cluster" = ClusterId, Path, description = "The cluster.")),
    extensions(("x-permission" = json!("cluster.get"))),
    responses((status = 200, description = "The cluster.", body = ClusterView)))]
async fn get_cluster(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterGet>,
    Id(cluster): Id<ClusterId>,
) -> Answer<Versioned<ClusterView>> {
    let shown = app.clusters().get(&permit, cluster).await?;
    Ok(Versioned(shown.cluster.version, shown.into()))
}

/// Changes to a cluster; what is absent stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClusterChangeBody {
    #[garde(inner(length(chars, min = 1, max = 100), custom(not_blank)))]
    name: Option<String>,
}

/// Rename a cluster.
#[utoipa::path(patch, path = "/v1/clusters/{cluster}", tag = "Clusters",
    params(("cluster" = ClusterId, Path, description = "The cluster.")),
    request_body = ClusterChangeBody,
    extensions(("x-permission" = json!("cluster.update")), ("x-versioned" = json!(true))),
    responses((status = 200, description = "As it is now.", body = ClusterView)))]
async fn update_cluster(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterUpdate>,
    Id(cluster): Id<ClusterId>,
    IfMatch(version): IfMatch,
    ValidJson(change): ValidJson<ClusterChangeBody>,
) -> Answer<Versioned<ClusterView>> {
    let shown = app.clusters().rename(&permit, cluster, change.name.as_deref(), version).await?;
    Ok(Versioned(shown.cluster.version, shown.into()))
}

/// Remove a cluster and cut off its agent. What runs in the cluster stays.
#[utoipa::path(delete, path = "/v1/clusters/{cluster}", tag = "Clusters",
    params(("cluster" = ClusterId, Path, description = "The cluster.")),
    extensions(("x-permission" = json!("cluster.delete"))),
    responses((status = 204, description = "Gone.")))]
async fn delete_cluster(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterDelete>,
    Id(cluster): Id<ClusterId>,
) -> Answer<Done> {
    app.clusters().delete(&permit, cluster).await?;
    Ok(Done)
}

/// Get a new import command; earlier ones stop working.
#[utoipa::path(post, path = "/v1/clusters/{cluster}/import-token", tag = "Clusters",
    params(("cluster" = ClusterId, Path, description = "The cluster.")),
    extensions(("x-permission" = json!("cluster.import"))),
    responses((status = 200, description = "Run the command in the cluster.", body = ImportView)))]
async fn renew_cluster_import(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterImport>,
    Id(cluster): Id<ClusterId>,
) -> Answer<Json<ImportView>> {
    Ok(Json(app.clusters().renew_import(&permit, cluster).await?.into()))
}

/// How far back.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StatisticsParams {
    /// 1 to 24.
    #[param(minimum = 1, maximum = 24)]
    hours: Option<u32>,
}

/// Measurements of the last hours, one a minute.
#[utoipa::path(get, path = "/v1/clusters/{cluster}/statistics", tag = "Clusters",
    params(("cluster" = ClusterId, Path, description = "The cluster."), StatisticsParams),
    extensions(("x-permission" = json!("cluster.get"))),
    responses((status = 200, description = "Oldest first.", body = StatisticsView)))]
async fn get_cluster_statistics(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterGet>,
    Id(cluster): Id<ClusterId>,
    ValidQuery(params): ValidQuery<StatisticsParams>,
) -> Answer<Json<StatisticsView>> {
    let hours = params.hours.unwrap_or(24);
    Ok(Json(app.clusters().statistics(&permit, cluster, hours).await?.into()))
}

/// A kubeconfig to keep.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct KubeconfigBody {
    /// As YAML.
    #[garde(skip)]
    #[schema(value_type = String)]
    kubeconfig: Secret<String>,
}

/// Keep a kubeconfig, sealed; it replaces the one before.
#[utoipa::path(put, path = "/v1/clusters/{cluster}/kubeconfig", tag = "Clusters",
    params(("cluster" = ClusterId, Path, description = "The cluster.")),
    request_body = KubeconfigBody,
    extensions(("x-permission" = json!("cluster.update"))),
    responses((status = 204, description = "Kept.")))]
async fn store_cluster_kubeconfig(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterUpdate>,
    Id(cluster): Id<ClusterId>,
    ValidJson(body): ValidJson<KubeconfigBody>,
) -> Answer<Done> {
    app.clusters().store_kubeconfig(&permit, cluster, &body.kubeconfig).await?;
    Ok(Done)
}

/// Download the kubeconfig; the download is recorded.
#[utoipa::path(get, path = "/v1/clusters/{cluster}/kubeconfig", tag = "Clusters",
    params(("cluster" = ClusterId, Path, description = "The cluster.")),
    extensions(("x-permission" = json!("cluster.kubeconfig"))),
    responses((status = 200, description = "The kubeconfig.", body = String,
        content_type = "application/yaml")))]
async fn get_cluster_kubeconfig(
    State(app): State<App>,
    Allowed(permit): Allowed<ClusterKubeconfig>,
    Id(cluster): Id<ClusterId>,
) -> Answer<Response> {
    let kubeconfig = app.clusters().kubeconfig(&permit, cluster).await?;
    // The uid and not the name: names may hold anything, headers may not.
    let name = format!("attachment; filename=\"kubeconfig-{cluster}.yaml\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/yaml")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(Error::internal)?),
    ];
    Ok((headers, kubeconfig.expose().clone()).into_response())
}

//! The registry that clusters fetch the agent's image from.
//!
//! It speaks as much of the OCI distribution protocol as a pull needs. Nobody
//! has to sign in: the image is the program that everybody here talks to.

use std::{io, path::PathBuf};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::{fs::File, io::AsyncReadExt};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{app::App, gateway::respond::Answer, packs::Blob};

/// Bytes read from disk at a time.
const PIECE: usize = 128 * 1024;

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(registry_version))
        .routes(routes!(get_agent_manifest))
        .routes(routes!(get_agent_blob))
}

/// Tell container engines that this is a registry.
#[utoipa::path(get, path = "/v2/", tag = "Registry", security(()),
    responses((status = 200, description = "It is.")))]
async fn registry_version() -> Response {
    let version = ("docker-distribution-api-version", "registry/2.0");
    ([version], axum::Json(json!({}))).into_response()
}

/// The manifest of the agent's image.
#[utoipa::path(get, path = "/v2/palisade/agent/manifests/{reference}", tag = "Registry", security(()),
    params(("reference" = String, Path, description = "The version, or a digest.")),
    responses((status = 200, description = "An OCI image manifest."),
        (status = 404, description = "There is no such manifest.")))]
async fn get_agent_manifest(
    State(app): State<App>,
    Path(reference): Path<String>,
) -> Answer<Response> {
    let image = app.own_image().await?;
    let Some(manifest) = image.manifest(&reference) else {
        return Ok(unknown("MANIFEST_UNKNOWN", "there is no such manifest"));
    };
    let mut response = Response::new(Body::from(manifest.to_owned()));
    describe(&mut response, image.manifest_type(), image.digest());
    Ok(response)
}

/// The configuration or the layer of the agent's image.
#[utoipa::path(get, path = "/v2/palisade/agent/blobs/{digest}", tag = "Registry", security(()),
    params(("digest" = String, Path, description = "As the manifest names it.")),
    responses((status = 200, description = "The bytes."),
        (status = 404, description = "There is no such blob.")))]
async fn get_agent_blob(State(app): State<App>, Path(digest): Path<String>) -> Answer<Response> {
    let image = app.own_image().await?;
    let Some(blob) = image.blob(&digest) else {
        return Ok(unknown("BLOB_UNKNOWN", "there is no such blob"));
    };
    let length = blob.bytes();
    let body = match blob {
        Blob::Text(text) => Body::from(text.to_owned()),
        Blob::Layer { before, file, size, after } => {
            // The layer is read while it is sent.
            let piece = |bytes| stream::iter([Ok(Bytes::copy_from_slice(bytes))]);
            let program = program(file.to_owned(), size);
            Body::from_stream(piece(before).chain(program).chain(piece(after)))
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    describe(&mut response, "application/octet-stream", &digest);
    Ok(response)
}

fn program(path: PathBuf, size: u64) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((None, path, size), async |(open, path, left)| {
        if left == 0 {
            return Ok(None);
        }
        let mut file: File = match open {
            Some(file) => file,
            None => File::open(&path).await?,
        };
        let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; want];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(read);
        Ok(Some((Bytes::from(piece), (Some(file), path, left - read as u64))))
    })
}

fn describe(response: &mut Response, media_type: &'static str, digest: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(digest) = HeaderValue::from_str(digest) {
        headers.insert("docker-content-digest", digest);
    }
}

/// Container engines read errors in the form of the registry protocol only.
fn unknown(code: &str, message: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": message}]});
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

//! The certificate that clients have to trust, for everybody who asks.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(in crate::gateway) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_authority))
}

/// The certificate of the authority behind the server certificate, as PEM.
///
/// It is public: every TLS handshake and every import manifest shows it.
#[utoipa::path(get, path = "/ca.pem", tag = "Appliance", security(()),
    responses((status = 200, description = "The CA certificate.",
        body = String, content_type = "application/x-pem-file")))]
async fn get_authority(State(app): State<App>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"palisade-ca.pem\""),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, app.served_certificate().anchor_pem()).into_response()
}

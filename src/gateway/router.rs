//! Every group of routes on one screen.

use axum::{Router, middleware};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use std::sync::Arc;

use super::{
    bus,
    counted::Counted,
    envelope::{self, Gate},
    limits::Buckets,
    openapi, routes,
};
use crate::app::App;

/// The routes with their descriptions, before they have an application.
pub(super) fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .merge(routes::health::routes())
        .merge(routes::context::routes())
        .merge(routes::authority::routes())
        .merge(routes::setup::routes())
        .merge(routes::auth::routes())
        .merge(routes::tenants::routes())
        .merge(routes::projects::routes())
        .merge(routes::passwords::routes())
        .merge(routes::users::routes())
        .merge(routes::teams::routes())
        .merge(routes::roles::routes())
        .merge(routes::assignments::routes())
        .merge(routes::api_keys::routes())
        .merge(routes::clusters::routes())
        .merge(routes::agents::routes())
        .merge(routes::registry::routes())
        .merge(routes::overview::routes())
        .merge(routes::events::routes())
        .merge(routes::audit::routes())
        .merge(routes::settings::routes())
        .merge(routes::platform::routes())
        .merge(routes::health_checks::routes())
        .merge(routes::updates::routes())
        .merge(routes::nodes::routes())
}

/// The whole gateway as a service.
pub fn router(app: App) -> Router {
    let (router, _) = described().split_for_parts();
    let gate = Gate {
        app: app.clone(),
        buckets: Arc::new(Buckets::new(&app.config().limits)),
        counted: Arc::new(Counted::default()),
    };
    keep_tidy(&gate);
    router
        .route("/bus", axum::routing::any(bus::tunnel))
        .fallback(routes::ui::serve)
        .layer(middleware::from_fn_with_state(gate, envelope::wrap))
        .with_state(app)
}

/// Buckets of addresses that have gone quiet are forgotten.
fn keep_tidy(gate: &Gate) {
    let (buckets, stopping) = (Arc::clone(&gate.buckets), gate.app.stopping().clone());
    gate.app.tasks().spawn(async move {
        let mut every = tokio::time::interval(std::time::Duration::from_mins(1));
        while stopping.run_until_cancelled(every.tick()).await.is_some() {
            buckets.tidy();
        }
    });
}

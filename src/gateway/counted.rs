//! Counts answers by route, with one set of metrics for each, made once.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::http::Method;

use crate::observability::metrics::RouteMetrics;

/// The metrics of all routes that were used so far.
#[derive(Debug, Default)]
pub(super) struct Counted(RwLock<HashMap<(Method, String), Arc<RouteMetrics>>>);

impl Counted {
    pub(super) fn answered(&self, method: &Method, route: &str, status: u16, after: Duration) {
        let key = (known(method), route.to_owned());
        let metrics = {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            known.get(&key).cloned()
        };
        let metrics = metrics.unwrap_or_else(|| self.add(key));
        metrics.answered(status, after);
    }

    fn add(&self, key: (Method, String)) -> Arc<RouteMetrics> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let metrics = all.entry(key).or_insert_with_key(|(method, route)| {
            // Labels live as long as the process; routes and methods are few.
            let method: &'static str = Box::leak(method.as_str().to_owned().into_boxed_str());
            let route: &'static str = Box::leak(route.clone().into_boxed_str());
            Arc::new(RouteMetrics::new(method, route))
        });
        Arc::clone(metrics)
    }
}

/// Anybody can invent methods; they share one name.
fn known(method: &Method) -> Method {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS => method.clone(),
        _ => Method::TRACE,
    }
}

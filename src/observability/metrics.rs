//! Metrics for Prometheus.
//!
//! Owns: the table of every metric ([`ALL`]), the recorder behind the `metrics`
//! facade, and typed helpers for code above this layer.
//! Must not know: who scrapes, or over what.
//!
//! A name that is not in the table is a bug, and a test finds it. Labels have
//! few values, all known beforehand: never a uid, an address or a path. The one
//! exception are the names of the at most three nodes of the cluster.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use super::process::Process;

mod table;
#[cfg(test)]
mod tests;

pub use table::{ALL, Kind, Metric};

/// The recorder.
#[derive(Debug)]
pub struct Metrics;

impl Metrics {
    /// Starts to record what the process counts, from now on.
    ///
    /// # Panics
    /// When the table itself is wrong: a test installs it.
    pub fn install() -> Result<MetricsHandle, AlreadyInstalled> {
        let recorder = recorder();
        let handle = MetricsHandle(recorder.handle());
        metrics::set_global_recorder(recorder).map_err(|_| AlreadyInstalled)?;
        describe();
        metrics::gauge!("palisade_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(handle)
    }
}

/// Metrics are recorded already in this process.
#[derive(Debug, thiserror::Error)]
#[error("metrics are already recorded in this process")]
pub struct AlreadyInstalled;

fn recorder() -> PrometheusRecorder {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                .expect("every histogram of the table has buckets");
        }
    }
    builder.build_recorder()
}

/// Tells the recorder what the metrics mean.
fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
            // Written by `render` itself.
            Kind::Process(_) => {}
        }
    }
}

/// Access to what was recorded.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsHandle")
    }
}

impl MetricsHandle {
    /// Everything in Prometheus' text format, with the process as it is now.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        let process = Process::read();
        for metric in ALL {
            let Kind::Process(read) = metric.kind else { continue };
            let kind = if metric.name.ends_with("_total") { "counter" } else { "gauge" };
            if let Some(value) = read(&process) {
                // Writing into a String cannot fail.
                let _ = write!(
                    text,
                    "# HELP {0} {1}\n# TYPE {0} {kind}\n{0} {value}\n\n",
                    metric.name, metric.help
                );
            }
        }
        text
    }

    /// Sorts samples of histograms into their buckets. Samples pile up in
    /// memory until this or [`Self::render`] runs: call it every few seconds.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Statuses that are counted without looking the counter up again.
const COMMON: [u16; 12] = [200, 201, 202, 204, 304, 400, 401, 403, 404, 409, 412, 429];

/// The metrics of one route, looked up once so that a request pays for two
/// atomic additions only.
#[derive(Clone)]
pub struct RouteMetrics {
    method: &'static str,
    route: &'static str,
    common: [Counter; COMMON.len()],
    duration: Histogram,
}

impl std::fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RouteMetrics({} {})", self.method, self.route)
    }
}

impl RouteMetrics {
    /// The metrics of requests for the path template `route`. Make it after
    /// [`Metrics::install`]; before, nothing is recorded.
    pub fn new(method: &'static str, route: &'static str) -> Self {
        let common = COMMON.map(|status| requests(method, route, status));
        let duration = metrics::histogram!(
            "palisade_http_request_duration_seconds", "method" => method, "route" => route
        );
        Self { method, route, common, duration }
    }

    /// Counts an answer.
    pub fn answered(&self, status: u16, after: Duration) {
        match COMMON.iter().position(|common| *common == status) {
            Some(position) => self.common[position].increment(1),
            None => requests(self.method, self.route, status).increment(1),
        }
        self.duration.record(after);
    }
}

fn requests(method: &'static str, route: &'static str, status: u16) -> Counter {
    metrics::counter!(
        "palisade_http_requests_total",
        "method" => method, "route" => route, "status" => status.to_string()
    )
}

/// Counts a change that was asked for: `action` as in the audit record,
/// `outcome` one of `success`, `denied`, `failed`.
pub fn mutation(action: Cow<'static, str>, outcome: &'static str) {
    let action = action.into_owned();
    metrics::counter!("palisade_mutations_total", "action" => action, "outcome" => outcome)
        .increment(1);
}

/// Counts an audit record.
pub fn audit_record(outcome: &'static str) {
    metrics::counter!("palisade_audit_records_total", "outcome" => outcome).increment(1);
}

/// Counts a heartbeat of an agent.
pub fn heartbeat() {
    metrics::counter!("palisade_heartbeats_total").increment(1);
}

/// Says how many messages of agents were taken so far.
pub fn messages(total: u64) {
    metrics::counter!("palisade_agent_messages_total").absolute(total);
}

/// Says how many messages of agents were thrown away so far, by reason:
/// `malformed`, `excessive` or `overflowed`.
pub fn bad_messages(reason: &'static str, total: u64) {
    metrics::counter!("palisade_agent_messages_bad_total", "reason" => reason).absolute(total);
}

/// Says how many agents are connected, and how often the broker was started again.
pub fn bus(connections: usize, restarts: u64) {
    metrics::gauge!("palisade_bus_connections").set(connections as f64);
    metrics::counter!("palisade_bus_restarts_total").absolute(restarts);
}

/// One more (or one less) connection is open.
pub fn connections(change: f64) {
    metrics::gauge!("palisade_http_connections").increment(change);
}

/// Sets how many clusters are in a phase.
pub fn clusters(phase: &'static str, number: usize) {
    metrics::gauge!("palisade_clusters", "phase" => phase).set(number as f64);
}

/// Sets how many nodes of the management cluster are in a state: `ready`,
/// `not_ready` or `silent`.
pub fn cluster_nodes(state: &'static str, number: usize) {
    metrics::gauge!("palisade_cluster_nodes", "state" => state).set(number as f64);
}

/// Says whether as many nodes agree as are needed; `NaN` when nobody knows.
pub fn cluster_quorum(holds: Option<bool>) {
    metrics::gauge!("palisade_cluster_quorum").set(known(holds));
}

/// Says of one node whether its database leads, by how many bytes it is behind,
/// and by how many milliseconds its clock is ahead; `NaN` for what nobody knows.
pub fn cluster_node(
    node: &str,
    leads: Option<bool>,
    lag_bytes: Option<u64>,
    ahead_ms: Option<i64>,
) {
    let lag = lag_bytes.map_or(f64::NAN, |bytes| bytes as f64);
    let ahead = ahead_ms.map_or(f64::NAN, |ms| ms as f64 / 1_000.0);
    let node = node.to_owned();
    metrics::gauge!("palisade_database_leader", "node" => node.clone()).set(known(leads));
    metrics::gauge!("palisade_database_lag_bytes", "node" => node.clone()).set(lag);
    metrics::gauge!("palisade_cluster_clock_ahead_seconds", "node" => node).set(ahead);
}

fn known(answer: Option<bool>) -> f64 {
    answer.map_or(f64::NAN, |yes| f64::from(u8::from(yes)))
}

/// Counts a request that was refused because there were too many, with what it
/// was limited by: `address`, `agents` (of one address), `tenant` or `login`.
pub fn rate_limited(by: &'static str) {
    metrics::counter!("palisade_rate_limited_total", "by" => by).increment(1);
}

/// Counts an attempt to log in: `success`, `wrong-credentials`, `back-off`,
/// `disabled` or `expired`.
pub fn login(outcome: &'static str) {
    metrics::counter!("palisade_logins_total", "outcome" => outcome).increment(1);
}

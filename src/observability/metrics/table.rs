//! Every metric there is: name, kind, help and labels.

use super::super::process::Process;

/// What kind of metric it is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts samples by size; the upper bounds of the buckets.
    Histogram(&'static [f64]),
    /// Read from the kernel when it is scraped.
    #[expect(private_interfaces, reason = "only this module reads the numbers of the process")]
    Process(fn(&Process) -> Option<f64>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
            Self::Process(_) => "process",
        })
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in a scrape.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What it says, as a sentence.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, help, labels }
}

/// From 0.5 ms, a cached read, to 10 s, a long way past every promise.
const REQUEST_SECONDS: Kind = Kind::Histogram(&[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
]);
/// From one synced write of a fast disk to a database that has lost its primary.
const COMMIT_SECONDS: Kind =
    Kind::Histogram(&[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 25.0]);
const GROUP_SIZE: Kind = Kind::Histogram(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]);

/// The table.
pub const ALL: &[Metric] = &[
    metric("palisade_build_info", Kind::Gauge, &["version"], "The version that runs; always 1."),
    metric(
        "palisade_http_requests_total",
        Kind::Counter,
        &["method", "route", "status"],
        "Answered requests by method, path template and status.",
    ),
    metric(
        "palisade_http_request_duration_seconds",
        REQUEST_SECONDS,
        &["method", "route"],
        "How long requests took, from the head to the start of the answer.",
    ),
    metric("palisade_http_connections", Kind::Gauge, &[], "Open connections, agents included."),
    metric(
        "palisade_rate_limited_total",
        Kind::Counter,
        &["by"],
        "Requests refused because there were too many, by what limited them.",
    ),
    metric("palisade_logins_total", Kind::Counter, &["outcome"], "Attempts to log in by outcome."),
    metric(
        "palisade_mutations_total",
        Kind::Counter,
        &["action", "outcome"],
        "Changes that were asked for, by action and outcome.",
    ),
    metric(
        "palisade_audit_records_total",
        Kind::Counter,
        &["outcome"],
        "Audit records written, by outcome.",
    ),
    metric("palisade_heartbeats_total", Kind::Counter, &[], "Heartbeats received from agents."),
    metric(
        "palisade_agent_messages_total",
        Kind::Counter,
        &[],
        "Messages of agents that were taken, heartbeats included.",
    ),
    metric(
        "palisade_agent_messages_bad_total",
        Kind::Counter,
        &["reason"],
        "Messages of agents that were thrown away, by reason.",
    ),
    metric("palisade_clusters", Kind::Gauge, &["phase"], "Clusters by phase."),
    metric(
        "palisade_bus_connections",
        Kind::Gauge,
        &[],
        "Agents connected to the bus through this node.",
    ),
    metric(
        "palisade_bus_restarts_total",
        Kind::Counter,
        &[],
        "How often the supervised broker had to be started again.",
    ),
    metric(
        "palisade_cluster_nodes",
        Kind::Gauge,
        &["state"],
        "Nodes of the management cluster by state, as this node sees them.",
    ),
    metric(
        "palisade_cluster_quorum",
        Kind::Gauge,
        &[],
        "Whether as many nodes agree as are needed: 1 or 0.",
    ),
    metric(
        "palisade_cluster_clock_ahead_seconds",
        Kind::Gauge,
        &["node"],
        "By how much the clock of a node is ahead of this node's.",
    ),
    metric(
        "palisade_database_leader",
        Kind::Gauge,
        &["node"],
        "Whether the database of a node leads: 1 or 0.",
    ),
    metric(
        "palisade_database_lag_bytes",
        Kind::Gauge,
        &["node"],
        "By how many bytes the database of a node is behind.",
    ),
    metric(
        "palisade_store_transaction_seconds",
        COMMIT_SECONDS,
        &[],
        "How long writing transactions took, waiting for the writer included.",
    ),
    metric(
        "palisade_store_group_size",
        GROUP_SIZE,
        &[],
        "How many changes shared one commit (SQLite).",
    ),
    metric(
        "palisade_store_errors_total",
        Kind::Counter,
        &["kind"],
        "Statements and commits that failed, by kind of failure.",
    ),
    metric(
        "process_resident_memory_bytes",
        Kind::Process(|process| process.resident_bytes),
        &[],
        "Resident memory in bytes.",
    ),
    metric(
        "process_cpu_seconds_total",
        Kind::Process(|process| process.cpu_seconds),
        &[],
        "Processor time of all threads in seconds, user and system.",
    ),
    metric(
        "process_open_fds",
        Kind::Process(|process| process.open_files),
        &[],
        "Open files and sockets.",
    ),
    metric(
        "process_max_fds",
        Kind::Process(|process| process.open_files_limit),
        &[],
        "How many files and sockets may be open.",
    ),
    metric("process_threads", Kind::Process(|process| process.threads), &[], "Threads."),
];

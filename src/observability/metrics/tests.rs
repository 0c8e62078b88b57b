//! The table is complete, and nothing is recorded that is not in it.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;

/// A scrape after `act`, with a recorder of its own.
fn scraped(act: impl FnOnce()) -> String {
    let recorder = recorder();
    let handle = MetricsHandle(recorder.handle());
    metrics::with_local_recorder(&recorder, || {
        describe();
        act();
    });
    handle.render()
}

/// Everything that the helpers of this module can record.
fn record_everything() {
    let route = RouteMetrics::new("GET", "/v1/clusters/{cluster}");
    route.answered(200, Duration::from_micros(700));
    route.answered(200, Duration::from_millis(7));
    route.answered(418, Duration::from_secs(20));
    mutation("cluster.import".into(), "success");
    audit_record("success");
    heartbeat();
    messages(7);
    bad_messages("malformed", 1);
    bus(3, 1);
    connections(1.0);
    clusters("healthy", 3);
    cluster_nodes("ready", 2);
    cluster_quorum(Some(true));
    cluster_node("n1", Some(true), Some(0), Some(0));
    cluster_node("n2", Some(false), Some(512), Some(-1_500));
    cluster_node("n3", None, None, None);
    rate_limited("address");
    login("success");
}

#[test]
fn a_scrape_has_only_documented_names_with_help_and_documented_labels() {
    let scrape = scraped(record_everything);
    for line in scrape.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let metric = ALL
            .iter()
            .find(|metric| {
                let rest = name.strip_prefix(metric.name);
                match metric.kind {
                    Kind::Histogram(_) => {
                        rest.is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest))
                    }
                    _ => rest == Some(""),
                }
            })
            .unwrap_or_else(|| panic!("{line} is not in the table"));
        assert!(scrape.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{line}");
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        for label in labels.split("\",").filter_map(|label| label.split_once('=')) {
            assert!(label.0 == "le" || metric.labels.contains(&label.0), "{line}: {}", label.0);
        }
    }
}

#[test]
fn requests_are_counted_by_status_and_sorted_by_duration() {
    let scrape = scraped(record_everything);
    let labels = "method=\"GET\",route=\"/v1/clusters/{cluster}\"";
    for expected in [
        format!("palisade_http_requests_total{{{labels},status=\"200\"}} 2"),
        format!("palisade_http_requests_total{{{labels},status=\"418\"}} 1"),
        format!("palisade_http_request_duration_seconds_bucket{{{labels},le=\"0.001\"}} 1"),
        format!("palisade_http_request_duration_seconds_bucket{{{labels},le=\"0.01\"}} 2"),
        format!("palisade_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
        "palisade_clusters{phase=\"healthy\"} 3".to_owned(),
        "palisade_cluster_quorum 1".to_owned(),
        "palisade_database_leader{node=\"n1\"} 1".to_owned(),
        "palisade_database_lag_bytes{node=\"n2\"} 512".to_owned(),
        "palisade_cluster_clock_ahead_seconds{node=\"n2\"} -1.5".to_owned(),
        "palisade_database_lag_bytes{node=\"n3\"} NaN".to_owned(),
    ] {
        assert!(scrape.contains(&expected), "{expected} is not in\n{scrape}");
    }
}

#[test]
fn a_scrape_tells_memory_processor_time_and_open_files() {
    let scrape = scraped(|| {});
    for name in
        ["process_resident_memory_bytes ", "process_cpu_seconds_total ", "process_open_fds "]
    {
        assert!(scrape.lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
}

#[test]
fn names_follow_the_conventions_and_appear_once() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for metric in ALL {
        assert!(metric.help.ends_with('.'), "{}: help is a sentence", metric.name);
        let counts = matches!(metric.kind, Kind::Counter);
        assert!(!counts || metric.name.ends_with("_total"), "{}", metric.name);
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted(), "{}", metric.name);
        }
    }
}

/// The layers beside and below this one write with the facade, by name.
#[test]
fn every_name_in_the_source_is_in_the_table() {
    let mutant = format!("metrics::counter{}\n    \"palisade_no_such_total\"\n)", "!(");
    assert_eq!(unknown_names(&mutant), ["palisade_no_such_total"]);

    let mut unknown = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, text| {
        for name in unknown_names(text) {
            unknown.push(format!("{name} in {}", path.display()));
        }
    });
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
}

/// A metric that nothing records is a promise that nobody keeps. Those of the
/// types in this module show in the scrape of `tests/it/http.rs`.
#[test]
fn every_name_in_the_table_has_a_writer() {
    let of_types = [
        "palisade_build_info",
        "palisade_http_requests_total",
        "palisade_http_request_duration_seconds",
    ];
    let mut others = String::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, text| {
        if !path.iter().any(|part| part == "observability") {
            others.push_str(text);
        }
    });
    let helpers: Vec<_> = include_str!("../metrics.rs").split("\npub fn ").skip(1).collect();
    let is_called = |helper: &str| {
        let name = helper.split('(').next().unwrap();
        [format!("metrics::{name}("), format!("metrics::{name})")]
            .iter()
            .any(|call| others.contains(call))
    };
    for metric in ALL.iter().filter(|metric| !matches!(metric.kind, Kind::Process(_))) {
        let directly = names(&others).any(|name| name == metric.name);
        let by_helper = helpers
            .iter()
            .any(|helper| names(helper).any(|name| name == metric.name) && is_called(helper));
        let written = directly || by_helper || of_types.contains(&metric.name);
        assert!(written, "nothing writes {}", metric.name);
    }
}

/// The names that are recorded in `text` and that the table lacks.
fn unknown_names(text: &str) -> Vec<&str> {
    names(text).filter(|name| ALL.iter().all(|metric| metric.name != *name)).collect()
}

/// The names that are recorded in `text`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    ["counter", "gauge", "histogram"]
        .into_iter()
        .flat_map(|kind| text.match_indices(kind).map(|(start, kind)| start + kind.len()))
        .filter_map(|start| text[start..].strip_prefix("!("))
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
}

fn visit(directory: &Path, act: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, act);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            act(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

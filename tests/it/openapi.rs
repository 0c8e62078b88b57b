//! The OpenAPI document in the tree is the one that the program serves.

#[test]
fn the_document_is_the_same_each_time() {
    let first = palisade::gateway::document();
    let parsed: serde_json::Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!(parsed["openapi"], "3.1.0");
    for _ in 0..10 {
        assert!(palisade::gateway::document() == first, "two calls give different documents");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn the_snapshot_of_the_openapi_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/openapi.json");
    let current = palisade::gateway::document() + "\n";
    if std::env::var_os("PALISADE_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &current).expect("the snapshot is written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == current,
        "tests/it/openapi.json is not current: run the tests with PALISADE_UPDATE_SNAPSHOTS=1 \
         and read the difference as a user of the API would"
    );
}

/// Two shapes of one name would be one in the document, and one of them wrong.
#[test]
fn no_two_shapes_of_the_api_share_a_name() {
    let routes = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gateway");
    let mut folders = vec![std::path::PathBuf::from(routes)];
    let mut seen = std::collections::BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of routes") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source file");
            for declared in text.split("ToSchema)]").skip(1) {
                let mut words = declared
                    .split_whitespace()
                    .skip_while(|word| !matches!(*word, "struct" | "enum"));
                let name = words.nth(1).expect("a name").to_owned();
                if let Some(other) = seen.insert(name.clone(), path.clone()) {
                    panic!("{name} is in {} and in {}", other.display(), path.display());
                }
            }
        }
    }
    assert!(seen.len() > 50, "the routes were found");
}

/// The help of the interface is written by hand; what it says of metrics is true.
#[test]
fn the_help_names_every_metric_and_no_other() {
    let help = include_str!("../../assets/src/help/metrics.md");
    let mut named: Vec<_> = help
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next())
        .filter(|name| !name.starts_with('/'))
        .collect();
    let mut known: Vec<_> =
        palisade::observability::metrics::ALL.iter().map(|metric| metric.name).collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}

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

use serde_json::{Value, json};

use super::*;
use crate::agent::objects::{Deployment, Node, Pod, ReplicaSet};

fn row<V: Tabled>(object: Value) -> Option<V::Row> {
    V::row(&serde_json::from_value(object).unwrap())
}

fn pod(status: &Value) -> PodRow {
    row::<Pod>(json!({
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "1",
            "creationTimestamp": "1970-01-01T00:01:40Z"},
        "status": status,
    }))
    .unwrap()
}

#[test]
fn a_list_removes_the_rows_that_it_does_not_name() {
    let mut rows = Rows::default();
    rows.begin();
    for name in ["a", "b"] {
        rows.put(ObjectKey::of(name), name);
    }
    assert!(!rows.is_listed());
    rows.finish();
    assert!(rows.is_listed());

    rows.begin();
    rows.put(ObjectKey::of("b"), "b2");
    assert_eq!(rows.len(), 2, "the old rows stay until the new list is complete");
    rows.finish();

    assert_eq!(rows.len(), 1);
    assert_eq!(rows.get(ObjectKey::of("b")), Some(&"b2"));
    rows.remove(ObjectKey::of("b"));
    assert!(rows.is_empty());
}

#[test]
fn a_row_put_between_two_lists_is_gone_after_a_list_without_it() {
    let mut rows = Rows::default();
    rows.begin();
    rows.finish();
    rows.put(ObjectKey::of("late"), ());
    rows.begin();
    rows.finish();
    assert!(rows.is_empty());
}

#[test]
fn a_uid_is_kept_in_full_and_other_text_is_hashed() {
    let uuid = ObjectKey::of("0f8fad5b-d9cb-469f-a165-70867728950e");
    assert_eq!(uuid, ObjectKey(0x0f8f_ad5b_d9cb_469f_a165_7086_7728_950e));
    assert_ne!(ObjectKey::of("1"), ObjectKey::of("01"));
    assert_ne!(ObjectKey::of("pod/a"), ObjectKey::of("pod/b"));
    assert_eq!(ObjectKey::of("pod/a"), ObjectKey::of("pod/a"));
    assert_ne!(ObjectKey::of(&"0".repeat(33)), ObjectKey::of(&"0".repeat(32)));
}

#[test]
fn a_healthy_pod_keeps_no_text() {
    let healthy = json!({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]});
    assert_eq!(pod(&healthy), PodRow { phase: Phase::Running, owner: None, detail: None });
    assert_eq!(pod(&json!({"phase": "Succeeded"})).detail, None);
}

#[test]
fn a_container_that_cannot_run_is_trouble_with_its_reason() {
    for (list, reason) in [
        ("containerStatuses", "CrashLoopBackOff"),
        ("containerStatuses", "ImagePullBackOff"),
        ("initContainerStatuses", "CreateContainerConfigError"),
    ] {
        let waiting =
            json!([{"state": {"running": {}}}, {"state": {"waiting": {"reason": reason}}}]);
        let detail = pod(&json!({"phase": "Pending", list: waiting})).detail.unwrap();
        assert_eq!((&*detail.reason, detail.trouble), (reason, Trouble::Container));
        assert_eq!((&*detail.kind, &*detail.name, &*detail.namespace), ("Pod", "web-1", "shop"));
    }
}

#[test]
fn a_pod_that_is_only_starting_is_pending_since_its_creation() {
    let starting = json!([{"state": {"waiting": {"reason": "ContainerCreating"}}}]);
    let detail = pod(&json!({"phase": "Pending", "containerStatuses": starting})).detail.unwrap();
    assert_eq!(&*detail.reason, "ContainerCreating");
    let created = "1970-01-01T00:01:40Z".parse().unwrap();
    assert_eq!(detail.trouble, Trouble::PendingSince(created));
}

#[test]
fn a_pod_without_a_place_says_what_the_scheduler_says() {
    let detail = pod(&json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available:\n 3 Insufficient cpu."}]}))
    .detail
    .unwrap();
    assert_eq!(&*detail.reason, "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.");
}

#[test]
fn a_failed_pod_says_why() {
    let reason = |status: Value| pod(&status).detail.unwrap().reason;
    assert_eq!(&*reason(json!({"phase": "Failed", "reason": "Evicted"})), "Evicted");
    let killed = json!([
        {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}},
        {"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]);
    assert_eq!(&*reason(json!({"phase": "Failed", "containerStatuses": killed})), "OOMKilled");
    assert_eq!(&*reason(json!({"phase": "Failed"})), "Failed");
}

#[test]
fn a_pod_that_is_being_deleted_is_no_trouble() {
    let row = row::<Pod>(json!({
        "metadata": {"name": "p", "deletionTimestamp": "2026-11-22T05:28:26Z"},
        "status": {"phase": "Failed"}}));
    assert_eq!(row.unwrap().detail, None);
}

#[test]
fn the_owner_of_a_pod_is_blamed_in_its_place() {
    let row = row::<Pod>(json!({
        "metadata": {"name": "p", "namespace": "n", "ownerReferences": [
            {"kind": "Job", "name": "import", "uid": "j", "controller": true}]},
        "status": {"phase": "Failed"}}))
    .unwrap();
    assert_eq!(row.owner, Some(ObjectKey::of("j")));
    let detail = row.detail.unwrap();
    assert_eq!((&*detail.kind, &*detail.name), ("Job", "import"));
}

#[test]
fn text_from_the_cluster_becomes_one_bounded_line() {
    let long = "ä\n".repeat(10_000);
    let detail = pod(&json!({"phase": "Failed", "reason": long})).detail.unwrap();
    assert_eq!(detail.reason.chars().count(), REASON_LENGTH + 1);
    assert!(!detail.reason.contains('\n'));
}

#[test]
fn a_node_is_ready_only_when_its_condition_says_so() {
    let node = |conditions| {
        let node = json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true}, "status": {
            "conditions": conditions, "nodeInfo": {"kubeletVersion": "v1.33.2"},
            "allocatable": {"cpu": "3500m", "memory": "8Gi", "pods": "110"}}});
        row::<Node>(node).unwrap()
    };
    let ready = node(json!([{"type": "DiskPressure", "status": "False"}, {"type": "Ready",
        "status": "True", "reason": "KubeletReady", "message": "all is well"}]));
    assert!(ready.ready && !ready.schedulable && ready.reason.is_empty());
    assert_eq!((ready.cpu_millis, ready.memory_bytes), (3_500, 8 << 30));
    assert_eq!(&*ready.version, "v1.33.2");

    let lost = node(json!([{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status."}]));
    assert!(!lost.ready);
    assert_eq!(&*lost.reason, "NodeStatusUnknown: Kubelet stopped posting node status.");
    assert_eq!(&*node(json!([])).reason, "The kubelet has not reported yet");
}

#[test]
fn a_deployment_without_a_number_wants_one_replica() {
    let deployment = row::<Deployment>(json!({"metadata": {"name": "d"}, "spec": {}})).unwrap();
    assert_eq!((deployment.desired, deployment.ready), (1, 0));
}

#[test]
fn only_replica_sets_of_deployments_are_kept() {
    let owned = json!({"metadata": {"ownerReferences": [
        {"kind": "Deployment", "name": "d", "uid": "du", "controller": true}]}});
    assert_eq!(row::<ReplicaSet>(owned), Some(ObjectKey::of("du")));
    assert_eq!(row::<ReplicaSet>(json!({"metadata": {"name": "bare"}})), None);
}

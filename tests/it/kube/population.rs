//! What runs in the cluster, as controllers and kubelets would have written it.

use serde_json::{Value, json};

use super::cluster::Kubernetes;

const PODS: &str = "/api/v1/namespaces/shop/pods";

/// Three nodes, a deployment with all its pods and one that was evicted, a
/// finished job, and a pod that has not started yet.
pub(crate) async fn populate(kubernetes: &Kubernetes) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    kubernetes.create("/api/v1/namespaces", namespace).await;
    for name in ["edge-1", "edge-2", "edge-3"] {
        kubernetes.create("/api/v1/nodes", node(name)).await;
    }
    let deployment = workload(kubernetes, "Deployment", "deployments", &Value::Null).await;
    let owner = owner("apps/v1", "Deployment", &deployment);
    let replica_set = workload(kubernetes, "ReplicaSet", "replicasets", &owner).await;
    let owner = self::owner("apps/v1", "ReplicaSet", &replica_set);
    for (name, phase, reason) in [
        ("web-1", "Running", None),
        ("web-2", "Running", None),
        ("web-0", "Failed", Some("Evicted")),
    ] {
        pod(kubernetes, name, &owner, phase, reason).await;
    }
    pod(kubernetes, "import-1", &Value::Null, "Succeeded", None).await;
    pod(kubernetes, "cache-1", &Value::Null, "Pending", None).await;
}

/// The pod that has not started is given up.
pub(crate) async fn give_up_the_pending_pod(kubernetes: &Kubernetes) {
    kubernetes.delete(&format!("{PODS}/cache-1")).await;
}

/// What the kubelet of a node says, or the controller that misses it.
pub(crate) async fn node_is(
    kubernetes: &Kubernetes,
    name: &str,
    ready: bool,
    (reason, message): (&str, &str),
) {
    let status = if ready { "True" } else { "False" };
    let condition =
        json!({"type": "Ready", "status": status, "reason": reason, "message": message});
    let path = format!("/api/v1/nodes/{name}/status");
    kubernetes.merge(&path, json!({"status": {"conditions": [condition]}})).await;
}

fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "allocatable": {"cpu": "3900m", "memory": "8Gi", "pods": "110"},
            "nodeInfo": {
                "kubeletVersion": "v1.20.2", "machineID": "", "systemUUID": "", "bootID": "",
                "kernelVersion": "5.10", "osImage": "Debian", "architecture": "amd64",
                "containerRuntimeVersion": "containerd://1.4", "kubeProxyVersion": "v1.20.2",
                "operatingSystem": "linux",
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady",
                "message": "kubelet is posting ready status",
            }],
        },
    })
}

/// Two replicas of `web`, both ready.
async fn workload(kubernetes: &Kubernetes, kind: &str, plural: &str, owner: &Value) -> Value {
    let path = format!("/apis/apps/v1/namespaces/shop/{plural}");
    let labels = json!({"app": "web"});
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "ownerReferences": owners(owner)},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec()},
        },
    });
    let stored = kubernetes.create(&path, object).await;
    let status = json!({"status": {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}});
    kubernetes.merge(&format!("{path}/web/status"), status).await;
    stored
}

async fn pod(
    kubernetes: &Kubernetes,
    name: &str,
    owner: &Value,
    phase: &str,
    reason: Option<&str>,
) {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "ownerReferences": owners(owner)},
        "spec": pod_spec(),
    });
    kubernetes.create(PODS, object).await;
    let status = json!({"status": {"phase": phase, "reason": reason}});
    kubernetes.merge(&format!("{PODS}/{name}/status"), status).await;
}

fn pod_spec() -> Value {
    json!({
        "containers": [{"name": "web", "image": "registry.example.test/web:1"}],
        "automountServiceAccountToken": false,
    })
}

fn owner(version: &str, kind: &str, object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": version, "kind": kind, "controller": true,
        "name": metadata["name"], "uid": metadata["uid"],
    })
}

fn owners(owner: &Value) -> Value {
    if owner.is_null() { json!([]) } else { json!([owner]) }
}

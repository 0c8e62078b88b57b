//! The parts of Kubernetes objects that a report is made of.
//!
//! Owns: types that read only the fields we use, so that serde passes over the
//! rest of a 15 KB pod without keeping any of it.
//! Must not know: how rows are kept or what a report says.
//!
//! Every field is optional on the wire: a field that a server leaves out or
//! sets to null must never stop the watch of all other objects. No type here
//! uses `#[serde(flatten)]`, which would keep every field it does not know.

use std::{borrow::Cow, fmt::Debug};

use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::clock::Timestamp;

/// What we read of one kind of object.
pub trait View: Clone + Debug + Send + 'static {
    /// Namespaced or of the whole cluster.
    type Scope;
    /// The fields of `spec`.
    type Spec: Clone + Debug + Default + DeserializeOwned + Send;
    /// The fields of `status`.
    type Status: Clone + Debug + Default + DeserializeOwned + Send;
    /// The API group; empty for the core group.
    const GROUP: &'static str;
    /// The kind.
    const KIND: &'static str;
    /// The kind in paths.
    const PLURAL: &'static str;
}

/// An object, reduced to a [`View`].
#[derive(Clone, Debug)]
pub struct Object<V: View> {
    meta: ObjectMeta,
    /// When it was created, if the server says so.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The controller that manages it.
    pub owner: Option<Owner>,
    /// What is wanted.
    pub spec: V::Spec,
    /// What is.
    pub status: V::Status,
}

impl<V: View> Object<V> {
    /// Its name; empty only if the server sent none.
    pub fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// Its namespace; empty for objects of the whole cluster.
    pub fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    /// Its uid, or its name where there is none.
    pub fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or(self.name())
    }
}

impl<V: View> Resource for Object<V> {
    type DynamicType = ();
    type Scope = V::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        V::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        V::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        V::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// A reference to the object that made this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// `ReplicaSet`, `Job` and so on.
    pub kind: String,
    /// Its name; its namespace is that of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it is the one that manages the object.
    pub controller: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<String>,
    creation_timestamp: Option<String>,
    #[serde(deserialize_with = "or_default")]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize)]
struct Wire<S: Default + DeserializeOwned, T: Default + DeserializeOwned> {
    #[serde(default)]
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: S,
    #[serde(default, deserialize_with = "or_default")]
    status: T,
}

impl<'de, V: View> Deserialize<'de> for Object<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Wire { metadata, spec, status } =
            Wire::<V::Spec, V::Status>::deserialize(deserializer)?;
        Ok(Self {
            created: metadata.creation_timestamp.as_deref().and_then(|text| text.parse().ok()),
            terminating: metadata.deletion_timestamp.is_some(),
            owner: metadata.owner_references.into_iter().find(|owner| owner.controller),
            meta: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                ..ObjectMeta::default()
            },
            spec,
            status,
        })
    }
}

/// Go writes an empty list or map as `null` here and there.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident = $group:literal $kind:literal $plural:literal $scope:ty, $spec:ty, $status:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $view;

        impl View for $view {
            type Scope = $scope;
            type Spec = $spec;
            type Status = $status;
            const GROUP: &'static str = $group;
            const KIND: &'static str = $kind;
            const PLURAL: &'static str = $plural;
        }
    )*};
}

/// Nothing of a part that we have no use for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Nothing {}

views! {
    /// A node.
    Node = "" "Node" "nodes" ClusterResourceScope, NodeSpec, NodeStatus;
    /// A pod.
    Pod = "" "Pod" "pods" NamespaceResourceScope, Nothing, PodStatus;
    /// A deployment.
    Deployment = "apps" "Deployment" "deployments" NamespaceResourceScope, Replicas, ReplicaStatus;
    /// A stateful set.
    StatefulSet = "apps" "StatefulSet" "statefulsets" NamespaceResourceScope, Replicas, ReplicaStatus;
    /// A daemon set.
    DaemonSet = "apps" "DaemonSet" "daemonsets" NamespaceResourceScope, Nothing, DaemonStatus;
    /// A replica set: only the link between a pod and its deployment.
    ReplicaSet = "apps" "ReplicaSet" "replicasets" NamespaceResourceScope, Nothing, Nothing;
}

/// `spec` of a node.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Cordoned.
    pub unschedulable: bool,
}

/// `status` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// Among them the one called `Ready`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// What pods may use.
    #[serde(deserialize_with = "or_default")]
    pub allocatable: Amounts,
    /// The kubelet's version.
    #[serde(deserialize_with = "or_default")]
    pub node_info: NodeInfo,
}

/// One condition of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its name.
    #[serde(rename = "type")]
    pub name: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
    /// A sentence.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
}

/// CPU and memory as quantities.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Amounts {
    /// Cores.
    #[serde(deserialize_with = "or_default")]
    pub cpu: String,
    /// Bytes.
    #[serde(deserialize_with = "or_default")]
    pub memory: String,
}

/// `status.nodeInfo` of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    /// E.g. `v1.33.2`.
    #[serde(deserialize_with = "or_default")]
    pub kubelet_version: String,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(deserialize_with = "or_default")]
    pub phase: String,
    /// Why, e.g. `Evicted`.
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
    /// Among them `PodScheduled`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// The containers that run before the others.
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// The containers.
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
}

/// One container of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// What it does now.
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
}

/// At most one of these is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Not started (again) yet.
    pub waiting: Option<Waiting>,
    /// Ended.
    pub terminated: Option<Terminated>,
}

/// A container that waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// Why, e.g. `CrashLoopBackOff`.
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
}

/// A container that ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Why, e.g. `OOMKilled`.
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
    /// Zero when it ended well.
    pub exit_code: i32,
}

/// `spec` of a deployment or stateful set.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Replicas {
    /// How many are wanted; one if left out.
    pub replicas: Option<u32>,
}

/// `status` of a deployment or stateful set.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaStatus {
    /// How many are ready.
    #[serde(deserialize_with = "or_default")]
    pub ready_replicas: u32,
}

/// `status` of a daemon set.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonStatus {
    /// On how many nodes it should run.
    #[serde(deserialize_with = "or_default")]
    pub desired_number_scheduled: u32,
    /// On how many it is ready.
    #[serde(deserialize_with = "or_default")]
    pub number_ready: u32,
}

/// What one node uses, as the metrics API says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeMetrics {
    metadata: ObjectMeta,
    /// In use now.
    #[serde(deserialize_with = "or_default")]
    pub usage: Amounts,
}

impl Resource for NodeMetrics {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "NodeMetrics".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "metrics.k8s.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1beta1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_read_without_the_fields_that_we_do_not_name() {
        let pod: Object<Pod> = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-1", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
                "creationTimestamp": "2026-11-22T05:28:26Z", "labels": {"a": "b"},
                "ownerReferences": [
                    {"kind": "Other", "name": "o", "uid": "x"},
                    {"kind": "ReplicaSet", "name": "web", "uid": "r1", "controller": true},
                ],
            },
            "spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "B"}]}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
        }))
        .unwrap();

        assert_eq!((pod.name(), pod.namespace(), pod.uid()), ("web-1", "shop", "u1"));
        assert_eq!(pod.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(pod.meta().labels, None);
        assert_eq!(pod.created, "2026-11-22T05:28:26Z".parse().ok());
        assert_eq!(pod.owner.unwrap().uid, "r1");
        assert!(!pod.terminating);
        assert!(pod.status.container_statuses[0].state.waiting.is_some());
    }

    #[test]
    fn nulls_and_missing_fields_are_read_as_nothing() {
        for text in [
            "{}",
            r#"{"metadata":{"name":"n","ownerReferences":null,"creationTimestamp":null},"spec":null,"status":null}"#,
            r#"{"metadata":{},"status":{"phase":null,"conditions":null,"containerStatuses":null}}"#,
            r#"{"metadata":{},"status":{"containerStatuses":[{"state":null},{}]}}"#,
        ] {
            let pod: Object<Pod> = serde_json::from_str(text).unwrap();
            assert_eq!(pod.status.phase, "");
        }
        let node: Object<Node> =
            serde_json::from_str(r#"{"status":{"allocatable":null,"nodeInfo":null}}"#).unwrap();
        assert_eq!(node.status.allocatable.cpu, "");
        let set: Object<Deployment> =
            serde_json::from_str(r#"{"spec":{"replicas":null},"status":{"readyReplicas":null}}"#)
                .unwrap();
        assert_eq!(set.status.ready_replicas, 0);
    }
}

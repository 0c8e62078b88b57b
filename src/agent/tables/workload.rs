//! Deployments, stateful sets, daemon sets and replica sets as rows.
//!
//! Owns: what is kept of a workload: how many pods it should have and how many are ready.
//! Must not know: the pods.

use super::{ObjectKey, Rows, Tabled, Tables};
use crate::agent::objects::{DaemonSet, Deployment, Object, ReplicaSet, StatefulSet, View};

/// A deployment, stateful set or daemon set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRow {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// How many pods there should be.
    pub desired: u32,
    /// How many are ready.
    pub ready: u32,
}

impl WorkloadRow {
    fn of<V: View>(object: &Object<V>, desired: u32, ready: u32) -> Self {
        Self { namespace: object.namespace().into(), name: object.name().into(), desired, ready }
    }
}

impl Tabled for Deployment {
    type Row = WorkloadRow;

    fn rows(tables: &mut Tables) -> &mut Rows<WorkloadRow> {
        &mut tables.deployments
    }

    fn row(object: &Object<Self>) -> Option<WorkloadRow> {
        let desired = object.spec.replicas.unwrap_or(1);
        Some(WorkloadRow::of(object, desired, object.status.ready_replicas))
    }
}

impl Tabled for StatefulSet {
    type Row = WorkloadRow;

    fn rows(tables: &mut Tables) -> &mut Rows<WorkloadRow> {
        &mut tables.stateful_sets
    }

    fn row(object: &Object<Self>) -> Option<WorkloadRow> {
        let desired = object.spec.replicas.unwrap_or(1);
        Some(WorkloadRow::of(object, desired, object.status.ready_replicas))
    }
}

impl Tabled for DaemonSet {
    type Row = WorkloadRow;

    fn rows(tables: &mut Tables) -> &mut Rows<WorkloadRow> {
        &mut tables.daemon_sets
    }

    fn row(object: &Object<Self>) -> Option<WorkloadRow> {
        let status = &object.status;
        Some(WorkloadRow::of(object, status.desired_number_scheduled, status.number_ready))
    }
}

impl Tabled for ReplicaSet {
    type Row = ObjectKey;

    fn rows(tables: &mut Tables) -> &mut Rows<ObjectKey> {
        &mut tables.replica_sets
    }

    fn row(object: &Object<Self>) -> Option<ObjectKey> {
        let owner = object.owner.as_ref().filter(|owner| owner.kind == "Deployment")?;
        Some(ObjectKey::of(&owner.uid))
    }
}

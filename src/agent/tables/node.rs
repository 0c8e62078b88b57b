//! Nodes as rows.
//!
//! Owns: what is kept of a node and how a reason is found for one that is not ready.
//! Must not know: what a report says of it.

use super::{Rows, Tabled, Tables, sentence};
use crate::agent::{
    objects::{Node, Object},
    quantity::Quantity,
};

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its name.
    pub name: Box<str>,
    /// Whether its `Ready` condition is true.
    pub ready: bool,
    /// Whether it is not cordoned.
    pub schedulable: bool,
    /// Why it is not ready; empty when it is.
    pub reason: Box<str>,
    /// The kubelet's version.
    pub version: Box<str>,
    /// Allocatable, in thousandths of a core.
    pub cpu_millis: u64,
    /// Allocatable, in bytes.
    pub memory_bytes: u64,
}

impl Tabled for Node {
    type Row = NodeRow;

    fn rows(tables: &mut Tables) -> &mut Rows<NodeRow> {
        &mut tables.nodes
    }

    fn row(node: &Object<Self>) -> Option<NodeRow> {
        let ready = node.status.conditions.iter().find(|condition| condition.name == "Ready");
        let reason = match ready {
            Some(condition) if condition.status == "True" => String::new(),
            Some(condition) => sentence(&condition.reason, &condition.message),
            None => "The kubelet has not reported yet".to_owned(),
        };
        let quantity = |text: &str| text.parse::<Quantity>().unwrap_or_default();
        Some(NodeRow {
            name: node.name().into(),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            schedulable: !node.spec.unschedulable,
            reason: reason.into(),
            version: node.status.node_info.kubelet_version.as_str().into(),
            cpu_millis: quantity(&node.status.allocatable.cpu).millis(),
            memory_bytes: quantity(&node.status.allocatable.memory).units(),
        })
    }
}

//! Pods as rows.
//!
//! Owns: what is kept of a pod, whether it is in trouble, and the words for it.
//! Must not know: which workload a pod's owner is part of.

use super::{ObjectKey, Rows, Tabled, Tables, sentence, shortened};
use crate::{
    agent::objects::{ContainerState, Object, Pod},
    clock::Timestamp,
};

/// A pod's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted and not running yet.
    Pending,
    /// Bound and at least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// A container ended badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRow {
    /// Its phase.
    pub phase: Phase,
    /// The controller that manages it.
    pub owner: Option<ObjectKey>,
    /// Kept only while the pod may have to be named.
    pub detail: Option<Box<PodDetail>>,
}

/// What a report needs in order to name a pod or its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDetail {
    /// The pod's namespace.
    pub namespace: Box<str>,
    /// The kind to blame: the owner's, or `Pod`.
    pub kind: Box<str>,
    /// The name to blame: the owner's, or the pod's.
    pub name: Box<str>,
    /// What is wrong, or what it waits for.
    pub reason: Box<str>,
    /// Whether that counts from the start, or only when it lasts.
    pub trouble: Trouble,
}

/// How a pod is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A container cannot run.
    Container,
    /// The pod failed for good; its owner may have made another.
    Failed,
    /// Not running yet; trouble only when this lasts.
    PendingSince(Timestamp),
}

impl Tabled for Pod {
    type Row = PodRow;

    fn rows(tables: &mut Tables) -> &mut Rows<PodRow> {
        &mut tables.pods
    }

    fn row(pod: &Object<Self>) -> Option<PodRow> {
        let phase = match pod.status.phase.as_str() {
            "Pending" => Phase::Pending,
            "Running" => Phase::Running,
            "Succeeded" => Phase::Succeeded,
            "Failed" => Phase::Failed,
            _ => Phase::Unknown,
        };
        let owner = pod.owner.as_ref();
        let detail = trouble(pod, phase).map(|(trouble, reason)| {
            Box::new(PodDetail {
                namespace: pod.namespace().into(),
                kind: owner.map_or("Pod", |owner| &owner.kind).into(),
                name: owner.map_or(pod.name(), |owner| &owner.name).into(),
                reason: reason.into(),
                trouble,
            })
        });
        Some(PodRow { phase, owner: owner.map(|owner| ObjectKey::of(&owner.uid)), detail })
    }
}

/// What is wrong with a pod, or may become wrong when it lasts. A pod that is
/// being deleted is nobody's trouble.
fn trouble(pod: &Object<Pod>, phase: Phase) -> Option<(Trouble, String)> {
    if pod.terminating || phase == Phase::Succeeded {
        return None;
    }
    if phase == Phase::Failed {
        return Some((Trouble::Failed, failure(pod)));
    }
    if let Some(reason) = blocked_container(pod) {
        return Some((Trouble::Container, reason));
    }
    if phase == Phase::Pending {
        // Without a time the pod counts from the start: better too early than never.
        let since = pod.created.unwrap_or(Timestamp::from_micros(0));
        return Some((Trouble::PendingSince(since), waiting_for(pod)));
    }
    None
}

fn containers(pod: &Object<Pod>) -> impl Iterator<Item = &ContainerState> {
    let status = &pod.status;
    let all = status.init_container_statuses.iter().chain(&status.container_statuses);
    all.map(|container| &container.state)
}

/// Why a container cannot run, when it is not merely being started.
fn blocked_container(pod: &Object<Pod>) -> Option<String> {
    let starting = ["", "ContainerCreating", "PodInitializing"];
    let mut waiting = containers(pod).filter_map(|state| state.waiting.as_ref());
    let reason = waiting.find(|waiting| !starting.contains(&waiting.reason.as_str()))?;
    Some(shortened(&reason.reason))
}

/// Why a pod failed: evicted, or what the container ended with.
fn failure(pod: &Object<Pod>) -> String {
    if !pod.status.reason.is_empty() {
        return shortened(&pod.status.reason);
    }
    let ended = containers(pod).filter_map(|state| state.terminated.as_ref());
    let reason = ended.filter(|ended| ended.exit_code != 0).map(|ended| ended.reason.as_str());
    shortened(reason.filter(|reason| !reason.is_empty()).last().unwrap_or("Failed"))
}

/// What a pending pod waits for, as the scheduler or the kubelet says.
fn waiting_for(pod: &Object<Pod>) -> String {
    let scheduled = pod.status.conditions.iter().find(|condition| condition.name == "PodScheduled");
    if let Some(condition) = scheduled.filter(|condition| condition.status != "True") {
        return sentence(&condition.reason, &condition.message);
    }
    let waiting = containers(pod).filter_map(|state| state.waiting.as_ref());
    let reason = waiting.map(|waiting| waiting.reason.as_str()).find(|reason| !reason.is_empty());
    shortened(reason.unwrap_or("Pending"))
}

//! Pod conditions. Upstream: `pkg/kubelet/status/generate.go`; order, reasons and texts are its own.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodCondition};

use crate::container_status::Statuses;
use crate::phase::Phase;
use crate::pod::{BoundPod, is_sidecar};
use crate::view::View;

const READY_TO_START: &str = "PodReadyToStartContainers";
const INITIALIZED: &str = "Initialized";
const READY: &str = "Ready";
const CONTAINERS_READY: &str = "ContainersReady";
const SCHEDULED: &str = "PodScheduled";
const DISRUPTION_TARGET: &str = "DisruptionTarget";
const RESIZE_PENDING: &str = "PodResizePending";
const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";
/// What the node writes; all others are kept as they are.
const OWN: [&str; 7] = [READY_TO_START, INITIALIZED, READY, CONTAINERS_READY, SCHEDULED, RESIZE_PENDING, RESIZE_IN_PROGRESS];

/// Undated: the caller knows since when each holds.
pub(crate) fn conditions(view: &View, statuses: &Statuses, phase: Phase, disruption: Option<&str>) -> Vec<PodCondition> {
    let pod = view.pod;
    let mut all: Vec<PodCondition> = pod.status.conditions.iter().flatten().filter(|c| !OWN.contains(&c.type_.as_str())).cloned().collect();
    if let Some(message) = disruption {
        all.retain(|c| c.type_ != DISRUPTION_TARGET);
        all.push(holds(DISRUPTION_TARGET).because("TerminationByKubelet", message));
    }
    all.extend(resize_conditions(view, phase));
    let ready_to_start = match view.sandbox() {
        Ok(_) => holds(READY_TO_START),
        Err(why) => fails(READY_TO_START).because("PodSandboxNotReady", why),
    };
    let containers_ready = containers_ready(pod, statuses, phase);
    let own = [ready_to_start, initialized(pod, statuses, phase), ready(pod, &containers_ready, &all), containers_ready, holds(SCHEDULED)];
    all.extend(own.into_iter().map(|c| PodCondition { observed_generation: pod.meta.generation, ..c }));
    all
}

fn condition(type_: &str, status: &str) -> PodCondition {
    PodCondition { type_: type_.to_owned(), status: status.to_owned(), ..PodCondition::default() }
}
fn holds(type_: &str) -> PodCondition {
    condition(type_, "True")
}
fn fails(type_: &str) -> PodCondition {
    condition(type_, "False")
}

trait Because {
    fn because(self, reason: &str, message: &str) -> PodCondition;
}
impl Because for PodCondition {
    fn because(self, reason: &str, message: &str) -> PodCondition {
        let message = (!message.is_empty()).then(|| message.to_owned());
        PodCondition { reason: Some(reason.to_owned()), message, ..self }
    }
}

/// The generations are those whose wishes are meant. Upstream: none of them once the pod has ended.
fn resize_conditions(view: &View, phase: Phase) -> Vec<PodCondition> {
    if phase.is_terminal() {
        return Vec::new();
    }
    let pending = view.pod.pending_resize.as_ref().map(|pending| {
        let condition = holds(RESIZE_PENDING).because("Deferred", &pending.message);
        PodCondition { observed_generation: Some(pending.generation), ..condition }
    });
    let in_progress = view.memory.resizing.as_ref().map(|resizing| {
        let condition = holds(RESIZE_IN_PROGRESS);
        let condition = if let Some(error) = &resizing.error { condition.because("Error", error) } else { condition };
        PodCondition { observed_generation: Some(resizing.generation), ..condition }
    });
    pending.into_iter().chain(in_progress).collect()
}

fn initialized(pod: &BoundPod, statuses: &Statuses, phase: Phase) -> PodCondition {
    if phase == Phase::Succeeded {
        return holds(INITIALIZED).because("PodCompleted", "");
    }
    let has_begun = |s: &ContainerStatus| s.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some());
    if statuses.regular.iter().any(has_begun) {
        return holds(INITIALIZED);
    }
    let is_incomplete = |(container, status): &(&Container, &ContainerStatus)| {
        if is_sidecar(container) { status.started != Some(true) } else { !status.ready }
    };
    let containers = pod.init_containers().iter().zip(&statuses.init);
    let incomplete: Vec<&str> = containers.filter(is_incomplete).map(|(c, _)| c.name.as_str()).collect();
    if incomplete.is_empty() {
        return holds(INITIALIZED);
    }
    fails(INITIALIZED).because("ContainersNotInitialized", &format!("containers with incomplete status: [{}]", incomplete.join(" ")))
}

fn containers_ready(pod: &BoundPod, statuses: &Statuses, phase: Phase) -> PodCondition {
    match phase {
        Phase::Succeeded => return fails(CONTAINERS_READY).because("PodCompleted", ""),
        Phase::Failed => return fails(CONTAINERS_READY).because("PodFailed", ""),
        Phase::Pending | Phase::Running => {}
    }
    let sidecars = pod.init_containers().iter().zip(&statuses.init).filter(|(c, _)| is_sidecar(c)).map(|(_, s)| s);
    let regular = pod.spec.containers.iter().filter_map(|c| statuses.regular.iter().find(|s| s.name == c.name));
    let unready: Vec<&str> = sidecars.chain(regular).filter(|s| !s.ready).map(|s| s.name.as_str()).collect();
    if unready.is_empty() {
        return holds(CONTAINERS_READY);
    }
    fails(CONTAINERS_READY).because("ContainersNotReady", &format!("containers with unready status: [{}]", unready.join(" ")))
}

fn ready(pod: &BoundPod, containers_ready: &PodCondition, others: &[PodCondition]) -> PodCondition {
    if containers_ready.status != "True" {
        return PodCondition { type_: READY.to_owned(), ..containers_ready.clone() };
    }
    let gates = pod.spec.readiness_gates.iter().flatten();
    let shut: Vec<String> = gates.filter_map(|gate| shut_gate(&gate.condition_type, others)).collect();
    if shut.is_empty() {
        return holds(READY);
    }
    fails(READY).because("ReadinessGatesNotReady", &shut.join(", "))
}

fn shut_gate(gate: &str, conditions: &[PodCondition]) -> Option<String> {
    match conditions.iter().find(|c| c.type_ == gate) {
        None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
        Some(c) if c.status != "True" => Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {}", c.status)),
        Some(_) => None,
    }
}

//! The one word for a pod. Upstream: `getPhase`.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use crate::container_status::Statuses;
use crate::pod::{BoundPod, is_sidecar};
use crate::restart::policy_restarts;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn read(text: Option<&str>) -> Self {
        match text {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            _ => Phase::Pending,
        }
    }
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// How far one container has come, for counting.
enum Stage {
    Waiting,
    Running,
    /// It ran and ended with this code; perhaps it is about to run again.
    Ended(i32),
}

fn stage(status: &ContainerStatus) -> Stage {
    let ended = |state: &Option<ContainerState>| state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code);
    match &status.state {
        Some(state) if state.running.is_some() => Stage::Running,
        Some(state) if state.terminated.is_some() => Stage::Ended(ended(&status.state).unwrap_or(0)),
        _ => ended(&status.last_state).map_or(Stage::Waiting, Stage::Ended),
    }
}

#[derive(Default)]
struct Counts {
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
}

/// `is_down`: nothing runs nor will. `is_initialized`: a regular container was started in the present sandbox.
pub(crate) fn phase(pod: &BoundPod, statuses: &Statuses, is_down: bool, is_initialized: bool) -> Phase {
    let mut is_initializing = false;
    let mut counts = Counts::default();
    for (container, status) in pod.init_containers().iter().zip(&statuses.init) {
        match stage(status) {
            Stage::Ended(code) if !is_sidecar(container) => {
                if code != 0 && !policy_restarts(container, pod, code) {
                    return Phase::Failed;
                }
            }
            Stage::Waiting | Stage::Running if !is_sidecar(container) => is_initializing = true,
            Stage::Running => {
                counts.running += 1;
                is_initializing |= status.started != Some(true) && !is_initialized;
            }
            Stage::Waiting => {
                counts.waiting += 1;
                is_initializing |= !is_initialized;
            }
            // A sidecar that ended does not count.
            Stage::Ended(_) => {}
        }
    }
    for container in &pod.spec.containers {
        let Some(status) = statuses.regular.iter().find(|s| s.name == container.name) else { continue };
        match stage(status) {
            Stage::Running => counts.running += 1,
            Stage::Waiting => counts.waiting += 1,
            Stage::Ended(code) => {
                counts.stopped += 1;
                counts.stopped_for_good += usize::from(!policy_restarts(container, pod, code));
                counts.succeeded += usize::from(code == 0);
            }
        }
    }
    if is_initializing || counts.waiting > 0 {
        return Phase::Pending;
    }
    if counts.running > 0 || counts.stopped == 0 {
        return if counts.running > 0 { Phase::Running } else { Phase::Pending };
    }
    if !is_down && counts.stopped != counts.stopped_for_good {
        return Phase::Running;
    }
    if counts.stopped == counts.succeeded { Phase::Succeeded } else { Phase::Failed }
}

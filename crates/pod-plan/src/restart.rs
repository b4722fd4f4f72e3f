//! Whether a container that is not running is started again, and how long it has to wait for that.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use crate::backoff::Backoff;
use crate::memory::Memory;
use crate::pod::BoundPod;
use crate::view::{Instance, State, View};

/// The end of a run from which the next one's wait counts; `None` when it need not wait, nor is it counted.
///
/// Upstream: `doBackOff` looks at the last run that had ended before the node itself stopped this one (for a failed probe or a new
/// definition); only when that one's wait is not over does the stopped run's own end count.
pub fn wait_counts_from(instances: &[Instance], memory: &Memory, name: &str) -> Option<Timestamp> {
    let mut runs = instances.iter().filter(|i| i.name == name);
    let latest = runs.next()?;
    let ended_at = latest.exit()?.finished_at;
    if !memory.instances.get(&latest.id).is_some_and(|m| m.was_stopped) {
        return Some(ended_at);
    }
    let before = runs.find_map(Instance::exit)?.finished_at;
    let backoff = memory.containers.get(name).and_then(|m| m.backoff);
    Some(if Backoff::holds(backoff, before, ended_at).is_some() { ended_at } else { before })
}

/// Does the policy of the container, or else of the pod, want another run after this exit code?
pub fn policy_restarts(container: &Container, pod: &BoundPod, exit_code: i32) -> bool {
    let own = container.restart_policy.as_deref();
    // Rules only count beside a policy of the container's own.
    if own.is_some() && container.restart_policy_rules.iter().flatten().any(|rule| rule_matches(rule, exit_code)) {
        return true;
    }
    match own.unwrap_or_else(|| pod.restart_policy()) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

fn rule_matches(rule: &k8s_openapi::api::core::v1::ContainerRestartRule, exit_code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
    let matches = match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    };
    matches && matches!(rule.action.as_str(), "Restart" | "RestartAllContainers")
}

/// Is the container to be started, as things stand? Upstream: `ShouldContainerBeRestarted`.
pub fn should_start(view: &View, container: &Container) -> bool {
    if view.pod.is_deleted() || view.is_gone {
        return false;
    }
    match view.latest(&container.name) {
        None => true,
        Some(instance) => match &instance.state {
            State::Running { .. } => false,
            State::Created => true,
            State::Exited(exit) => is_replaced(view, instance) || policy_restarts(container, view.pod, exit.code),
        },
    }
}

/// It was stopped because its definition changed: the new one runs whatever the policy says.
fn is_replaced(view: &View, instance: &Instance) -> bool {
    view.memory.instances.get(&instance.id).is_some_and(|m| m.is_replaced)
}

/// After a failed probe: the policy alone counts, for there is no exit code yet.
pub fn restarts_after_failed_probe(container: &Container, pod: &BoundPod) -> bool {
    container.restart_policy.as_deref().unwrap_or_else(|| pod.restart_policy()) != "Never"
}

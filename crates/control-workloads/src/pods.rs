//! What a pod's status says: living, ready, available; and what of a pod controllers need at all.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("")
}

pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Counts as a replica.
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_leaving(pod)
}

pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

/// A pod that goes for no fault of its own says why: jobs need not count it as failed.
pub const DISRUPTION_TARGET: &str = "DisruptionTarget";

pub fn is_disrupted(pod: &Pod) -> bool {
    condition(pod, DISRUPTION_TARGET).is_some_and(|c| c.status == "True")
}

/// The pod with the condition that it is to be disrupted.
pub fn disrupted(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Pod {
    let mut pod = pod.clone();
    let observed_generation = pod.metadata.generation;
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.retain(|c| c.type_ != DISRUPTION_TARGET);
    conditions.push(PodCondition {
        type_: DISRUPTION_TARGET.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(whole_seconds(now)),
        observed_generation,
        ..PodCondition::default()
    });
    pod
}

pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

/// Since when a ready pod is ready.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    condition(pod, "Ready").filter(|c| c.status == "True")?.last_transition_time.as_ref().map(|t| t.0)
}

/// When a ready pod has been ready for long enough; `None` when it is not ready.
pub fn available_at(pod: &Pod, min_ready_seconds: i32) -> Option<Timestamp> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready_seconds <= 0 {
        return Some(Timestamp::MIN);
    }
    ready_since(pod)?.checked_add(SignedDuration::from_secs(min_ready_seconds.into())).ok()
}

pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    available_at(pod, min_ready_seconds).is_some_and(|at| at <= now)
}

/// The most restarts of any of its containers.
pub fn restarts_max(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let containers = status.and_then(|s| s.container_statuses.as_ref()).into_iter().flatten();
    containers.map(|c| c.restart_count).max().unwrap_or(0)
}

pub fn node_name(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("")
}

/// Drops what neither a controller nor the scheduler reads of a pod, which is most of it. Whoever writes one back writes its status only.
pub fn trim(pod: &mut Pod) {
    let Some(spec) = &mut pod.spec else { return };
    spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(|container| {
        let Container { name, image, ports, resources, restart_policy, .. } = std::mem::take(container);
        *container = Container { name, image, ports, resources, restart_policy, ..Container::default() };
    });
    spec.ephemeral_containers = None;
    spec.security_context = None;
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(|volume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some());
        volumes.shrink_to_fit();
    }
}

/// What the API keeps of a time; what is compared with a stored one must be cut too.
pub fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trimmed_pod_keeps_what_is_read() {
        let text = r#"{"metadata": {"name": "p", "annotations": {"a": "b"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i", "env": [{"name": "E"}], "command": ["x"],
                "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [{"name": "s", "restartPolicy": "Always", "args": ["y"]}],
                "volumes": [{"name": "v", "configMap": {"name": "m"}}, {"name": "w", "persistentVolumeClaim": {"claimName": "d"}}]},
            "status": {"phase": "Running"}}"#;
        let left = r#"{"metadata": {"name": "p", "annotations": {"a": "b"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i",
                "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "1"}}}],
                "initContainers": [{"name": "s", "restartPolicy": "Always"}],
                "volumes": [{"name": "w", "persistentVolumeClaim": {"claimName": "d"}}]},
            "status": {"phase": "Running"}}"#;
        let mut pod: Pod = serde_json::from_str(text).unwrap();
        trim(&mut pod);
        assert_eq!(pod, serde_json::from_str(left).unwrap());
    }
}

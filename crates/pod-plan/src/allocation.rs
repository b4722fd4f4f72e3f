//! What of its wishes a pod was granted. Upstream: `pkg/kubelet/allocation`.
//!
//! A running pod may ask for other amounts (`resize`). The node grants them when they fit beside the other pods; until then the
//! pod keeps what it has, and its condition `PodResizePending` says why. Everything else in this crate sees only what was granted.
//!
//! Invariant: nothing is kept on disk. After a restart of the node agent the API's own status tells what had been granted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, ResourceRequirements};
use object::quantity::Quantity;
use serde_json::json;

use crate::pod::BoundPod;
use crate::resources::{self, List};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allocation {
    /// Of the pod as a whole, when it states some.
    pod: Option<ResourceRequirements>,
    /// By name; debugging containers have none.
    containers: BTreeMap<String, ResourceRequirements>,
}

impl Allocation {
    /// What the spec asks for.
    pub fn wanted(pod: &BoundPod) -> Self {
        let containers = pod.init_containers().iter().chain(&pod.spec.containers);
        Allocation {
            pod: pod.spec.resources.clone(),
            containers: containers.map(|c| (c.name.clone(), c.resources.clone().unwrap_or_default())).collect(),
        }
    }

    /// What the API was told last; where it was told nothing, what the spec asks for.
    pub fn told(pod: &BoundPod) -> Self {
        let mut told = Allocation::wanted(pod);
        let status = &pod.status;
        if let (Some(whole), Some(shown)) = (&mut told.pod, &status.resources) {
            whole.requests = restricted(whole.requests.take(), status.allocated_resources.as_ref().or(shown.requests.as_ref()));
            whole.limits = restricted(whole.limits.take(), shown.limits.as_ref());
        }
        for shown in status.init_container_statuses.iter().chain(&status.container_statuses).flatten() {
            if let (Some(own), true) = (told.containers.get_mut(&shown.name), shows_resources(shown)) {
                own.requests = shown.allocated_resources.clone();
                own.limits = shown.resources.as_ref().and_then(|r| r.limits.clone());
            }
        }
        told
    }

    /// As amounts: `1` and `1000m` are the same.
    pub fn equals(&self, other: &Allocation) -> bool {
        let same = |a: &ResourceRequirements, b: &ResourceRequirements| {
            equal_lists(a.requests.as_ref(), b.requests.as_ref()) && equal_lists(a.limits.as_ref(), b.limits.as_ref())
        };
        let none = ResourceRequirements::default();
        same(self.pod.as_ref().unwrap_or(&none), other.pod.as_ref().unwrap_or(&none))
            && self.containers.len() == other.containers.len()
            && self.containers.iter().all(|(name, own)| other.containers.get(name).is_some_and(|theirs| same(own, theirs)))
    }

    /// Puts what was granted in the place of what is asked for.
    pub fn grant(&self, pod: &mut BoundPod) {
        pod.spec.resources.clone_from(&self.pod);
        for container in pod.spec.init_containers.iter_mut().flatten().chain(&mut pod.spec.containers) {
            if let Some(granted) = self.containers.get(&container.name) {
                container.resources = Some(granted.clone()).filter(|g| *g != ResourceRequirements::default());
            }
        }
    }
}

fn shows_resources(status: &ContainerStatus) -> bool {
    status.container_id.as_deref().is_some_and(|id| !id.is_empty()) && status.resources.is_some()
}

/// The shown amounts of the names that are asked for at all.
pub(crate) fn restricted(wanted: Option<List>, shown: Option<&List>) -> Option<List> {
    let mut list = wanted?;
    for (name, amount) in &mut list {
        if let Some(shown) = shown.and_then(|s| s.get(name)) {
            amount.clone_from(shown);
        }
    }
    Some(list)
}

fn equal_lists(a: Option<&List>, b: Option<&List>) -> bool {
    let empty = List::new();
    let (a, b) = (a.unwrap_or(&empty), b.unwrap_or(&empty));
    a.len() == b.len() && a.iter().all(|(name, amount)| b.get(name).is_some_and(|other| equal_amounts(&amount.0, &other.0)))
}

fn equal_amounts(a: &str, b: &str) -> bool {
    match (Quantity::parse(a), Quantity::parse(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Does `after` ask for more of anything than `before`?
pub fn asks_for_more(before: &BoundPod, after: &BoundPod) -> bool {
    ["cpu", "memory"].iter().any(|name| resources::pod_request(after, name) > resources::pod_request(before, name))
}

/// The order in which waiting wishes are looked at, least first: those that ask for no more, then by importance.
pub fn rank(granted: &BoundPod, wanted: &BoundPod) -> impl Ord + use<> {
    let priority = wanted.spec.priority.unwrap_or(0);
    (asks_for_more(granted, wanted), std::cmp::Reverse(priority), resources::qos_class(wanted) != resources::GUARANTEED)
}

/// The tail of an event's message: what the pod has or wants, as upstream writes it.
pub fn summary(pod: &BoundPod, generation: i64, error: Option<&str>) -> String {
    let all = |containers: &[k8s_openapi::api::core::v1::Container]| -> Vec<serde_json::Value> {
        containers.iter().map(|c| json!({"name": c.name, "resources": c.resources.clone().unwrap_or_default()})).collect()
    };
    let mut text = String::from("{");
    let mut add = |name: &str, value: String| {
        let comma = if text.len() > 1 { "," } else { "" };
        text.push_str(&format!("{comma}\"{name}\":{value}"));
    };
    for (name, list) in [("initContainers", all(pod.init_containers())), ("containers", all(&pod.spec.containers))] {
        if !list.is_empty() {
            add(name, json!(list).to_string());
        }
    }
    add("generation", generation.to_string());
    if let Some(error) = error.filter(|e| !e.is_empty()) {
        add("error", json!(error).to_string());
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn pod(resources: Value, status: Value) -> BoundPod {
        let spec = json!({"containers": [{"name": "a", "resources": resources}]});
        BoundPod::read(&json!({"metadata": {"name": "p", "generation": 2}, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn equal_amounts_are_no_resize() {
        let of = |cpu: &str| Allocation::wanted(&pod(json!({"requests": {"cpu": cpu}, "limits": {}}), json!({})));
        for (before, after, is_same) in [("1", "1000m", true), ("100m", "0.1", true), ("1", "2", false)] {
            assert_eq!(of(before).equals(&of(after)), is_same, "{before} {after}");
        }
    }

    #[test]
    fn what_the_status_tells_was_granted() {
        let shown =
            json!([{"name": "a", "containerID": "c://1", "allocatedResources": {"cpu": "1"}, "resources": {"limits": {"cpu": "2"}}}]);
        let asked = json!({"requests": {"cpu": "4"}, "limits": {"cpu": "8"}});
        let told = Allocation::told(&pod(asked.clone(), json!({"containerStatuses": shown})));
        assert!(told.equals(&Allocation::wanted(&pod(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}), json!({})))));
        let unknown = Allocation::told(&pod(asked.clone(), json!({})));
        assert!(unknown.equals(&Allocation::wanted(&pod(asked, json!({})))));
    }

    #[test]
    fn events_tell_of_amounts() {
        let text = summary(&pod(json!({"requests": {"cpu": "1"}}), json!({})), 3, Some("no \"room\""));
        let expected = r#"{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}],"generation":3,"error":"no \"room\""}"#;
        assert_eq!(text, expected);
    }
}

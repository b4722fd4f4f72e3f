//! The life of a node: a silent one becomes Unknown, conditions become taints, and its pods are told.
//!
//! Silence is measured by when the last sign of life was *heard here*, so clocks of nodes need not agree.
//! When no node at all is heard, it is we who are cut off, and nobody is evicted (upstream: `node_lifecycle_controller.go`).

use std::collections::BTreeSet;
use std::sync::Arc;

use control_workloads::pods::{self, whole_seconds};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use object::plan::{Change, Note, Plan, Reference};
use serde_json::json;

/// Upstream: `--node-monitor-grace-period`.
pub const GRACE: SignedDuration = SignedDuration::from_secs(50);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

pub struct View<'a> {
    pub node: &'a Node,
    /// When its lease or status last moved, by our own clock.
    pub heard_at: Timestamp,
    /// Whether any node is ready.
    pub is_any_ready: bool,
    /// The pods on it.
    pub pods: &'a [Arc<Pod>],
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let node = view.node;
    let mut plan = Plan::nothing();
    if node.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let silent_at = view.heard_at + GRACE;
    if now >= silent_at && readiness(node) != Readiness::Unknown {
        let change = Change::update_status(&silenced(node, now));
        let name = node.metadata.name.as_deref().unwrap_or("");
        let text = format!("Node {name} status is now: NodeNotReady");
        plan.changes.push(change.telling(Note::normal(Reference::of(node), "NodeNotReady", text)));
    } else {
        if let Some(taints) = changed_taints(view, now) {
            let patch = json!({"metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": taints}});
            plan.changes.push(Change::merge(node, "", patch));
        }
        if now < silent_at {
            plan.wake_by(silent_at);
        }
    }
    if readiness(node) != Readiness::Ready {
        plan.changes.extend(view.pods.iter().filter(|pod| pods::is_ready(pod)).map(|pod| unready(pod, now)));
    }
    plan
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    NotReady,
    Unknown,
    /// It has not said anything yet.
    Unsaid,
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn readiness(node: &Node) -> Readiness {
    match condition(node, "Ready").map(|c| c.status.as_str()) {
        Some("True") => Readiness::Ready,
        Some("Unknown") => Readiness::Unknown,
        Some(_) => Readiness::NotReady,
        None => Readiness::Unsaid,
    }
}

/// What a node says of itself becomes unknown.
fn silenced(node: &Node, now: Timestamp) -> Node {
    let mut node = node.clone();
    let at = Some(whole_seconds(now));
    let created = node.metadata.creation_timestamp.clone();
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(c) if c.status == "Unknown" => {}
            Some(c) => {
                c.status = "Unknown".to_owned();
                c.reason = Some("NodeStatusUnknown".to_owned());
                c.message = Some("Kubelet stopped posting node status.".to_owned());
                c.last_transition_time.clone_from(&at);
            }
            None => conditions.push(NodeCondition {
                type_: kind.to_owned(),
                status: "Unknown".to_owned(),
                reason: Some("NodeStatusNeverUpdated".to_owned()),
                message: Some("Kubelet never posted node status.".to_owned()),
                last_heartbeat_time: created.clone(),
                last_transition_time: at.clone(),
            }),
        }
    }
    node
}

/// Condition, its status, and the taint that goes with it.
const TAINTED_CONDITIONS: &[(&str, &str, &str)] = &[
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// All taints as they should be, when they are not. Those of others stay.
fn changed_taints(view: &View<'_>, now: Timestamp) -> Option<Vec<Taint>> {
    let node = view.node;
    let mut wanted: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (kind, state, taint) in TAINTED_CONDITIONS {
        if condition(node, kind).is_some_and(|c| c.status == *state) {
            wanted.insert((taint, "NoSchedule"));
            if *kind == "Ready" && view.is_any_ready {
                wanted.insert((taint, "NoExecute"));
            }
        }
    }
    if readiness(node) == Readiness::Unsaid {
        wanted.insert((NOT_READY, "NoSchedule"));
    }
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        wanted.insert((UNSCHEDULABLE, "NoSchedule"));
    }
    let is_ours = |taint: &Taint| {
        let is_known = TAINTED_CONDITIONS.iter().any(|row| row.2 == taint.key) || taint.key == UNSCHEDULABLE;
        is_known
            && (taint.effect == "NoSchedule" || (taint.effect == "NoExecute" && [NOT_READY, UNREACHABLE].contains(&taint.key.as_str())))
    };
    let old = node.spec.as_ref().and_then(|s| s.taints.clone()).unwrap_or_default();
    let mut taints: Vec<Taint> =
        old.iter().filter(|t| !is_ours(t) || wanted.contains(&(t.key.as_str(), t.effect.as_str()))).cloned().collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|t| t.key == key && t.effect == effect) {
            let time_added = Some(whole_seconds(now));
            taints.push(Taint { key: key.to_owned(), effect: effect.to_owned(), value: None, time_added });
        }
    }
    (taints != old).then_some(taints)
}

/// Services must not send to a pod whose node is silent.
fn unready(pod: &Pod, now: Timestamp) -> Change {
    let mut pod = pod.clone();
    for condition in pod.status.iter_mut().flat_map(|s| s.conditions.iter_mut().flatten()).filter(|c| c.type_ == "Ready") {
        condition.status = "False".to_owned();
        condition.last_transition_time = Some(whole_seconds(now));
    }
    let about = Reference::of(&pod);
    Change::update_status(&pod).telling(Note::warning(about, "NodeNotReady", "Node is not ready"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::plan::Write;

    fn check(ready: Option<&str>, silent_for: i64, is_any_ready: bool, taints: &[(&str, &str)], expected: &[&str]) {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let conditions: Vec<_> = ready.map(|status| json!({"type": "Ready", "status": status})).into_iter().collect();
        let taints: Vec<_> = taints.iter().map(|(key, effect)| json!({"key": key, "effect": effect})).collect();
        let tree = json!({"metadata": {"name": "n"}, "spec": {"taints": taints}, "status": {"conditions": conditions}});
        let node: Node = serde_json::from_value(tree).unwrap();
        let pod =
            json!({"metadata": {"name": "p"}, "spec": {"containers": []}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let pods = [Arc::new(serde_json::from_value(pod).unwrap())];
        let view = View { node: &node, heard_at: now - SignedDuration::from_secs(silent_for), is_any_ready, pods: &pods };
        let plan = plan(&view, now);
        let mut seen: Vec<String> = plan
            .changes
            .iter()
            .map(|c| match &c.write {
                Write::UpdateStatus { object, .. } => {
                    format!("{} {}", object["metadata"]["name"], object["status"]["conditions"][0]["status"])
                }
                Write::Patch { patch, .. } => {
                    let taints = patch["spec"]["taints"].as_array().unwrap();
                    taints
                        .iter()
                        .map(|t| format!("{}:{}", t["key"].as_str().unwrap(), t["effect"].as_str().unwrap()))
                        .collect::<Vec<_>>()
                        .join(" ")
                }
                other => panic!("{other:?}"),
            })
            .collect();
        seen.extend(plan.wake_at.map(|at| format!("wake in {}", at.duration_since(now).as_secs())));
        assert_eq!(seen, expected);
    }

    #[test]
    fn silence_becomes_unknown_and_then_taints() {
        check(Some("True"), 10, true, &[], &["wake in 40"]);
        check(Some("True"), 50, true, &[], &[r#""n" "Unknown""#]);
        let unreachable = "node.kubernetes.io/unreachable:NoExecute node.kubernetes.io/unreachable:NoSchedule";
        check(Some("Unknown"), 60, true, &[], &[unreachable, r#""p" "False""#]);
        check(Some("Unknown"), 60, false, &[], &["node.kubernetes.io/unreachable:NoSchedule", r#""p" "False""#]);
    }

    #[test]
    fn taints_go_with_their_conditions_and_strangers_stay() {
        let taints = [(UNREACHABLE, "NoExecute"), (NOT_READY, "NoSchedule"), ("mine", "NoSchedule")];
        check(Some("True"), 0, true, &taints, &["mine:NoSchedule", "wake in 50"]);
        check(None, 0, true, &[], &["node.kubernetes.io/not-ready:NoSchedule", r#""p" "False""#, "wake in 50"]);
    }
}

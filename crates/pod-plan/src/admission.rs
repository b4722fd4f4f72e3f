//! Whether a node has room for a pod that was bound to it. Upstream: `pkg/kubelet/lifecycle/predicate.go`.
//!
//! The scheduler has asked already; this holds for pods bound past it, and for two bindings that crossed.

use std::collections::BTreeMap;

use object::quantity::Quantity;

use crate::pod::BoundPod;
use crate::resources;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `OutOfcpu`, …
    pub reason: String,
    pub message: String,
}

/// `others`: the pods of this node that still may run.
pub fn refusal<'a>(
    pod: &BoundPod,
    others: impl Iterator<Item = &'a BoundPod>,
    allocatable: &BTreeMap<String, Quantity>,
) -> Option<Refusal> {
    let others: Vec<&BoundPod> = others.collect();
    let room = |name: &str| allocatable.get(name).copied();
    if let Some(max) = room("pods").map(Quantity::value) {
        let used = i64::try_from(others.len()).unwrap_or(i64::MAX);
        if used + 1 > max {
            return Some(refused("pods", 1, used, max));
        }
    }
    ["cpu", "memory", "ephemeral-storage"].into_iter().find_map(|name| {
        let capacity = room(name)?;
        let requested = resources::pod_request(pod, name);
        let used = others.iter().fold(Quantity::ZERO, |sum, other| sum.plus(resources::pod_request(other, name)));
        if requested.is_zero() || used.plus(requested) <= capacity {
            return None;
        }
        let count = |q: Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
        Some(refused(name, count(requested), count(used), count(capacity)))
    })
}

fn refused(name: &str, requested: i64, used: i64, capacity: i64) -> Refusal {
    let message = format!("Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}");
    Refusal { reason: format!("OutOf{name}"), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(cpu: &str) -> BoundPod {
        let container = json!({"name": "a", "resources": {"requests": {"cpu": cpu}}});
        BoundPod::read(&json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let amounts = |cpu: &str, pods: i64| {
            BTreeMap::from([("cpu".to_owned(), Quantity::parse(cpu).unwrap()), ("pods".to_owned(), Quantity::from_millis(pods * 1000))])
        };
        let others = [pod("1"), pod("500m")];
        assert_eq!(refusal(&pod("500m"), others.iter(), &amounts("2", 10)), None);
        let found = refusal(&pod("600m"), others.iter(), &amounts("2", 10)).unwrap();
        assert_eq!(found.reason, "OutOfcpu");
        assert_eq!(found.message, "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000");
        assert_eq!(refusal(&pod("0"), others.iter(), &amounts("2", 2)).unwrap().reason, "OutOfpods");
    }
}

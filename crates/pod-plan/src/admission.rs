//! Whether a node has room for a pod that was bound to it. Upstream: `pkg/kubelet/lifecycle/predicate.go`.
//!
//! The scheduler has asked already; this holds for pods bound past it, and for two bindings that crossed.

use std::collections::BTreeMap;

use object::quantity::Quantity;

use crate::pod::BoundPod;
use crate::resources;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `OutOfcpu`, `NodePorts`, …
    pub reason: &'static str,
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
            return Some(refused("pods", "OutOfpods", 1, used, max));
        }
    }
    RESOURCES
        .iter()
        .find_map(|(name, reason)| {
            let capacity = room(name)?;
            let requested = resources::pod_request(pod, name);
            let used = others.iter().fold(Quantity::ZERO, |sum, other| sum.plus(resources::pod_request(other, name)));
            if requested.is_zero() || used.plus(requested) <= capacity {
                return None;
            }
            let count = |q: Quantity| if *name == "cpu" { q.milli_value() } else { q.value() };
            Some(refused(name, reason, count(requested), count(used), count(capacity)))
        })
        .or_else(|| others.iter().any(|other| collide(pod, other)).then(ports_taken))
}

const RESOURCES: &[(&str, &str)] = &[("cpu", "OutOfcpu"), ("memory", "OutOfmemory"), ("ephemeral-storage", "OutOfephemeral-storage")];

/// Address, protocol and number of the host's ports that a pod takes.
fn host_ports(pod: &BoundPod) -> Vec<(String, String, i32)> {
    let sidecars = pod.spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let taken = ports.filter_map(|port| {
        let number = port.host_port.filter(|number| *number > 0)?;
        let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| EVERYWHERE.to_owned());
        Some((ip, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), number))
    });
    taken.collect()
}

const EVERYWHERE: &str = "0.0.0.0";

fn collide(pod: &BoundPod, other: &BoundPod) -> bool {
    let (own, theirs) = (host_ports(pod), host_ports(other));
    own.iter().any(|(ip, protocol, number)| {
        theirs.iter().any(|(other_ip, other_protocol, other_number)| {
            let shares_address = ip == other_ip || ip == EVERYWHERE || other_ip == EVERYWHERE;
            shares_address && protocol == other_protocol && number == other_number
        })
    })
}

fn ports_taken() -> Refusal {
    let message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports".to_owned();
    Refusal { reason: "NodePorts", message }
}

fn refused(name: &str, reason: &'static str, requested: i64, used: i64, capacity: i64) -> Refusal {
    let message = format!("Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}");
    Refusal { reason, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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

    #[test]
    fn a_port_of_the_host_is_one_pods() {
        let pod = |port: Value| {
            let container = json!({"name": "a", "ports": [port]});
            BoundPod::read(&json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})).unwrap()
        };
        let first = pod(json!({"containerPort": 1, "hostPort": 80}));
        for (port, is_refused) in [
            (json!({"containerPort": 1, "hostPort": 80}), true),
            (json!({"containerPort": 1, "hostPort": 80, "hostIP": "127.0.0.1"}), true),
            (json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"}), false),
            (json!({"containerPort": 1, "hostPort": 81}), false),
            (json!({"containerPort": 80}), false),
        ] {
            let found = refusal(&pod(port.clone()), [&first].into_iter(), &BTreeMap::new());
            assert_eq!(found.map(|r| r.reason), is_refused.then_some("NodePorts"), "{port}");
        }
    }
}

//! Stories of one line: nodes, placed pods, one pending pod, and what becomes of it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::{Cluster, Decision, Options, Packing, PodInfo};

fn node(name: &str, extra: Value) -> Node {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}},
    });
    merge(&mut node, &extra);
    serde_json::from_value(node).unwrap()
}

fn pod(name: &str, spec: Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "500m"}}}]},
    });
    merge(&mut pod["spec"], &spec);
    serde_json::from_value(pod).unwrap()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(k, v)| merge(into.entry(k.as_str()).or_insert(Value::Null), v))
        }
        (into, from) => *into = from.clone(),
    }
}

fn check(nodes: &[Node], placed: &[Pod], pending: Pod, expected: &str) {
    let mut cluster = Cluster::new(Options::default());
    nodes.iter().for_each(|n| cluster.set_node(n));
    placed.iter().for_each(|p| cluster.set_pod(p));
    let decision = match cluster.schedule(&Arc::new(PodInfo::compile(&pending))) {
        Decision::Bind { node } => node.to_string(),
        Decision::Unschedulable { message, preemption: None } => message,
        Decision::Unschedulable { preemption: Some(p), .. } => {
            format!("preempt {} on {}", p.victims.iter().map(|v| v.uid.as_str()).collect::<Vec<_>>().join(" "), p.node)
        }
    };
    assert_eq!(decision, expected);
}

const NO_VICTIMS: &str = "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
const NOT_HELPFUL: &str = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";

#[test]
fn the_emptier_node_wins() {
    let nodes = [node("a", json!({})), node("b", json!({}))];
    check(&nodes, &[pod("p", json!({"nodeName": "a"}))], pod("q", json!({})), "b");
}

#[test]
fn shortages_are_named_as_upstream_names_them() {
    let small = [node("a", json!({"status": {"allocatable": {"cpu": "100m"}}}))];
    check(&small, &[], pod("q", json!({})), &format!("0/1 nodes are available: 1 Insufficient cpu. {NOT_HELPFUL}"));
    let full = [node("a", json!({"status": {"allocatable": {"cpu": "600m"}}}))];
    check(
        &full,
        &[pod("p", json!({"nodeName": "a"}))],
        pod("q", json!({})),
        &format!("0/1 nodes are available: 1 Insufficient cpu. {NO_VICTIMS}"),
    );
    check(&[], &[], pod("q", json!({})), "no nodes available to schedule pods");
}

#[test]
fn taints_selectors_and_cordons_are_respected() {
    let tainted = json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}});
    check(
        &[node("a", tainted.clone())],
        &[],
        pod("q", json!({})),
        &format!("0/1 nodes are available: 1 node(s) had untolerated taint(s). {NOT_HELPFUL}"),
    );
    check(&[node("a", tainted)], &[], pod("q", json!({"tolerations": [{"key": "k", "operator": "Exists"}]})), "a");
    check(
        &[node("a", json!({}))],
        &[],
        pod("q", json!({"nodeSelector": {"disk": "ssd"}})),
        &format!("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. {NOT_HELPFUL}"),
    );
    check(
        &[node("a", json!({"spec": {"unschedulable": true}}))],
        &[],
        pod("q", json!({})),
        &format!("0/1 nodes are available: 1 node(s) were unschedulable. {NOT_HELPFUL}"),
    );
}

#[test]
fn host_ports_collide() {
    let port = json!({"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    let mut placed = port.clone();
    placed["nodeName"] = json!("a");
    check(
        &[node("a", json!({}))],
        &[pod("p", placed)],
        pod("q", port),
        &format!("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. {NO_VICTIMS}"),
    );
}

#[test]
fn anti_affinity_keeps_apart_and_affinity_together() {
    let term = json!([{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]);
    let nodes = [node("a", json!({})), node("b", json!({}))];
    let placed = [pod("p", json!({"nodeName": "a"}))];
    let required = |kind: &str| json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": term}}});
    check(&nodes, &placed, pod("q", required("podAntiAffinity")), "b");
    check(&nodes, &placed, pod("q", required("podAffinity")), "a");
    check(&nodes[..1], &[], pod("q", required("podAffinity")), "a");
    let guarded = [pod("p", {
        let mut s = required("podAntiAffinity");
        s["nodeName"] = json!("a");
        s
    })];
    check(&nodes, &guarded, pod("q", json!({})), "b");
}

#[test]
fn hard_spread_holds_the_skew() {
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}}]});
    let nodes = [node("a", json!({})), node("b", json!({"spec": {"unschedulable": true}}))];
    check(
        &nodes,
        &[pod("p", json!({"nodeName": "a"}))],
        pod("q", spread),
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
    );
}

#[test]
fn the_less_important_make_room() {
    let nodes = [node("a", json!({"status": {"allocatable": {"cpu": "1"}}}))];
    let placed = [pod("low", json!({"nodeName": "a", "priority": 1})), pod("mid", json!({"nodeName": "a", "priority": 5}))];
    check(&nodes, &placed, pod("q", json!({"priority": 10})), "preempt low on a");
    check(
        &nodes,
        &placed,
        pod("q", json!({"priority": 10, "preemptionPolicy": "Never"})),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
    );
}

#[test]
fn packing_fills_the_fuller_node() {
    let mut cluster = Cluster::new(Options { packing: Packing::BinPack });
    [node("a", json!({})), node("b", json!({}))].iter().for_each(|n| cluster.set_node(n));
    cluster.set_pod(&pod("p", json!({"nodeName": "b"})));
    let decision = cluster.schedule(&Arc::new(PodInfo::compile(&pod("q", json!({})))));
    assert_eq!(decision, Decision::Bind { node: Arc::from("b") });
}

#[test]
fn a_batch_fills_nodes_and_counts_itself() {
    let mut cluster = Cluster::new(Options::default());
    (0..10).for_each(|i| cluster.set_node(&node(&format!("n{i}"), json!({}))));
    let mut placed = std::collections::BTreeMap::<String, usize>::new();
    for i in 0..40 {
        if let Decision::Bind { node } = cluster.schedule(&Arc::new(PodInfo::compile(&pod(&format!("p{i}"), json!({}))))) {
            *placed.entry(node.to_string()).or_default() += 1;
        }
    }
    assert_eq!(placed.values().copied().collect::<Vec<_>>(), vec![4; 10]);
    let more = cluster.schedule(&Arc::new(PodInfo::compile(&pod("one-too-many", json!({})))));
    assert!(matches!(more, Decision::Unschedulable { .. }));
    cluster.remove_pod("p0");
    assert!(matches!(cluster.schedule(&Arc::new(PodInfo::compile(&pod("now-it-fits", json!({}))))), Decision::Bind { .. }));
}

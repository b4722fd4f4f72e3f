//! On which nodes a daemon pod belongs, and how it is bound there.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration,
};
use scheduling::node_terms;

use crate::pods;

const NAME_FIELD: &str = "metadata.name";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) should_run: bool,
    /// A pod that is there may stay: only a `NoExecute` taint, or the template itself, drives it away.
    pub(super) should_continue: bool,
}

pub(super) fn of(set: &DaemonSet, node: &Node) -> Placement {
    let nowhere = Placement { should_run: false, should_continue: false };
    let Some(spec) = &set.spec.template.spec else { return nowhere };
    let node_name = node.metadata.name.as_deref().unwrap_or("");
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let is_named = spec.node_name.as_deref().is_none_or(|name| name.is_empty() || name == node_name);
    if !is_named || !node_terms::allows(spec, node_name, &labels) {
        return nowhere;
    }
    let tolerations = tolerations(spec);
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    let bears = |taint: &Taint| tolerations.iter().any(|toleration| node_terms::bears(toleration, taint));
    let bears_all = |effects: &[&str]| taints.iter().filter(|t| effects.contains(&t.effect.as_str())).all(bears);
    Placement { should_run: bears_all(&["NoSchedule", "NoExecute"]), should_continue: bears_all(&["NoExecute"]) }
}

/// Key and effect of the taints every daemon pod tolerates: daemons run where nothing else may.
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// The network itself is often brought by a daemon.
const TOLERATED_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut tolerations = spec.tolerations.clone().unwrap_or_default();
    let on_host = (spec.host_network == Some(true)).then_some(TOLERATED_ON_HOST_NETWORK);
    for (key, effect) in TOLERATED.iter().copied().chain(on_host) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    tolerations
}

/// Makes the pod one for that node. Its own required affinity has done its part in choosing the node, and is replaced.
pub(super) fn bind(pod: &mut Pod, node_name: &str) {
    let spec = pod.spec.get_or_insert_default();
    spec.tolerations = Some(tolerations(spec));
    let name_is =
        NodeSelectorRequirement { key: NAME_FIELD.to_owned(), operator: "In".to_owned(), values: Some(vec![node_name.to_owned()]) };
    let term = NodeSelectorTerm { match_fields: Some(vec![name_is]), match_expressions: None };
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node a daemon pod is on, or is bound for.
pub(super) fn target(pod: &Pod) -> &str {
    let placed = pods::node_name(pod);
    if !placed.is_empty() {
        return placed;
    }
    let affinity = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()).and_then(|a| a.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let mut fields = required.into_iter().flat_map(|r| &r.node_selector_terms).flat_map(|term| term.match_fields.iter().flatten());
    fields.find(|f| f.key == NAME_FIELD && f.operator == "In").and_then(|f| f.values.as_ref()?.first()).map_or("", String::as_str)
}

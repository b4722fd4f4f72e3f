//! A pod as the scheduler sees it: everything filters and scores ask, worked out once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NodeAffinity, Pod, PodAffinityTerm, Toleration, TopologySpreadConstraint};
use object::key::ObjectKey;
use object::selector::LabelSelector;

use crate::node_terms::Term;
use crate::resources::{self, Resources};

pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

#[derive(Clone, Debug)]
pub struct PodInfo {
    pub key: ObjectKey,
    pub uid: String,
    pub priority: i32,
    pub created: Option<Timestamp>,
    pub requests: Resources,
    pub(crate) scored: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) node_name: String,
    pub(crate) is_terminating: bool,
    pub(crate) may_preempt: bool,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) node_selector: BTreeMap<String, String>,
    /// Any of them must match; `None` when nothing is required.
    pub(crate) required_nodes: Option<Vec<Term>>,
    pub(crate) preferred_nodes: Vec<(i64, Term)>,
    pub(crate) host_ports: Vec<HostPort>,
    pub(crate) affinity: Vec<PodTerm>,
    pub(crate) anti_affinity: Vec<PodTerm>,
    pub(crate) preferred_pods: Vec<(i64, PodTerm)>,
    pub(crate) spread: Vec<Spread>,
    pub(crate) images: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) ip: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
}

impl HostPort {
    /// Two pods on one node may share a port only on different addresses.
    pub(crate) fn collides(&self, other: &HostPort) -> bool {
        let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
        self.port == other.port && self.protocol == other.protocol && (self.ip == other.ip || any(&self.ip) || any(&other.ip))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PodTerm {
    pub(crate) selector: LabelSelector,
    pub(crate) topology_key: String,
    namespaces: Vec<String>,
    /// Over the labels of namespaces; `None` when only the list counts.
    namespace_selector: Option<LabelSelector>,
}

impl PodTerm {
    fn compile(term: &PodAffinityTerm, own: &ObjectKey, own_labels: &BTreeMap<String, String>) -> Self {
        let mut selector = term.label_selector.as_ref().map_or_else(LabelSelector::nothing, compile_selector);
        for key in term.match_label_keys.iter().flatten() {
            if let Some(value) = own_labels.get(key) {
                selector.requirements.extend(LabelSelector::from_pairs([(key.as_str(), value.as_str())]).requirements);
            }
        }
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        let namespace_selector = term.namespace_selector.as_ref().map(compile_selector);
        if namespaces.is_empty() && namespace_selector.is_none() {
            namespaces.push(own.namespace.clone());
        }
        PodTerm { selector, topology_key: term.topology_key.clone(), namespaces, namespace_selector }
    }

    pub(crate) fn matches(&self, pod: &PodInfo, namespace_labels: &dyn Fn(&str) -> Option<BTreeMap<String, String>>) -> bool {
        let in_namespace = self.namespaces.contains(&pod.key.namespace)
            || self.namespace_selector.as_ref().is_some_and(|s| {
                s.is_everything() || namespace_labels(&pod.key.namespace).is_some_and(|labels| matches_labels(s, &labels))
            });
        in_namespace && matches_labels(&self.selector, &pod.labels)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Spread {
    pub(crate) max_skew: i64,
    pub(crate) min_domains: i64,
    pub(crate) topology_key: String,
    pub(crate) selector: LabelSelector,
    /// `DoNotSchedule`, against `ScheduleAnyway`.
    pub(crate) hard: bool,
    pub(crate) honor_affinity: bool,
    pub(crate) honor_taints: bool,
}

impl Spread {
    fn compile(constraint: &TopologySpreadConstraint, own_labels: &BTreeMap<String, String>) -> Self {
        let mut selector = constraint.label_selector.as_ref().map_or_else(LabelSelector::nothing, compile_selector);
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(value) = own_labels.get(key) {
                selector.requirements.extend(LabelSelector::from_pairs([(key.as_str(), value.as_str())]).requirements);
            }
        }
        Spread {
            max_skew: i64::from(constraint.max_skew),
            min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
            topology_key: constraint.topology_key.clone(),
            selector,
            hard: constraint.when_unsatisfiable == "DoNotSchedule",
            honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}

pub(crate) fn matches_labels(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    selector.matches_with(&|key| labels.get(key).map(String::as_str))
}

fn compile_selector(selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector) -> LabelSelector {
    serde_json::to_value(selector).ok().and_then(|tree| LabelSelector::from_object(&tree).ok()).unwrap_or_else(LabelSelector::nothing)
}

impl PodInfo {
    /// What to schedule: a pod of this scheduler without a node, not gated, not ending.
    pub fn is_pending(pod: &Pod, scheduler: &str) -> bool {
        let Some(spec) = &pod.spec else { return false };
        spec.node_name.as_deref().unwrap_or("").is_empty()
            && spec.scheduler_name.as_deref().unwrap_or(DEFAULT_SCHEDULER) == scheduler
            && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
            && pod.metadata.deletion_timestamp.is_none()
            && !is_finished(pod)
    }

    /// What takes room on a node.
    pub fn is_placed(pod: &Pod) -> bool {
        pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).is_some_and(|n| !n.is_empty()) && !is_finished(pod)
    }

    pub fn compile(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let key = ObjectKey::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let labels = meta.labels.clone().unwrap_or_default();
        let spec = pod.spec.clone().unwrap_or_default();
        let (requests, scored) = resources::of_pod(&spec);
        let affinity = spec.affinity.unwrap_or_default();
        let term = |t: &PodAffinityTerm| PodTerm::compile(t, &key, &labels);
        let (near, far) = (affinity.pod_affinity.unwrap_or_default(), affinity.pod_anti_affinity.unwrap_or_default());
        let weighted = |list: Option<&Vec<k8s_openapi::api::core::v1::WeightedPodAffinityTerm>>, sign: i64| {
            list.into_iter().flatten().map(|w| (sign * i64::from(w.weight), term(&w.pod_affinity_term))).collect::<Vec<_>>()
        };
        let mut preferred_pods = weighted(near.preferred_during_scheduling_ignored_during_execution.as_ref(), 1);
        preferred_pods.extend(weighted(far.preferred_during_scheduling_ignored_during_execution.as_ref(), -1));
        let (required_nodes, preferred_nodes) = node_affinity(affinity.node_affinity.unwrap_or_default());
        let owner = meta.owner_references.iter().flatten().find(|o| o.controller == Some(true)).map(|o| Arc::from(o.uid.as_str()));
        PodInfo {
            uid: meta.uid.clone().unwrap_or_default(),
            priority: spec.priority.unwrap_or(0),
            created: meta.creation_timestamp.as_ref().map(|t| t.0),
            requests,
            scored,
            owner,
            node_name: spec.node_name.unwrap_or_default(),
            is_terminating: meta.deletion_timestamp.is_some(),
            may_preempt: spec.preemption_policy.as_deref() != Some("Never"),
            tolerations: spec.tolerations.unwrap_or_default(),
            node_selector: spec.node_selector.unwrap_or_default(),
            required_nodes,
            preferred_nodes,
            host_ports: host_ports(&spec.containers),
            affinity: near.required_during_scheduling_ignored_during_execution.iter().flatten().map(term).collect(),
            anti_affinity: far.required_during_scheduling_ignored_during_execution.iter().flatten().map(term).collect(),
            preferred_pods,
            spread: spec.topology_spread_constraints.iter().flatten().map(|c| Spread::compile(c, &labels)).collect(),
            images: spec.containers.iter().filter_map(|c| c.image.clone()).collect(),
            labels,
            key,
        }
    }
}

fn node_affinity(affinity: NodeAffinity) -> (Option<Vec<Term>>, Vec<(i64, Term)>) {
    let required = affinity.required_during_scheduling_ignored_during_execution;
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
    (
        required.map(|selector| selector.node_selector_terms.iter().map(Term::compile).collect()),
        preferred.iter().map(|p| (i64::from(p.weight), Term::compile(&p.preference))).collect(),
    )
}

fn host_ports(containers: &[k8s_openapi::api::core::v1::Container]) -> Vec<HostPort> {
    let ports = containers.iter().flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|p| {
            let port = p.host_port.filter(|port| *port > 0)?;
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some(HostPort { ip: p.host_ip.clone().unwrap_or_default(), protocol, port })
        })
        .collect()
}

fn is_finished(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

//! What a node must satisfy. One row a filter, in upstream's order; the first that fails decides.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Node};
use crate::node_terms;
use crate::pod::PodInfo;
use crate::resources::Resources;
use crate::topology::Prepared;

/// Everything a filter may look at.
pub(crate) struct Question<'a> {
    pub(crate) node: &'a Node,
    pub(crate) pod: &'a PodInfo,
    pub(crate) prepared: &'a Prepared,
    /// What pods nominated to this node will use.
    reserved: Option<Resources>,
}

/// Why a node was refused; none when it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons {
    pub(crate) texts: Vec<String>,
    /// Whether evicting pods of the node could help.
    pub(crate) is_resolvable: bool,
}

struct Filter {
    holds: fn(&Question<'_>) -> bool,
    texts: fn(&Question<'_>) -> Vec<String>,
    is_resolvable: bool,
}

const FILTERS: &[Filter] = &[
    Filter { holds: is_schedulable, texts: |_| vec!["node(s) were unschedulable".to_owned()], is_resolvable: false },
    Filter { holds: is_named, texts: |_| vec!["node(s) didn't match the requested node name".to_owned()], is_resolvable: false },
    Filter { holds: bears_taints, texts: |_| vec!["node(s) had untolerated taint(s)".to_owned()], is_resolvable: false },
    Filter { holds: is_wanted, texts: |_| vec!["node(s) didn't match Pod's node affinity/selector".to_owned()], is_resolvable: false },
    Filter {
        holds: has_ports,
        texts: |_| vec!["node(s) didn't have free ports for the requested pod ports".to_owned()],
        is_resolvable: true,
    },
    Filter { holds: has_room, texts: shortages, is_resolvable: true },
    Filter { holds: |q| q.prepared.spread_fault(q.node).is_none(), texts: spread_texts, is_resolvable: true },
    Filter { holds: |q| q.prepared.affinity_fault(q.node).is_none(), texts: affinity_texts, is_resolvable: true },
];

pub(crate) fn fits(cluster: &Cluster, node: &Node, pod: &PodInfo, prepared: &Prepared) -> bool {
    let question = Question { node, pod, prepared, reserved: reserved(cluster, node, pod) };
    FILTERS.iter().all(|f| (f.holds)(&question))
}

pub(crate) fn reasons(cluster: &Cluster, node: &Node, pod: &PodInfo, prepared: &Prepared) -> Reasons {
    let question = Question { node, pod, prepared, reserved: reserved(cluster, node, pod) };
    match FILTERS.iter().find(|f| !(f.holds)(&question)) {
        None => Reasons::default(),
        Some(filter) => Reasons { texts: (filter.texts)(&question), is_resolvable: filter.is_resolvable && question.can_ever_fit() },
    }
}

fn reserved(cluster: &Cluster, node: &Node, pod: &PodInfo) -> Option<Resources> {
    if cluster.nominated.is_empty() {
        return None;
    }
    let mut sum = None;
    for (name, nominee) in cluster.nominated.values() {
        if *name == node.name && nominee.priority >= pod.priority && nominee.uid != pod.uid {
            sum.get_or_insert_with(Resources::default).add(&nominee.requests, 1);
        }
    }
    sum
}

fn is_schedulable(q: &Question<'_>) -> bool {
    let taint = k8s_openapi::api::core::v1::Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Default::default()
    };
    !q.node.is_unschedulable || node_terms::tolerates(&q.pod.tolerations, &taint)
}

fn is_named(q: &Question<'_>) -> bool {
    q.pod.node_name.is_empty() || *q.pod.node_name == *q.node.name
}

fn bears_taints(q: &Question<'_>) -> bool {
    let hard = q.node.taints.iter().filter(|t| t.effect == "NoSchedule" || t.effect == "NoExecute");
    hard.into_iter().all(|taint| node_terms::tolerates(&q.pod.tolerations, taint))
}

fn is_wanted(q: &Question<'_>) -> bool {
    q.node.is_wanted_by(q.pod)
}

fn has_ports(q: &Question<'_>) -> bool {
    q.pod.host_ports.is_empty() || !q.node.ports.iter().any(|used| q.pod.host_ports.iter().any(|wanted| wanted.collides(used)))
}

fn has_room(q: &Question<'_>) -> bool {
    // The usual case without a list: compare, and build texts only for those who ask.
    let (free, need) = (q.free(), &q.pod.requests);
    q.node.allocatable.pods - q.used_pods() >= 1
        && (need.cpu_millis == 0 || need.cpu_millis <= free.0)
        && (need.memory == 0 || need.memory <= free.1)
        && (need.ephemeral_storage == 0 || need.ephemeral_storage <= free.2)
        && need.others.iter().all(|(name, amount)| *amount <= q.free_other(name))
}

fn shortages(q: &Question<'_>) -> Vec<String> {
    let (free, need) = (q.free(), &q.pod.requests);
    let mut texts = Vec::new();
    if q.node.allocatable.pods - q.used_pods() < 1 {
        texts.push("Too many pods".to_owned());
    }
    let mut short = |name: &str, need: i64, free: i64| {
        if need > 0 && need > free {
            texts.push(format!("Insufficient {name}"));
        }
    };
    short("cpu", need.cpu_millis, free.0);
    short("memory", need.memory, free.1);
    short("ephemeral-storage", need.ephemeral_storage, free.2);
    for (name, amount) in &need.others {
        short(name, *amount, q.free_other(name));
    }
    texts
}

impl Question<'_> {
    fn used_pods(&self) -> i64 {
        self.node.used.pods + self.reserved.as_ref().map_or(0, |r| r.pods)
    }

    /// Free cpu, memory and ephemeral storage.
    fn free(&self) -> (i64, i64, i64) {
        let (all, used) = (&self.node.allocatable, &self.node.used);
        let reserved = self.reserved.as_ref().map_or((0, 0, 0), |r| (r.cpu_millis, r.memory, r.ephemeral_storage));
        (
            all.cpu_millis - used.cpu_millis - reserved.0,
            all.memory - used.memory - reserved.1,
            all.ephemeral_storage - used.ephemeral_storage - reserved.2,
        )
    }

    fn free_other(&self, name: &str) -> i64 {
        self.node.allocatable.other(name) - self.node.used.other(name) - self.reserved.as_ref().map_or(0, |r| r.other(name))
    }

    /// A pod larger than the whole node is not helped by eviction.
    fn can_ever_fit(&self) -> bool {
        let (all, need) = (&self.node.allocatable, &self.pod.requests);
        need.cpu_millis <= all.cpu_millis && need.memory <= all.memory && need.others.iter().all(|(name, n)| *n <= all.other(name))
    }
}

fn spread_texts(q: &Question<'_>) -> Vec<String> {
    q.prepared.spread_fault(q.node).map(str::to_owned).into_iter().collect()
}

fn affinity_texts(q: &Question<'_>) -> Vec<String> {
    q.prepared.affinity_fault(q.node).map(str::to_owned).into_iter().collect()
}

/// `1 Insufficient cpu, 2 node(s) were unschedulable`, sorted as text.
pub(crate) fn histogram(reasons: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut texts: Vec<String> = counts.into_iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    texts.sort();
    texts.join(", ")
}

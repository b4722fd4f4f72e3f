//! What depends on other pods: topology spread and pod (anti-)affinity. Counted once a pod, before nodes are filtered.

use std::collections::{HashMap, HashSet};

use crate::cluster::{Cluster, Node};
use crate::node_terms;
use crate::pod::{PodInfo, PodTerm, Spread, matches_labels};

const ZONE: &str = "topology.kubernetes.io/zone";

const SPREAD: &str = "node(s) didn't match pod topology spread constraints";
const SPREAD_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING_ANTI_AFFINITY: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Domain (a label's value) -> how many matching pods are there.
type Counts = HashMap<String, i64>;

#[derive(Debug, Default)]
pub(crate) struct Prepared {
    hard: Vec<(Spread, Counts)>,
    /// Soft constraints; for a pod of a controller without any, upstream's defaults over its siblings.
    pub(crate) soft: Vec<(Spread, Counts)>,
    siblings: Option<std::sync::Arc<str>>,
    affinity: Vec<(PodTerm, Counts)>,
    anti_affinity: Vec<(PodTerm, Counts)>,
    /// (label, value) pairs where some pod refuses this one.
    refused: HashSet<(String, String)>,
    /// Upstream: the first pod of a group whose affinity matches itself may go anywhere.
    starts_group: bool,
    /// (label, value) -> weight of preferences, this pod's and those of pods already there.
    pub(crate) preferred: HashMap<(String, String), i64>,
}

impl Prepared {
    pub(crate) fn new(cluster: &Cluster, pod: &PodInfo) -> Self {
        let mut prepared = Prepared::default();
        for spread in &pod.spread {
            let counts = spread_counts(cluster, pod, spread);
            if spread.hard { prepared.hard.push((spread.clone(), counts)) } else { prepared.soft.push((spread.clone(), counts)) }
        }
        if pod.spread.is_empty() {
            prepared.siblings.clone_from(&pod.owner);
        }
        let namespaces = |name: &str| cluster.namespace_labels(name);
        let counted = |term: &PodTerm| (term.clone(), term_counts(cluster, term));
        prepared.affinity = pod.affinity.iter().map(counted).collect();
        prepared.anti_affinity = pod.anti_affinity.iter().map(counted).collect();
        prepared.starts_group = !pod.affinity.is_empty()
            && prepared.affinity.iter().all(|(_, counts)| counts.is_empty())
            && pod.affinity.iter().all(|t| t.matches(pod, &namespaces));
        prepared.refused = refused(cluster, pod);
        prepared.preferred = preferred(cluster, pod);
        prepared
    }

    pub(crate) fn spread_fault(&self, node: &Node) -> Option<&'static str> {
        for (spread, counts) in &self.hard {
            let Some(domain) = node.labels.get(&spread.topology_key) else { return Some(SPREAD_LABEL) };
            let lowest = if (counts.len() as i64) < spread.min_domains { 0 } else { counts.values().copied().min().unwrap_or(0) };
            if counts.get(domain).copied().unwrap_or(0) + 1 - lowest > spread.max_skew {
                return Some(SPREAD);
            }
        }
        None
    }

    pub(crate) fn affinity_fault(&self, node: &Node) -> Option<&'static str> {
        let count =
            |(term, counts): &(PodTerm, Counts)| node.labels.get(&term.topology_key).map(|domain| counts.get(domain).copied().unwrap_or(0));
        if !self.affinity.is_empty() {
            let counts: Vec<Option<i64>> = self.affinity.iter().map(count).collect();
            let near = counts.iter().all(|c| c.is_some_and(|n| n > 0));
            let founds = self.starts_group && counts.iter().all(Option::is_some);
            if !near && !founds {
                return Some(AFFINITY);
            }
        }
        if self.anti_affinity.iter().any(|pair| count(pair).is_some_and(|n| n > 0)) {
            return Some(ANTI_AFFINITY);
        }
        let is_refused =
            !self.refused.is_empty() && node.labels.iter().any(|(key, value)| self.refused.contains(&(key.clone(), value.clone())));
        is_refused.then_some(EXISTING_ANTI_AFFINITY)
    }

    /// How crowded the node's domains are with pods like this one; more is worse. `None` when nothing is to be spread.
    pub(crate) fn crowding(&self, node: &Node) -> Option<i64> {
        if let Some(owner) = &self.siblings {
            return Some(node.pods.iter().filter(|p| p.owner.as_ref() == Some(owner)).count() as i64);
        }
        if self.soft.is_empty() {
            return None;
        }
        Some(self.soft.iter().map(|(s, counts)| node.labels.get(&s.topology_key).and_then(|d| counts.get(d)).copied().unwrap_or(0)).sum())
    }

    /// Where the siblings are by zone, for pods without constraints of their own.
    pub(crate) fn sibling_zones(&self, cluster: &Cluster, feasible: &[usize]) -> Option<Counts> {
        let owner = self.siblings.as_ref()?;
        let first = cluster.nodes[*feasible.first()?].labels.get(ZONE)?;
        // One zone only: nothing to balance.
        feasible.iter().find(|at| cluster.nodes[**at].labels.get(ZONE) != Some(first))?;
        let mut counts = Counts::new();
        for node in &cluster.nodes {
            let n = node.pods.iter().filter(|p| p.owner.as_ref() == Some(owner)).count() as i64;
            if let (Some(zone), true) = (node.labels.get(ZONE), n > 0) {
                *counts.entry(zone.clone()).or_default() += n;
            }
        }
        Some(counts)
    }

    pub(crate) fn zone_count(counts: &Counts, node: &Node) -> i64 {
        node.labels.get(ZONE).and_then(|z| counts.get(z)).copied().unwrap_or(0)
    }
}

fn spread_counts(cluster: &Cluster, pod: &PodInfo, spread: &Spread) -> Counts {
    let mut counts = Counts::new();
    for node in &cluster.nodes {
        let Some(domain) = node.labels.get(&spread.topology_key) else { continue };
        let counts_here = (!spread.honor_affinity || node.is_wanted_by(pod))
            && (!spread.honor_taints
                || node.taints.iter().all(|t| t.effect == "PreferNoSchedule" || node_terms::tolerates(&pod.tolerations, t)));
        if !counts_here {
            continue;
        }
        let like = |p: &&std::sync::Arc<PodInfo>| {
            !p.is_terminating && p.key.namespace == pod.key.namespace && matches_labels(&spread.selector, &p.labels)
        };
        let n = node.pods.iter().filter(like).count() as i64;
        // A domain with no pods counts too: it is the one to fill.
        *counts.entry(domain.clone()).or_default() += n;
    }
    counts
}

fn term_counts(cluster: &Cluster, term: &PodTerm) -> Counts {
    let namespaces = |name: &str| cluster.namespace_labels(name);
    let mut counts = Counts::new();
    for node in &cluster.nodes {
        let Some(domain) = node.labels.get(&term.topology_key) else { continue };
        let n = node.pods.iter().filter(|p| term.matches(p, &namespaces)).count() as i64;
        if n > 0 {
            *counts.entry(domain.clone()).or_default() += n;
        }
    }
    counts
}

fn refused(cluster: &Cluster, pod: &PodInfo) -> HashSet<(String, String)> {
    let namespaces = |name: &str| cluster.namespace_labels(name);
    let mut refused = HashSet::new();
    for node in cluster.nodes.iter().filter(|n| n.n_anti_affinity > 0) {
        for term in node.pods.iter().flat_map(|p| &p.anti_affinity).filter(|t| t.matches(pod, &namespaces)) {
            if let Some(domain) = node.labels.get(&term.topology_key) {
                refused.insert((term.topology_key.clone(), domain.clone()));
            }
        }
    }
    refused
}

/// Upstream: required affinity of pods already there counts with `hardPodAffinityWeight`, 1.
fn preferred(cluster: &Cluster, pod: &PodInfo) -> HashMap<(String, String), i64> {
    let namespaces = |name: &str| cluster.namespace_labels(name);
    let mut weights = HashMap::new();
    for node in cluster.nodes.iter().filter(|n| !pod.preferred_pods.is_empty() || n.n_preferring > 0) {
        let mut add = |term: &PodTerm, weight: i64| {
            if let Some(domain) = node.labels.get(&term.topology_key) {
                *weights.entry((term.topology_key.clone(), domain.clone())).or_default() += weight;
            }
        };
        for there in &node.pods {
            pod.preferred_pods.iter().filter(|(_, t)| t.matches(there, &namespaces)).for_each(|(w, t)| add(t, *w));
            there.preferred_pods.iter().filter(|(_, t)| t.matches(pod, &namespaces)).for_each(|(w, t)| add(t, *w));
            there.affinity.iter().filter(|t| t.matches(pod, &namespaces)).for_each(|t| add(t, 1));
        }
    }
    weights
}

//! The scheduler's picture of nodes and pods, and the decision for one pod.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node as ApiNode, Pod, Taint};

use crate::filters::{self, Reasons};
use crate::pod::{HostPort, PodInfo};
use crate::preemption::{self, Preemption};
use crate::resources::Resources;
use crate::scores;
use crate::topology::Prepared;

/// Upstream: `minFeasibleNodesToFind` and `minFeasibleNodesPercentageToFind`.
const FEASIBLE_NODES_MIN: usize = 100;
const FEASIBLE_PERCENT_MIN: usize = 5;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Prefer the emptiest node (upstream's `LeastAllocated`).
    #[default]
    Spread,
    /// Prefer the fullest node that still fits (`MostAllocated`).
    BinPack,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub packing: Packing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The pod already counts on this node.
    Bind { node: Arc<str> },
    /// `message` is the text of the FailedScheduling event and of the PodScheduled condition.
    Unschedulable { message: String, preemption: Option<Preemption> },
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) is_unschedulable: bool,
    pub(crate) allocatable: Resources,
    pub(crate) images: HashMap<String, i64>,
    pub(crate) used: Resources,
    pub(crate) scored: Resources,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) pods: Vec<Arc<PodInfo>>,
    /// Of `pods`, how many have required anti-affinity: most often none, and then nobody need look.
    pub(crate) n_anti_affinity: usize,
    pub(crate) n_preferring: usize,
}

impl Node {
    fn add(&mut self, pod: &Arc<PodInfo>) {
        self.count(pod, 1);
        self.ports.extend(pod.host_ports.iter().cloned());
        self.pods.push(pod.clone());
    }

    fn remove(&mut self, uid: &str) {
        let Some(at) = self.pods.iter().position(|p| p.uid == uid) else { return };
        let pod = self.pods.swap_remove(at);
        self.count(&pod, -1);
        self.ports = self.pods.iter().flat_map(|p| p.host_ports.iter().cloned()).collect();
    }

    fn count(&mut self, pod: &PodInfo, sign: i64) {
        self.used.add(&pod.requests, sign);
        self.scored.add(&pod.scored, sign);
        let step = |n: &mut usize, yes: bool| {
            if yes {
                *n = n.wrapping_add_signed(sign as isize)
            }
        };
        step(&mut self.n_anti_affinity, !pod.anti_affinity.is_empty());
        step(&mut self.n_preferring, !pod.preferred_pods.is_empty() || !pod.affinity.is_empty());
    }
}

#[derive(Debug, Default)]
pub struct Cluster {
    options: Options,
    pub(crate) nodes: Vec<Node>,
    by_name: HashMap<Arc<str>, usize>,
    /// Where each counted pod is.
    placed: HashMap<String, Arc<str>>,
    /// Pods that wait for their victims to go: they hold their room against pods of no higher priority.
    pub(crate) nominated: HashMap<String, (Arc<str>, Arc<PodInfo>)>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    /// Where the next search begins, so that all nodes get their turn.
    next_start: usize,
}

impl Cluster {
    pub fn new(options: Options) -> Self {
        Cluster { options, ..Cluster::default() }
    }

    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    pub fn set_node(&mut self, node: &ApiNode) {
        let name: Arc<str> = Arc::from(node.metadata.name.as_deref().unwrap_or(""));
        let (spec, status) = (node.spec.clone().unwrap_or_default(), node.status.clone().unwrap_or_default());
        let mut images = HashMap::new();
        for image in status.images.iter().flatten() {
            for name in image.names.iter().flatten() {
                images.insert(name.clone(), image.size_bytes.unwrap_or(0));
            }
        }
        let capacity = status.allocatable.or(status.capacity).unwrap_or_default();
        let mut fresh = Node {
            name: name.clone(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.taints.unwrap_or_default(),
            is_unschedulable: spec.unschedulable.unwrap_or(false),
            allocatable: Resources::from_map(&capacity),
            images,
            used: Resources::default(),
            scored: Resources::default(),
            ports: Vec::new(),
            pods: Vec::new(),
            n_anti_affinity: 0,
            n_preferring: 0,
        };
        match self.by_name.get(&name) {
            Some(&at) => {
                let pods = std::mem::take(&mut self.nodes[at].pods);
                pods.iter().for_each(|p| fresh.add(p));
                self.nodes[at] = fresh;
            }
            None => {
                self.by_name.insert(name, self.nodes.len());
                self.nodes.push(fresh);
            }
        }
    }

    pub fn remove_node(&mut self, name: &str) {
        let Some(at) = self.by_name.remove(name) else { return };
        let gone = self.nodes.swap_remove(at);
        for pod in gone.pods {
            self.placed.remove(&pod.uid);
        }
        if let Some(moved) = self.nodes.get(at) {
            self.by_name.insert(moved.name.clone(), at);
        }
    }

    pub fn set_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) {
        self.namespaces.insert(name.to_owned(), labels);
    }

    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    pub(crate) fn namespace_labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.namespaces.get(name).cloned()
    }

    /// Takes a pod as the API shows it: counts it where it is placed, forgets it where it is not.
    pub fn set_pod(&mut self, pod: &Pod) {
        let uid = pod.metadata.uid.as_deref().unwrap_or("");
        if PodInfo::is_placed(pod) {
            let info = Arc::new(PodInfo::compile(pod));
            let node = info.node_name.clone();
            self.place(info, &node);
        } else {
            self.remove_pod(uid);
        }
    }

    /// Counts `pod` on `node`; used for a pod that was decided but whose binding is not seen yet, too.
    fn place(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove_pod(&pod.uid);
        let Some(&at) = self.by_name.get(node) else { return };
        self.placed.insert(pod.uid.clone(), self.nodes[at].name.clone());
        self.nodes[at].add(&pod);
    }

    /// The pod is gone, finished, or its binding failed.
    pub fn remove_pod(&mut self, uid: &str) {
        self.nominated.remove(uid);
        let Some(node) = self.placed.remove(uid) else { return };
        if let Some(&at) = self.by_name.get(&node) {
            self.nodes[at].remove(uid);
        }
    }

    /// Decides for one pending pod.
    pub fn schedule(&mut self, pod: &Arc<PodInfo>) -> Decision {
        let prepared = Prepared::new(self, pod);
        let feasible = self.feasible(pod, &prepared);
        match scores::best(self, pod, &prepared, &feasible, self.options.packing) {
            Some(at) => {
                let node = self.nodes[at].name.clone();
                self.place(pod.clone(), &node);
                Decision::Bind { node }
            }
            None => self.unschedulable(pod, &prepared),
        }
    }

    /// Enough feasible nodes, looked for from where the last search ended.
    fn feasible(&mut self, pod: &PodInfo, prepared: &Prepared) -> Vec<usize> {
        let n_nodes = self.nodes.len();
        let wanted = enough(n_nodes);
        let mut feasible = Vec::with_capacity(wanted.min(n_nodes));
        let mut n_seen = 0;
        while n_seen < n_nodes && feasible.len() < wanted {
            let at = (self.next_start + n_seen) % n_nodes;
            n_seen += 1;
            if filters::fits(self, &self.nodes[at], pod, prepared) {
                feasible.push(at);
            }
        }
        self.next_start = (self.next_start + n_seen) % n_nodes.max(1);
        feasible
    }

    fn unschedulable(&mut self, pod: &Arc<PodInfo>, prepared: &Prepared) -> Decision {
        let n_nodes = self.nodes.len();
        if n_nodes == 0 {
            return Decision::Unschedulable { message: "no nodes available to schedule pods".to_owned(), preemption: None };
        }
        let reasons: Vec<Reasons> = self.nodes.iter().map(|node| filters::reasons(self, node, pod, prepared)).collect();
        let mut message = format!("0/{n_nodes} nodes are available: {}.", histogram(reasons.iter().flat_map(|r| r.texts.iter().cloned())));
        let attempt = preemption::attempt(self, pod, prepared, &reasons);
        let preemption = match attempt {
            Ok(preemption) => {
                let node = preemption.node.clone();
                self.nominated.insert(pod.uid.clone(), (node, pod.clone()));
                Some(preemption)
            }
            Err(why) => {
                message.push_str(&format!(" preemption: {why}"));
                None
            }
        };
        Decision::Unschedulable { message, preemption }
    }
}

/// Upstream: `numFeasibleNodesToFind` with the adaptive percentage.
fn enough(n_nodes: usize) -> usize {
    if n_nodes < FEASIBLE_NODES_MIN {
        return n_nodes;
    }
    let percent = 50usize.saturating_sub(n_nodes / 125).max(FEASIBLE_PERCENT_MIN);
    (n_nodes * percent / 100).max(FEASIBLE_NODES_MIN)
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

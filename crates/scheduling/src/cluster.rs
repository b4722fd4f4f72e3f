//! The scheduler's picture of nodes and pods.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node as ApiNode, Pod, Taint};

use crate::pod::{HostPort, PodInfo};
use crate::resources::Resources;

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
    /// Do the pod's node selector and required node affinity want it?
    pub(crate) fn is_wanted_by(&self, pod: &PodInfo) -> bool {
        pod.node_selector.iter().all(|(key, value)| self.labels.get(key) == Some(value))
            && pod.required_nodes.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches(&self.name, &self.labels)))
    }

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
    pub(crate) options: Options,
    pub(crate) nodes: Vec<Node>,
    by_name: HashMap<Arc<str>, usize>,
    /// Where each counted pod is.
    placed: HashMap<String, Arc<str>>,
    /// Pods that wait for their victims to go: they hold their room against pods of no higher priority.
    pub(crate) nominated: HashMap<String, (Arc<str>, Arc<PodInfo>)>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    /// Where the next search begins, so that all nodes get their turn.
    pub(crate) next_start: usize,
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
    pub(crate) fn place(&mut self, pod: Arc<PodInfo>, node: &str) {
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
}

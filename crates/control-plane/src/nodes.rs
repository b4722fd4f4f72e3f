//! Rows of nodes, and of the pods that must leave them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use control_cluster::node_cidr::{self, Pool};
use control_cluster::{node, node_ttl, pod_eviction, pod_garbage};
use control_workloads::pods;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use object::key::ObjectKey;
use object::plan::{Note, Plan, Reference, key_of};
use object::time::Clock;
use reconcile::{Changed, Controller};

use crate::caches::Caches;

/// Times by node name, or by a pod's uid, kept between plans: what no object tells.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<BTreeMap<String, Timestamp>>>);

impl Times {
    fn set(&self, node: &str, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned(), at);
    }

    /// The time set, or `now` from now on.
    fn get_or(&self, node: &str, now: Timestamp) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(node.to_owned()).or_insert(now)
    }

    fn forget(&self, node: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

pub(crate) fn lifecycle(caches: &Arc<Caches>, clock: &Clock) -> Controller {
    let (planning, from_nodes) = (Arc::clone(caches), Arc::clone(caches));
    let heard = Times::default();
    let (by_lease, by_status) = ((heard.clone(), clock.clone()), (heard.clone(), clock.clone()));
    Controller::new("node-lifecycle", "node-controller", move |ask| {
        let caches = &planning;
        let Some(node) = caches.nodes.get(&ask.key) else {
            heard.forget(&ask.key.name);
            return Plan::nothing();
        };
        let view = node::View {
            node: &node,
            heard_at: heard.get_or(&ask.key.name, ask.now),
            is_any_ready: caches.nodes.list().iter().any(|node| is_ready(node)),
            pods: &caches.pods_by_node.get(&ask.key.name),
        };
        let mut plan = node::plan(&view, ask.now);
        let name = &ask.key.name;
        let text = format!("Node {name} event: Registered Node {name} in Controller");
        plan.notes.push(Note::normal(Reference::of(&*node), "RegisteredNode", text));
        plan
    })
    .maps(&caches.leases, move |changed| {
        by_lease.0.set(&changed.key.name, by_lease.1.now());
        Vec::new()
    })
    .maps(&caches.nodes, move |changed| {
        by_status.0.set(&changed.key.name, by_status.1.now());
        let flips = |node: &Option<Arc<Node>>| node.as_ref().is_some_and(|node| is_ready(node));
        if flips(&changed.old) == flips(&changed.new) {
            return vec![changed.key.clone()];
        }
        // The first and the last ready node decide for all others whether anybody is evicted.
        let others = from_nodes.nodes.list().into_iter().filter(|node| !is_ready(node)).map(|node| key_of(&node.metadata));
        others.chain([changed.key.clone()]).collect()
    })
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

pub(crate) fn cidrs(caches: &Arc<Caches>, pools: Vec<Pool>) -> Controller {
    let planning = Arc::clone(caches);
    Controller::new("node-ipam", "cidrAllocator", move |_| node_cidr::plan(&planning.nodes.list(), &pools)).maps(&caches.nodes, |changed| {
        let is_settled = changed.new.as_ref().is_some_and(|n| n.spec.as_ref().is_some_and(|s| s.pod_cidr.is_some()));
        // A node that goes frees its share for one that waits for it.
        if is_settled { Vec::new() } else { vec![ObjectKey::cluster("nodes")] }
    })
}

pub(crate) fn ttl(caches: &Arc<Caches>) -> Controller {
    let planning = Arc::clone(caches);
    Controller::new("ttl", "ttl-controller", move |ask| {
        planning.nodes.get(&ask.key).map_or_else(Plan::nothing, |node| node_ttl::plan(&node, planning.nodes.len()))
    })
    .watches(&caches.nodes)
}

pub(crate) fn eviction(caches: &Arc<Caches>) -> Controller {
    let (planning, from_pods, from_nodes) = (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    let tainted_since = Times::default();
    let of_gone = tainted_since.clone();
    Controller::new("taint-eviction", "taint-eviction-controller", move |ask| {
        let Some(pod) = planning.pods.get(&ask.key) else { return Plan::nothing() };
        let uid = pod.metadata.uid.as_deref().unwrap_or("");
        let node = planning.nodes.get(&ObjectKey::cluster(pods::node_name(&pod))).filter(|node| evicts(node));
        let Some(node) = node else {
            tainted_since.forget(uid);
            return Plan::nothing();
        };
        pod_eviction::plan(&pod, taints(&node), tainted_since.get_or(uid, ask.now), ask.now)
    })
    .maps(&caches.pods, move |changed| {
        if let (Some(old), None) = (&changed.old, &changed.new) {
            of_gone.forget(old.metadata.uid.as_deref().unwrap_or(""));
        }
        let is_evicting = |pod: &Arc<Pod>| {
            let node = from_pods.nodes.get(&ObjectKey::cluster(pods::node_name(pod)));
            node.is_some_and(|node| evicts(&node))
        };
        changed.new.iter().filter(|pod| is_evicting(pod)).map(|_| changed.key.clone()).collect()
    })
    .maps(&caches.nodes, move |changed| {
        let evicting = |node: &Option<Arc<Node>>| node.as_ref().map(|n| taints(n).to_vec()).unwrap_or_default();
        if evicting(&changed.old) == evicting(&changed.new) {
            return Vec::new();
        }
        from_nodes.pods_by_node.get(&changed.key.name).iter().map(|pod| key_of(&pod.metadata)).collect()
    })
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default()
}

fn evicts(node: &Node) -> bool {
    taints(node).iter().any(|taint| taint.effect == "NoExecute")
}

pub(crate) fn pod_garbage(caches: &Arc<Caches>) -> Controller {
    let (planning, from_pods, from_nodes) = (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    let gone_since = Times::default();
    let all_finished = ObjectKey::cluster("finished");
    let finished_key = all_finished.clone();
    Controller::new("pod-garbage-collector", "pod-garbage-collector", move |ask| {
        if ask.key == all_finished {
            return pod_garbage::plan_finished(&planning.pods.list(), pod_garbage::FINISHED_MAX);
        }
        let Some(pod) = planning.pods.get(&ask.key) else { return Plan::nothing() };
        let node_name = pods::node_name(&pod);
        let is_node_here = node_name.is_empty() || planning.nodes.get(&ObjectKey::cluster(node_name)).is_some();
        if is_node_here {
            gone_since.forget(node_name);
        }
        let node_gone_since = (!is_node_here).then(|| gone_since.get_or(node_name, ask.now));
        pod_garbage::plan(&pod_garbage::View { pod: &pod, node_gone_since }, ask.now)
    })
    .reads(&caches.nodes)
    .maps(&caches.pods, move |changed| concerning(&from_pods, changed, &finished_key))
    .maps(&caches.nodes, move |changed| {
        if changed.old.is_some() == changed.new.is_some() {
            return Vec::new();
        }
        from_nodes.pods_by_node.get(&changed.key.name).iter().map(|pod| key_of(&pod.metadata)).collect()
    })
}

/// Most pods concern nobody here.
fn concerning(caches: &Caches, changed: &Changed<Pod>, finished: &ObjectKey) -> Vec<ObjectKey> {
    let Some(pod) = &changed.new else { return Vec::new() };
    let node_name = pods::node_name(pod);
    let is_lost = if node_name.is_empty() { pods::is_leaving(pod) } else { caches.nodes.get(&ObjectKey::cluster(node_name)).is_none() };
    let mut keys = Vec::new();
    if is_lost {
        keys.push(changed.key.clone());
    }
    if pods::is_finished(pod) && caches.pods.len() > pod_garbage::FINISHED_MAX {
        keys.push(finished.clone());
    }
    keys
}
